// keyrack top on a terminal: what the screen shows, what keys do, and that the terminal is as before however it ends.
#include "harness.hpp"
#include "terminal.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace keyrack::command_test {
namespace {

class Top : public CommandTest {
 protected:
  void SetUp() override {
    const rlimit none{};
    ::setrlimit(RLIMIT_CORE, &none);    // some are ended by signals that leave one
    ASSERT_EQ(keyrack({"create", "--url", url("?slots=100&sessions=16")}).status, 0);
    lock("job/42");
  }

  void lock(const std::string& key, const std::string& signee = "worker-7") const {
    ASSERT_EQ(keyrack({"lock", key, "--signee", signee}).status, 0);
  }

  std::filesystem::path file() const { return "/dev/shm/" + segment(); }

  static Words top(Words more = {}) {
    more.insert(more.begin(), {KEYRACK_COMMAND, "top", "--interval", "20ms"});
    return more;
  }
};

constexpr const char* kSecondPicture = "per second:";

testing::AssertionResult is_as_before(OnTerminal& terminal) {
  if (terminal.has_own_screen()) return testing::AssertionFailure() << "the screen is still top's";
  if (!terminal.shows_cursor()) return testing::AssertionFailure() << "the cursor is hidden";
  return are_equal(terminal.modes(), terminal.modes_before());
}

void expect_own(OnTerminal& terminal) {
  ASSERT_TRUE(terminal.shows(kSecondPicture)) << terminal.screen();
  EXPECT_TRUE(terminal.has_own_screen());
  EXPECT_FALSE(terminal.shows_cursor());
  EXPECT_FALSE(are_equal(terminal.modes(), terminal.modes_before()));
}

TEST_F(Top, ShowsWhoHoldsWhoWaitsAndHowFastThingsGo) {
  Process waiter = start({"lock", "job/42", "--signee", "patience", "--wait", "1h"});
  OnTerminal top(Top::top(), url(), {.rows = 24, .columns = 80});
  ASSERT_NO_FATAL_FAILURE(expect_own(top));
  ASSERT_TRUE(top.shows("LONGEST WAITING"));
  EXPECT_TRUE(top.shows("waiting 1"));
  EXPECT_TRUE(top.shows("patience"));
  EXPECT_TRUE(top.shows("LONGEST HELD"));
  EXPECT_TRUE(eventually([&] { return contains(top.lines().back(), "q quit"); })) << top.screen();
  EXPECT_TRUE(top.has_colours());

  top.type("s");
  ASSERT_TRUE(top.shows("HOTTEST"));
  EXPECT_TRUE(eventually([&] {    // each of these is a change of its token
    lock("busy", "a");
    EXPECT_EQ(keyrack({"unlock", "busy", "--signee", "a"}).status, 0);
    const auto lines = top.lines();
    return std::any_of(lines.begin(), lines.end(),
                       [](const std::string& line) { return line.starts_with("busy") && contains(line, "idle"); });
  })) << "as busy keys mostly are when one looks";
  top.type("s");
  ASSERT_TRUE(top.shows("MOST WAITED FOR"));
  top.type("s");
  ASSERT_TRUE(top.shows("BY KEY"));
  top.type("s");
  ASSERT_TRUE(top.shows("LONGEST HELD"));
  top.type("q");
  EXPECT_EQ(top.wait(), 0);
  EXPECT_TRUE(is_as_before(top));
}

TEST_F(Top, ShowsTheDead) {
  Process victim = start({"run", "left behind", "--", "sh", "-c", "echo ready; exec cat"});
  ASSERT_TRUE(eventually([&] { return victim.out() == "ready\n"; })) << victim.err();
  OnTerminal top(Top::top(), url(), {.rows = 24, .columns = 80});
  ASSERT_TRUE(top.shows("left behind"));
  EXPECT_FALSE(contains(top.screen(), "DEAD SESSION"));
  victim.signal(SIGKILL);
  ASSERT_EQ(victim.wait(), 128 + SIGKILL);
  EXPECT_TRUE(top.shows("abandoned 1")) << top.screen();
  EXPECT_TRUE(top.shows("dead sessions 1")) << top.screen();
  EXPECT_TRUE(eventually([&] {
    const std::string screen = top.screen();
    const auto list = screen.find("DEAD SESSION");
    return list != std::string::npos && screen.find(std::to_string(victim.pid()), list) != std::string::npos;
  })) << top.screen();
}

TEST_F(Top, NoColoursWithNoColor) {
  OnTerminal top(Top::top(), url(), {.environment = {"NO_COLOR=1"}});
  ASSERT_NO_FATAL_FAILURE(expect_own(top));
  EXPECT_FALSE(top.has_colours());
}

TEST_F(Top, FilterIsTypedAndTakenBack) {
  lock("other");
  OnTerminal top(Top::top(), url());
  ASSERT_TRUE(top.shows("other"));
  top.type("/");
  ASSERT_TRUE(top.shows("\nfilter:\n"));
  EXPECT_TRUE(top.shows_cursor());
  top.type("jobq\x7f/*");    // q is a letter here
  ASSERT_TRUE(top.shows("filter: job/*\n")) << top.screen();
  EXPECT_TRUE(top.shows("other")) << "only once it is entered";
  top.type("\r");
  ASSERT_TRUE(top.shows("/ filter: job/*  "));
  EXPECT_TRUE(top.shows("job/42"));
  EXPECT_FALSE(contains(top.screen(), "other"));
  EXPECT_FALSE(top.shows_cursor());

  top.type("/nothing");
  ASSERT_TRUE(top.shows("\nfilter: job/*nothing\n"));
  top.type("\x1b");    // Escape: as it was
  ASSERT_TRUE(top.shows("/ filter: job/*  "));
  top.type("/\x15\r");
  ASSERT_TRUE(top.shows("filter: none"));
  EXPECT_TRUE(top.shows("other"));
  top.type("q");
  EXPECT_EQ(top.wait(), 0);

  OnTerminal given(Top::top({"--filter", "o*", "--sort", "key"}), url());
  ASSERT_TRUE(given.shows("sort: key"));    // on the last line, which is drawn last
  EXPECT_TRUE(given.shows("BY KEY"));
  EXPECT_TRUE(given.shows("other"));
  EXPECT_FALSE(contains(given.screen(), "job/42"));
}

TEST_F(Top, PauseKeepsThePicture) {
  OnTerminal top({KEYRACK_COMMAND, "top", "--interval", "1ms"}, url());    // the next one is always due
  ASSERT_TRUE(top.shows("job/42"));
  top.type("p");
  ASSERT_TRUE(top.shows("paused"));
  lock("later");
  top.type("sss");
  ASSERT_TRUE(top.shows("sort: key"));    // drawn after the lock was granted
  EXPECT_TRUE(top.shows("job/42"));
  EXPECT_FALSE(contains(top.screen(), "later"));
  top.type("p");
  EXPECT_TRUE(top.shows("later"));
}

TEST_F(Top, ArrowsScroll) {
  for (int i = 10; i < 40; ++i) lock("key-" + std::to_string(i));
  OnTerminal top(Top::top({"--sort", "key", "--filter", "key-*"}), url(), {.rows = 15, .columns = 80});
  ASSERT_TRUE(top.shows("key-10"));
  EXPECT_FALSE(contains(top.screen(), "key-39"));
  top.type("\x1bOB");    // down
  ASSERT_TRUE(eventually([&] { return !contains(top.screen(), "key-10"); }));
  EXPECT_TRUE(top.shows("key-11"));
  top.type("\x1b[6~\x1b[6~\x1b[6~\x1b[6~\x1b[6~\x1b[6~\x1b[6~\x1b[6~");    // page down, beyond the end
  ASSERT_TRUE(top.shows("key-39"));
  top.type("\x1bOA");    // up, at once
  ASSERT_TRUE(eventually([&] { return !contains(top.screen(), "key-39"); }));
  top.type("\x1bOH");    // home
  ASSERT_TRUE(top.shows("key-10"));
}

TEST_F(Top, FitsWindowsOfAnySize) {
  lock(std::string(128, 'k'), std::string(64, 's'));
  OnTerminal top(Top::top(), url(), {.rows = 24, .columns = 80});
  ASSERT_NO_FATAL_FAILURE(expect_own(top));
  const std::vector<std::pair<int, int>> sizes = {{10, 40}, {4, 30}, {3, 10}, {1, 1},    {2, 2},   {1, 80},
                                                  {50, 5},  {24, 8}, {5, 79}, {60, 300}, {24, 80}, {1, 2}};
  for (const auto& [rows, columns] : sizes) {
    SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(columns));
    top.resize(rows, columns);
    const std::string keys = std::string("q quit  s sort: held").substr(0, std::min(20, columns - 1));
    ASSERT_TRUE(eventually([&] {
      const auto lines = top.lines();
      return rows < 4 || columns < 2 ? !lines[0].empty() : lines.back().starts_with(keys);
    })) << top.screen();
    if (columns >= 80) {
      EXPECT_TRUE(top.shows(std::to_string(2))) << top.screen();    // the year
    }
  }
  top.resize(24, 80);
  ASSERT_TRUE(top.shows("kkkkkkkk")) << top.screen();
  EXPECT_TRUE(top.shows("ssssssss"));
  EXPECT_TRUE(top.shows("WAITERS")) << "long texts give way to figures: " << top.screen();
  top.type("q");
  EXPECT_EQ(top.wait(), 0);
  EXPECT_TRUE(is_as_before(top));
}

TEST_F(Top, KeysOfAnyBytesLeaveTheTerminalAlone) {
  lock(
      "\x1b]0;title\x07 \x1b[2J \xc2\x9b"
      "31m \xff \t\n\r\x0e \xe4\xb8\xad\xe6\x96\x87",
      "\x1b"
      "c\x7f");
  OnTerminal top(Top::top(), url());
  ASSERT_NO_FATAL_FAILURE(expect_own(top));
  ASSERT_TRUE(
      top.shows("\\x1b]0;title\\x07 \\x1b[2J \\xc2\\x9b31m \\xff \\x09\\x0a\\x0d\\x0e \xe4\xb8\xad\xe6\x96\x87  "))
      << top.screen();
  EXPECT_TRUE(top.shows("\\x1bc\\x7f "));
  const std::string& written = top.written();
  for (const std::string bad : {"\x1b]",
                                "\x1b"
                                "c",
                                "\xc2\x9b", "\xff", "\x0e", "\t"}) {
    EXPECT_FALSE(contains(written, bad)) << testing::PrintToString(bad);
  }
  EXPECT_TRUE(top.shows("\nq quit"));
  top.type("/\x01z");
  EXPECT_TRUE(top.shows("\nfilter: z\n"));
}

/// What is done to it, and the status it ends with; below 0: any but 0.
struct End {
  std::string keys;
  int signal = 0;
  int status = 0;
};

TEST_F(Top, RestoresTheTerminalHoweverItEnds) {
  const std::vector<End> ends = {{"q"},
                                 {"Q"},
                                 {"\x03"},
                                 {"\x1c"},
                                 {"", SIGINT},
                                 {"", SIGTERM},
                                 {"", SIGHUP},
                                 {"", SIGQUIT},
                                 {"", SIGUSR1, 128 + SIGUSR1},
                                 {"", SIGALRM, 128 + SIGALRM},
                                 // A sanitizer gives these statuses of its own.
                                 {"", SIGSEGV, -1},
                                 {"", SIGABRT, -1},
                                 {"", SIGFPE, -1},
                                 {"", SIGBUS, -1}};
  for (const End& end : ends) {
    SCOPED_TRACE(end.signal != 0 ? "signal " + std::to_string(end.signal) : testing::PrintToString(end.keys));
    OnTerminal top(Top::top(), url());
    ASSERT_NO_FATAL_FAILURE(expect_own(top));
    end.signal != 0 ? top.signal(end.signal) : top.type(end.keys);
    const int status = top.wait();
    if (end.status < 0) {
      EXPECT_NE(status, 0);
    } else {
      EXPECT_EQ(status, end.status);
    }
    EXPECT_TRUE(is_as_before(top));
  }
}

TEST_F(Top, RestoresTheTerminalAfterAnException) {
  const Words environment = {"LD_PRELOAD=" KEYRACK_THROWING_FNMATCH, "ASAN_OPTIONS=verify_asan_link_order=0"};
  for (const std::string filter : {"caught", "!not caught"}) {
    SCOPED_TRACE(filter);
    OnTerminal top(Top::top(), url(), {.environment = environment});
    ASSERT_NO_FATAL_FAILURE(expect_own(top));
    top.type("/" + filter + "\r");
    EXPECT_NE(top.wait(), 0);
    EXPECT_TRUE(is_as_before(top));
    const bool is_told = contains(top.screen(), "keyrack: out of memory; ");
    EXPECT_EQ(is_told, filter == "caught") << top.screen();
  }
}

TEST_F(Top, EndsWhenTheTerminalIsGone) {
  const Words unmoved = {"sh", "-c", "trap '' HUP; exec \"$0\" top --interval 20ms", KEYRACK_COMMAND};
  for (const Words& words : {Top::top(), unmoved}) {
    OnTerminal top(words, url());
    ASSERT_NO_FATAL_FAILURE(expect_own(top));
    top.hang_up();
    EXPECT_EQ(top.wait(), 0);
  }
}

TEST_F(Top, StopsAndGoesOn) {
  OnTerminal top(Top::top(), url(), {.shell = true});
  ASSERT_NO_FATAL_FAILURE(expect_own(top));
  for (int round = 0; round < 2; ++round) {
    top.type("\x1a");
    ASSERT_TRUE(top.is_stopped());
    EXPECT_TRUE(is_as_before(top));
    lock("meanwhile-" + std::to_string(round));
    top.signal(SIGCONT);
    ASSERT_TRUE(top.shows("meanwhile-" + std::to_string(round))) << top.screen();
    ASSERT_NO_FATAL_FAILURE(expect_own(top));
  }
  // Without a word: the terminal is not put back, but a shell would do that.
  top.signal(SIGSTOP);
  ASSERT_TRUE(top.is_stopped());
  top.set_modes(top.modes_before());
  top.signal(SIGCONT);
  EXPECT_TRUE(eventually([&] { return !are_equal(top.modes(), top.modes_before()); }));
  lock("after all");
  EXPECT_TRUE(top.shows("after all"));

  top.type("\x1a");
  ASSERT_TRUE(top.is_stopped());
  top.signal(SIGTERM);
  top.signal(SIGCONT);
  EXPECT_EQ(top.wait(), 0);
  EXPECT_TRUE(is_as_before(top));
}

TEST_F(Top, FollowsTheNameOfTheSegment) {
  OnTerminal top(Top::top(), url());
  ASSERT_TRUE(top.shows("job/42"));
  ASSERT_EQ(keyrack({"rm", segment()}).status, 0);
  ASSERT_TRUE(top.shows("the segment was removed")) << top.screen();
  EXPECT_TRUE(top.shows("job/42"));
  lock("in a new one");
  EXPECT_TRUE(top.shows("in a new one"));
  EXPECT_TRUE(eventually([&] { return !contains(top.screen(), "removed"); }));
  EXPECT_TRUE(eventually([&] { return !contains(top.screen(), "job/42"); }));
  top.type("q");
  EXPECT_EQ(top.wait(), 0);
}

TEST_F(Top, EndsWithTheReasonWhenTheSegmentIsCutShort) {
  OnTerminal top(Top::top(), url());
  ASSERT_NO_FATAL_FAILURE(expect_own(top));
  std::filesystem::resize_file(file(), 4096);
  EXPECT_EQ(top.wait(), 3);
  EXPECT_TRUE(is_as_before(top));
  EXPECT_TRUE(contains(top.screen(), "keyrack: ")) << top.screen();
}

TEST_F(Top, EndsWithTheReasonWhenTheSegmentIsBroken) {
  const auto size = std::filesystem::file_size(file());
  for (const auto& [from, must_end] : std::vector<std::pair<std::uintmax_t, bool>>{{size / 2, false}, {0, true}}) {
    SCOPED_TRACE(from);
    OnTerminal top(Top::top(), url());
    ASSERT_NO_FATAL_FAILURE(expect_own(top));
    {
      std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
      bytes.seekp(static_cast<std::streamoff>(from));
      bytes << std::string(size - from, '\xa5');
      ASSERT_TRUE(bytes.flush());
    }
    if (!must_end) {    // it may show what can be shown
      top.type("q");
      const int status = top.wait();
      EXPECT_TRUE(status == 0 || status == 3) << status;
    } else {
      EXPECT_EQ(top.wait(), 3);
      EXPECT_TRUE(contains(top.screen(), "keyrack: ")) << top.screen();
    }
    EXPECT_TRUE(is_as_before(top));
  }
}

TEST_F(Top, IsPlainWhereNothingCanBeDrawn) {
  const std::vector<std::pair<Words, Words>> settings = {
      {top(), {"TERM=dumb"}},
      {top(), {"TERM=no-such-terminal"}},
      {{"sh", "-c", "exec \"$0\" top --interval 20ms </dev/null", KEYRACK_COMMAND}, {}}};
  for (const auto& [words, environment] : settings) {
    OnTerminal plain(words, url(), {.environment = environment});
    ASSERT_TRUE(plain.shows(kSecondPicture)) << plain.screen();
    EXPECT_FALSE(plain.has_own_screen());
    EXPECT_TRUE(are_equal(plain.modes(), plain.modes_before()));
    plain.type("\x03");
    EXPECT_EQ(plain.wait(), 0);
  }
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST_F(Top, BatchPrintsPlainBlocks) {
  Process waiter = start({"lock", "job/42", "--signee", "other", "--wait", "1h"});
  ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == 1; }));
  const Ended ended = keyrack({"top", "--batch", "3", "--interval", "5ms"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  for (const char* list : {"LONGEST HELD", "HOTTEST", "MOST WAITED FOR", "LONGEST WAITING", "DEAD SESSION"}) {
    EXPECT_EQ(count(ended.out, list), 3) << list;
  }
  EXPECT_EQ(count(ended.out, "since it was made:"), 1);
  EXPECT_EQ(count(ended.out, kSecondPicture), 2);
  EXPECT_TRUE(contains(ended.out, "locks held 1, stale 0, abandoned 0, waiting 1, ")) << ended.out;
  EXPECT_FALSE(contains(ended.out, "\033"));
  const auto waited = ended.out.find("MOST WAITED FOR");
  EXPECT_NE(ended.out.find("job/42", waited), std::string::npos);

  const Ended filtered = keyrack({"top", "--batch", "1", "--filter", "x*"});
  EXPECT_FALSE(contains(filtered.out, "job/42"));
  EXPECT_TRUE(contains(filtered.out, "locks held 1")) << "figures are of the whole segment";

  OnTerminal batch({KEYRACK_COMMAND, "top", "--batch", "2", "--interval", "5ms"}, url());
  EXPECT_EQ(batch.wait(), 0);
  EXPECT_FALSE(batch.has_own_screen());
  EXPECT_EQ(count(batch.written(), "HOTTEST"), 2);
}

TEST_F(Top, WithoutATerminalItGoesOnUntilASignal) {
  Process top = start({"top", "--interval", "5ms"});
  ASSERT_TRUE(eventually([&] { return count(top.out(), "LONGEST HELD") >= 3; })) << top.err();
  top.signal(SIGINT);
  EXPECT_EQ(top.wait(), 0);
  Process slow = start({"top", "--interval", "1h"});
  ASSERT_TRUE(eventually([&] { return contains(slow.out(), "LONGEST HELD"); })) << slow.err();
  slow.signal(SIGTERM);
  EXPECT_EQ(slow.wait(), 0);
  Process full({"sh", "-c", R"("$1" top --interval 5ms > /dev/full)", "sh", KEYRACK_COMMAND}, url());
  EXPECT_EQ(full.wait(), 3);
  EXPECT_TRUE(is_one_error_line(full.err()));
}

}    // namespace
}    // namespace keyrack::command_test
