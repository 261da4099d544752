// The command line itself: help, where the URL comes from, and what is refused.
#include "harness.hpp"

#include <string>
#include <vector>

namespace keyrack::command_test {
namespace {

const std::vector<std::string> kCommands = {
    "run",  "lock", "unlock", "check", "hold",  "acquire", "try-acquire", "keep-alive", "release", "list", "reset",
    "dump", "top",  "waits",  "watch", "stats", "verify",  "repair",      "create",     "ls",      "rm",   "backends"};

class Usage : public CommandTest {};

TEST_F(Usage, VersionAndHelp) {
  const Ended version = keyrack({"--version"});
  EXPECT_EQ(version.status, 0);
  EXPECT_EQ(version.out.substr(0, 8), "keyrack ");
  const Ended help = keyrack({"--help"});
  EXPECT_EQ(help.status, 0);
  for (const std::string& command : kCommands) EXPECT_TRUE(contains(help.out, "\n  " + command + " ")) << command;
}

TEST_F(Usage, EachCommandHasHelpWithAnExample) {
  for (const std::string& command : kCommands) {
    const Ended help = keyrack({command, "--help"});
    EXPECT_EQ(help.status, 0) << command;
    EXPECT_TRUE(contains(help.out, "Example: keyrack " + command)) << help.out;
    EXPECT_EQ(help.err, "");
  }
}

TEST_F(Usage, WrongUsageIsStatusTwoAndOneLine) {
  const std::vector<Words> wrong = {
      {},
      {"nonsense"},
      {"--nonsense", "list"},
      {"check"},
      {"check", "a", "b"},
      {"check", "a", "--format", "xml"},
      {"lock", "a"},
      {"lock", "a", "--signee", "me", "--level", "high"},
      {"lock", "a", "--signee", "me", "--level", "3000000000"},
      {"lock", "a", "--signee", "me", "--duration", "fast"},
      {"lock", "a", "--signee", "me", "--wait", "10"},
      {"lock", "", "--signee", "me"},
      {"lock", "a", "--signee", ""},
      {"lock", std::string(129, 'k'), "--signee", "me"},
      {"check", ""},
      {"acquire", ""},
      {"run", "a"},
      {"run", "a", "--"},
      {"run", "a", "true"},
      {"run", "--", "true"},
      {"run", "--wait", "1s", "--no-wait", "a", "--", "true"},
      {"run", "--duration", "0s", "a", "--", "true"},
      {"run", "--on-lost", "panic", "a", "--", "true"},
      {"--url", "nonsense", "list"},
      {"--url", "shm://", "list"},
      {"--url", "shm://x?slots=0", "list"},
      {"--url", "shm://x?colour=red", "dump"},
      {"--url", "nobody://x", "list"},
      {"rm", "a/b"},
      {"top", "--interval", "0s"},
      {"top", "--batch", "0"},
      {"dump", "--columns", "signature,colour"},
      {"dump", "--columns", "signature", "--format", "json"},
      {"dump", "--columns", "signature,kind"},
      {"dump", "--sort", "colour"},
      {"dump", "--sort", "kind"},
      {"dump", "--sort", "signature,up"},
      {"dump", "--sort", "signature", "--format", "openmetrics"},
      {"waits", "--format", "csv"},
      {"watch"},
      {"watch", "a", "--interval", "0s"},
      {"watch", "a", "--count", "0"},
  };
  for (const Words& words : wrong) {
    const Ended ended = keyrack(words);
    const std::string line = testing::PrintToString(words);
    EXPECT_EQ(ended.status, 2) << line << ended.err;
    EXPECT_EQ(ended.out, "") << line;
    EXPECT_TRUE(is_one_error_line(ended.err)) << line;
  }
}

TEST_F(Usage, ErrorsAreOneLineWhateverTheKeyIs) {
  const Ended ended = keyrack({"check", "two\nlines\xff\x1b[2J"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_TRUE(is_one_error_line(ended.err));
  EXPECT_TRUE(contains(ended.err, R"(two\x0alines\xff\x1b[2J)")) << ended.err;
}

TEST_F(Usage, UrlStandsBeforeOrAfterTheCommandOrInTheEnvironment) {
  const Words somewhere_else = {"--url", "shm://" + segment() + "-none?create=false"};
  EXPECT_EQ(keyrack({"lock", "a", "--signee", "me"}).status, 0);
  EXPECT_EQ(keyrack({"check", "a"}).status, 0);
  EXPECT_EQ(keyrack({"check", "a", "--url", url()}).status, 0);
  EXPECT_EQ(keyrack({"--url", url(), "check", "a"}).status, 0);
  EXPECT_EQ(keyrack({"--url=" + url(), "check", "a"}).status, 0);
  EXPECT_EQ(keyrack({"check", "a", somewhere_else[0], somewhere_else[1]}).status, 3);
  EXPECT_EQ(keyrack({somewhere_else[0], somewhere_else[1], "check", "a"}).status, 3);
}

TEST_F(Usage, KeysMayBeNamedAsCommandsAre) {
  for (const std::string key : {"list", "run", "[a,b]", "-5"}) {
    EXPECT_EQ(keyrack({"lock", key, "--signee", "me"}).status, 0) << key;
    EXPECT_TRUE(token_of(key, "me")) << key;
  }
  for (const std::string key : {"--force", "++", "-x"}) {
    EXPECT_EQ(keyrack({"lock", "--signee", "me", "--", key}).status, 0) << key;
    EXPECT_EQ(keyrack({"check", "--", key}).status, 0) << key;
  }
}

TEST_F(Usage, CommandsForSegmentsRefuseOtherProtocolsByName) {
  ASSERT_EQ(keyrack({"create"}).status, 0);
  for (Words words : {Words{"dump"}, Words{"top"}, Words{"waits"}, Words{"watch", "a"}, Words{"stats"}, Words{"verify"},
                      Words{"repair"}, Words{"create"}, Words{"ls"}, Words{"rm"}, Words{"rm", segment()}}) {
    const std::string command = words.front();
    words.insert(words.end(), {"--url", "other://x"});
    const Ended ended = keyrack(words);
    EXPECT_EQ(ended.status, 2) << command;
    EXPECT_EQ(ended.err, "keyrack: " + command + " works on shm:// only, not on other://x\n");
    EXPECT_EQ(ended.out, "") << command;
  }
  EXPECT_EQ(keyrack({"rm"}).status, 0) << "it was still there";
}

TEST_F(Usage, MemoryThatRunsOutIsAFailure) {
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "me"}).status, 0);
  Process process({"env", "LD_PRELOAD=" KEYRACK_THROWING_FNMATCH, "ASAN_OPTIONS=verify_asan_link_order=0",
                   KEYRACK_COMMAND, "dump", "--filter", "a"},
                  url());
  EXPECT_EQ(process.wait(), 3);
  EXPECT_TRUE(is_one_error_line(process.err()));
  EXPECT_TRUE(contains(process.err(), "out of memory; ")) << process.err();
}

TEST_F(Usage, OutputThatCannotBeWrittenIsAFailure) {
  Process process({"sh", "-c", R"("$1" backends > /dev/full)", "sh", KEYRACK_COMMAND}, url());
  EXPECT_EQ(process.wait(), 3);
  EXPECT_TRUE(is_one_error_line(process.err()));
}

}    // namespace
}    // namespace keyrack::command_test
