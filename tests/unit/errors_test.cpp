// What the errors say, what they equal, and what value() throws.
#include <keyrack/errors.hpp>

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace keyrack {
namespace {

constexpr std::array kAll{
    Errc::forbidden,       Errc::bad_request,       Errc::not_found,           Errc::in_use,
    Errc::not_exist,       Errc::timed_out,         Errc::table_full,          Errc::session_limit,
    Errc::bad_url,         Errc::unknown_backend,   Errc::no_segment,          Errc::incompatible_segment,
    Errc::corrupt_segment, Errc::permission_denied, Errc::backend_unavailable, Errc::lost,
    Errc::would_deadlock};

Refusal refusal(Errc errc, std::string holder) {
  return {.code = errc, .holder = std::move(holder), .level = -3, .pid = 4711, .token = 9};
}

TEST(Errors, EachHasAMessageOfItsOwn) {
  std::set<std::string> messages;
  for (const Errc errc : kAll) {
    const std::error_code code = errc;
    EXPECT_STREQ(code.category().name(), "keyrack");
    EXPECT_EQ(code.value(), static_cast<int>(errc));
    EXPECT_FALSE(code.message().empty());
    EXPECT_EQ(code.message().find("unknown keyrack error"), std::string::npos) << code.value();
    messages.insert(code.message());
  }
  EXPECT_EQ(messages.size(), kAll.size());
}

TEST(Errors, AForeignValueIsSaidToBeUnknown) {
  EXPECT_EQ(std::error_code(99, category()).message(), "unknown keyrack error 99");
}

TEST(Errors, EqualTheStandardOnes) {
  EXPECT_EQ(make_error_code(Errc::bad_request), std::errc::invalid_argument);
  EXPECT_EQ(make_error_code(Errc::bad_url), std::errc::invalid_argument);
  EXPECT_EQ(make_error_code(Errc::timed_out), std::errc::timed_out);
  EXPECT_EQ(make_error_code(Errc::no_segment), std::errc::no_such_file_or_directory);
  EXPECT_EQ(make_error_code(Errc::permission_denied), std::errc::permission_denied);
  EXPECT_EQ(make_error_code(Errc::would_deadlock), std::errc::resource_deadlock_would_occur);
  EXPECT_EQ(make_error_code(Errc::lost).default_error_condition(),
            std::error_condition(static_cast<int>(Errc::lost), category()));
}

TEST(Refusal, NamesTheHolder) {
  EXPECT_EQ(refusal(Errc::forbidden, "worker-7").message(), "held by worker-7 (pid 4711, level -3)");
  EXPECT_EQ(refusal(Errc::timed_out, "worker-7").message(), "timed out: held by worker-7 (pid 4711, level -3)");
}

TEST(Refusal, WithoutAHolderSaysWhatTheCodeSays) {
  EXPECT_EQ(refusal(Errc::forbidden, "").message(), make_error_code(Errc::forbidden).message());
  EXPECT_EQ(refusal(Errc::timed_out, "").message(), make_error_code(Errc::timed_out).message());
  EXPECT_EQ(refusal(Errc::table_full, "worker-7").message(), make_error_code(Errc::table_full).message());
}

TEST(Refusal, EscapesWhatATerminalShouldNotSee) {
  const auto shown = [](std::string holder) {
    const std::string message = refusal(Errc::forbidden, std::move(holder)).message();
    return message.substr(8, message.size() - std::string("held by  (pid 4711, level -3)").size());
  };
  EXPECT_EQ(shown("Grüße 世界 🔒"), "Grüße 世界 🔒");
  EXPECT_EQ(shown("\x1b[2J\n\x7f"), "\\x1b[2J\\x0a\\x7f");
  EXPECT_EQ(shown("a\xff\xc3z"), "a\\xff\\xc3z");    // no UTF-8 at all, a sequence cut short by a letter
  EXPECT_EQ(shown("a\xe2\x82"), "a\\xe2\\x82");      // one cut short by the end
  EXPECT_EQ(shown("\xc0\xaf\xed\xa0\x80"), "\\xc0\\xaf\\xed\\xa0\\x80");    // overlong, surrogate
  EXPECT_EQ(shown("\xc2\x9b"), "\\xc2\\x9b");                               // a control character of two bytes
  EXPECT_EQ(shown("\xe2\x80\xa8"), "\\xe2\\x80\\xa8");                      // line separator
}

TEST(Refusal, IsItsCode) {
  const std::error_code code = refusal(Errc::forbidden, "worker-7");
  EXPECT_EQ(code, Errc::forbidden);
}

TEST(Refusal, IsThrownByValue) {
  const Result<int, Refusal> refused = refusal(Errc::timed_out, "worker-7");
  try {
    (void)refused.value();
    FAIL() << "nothing was thrown";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), Errc::timed_out);
    EXPECT_STREQ(error.what(), "timed out: held by worker-7 (pid 4711, level -3)");
  }
}

TEST(OpenError, SaysCodeAndDetail) {
  EXPECT_EQ((OpenError{Errc::bad_url, "duration=fast\x1b"}.message()), "bad URL: duration=fast\\x1b");
  EXPECT_EQ((OpenError{Errc::no_segment, ""}.message()), make_error_code(Errc::no_segment).message());
}

TEST(OpenError, IsThrownByValue) {
  const Result<int, OpenError> failed = OpenError{Errc::bad_url, "slots=0: must be 1 to 15000000"};
  try {
    (void)failed.value();
    FAIL() << "nothing was thrown";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), Errc::bad_url);
    EXPECT_STREQ(error.what(), "bad URL: slots=0: must be 1 to 15000000");
  }
}

}    // namespace
}    // namespace keyrack
