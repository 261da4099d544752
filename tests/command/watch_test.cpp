// keyrack watch: each change of a key.
#include "harness.hpp"
#include "schema.hpp"

#include <csignal>
#include <sstream>
#include <string>
#include <vector>

namespace keyrack::command_test {
namespace {

using nlohmann::json;

class Watch : public CommandTest {
 protected:
  void SetUp() override { ASSERT_EQ(keyrack({"create", "--url", url("?slots=64&sessions=8")}).status, 0); }

  /// A watch that has had its first look.
  Process watch(Words more = {}) const {
    more.insert(more.begin(), {"watch", "a", "--format", "json", "--interval", "1ms"});
    Process process = start(std::move(more));
    EXPECT_TRUE(eventually([&] { return lines_of(process).size() == 1; })) << process.err();
    return process;
  }
  static std::vector<json> lines_of(const Process& process) {
    const std::string text = process.out();
    std::istringstream all(text.substr(0, text.rfind('\n') + 1));
    std::vector<json> lines;
    for (std::string line; std::getline(all, line);) lines.push_back(json::parse(line));
    return lines;
  }
  /// The next line, once it is there.
  json next(const Process& process) {
    ++seen_;
    EXPECT_TRUE(eventually([&] { return lines_of(process).size() > seen_; })) << process.out() << process.err();
    const auto lines = lines_of(process);
    return lines.size() > seen_ ? lines[seen_] : json::object();
  }
  void lock(const Words& more) const {
    Words words = {"lock", "a"};
    words.insert(words.end(), more.begin(), more.end());
    ASSERT_EQ(keyrack(words).status, 0);
  }

 private:
  std::size_t seen_ = 0;
};

TEST_F(Watch, TellsEachChange) {
  Process process = watch();
  EXPECT_EQ(lines_of(process)[0].at("change"), "idle");
  EXPECT_TRUE(lines_of(process)[0].at("token").is_null());

  lock({"--signee", "anna"});
  json line = next(process);
  EXPECT_EQ(line.at("change"), "granted");
  EXPECT_EQ(line.at("signature"), "a");
  EXPECT_EQ(line.at("signee"), "anna");
  EXPECT_EQ(line.at("lifetime"), "lease");
  EXPECT_TRUE(line.at("expires_in_ms").is_null());
  EXPECT_TRUE(line.at("previous_signee").is_null());
  const auto token = line.at("token").get<std::uint64_t>();

  lock({"--signee", "anna", "--duration", "1h"});
  line = next(process);
  EXPECT_EQ(line.at("change"), "renewed");
  EXPECT_EQ(line.at("token"), token);
  EXPECT_GT(line.at("expires_in_ms"), 0);

  lock({"--signee", "bert", "--level", "5"});
  line = next(process);
  EXPECT_EQ(line.at("change"), "transferred");
  EXPECT_EQ(line.at("signee"), "bert");
  EXPECT_EQ(line.at("previous_signee"), "anna");
  EXPECT_EQ(line.at("level"), 5);
  EXPECT_EQ(line.at("token"), token + 1);
  EXPECT_EQ(line.at("missed"), 0);

  ASSERT_EQ(keyrack({"unlock", "a", "--signee", "bert"}).status, 0);
  line = next(process);
  EXPECT_EQ(line.at("change"), "released");
  EXPECT_TRUE(line.at("signee").is_null());
  EXPECT_EQ(line.at("previous_signee"), "bert");

  lock({"--signee", "carl", "--duration", "300ms"});
  EXPECT_EQ(next(process).at("change"), "granted");
  EXPECT_EQ(next(process).at("change"), "stale");
  lock({"--signee", "carl", "--duration", "1h", "--ttl", "300ms"});
  EXPECT_EQ(next(process).at("change"), "renewed");
  EXPECT_EQ(next(process).at("change"), "gone");
  EXPECT_FALSE(process.ended());

  expect_schema("watch", lines_of(process), {{"/change", "lost"}, {"/at", "2026-11-22T05:00:00Z"}, {"/missed", -1}});
}

TEST_F(Watch, TellsOfADeath) {
  Process process = watch();
  Process victim = start({"run", "a", "--signee", "victim", "--", "sh", "-c", "echo ready; exec cat"});
  EXPECT_EQ(next(process).at("change"), "granted");
  victim.signal(SIGKILL);
  EXPECT_EQ(victim.wait(), 128 + SIGKILL);
  const json line = next(process);
  EXPECT_EQ(line.at("change"), "abandoned");
  EXPECT_EQ(line.at("pid"), victim.pid());
  EXPECT_EQ(line.at("lifetime"), "process");
  lock({"--signee", "heir"});
  EXPECT_EQ(next(process).at("change"), "transferred");
}

TEST_F(Watch, SaysHowMuchItMissed) {
  lock({"--signee", "anna"});
  Process process = watch();
  EXPECT_EQ(lines_of(process)[0].at("change"), "held");
  process.signal(SIGSTOP);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(keyrack({"unlock", "a", "--signee", "anna"}).status, 0);
    lock({"--signee", "anna"});
  }
  process.signal(SIGCONT);
  const json line = next(process);
  EXPECT_EQ(line.at("change"), "granted");
  EXPECT_EQ(line.at("missed"), 5);
}

TEST_F(Watch, EndsAfterSoManyChangesOrWithASignal) {
  Process counted = watch({"--count", "2"});
  lock({"--signee", "anna"});
  EXPECT_EQ(next(counted).at("change"), "granted");
  EXPECT_FALSE(counted.ended());
  ASSERT_EQ(keyrack({"unlock", "a", "--signee", "anna"}).status, 0);
  EXPECT_EQ(counted.wait(), 0);
  EXPECT_EQ(lines_of(counted).size(), 3u);

  Process interrupted = watch();
  interrupted.signal(SIGINT);
  EXPECT_EQ(interrupted.wait(), 0);
}

TEST_F(Watch, TextIsOneLineWhateverTheBytes) {
  Process process = start({"watch", "a", "--count", "1"});
  ASSERT_TRUE(eventually([&] { return contains(process.out(), " idle\n"); })) << process.err();
  lock({"--signee", "two\nlines\xff"});
  EXPECT_EQ(process.wait(), 0);
  const std::string line = process.out().substr(process.out().find('\n') + 1);
  EXPECT_TRUE(contains(line, "Z granted token=")) << line;
  EXPECT_TRUE(contains(line, R"( signee=two\x0alines\xff level=0 lifetime=lease pid=)")) << line;
  EXPECT_TRUE(line.ends_with(" expires_in=never\n")) << line;
}

TEST_F(Watch, RefusesWhatIsNoKeyAndEndsWhenNothingCanBeWritten) {
  const Ended ended = keyrack({"watch", std::string(129, 'k')});
  EXPECT_EQ(ended.status, 2);
  EXPECT_TRUE(is_one_error_line(ended.err)) << ended.err;
  Process full({"sh", "-c", R"("$1" watch a > /dev/full)", "sh", KEYRACK_COMMAND}, url());
  EXPECT_EQ(full.wait(), 3);
  EXPECT_TRUE(is_one_error_line(full.err())) << full.err();
}

}    // namespace
}    // namespace keyrack::command_test
