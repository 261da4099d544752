// What is different on a terminal: colours and Ctrl-C. The screen of keyrack top has a file of its own.
#include "terminal.hpp"
#include "harness.hpp"

#include <algorithm>
#include <csignal>
#include <sstream>
#include <string>

namespace keyrack::command_test {
namespace {

class Terminal : public CommandTest {
 protected:
  void SetUp() override { ASSERT_EQ(keyrack({"lock", "job/42", "--signee", "worker-7"}).status, 0); }
};

TEST_F(Terminal, ColoursUnlessNoColor) {
  OnTerminal plain({KEYRACK_COMMAND, "dump"}, url(), {.environment = {"NO_COLOR=1"}});
  EXPECT_EQ(plain.wait(), 0);
  EXPECT_TRUE(contains(plain.written(), "job/42"));
  EXPECT_FALSE(contains(plain.written(), "\033"));
  OnTerminal coloured({KEYRACK_COMMAND, "dump"}, url());
  EXPECT_EQ(coloured.wait(), 0);
  EXPECT_TRUE(contains(coloured.written(), "\033[32mheld\033[0m")) << coloured.written();
}

TEST_F(Terminal, TablesFitTheTerminal) {
  const std::string key = "caf\xc3\xa9/" + std::string(100, 'k'), signee(60, 's');
  ASSERT_EQ(keyrack({"lock", key, "--signee", signee}).status, 0);
  const auto widest = [](OnTerminal& dump) {
    EXPECT_EQ(dump.wait(), 0);
    std::size_t most = 0;
    std::istringstream lines(dump.written());
    std::string line;
    for (std::getline(lines, line); std::getline(lines, line);) {    // the first is no row
      most = std::max<std::size_t>(
          most, std::count_if(line.begin(), line.end(), [](char c) { return c != '\r' && (c & 0xc0) != 0x80; }));
    }
    return most;
  };
  OnTerminal wide({KEYRACK_COMMAND, "dump"}, url(), {.columns = 300, .environment = {"NO_COLOR=1"}});
  EXPECT_GT(widest(wide), 200u);
  EXPECT_TRUE(contains(wide.written(), key));
  OnTerminal narrow({KEYRACK_COMMAND, "dump"}, url(), {.columns = 100, .environment = {"NO_COLOR=1"}});
  EXPECT_EQ(widest(narrow), 100u) << narrow.written();
  EXPECT_TRUE(contains(narrow.written(), "caf\xc3\xa9/kkk")) << narrow.written();
  EXPECT_TRUE(contains(narrow.written(), "k…  ssss")) << narrow.written();
  EXPECT_TRUE(contains(narrow.written(), "job/42 ")) << "what is short is whole";
  OnTerminal told({KEYRACK_COMMAND, "dump"}, url(), {.columns = 300, .environment = {"NO_COLOR=1", "COLUMNS=120"}});
  EXPECT_EQ(widest(told), 120u) << told.written();
  OnTerminal hopeless({KEYRACK_COMMAND, "dump"}, url(), {.columns = 20, .environment = {"NO_COLOR=1"}});
  EXPECT_TRUE(contains((hopeless.wait(), hopeless.written()), "/kk…")) << "numbers and states are never cut";
}

TEST_F(Terminal, InterruptReachesTheCommandOnce) {
  OnTerminal run({KEYRACK_COMMAND, "run", "a", "--", "sh", "-c",
                  "trap 'echo interrupted' INT; trap 'exit 9' TERM; echo ready; while :; do read line; done"},
                 url());
  ASSERT_TRUE(run.shows("ready"));
  // While keyrack stands still the command takes its own; a second one that keyrack passed on would then be seen.
  run.signal(SIGSTOP);
  run.type("\x03");
  ASSERT_TRUE(run.shows("interrupted"));
  run.signal(SIGTERM);
  run.signal(SIGCONT);
  EXPECT_EQ(run.wait(), 9);
  const auto first = run.written().find("interrupted");
  EXPECT_EQ(run.written().find("interrupted", first + 1), std::string::npos) << run.written();
}

}    // namespace
}    // namespace keyrack::command_test
