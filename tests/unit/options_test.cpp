// What a shm:// URL asks for, and what is said about one that makes no sense.
#include "shm/options.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <boost/url/encode.hpp>
#include <boost/url/rfc/unreserved_chars.hpp>

namespace keyrack::shm {
namespace {

using namespace std::chrono_literals;

// The detail of the error; what was parsed is a failure.
std::string detail(std::string_view rest) {
  const auto options = parse_options(rest);
  if (options) {
    ADD_FAILURE() << rest << " was accepted";
    return {};
  }
  EXPECT_EQ(options.error().code, Errc::bad_url) << rest;
  return options.error().detail;
}

std::string name_of(std::string_view rest) {
  const auto options = parse_options(rest);
  return options ? options->name : "error: " + options.error().message();
}

TEST(Options, HaveDefaults) {
  for (const char* rest : {"orders", "orders?"}) {
    const auto options = parse_options(rest);
    ASSERT_TRUE(options) << options.error().message();
    EXPECT_EQ(options->name, "orders");
    EXPECT_EQ(options->geometry.slots, std::nullopt);
    EXPECT_EQ(options->geometry.sessions, std::nullopt);
    EXPECT_EQ(options->geometry.max_signature, std::nullopt);
    EXPECT_EQ(options->geometry.max_signee, std::nullopt);
    EXPECT_EQ(options->mode, 0600u);
    EXPECT_TRUE(options->create);
    EXPECT_EQ(options->duration, std::nullopt);
    EXPECT_EQ(options->time_to_live, std::nullopt);
    EXPECT_EQ(options->auto_release_after, std::nullopt);
  }
}

TEST(Options, AreAllTaken) {
  const auto options = parse_options(
      "orders?slots=1000&sessions=12&max_signature=256&max_signee=32&mode=0640&create=false&duration=10s"
      "&time_to_live=1m30s&auto_release_after=250ms");
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_EQ(options->geometry.slots, 1000u);
  EXPECT_EQ(options->geometry.sessions, 12u);
  EXPECT_EQ(options->geometry.max_signature, 256u);
  EXPECT_EQ(options->geometry.max_signee, 32u);
  EXPECT_EQ(options->mode, 0640u);
  EXPECT_FALSE(options->create);
  EXPECT_EQ(options->duration, 10s);
  EXPECT_EQ(options->time_to_live, 90s);
  EXPECT_EQ(options->auto_release_after, 250ms);
}

TEST(Options, MayBePercentEncoded) {
  const auto options = parse_options("orders?%73lots=1%30&duration=%31s");
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_EQ(options->geometry.slots, 10u);
  EXPECT_EQ(options->duration, 1s);
}

TEST(Options, TakeTheirDefaultWhenWrittenOut) {
  const auto options = parse_options("orders?create=true&duration=none&time_to_live=none&auto_release_after=none");
  ASSERT_TRUE(options) << options.error().message();
  EXPECT_TRUE(options->create);
  EXPECT_EQ(options->duration, std::nullopt);
}

TEST(Options, TakeNumbersWithinTheirRange) {
  const struct {
    std::string option;
    std::uint32_t max;
    std::optional<std::uint32_t> GeometryRequest::*member;
  } numbers[]{{"slots", 15'000'000, &GeometryRequest::slots},
              {"sessions", 65'535, &GeometryRequest::sessions},
              {"max_signature", 4096, &GeometryRequest::max_signature},
              {"max_signee", 4096, &GeometryRequest::max_signee}};
  for (const auto& [option, max, member] : numbers) {
    for (const std::uint32_t value : {1u, max}) {
      const auto options = parse_options("orders?" + option + "=" + std::to_string(value));
      ASSERT_TRUE(options) << options.error().message();
      EXPECT_EQ(options->geometry.*member, value);
    }
    for (const std::string& value : {std::string("0"), std::string("-1"), std::to_string(max + 1), std::string("many"),
                                     std::string(""), std::string("1.5"), std::string("4294967297"),
                                     std::string("99999999999999999999"), std::string("0x10"), std::string("+1")}) {
      EXPECT_EQ(detail("orders?" + option + "=" + value),
                option + "=" + value + ": must be 1 to " + std::to_string(max));
    }
  }
  EXPECT_EQ(detail("orders?slots=0"), "slots=0: must be 1 to 15000000");
  EXPECT_EQ(detail("orders?slots"), "slots=: must be 1 to 15000000");
}

TEST(Options, TakeOctalModes) {
  for (const auto& [text, mode] : std::initializer_list<std::pair<std::string, std::uint32_t>>{
           {"0600", 0600}, {"600", 0600}, {"0", 0}, {"0777", 0777}, {"777", 0777}}) {
    const auto options = parse_options("orders?mode=" + text);
    ASSERT_TRUE(options) << options.error().message();
    EXPECT_EQ(options->mode, mode);
  }
  for (const std::string text : {"01000", "0888", "-600", "rw", "", "1777", "0o600"}) {
    EXPECT_EQ(detail("orders?mode=" + text), "mode=" + text + ": must be octal, 0 to 0777");
  }
}

TEST(Options, RefuseBadFlagsAndDurations) {
  EXPECT_EQ(detail("orders?create=maybe"), "create=maybe: must be true or false");
  EXPECT_EQ(detail("orders?create"), "create=: must be true or false");
  for (const std::string option : {"duration", "time_to_live", "auto_release_after"}) {
    for (const std::string value : {"fast", "-1s", "10", "", "1s1s", "9999999999h"}) {
      EXPECT_EQ(detail("orders?" + option + "=" + value),
                option + "=" + value + " is not a duration (write 250ms, 10s, 1m30s)");
    }
  }
}

TEST(Options, RefuseWhatTheyDoNotKnow) {
  EXPECT_EQ(detail("orders?colour=red"),
            "unknown option colour (there are auto_release_after, create, duration, max_signature, max_signee, mode, "
            "sessions, slots, time_to_live)");
  EXPECT_TRUE(detail("orders?Slots=1").starts_with("unknown option Slots "));
  EXPECT_TRUE(detail("orders?slots=1&").starts_with("unknown option without a name "));
  EXPECT_TRUE(detail("orders?=1").starts_with("unknown option without a name "));
}

TEST(Options, RefuseOneThatIsGivenTwice) {
  EXPECT_EQ(detail("orders?slots=1&create=true&slots=1"), "option slots is given twice");
  EXPECT_EQ(detail("orders?duration=none&duration=1s"), "option duration is given twice");
}

TEST(Options, RefuseWhatIsNoUrl) {
  EXPECT_EQ(detail("orders#top"), "fragment #top: leave it out, or write %23 for '#'");
  EXPECT_EQ(detail("orders?slots=1#top"), "fragment #top: leave it out, or write %23 for '#'");
  EXPECT_EQ(detail("orders?slots=1 0"), "' ' in the options: write it %20");
  EXPECT_EQ(detail("orders?slots=1%0"), "options slots=1%0: '%' must be followed by two hexadecimal digits");
  EXPECT_EQ(detail(std::string_view("orders?\0", 8)), std::string("'\0' in the options: write it %00", 32));
}

TEST(SegmentName, IsTakenAsItIs) {
  EXPECT_EQ(name_of("Orders"), "Orders");
  EXPECT_EQ(name_of("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(name_of("a-b_c.d~e!f$g&h'i(j)k*l+m,n;o=p"), "a-b_c.d~e!f$g&h'i(j)k*l+m,n;o=p");
  EXPECT_EQ(name_of("..."), "...");
  EXPECT_EQ(name_of(std::string(255, 'n')), std::string(255, 'n'));
}

TEST(SegmentName, IsPercentDecoded) {
  EXPECT_EQ(name_of("my%20jobs"), "my jobs");
  EXPECT_EQ(name_of("gr%C3%B6%c3%9fe%3a%40%5B%5D%3F%23%25"), "größe:@[]?#%");
}

TEST(SegmentName, MustBeThere) {
  EXPECT_EQ(detail(""), "no name (write shm://NAME)");
  EXPECT_EQ(detail("?slots=1"), "no name (write shm://NAME)");
}

TEST(SegmentName, HasNoPathPortOrUser) {
  EXPECT_EQ(detail("orders/"), "path /: a segment has a name only");
  EXPECT_EQ(detail("orders/x?slots=1"), "path /x: a segment has a name only");
  EXPECT_EQ(detail("/orders"), "path /orders: a segment has a name only");
  EXPECT_EQ(detail("orders:80"), "':' in the name: write it %3A");
  EXPECT_EQ(detail("me@orders"), "'@' in the name: write it %40");
}

TEST(SegmentName, NamesTheCharacterThatAUrlReserves) {
  EXPECT_EQ(detail("my jobs"), "' ' in the name: write it %20");
  EXPECT_EQ(detail("[::1]"), "'[' in the name: write it %5B");
  EXPECT_EQ(detail("größe"), "'\xc3' in the name: write it %C3");
  EXPECT_EQ(detail("my%2"), "name my%2: '%' must be followed by two hexadecimal digits");
  EXPECT_EQ(detail("my%zz"), "name my%zz: '%' must be followed by two hexadecimal digits");
}

TEST(SegmentName, MustBeAFileName) {
  for (const std::string& name : {std::string("."), std::string(".."), std::string("%2e"), std::string("a%2Fb"),
                                  std::string("a%00b"), std::string(256, 'n')}) {
    EXPECT_EQ(detail(name), "name " + name + ": must be 1 to 255 bytes without '/' and NUL, not . nor ..");
  }
}

TEST(SegmentName, KnowsFileNames) {
  for (const std::string_view name : {"a", "...", " ", "a:b", ".hidden", "\xff"})
    EXPECT_TRUE(is_segment_name(name)) << name;
  EXPECT_TRUE(is_segment_name(std::string(255, 'n')));
  for (const std::string_view name : {std::string_view(), std::string_view("."), std::string_view(".."),
                                      std::string_view("a/b"), std::string_view("/"), std::string_view("a\0b", 3)}) {
    EXPECT_FALSE(is_segment_name(name)) << name;
  }
  EXPECT_FALSE(is_segment_name(std::string(256, 'n')));
}

RC_GTEST_PROP(SegmentNameProperty, EveryFileNameSurvivesEncoding, ()) {
  const auto name = *rc::gen::suchThat<std::string>(is_segment_name);
  const auto options = parse_options(boost::urls::encode(name, boost::urls::unreserved_chars) + "?slots=7");
  RC_ASSERT(options.has_value());
  RC_ASSERT(options->name == name);
  RC_ASSERT(options->geometry.slots == 7u);
}

RC_GTEST_PROP(OptionsProperty, WhateverIsGivenIsParsedOrRefused, ()) {
  const auto parts =
      *rc::gen::container<std::vector<std::string>>(rc::gen::weightedElement<std::string>({{9, "a"},
                                                                                           {3, "%41"},
                                                                                           {3, "?"},
                                                                                           {3, "slots=7"},
                                                                                           {3, "&mode=640"},
                                                                                           {1, "%"},
                                                                                           {1, "="},
                                                                                           {1, "/"},
                                                                                           {1, "#"},
                                                                                           {1, ":"},
                                                                                           {1, "\xc3"},
                                                                                           {1, "%2f"},
                                                                                           {1, "&"}}));
  std::string rest;
  for (const std::string& part : parts) rest += part;
  const auto options = parse_options(rest);
  RC_CLASSIFY(options.has_value(), "legal");
  if (options) {
    RC_ASSERT(is_segment_name(options->name));
  } else {
    RC_ASSERT(options.error().code == Errc::bad_url);
    RC_ASSERT(!options.error().detail.empty());
  }
}

}    // namespace
}    // namespace keyrack::shm
