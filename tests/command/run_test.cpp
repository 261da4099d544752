// keyrack run: CMD under a lock, and every way in which one of the two can end.
#include "harness.hpp"

#include <csignal>
#include <string>

namespace keyrack::command_test {
namespace {

class Run : public CommandTest {
 protected:
  /// `run WORDS` with a CMD that says "ready" and then reads its input until that is closed.
  Process start_reader(Words words) const {
    words.insert(words.begin(), "run");
    words.insert(words.end(), {"--", "sh", "-c", "echo ready; exec cat"});
    return start(std::move(words));
  }

  /// The same with a CMD that lives until a signal tells it to end, names that signal and ends with status 5.
  Process start_trapper(Words words) const {
    words.insert(words.begin(), "run");
    words.insert(words.end(), {"--", "sh", "-c", R"(
      for s in TERM INT HUP; do trap "echo got $s; exit 5" $s; done
      exec 3<&0
      cat <&3 &
      echo ready
      wait)"});
    return start(std::move(words));
  }

  static bool ready(const Process& process) {
    return eventually([&] { return contains(process.out(), "ready\n"); });
  }

  bool is_waited_for(const std::string& key) const {
    return eventually([&] {
      const auto picture = keyrack_json({"dump"});
      for (const auto& lock : picture.at("locks")) {
        if (lock.at("signature") == key && lock.at("waiters") > 0) return true;
      }
      return false;
    });
  }
};

TEST_F(Run, ExitsAsTheCommandDoes) {
  EXPECT_EQ(keyrack({"run", "a", "--", "true"}).status, 0);
  EXPECT_EQ(keyrack({"run", "a", "--", "sh", "-c", "exit 42"}).status, 42);
  EXPECT_EQ(keyrack({"run", "a", "--", "sh", "-c", "kill -KILL $$"}).status, 128 + SIGKILL);
  EXPECT_EQ(keyrack({"check", "a"}).status, 1);    // released each time
}

TEST_F(Run, CommandThatCannotBeRun) {
  const Ended missing = keyrack({"run", "a", "--", "/nowhere/at/all"});
  EXPECT_EQ(missing.status, 127);
  EXPECT_TRUE(is_one_error_line(missing.err));
  EXPECT_TRUE(contains(missing.err, "/nowhere/at/all")) << missing.err;
  const Ended directory = keyrack({"run", "a", "--", "/"});
  EXPECT_EQ(directory.status, 126);
  EXPECT_TRUE(is_one_error_line(directory.err));
  EXPECT_EQ(keyrack({"check", "a"}).status, 1);
}

TEST_F(Run, CommandSeesKeyTokenAndItsArgumentsAsTheyAre) {
  const Ended ended =
      keyrack({"run", "some key", "--", "sh", "-c",
               R"(echo "$KEYRACK_KEY"; [ "$KEYRACK_TOKEN" -ge 1 ] && echo token; for a; do echo "<$a>"; done)", "sh",
               "--", "[a,b]", "", "--url", "nonsense", "--help"});
  EXPECT_EQ(ended.status, 0) << ended.err;
  EXPECT_EQ(ended.out, "some key\ntoken\n<-->\n<[a,b]>\n<>\n<--url>\n<nonsense>\n<--help>\n");
}

TEST_F(Run, CommandInheritsNoFilesAndNoBlockedSignals) {
  const std::string list_files = "cd /proc/self/fd && echo *";
  Process alone({"sh", "-c", list_files}, std::nullopt);
  ASSERT_EQ(alone.wait(), 0);
  EXPECT_EQ(keyrack({"run", "a", "--", "sh", "-c", list_files}).out, alone.out());
  const Ended blocked = keyrack({"run", "a", "--", "grep", "SigBlk", "/proc/self/status"});
  EXPECT_EQ(blocked.out, "SigBlk:\t0000000000000000\n");
}

TEST_F(Run, HoldsTheLockBoundToItsOwnProcess) {
  Process reader = start_reader({"a", "--level", "3"});
  ASSERT_TRUE(ready(reader));
  const auto locks = keyrack_json({"dump"}).at("locks");
  ASSERT_EQ(locks.size(), 1);
  EXPECT_EQ(locks[0].at("lifetime"), "process");
  EXPECT_EQ(locks[0].at("pid"), reader.pid());
  EXPECT_EQ(locks[0].at("level"), 3);
  const auto signee = locks[0].at("signee").get<std::string>();
  EXPECT_TRUE(signee.starts_with("run-") && signee.ends_with("-" + std::to_string(reader.pid()))) << signee;
  reader.write("through\n");
  reader.close_input();
  EXPECT_EQ(reader.wait(), 0);
  EXPECT_EQ(reader.out(), "ready\nthrough\n");
  EXPECT_EQ(reader.err(), "");
}

TEST_F(Run, NotGrantedInTimeNamesTheHolder) {
  Process holder = start_reader({"a", "--signee", "night-shift"});
  ASSERT_TRUE(ready(holder));
  for (const Words& patience : {Words{"--no-wait"}, Words{"--wait", "30ms"}}) {
    Words words = {"run", "a"};
    words.insert(words.end(), patience.begin(), patience.end());
    words.insert(words.end(), {"--", "echo", "never"});
    const Ended refused = keyrack(words);
    EXPECT_EQ(refused.status, 1);
    EXPECT_EQ(refused.out, "");
    EXPECT_TRUE(is_one_error_line(refused.err));
    EXPECT_TRUE(contains(refused.err, "held by night-shift (pid " + std::to_string(holder.pid()))) << refused.err;
  }
}

TEST_F(Run, WaiterGetsTheLockWhenTheHolderIsKilled) {
  Process holder = start_reader({"a"});
  ASSERT_TRUE(ready(holder));
  const auto lock = keyrack_json({"dump"}).at("locks").at(0);
  Process waiter = start({"run", "a", "--", "sh", "-c", "echo $KEYRACK_TOKEN"});
  ASSERT_TRUE(is_waited_for("a"));
  EXPECT_EQ(waiter.out(), "");
  holder.signal(SIGKILL);
  EXPECT_EQ(waiter.wait(), 0) << waiter.err();
  EXPECT_GT(std::stoull(waiter.out()), lock.at("token").get<std::uint64_t>());
}

TEST_F(Run, WaiterGetsTheLockWhenTheCommandEnds) {
  Process holder = start_reader({"a"});
  ASSERT_TRUE(ready(holder));
  Process waiter = start({"run", "a", "--wait", "1h", "--", "echo", "mine"});
  ASSERT_TRUE(is_waited_for("a"));
  holder.close_input();
  EXPECT_EQ(waiter.wait(), 0) << waiter.err();
  EXPECT_EQ(waiter.out(), "mine\n");
  EXPECT_EQ(holder.wait(), 0);
}

TEST_F(Run, WaitIsEndedByASignal) {
  Process holder = start_reader({"a"});
  ASSERT_TRUE(ready(holder));
  Process waiter = start({"run", "a", "--", "echo", "never"});
  ASSERT_TRUE(is_waited_for("a"));
  waiter.signal(SIGTERM);
  EXPECT_EQ(waiter.wait(), 128 + SIGTERM);
  EXPECT_EQ(waiter.out(), "");
}

TEST_F(Run, SignalsArePassedOn) {
  for (const auto& [number, name] : {std::pair(SIGTERM, "TERM"), std::pair(SIGINT, "INT"), std::pair(SIGHUP, "HUP")}) {
    Process process = start_trapper({"a"});
    ASSERT_TRUE(ready(process));
    process.signal(number);
    EXPECT_EQ(process.wait(), 5) << name;
    EXPECT_EQ(process.out(), std::string("ready\ngot ") + name + "\n");
  }
}

TEST_F(Run, CommandIsEndedWithItsKeyrack) {
  Process process = start_trapper({"a"});
  ASSERT_TRUE(ready(process));
  process.signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return contains(process.out(), "got TERM"); })) << process.out();
}

TEST_F(Run, OnLostIgnoreLetsTheCommandOutliveItsKeyrack) {
  Process process = start_reader({"a", "--on-lost", "ignore"});
  ASSERT_TRUE(ready(process));
  process.signal(SIGKILL);
  EXPECT_EQ(process.wait(), 128 + SIGKILL);
  EXPECT_EQ(keyrack({"lock", "a", "--signee", "other"}).status, 0);
  process.write("still here\n");
  EXPECT_TRUE(eventually([&] { return contains(process.out(), "still here"); }));
}

TEST_F(Run, CommandIsToldWhenTheLockIsTaken) {
  Process process = start_trapper({"a"});
  ASSERT_TRUE(ready(process));
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "thief", "--force"}).status, 0);
  EXPECT_EQ(process.wait(), 5);
  EXPECT_EQ(process.out(), "ready\ngot TERM\n");
  EXPECT_TRUE(is_one_error_line(process.err()));
  EXPECT_TRUE(contains(process.err(), "thief")) << process.err();
  EXPECT_TRUE(token_of("a", "thief")) << "what the thief holds is not given back for it";
}

TEST_F(Run, OnLostIgnoreTellsOnly) {
  Process process = start_reader({"a", "--on-lost", "ignore"});
  ASSERT_TRUE(ready(process));
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "thief", "--force"}).status, 0);
  ASSERT_TRUE(eventually([&] { return contains(process.err(), "thief"); }));
  process.write("still here\n");
  process.close_input();
  EXPECT_EQ(process.wait(), 0);
  EXPECT_EQ(process.out(), "ready\nstill here\n");
  EXPECT_TRUE(is_one_error_line(process.err()));
}

TEST_F(Run, LossInTheLastMomentIsTold) {
  const Ended ended =
      keyrack({"run", "--on-lost", "ignore", "a", "--", KEYRACK_COMMAND, "lock", "a", "--signee", "thief", "--force"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(contains(ended.err, "thief")) << ended.err;
}

TEST_F(Run, LeaseIsRenewed) {
  for (const bool from_url : {false, true}) {
    const std::string key = from_url ? "by-url" : "by-option";
    Process process = from_url ? start_reader({key, "--url", url("?duration=3s&time_to_live=4s")})
                               : start_reader({key, "--duration", "3s"});
    ASSERT_TRUE(ready(process));
    const auto first = keyrack_json({"check", key});
    auto low = first.at("expires_in_ms").get<int>();
    EXPECT_LE(low, 3001);
    EXPECT_TRUE(eventually([&] {    // it falls, and then it is more than before
      const auto now = keyrack_json({"check", key}).at("expires_in_ms").get<int>();
      if (now > low) return true;
      low = now;
      return false;
    }));
    EXPECT_EQ(keyrack_json({"check", key}).at("token"), first.at("token"));
    process.close_input();
    EXPECT_EQ(process.wait(), 0);
    EXPECT_EQ(process.err(), "");
  }
}

TEST_F(Run, StoppedPastItsLeaseItLosesTheLock) {
  Process process = start_trapper({"a", "--duration", "300ms"});
  ASSERT_TRUE(ready(process));
  process.signal(SIGSTOP);
  EXPECT_EQ(keyrack({"run", "a", "--level", "-1", "--signee", "next", "--", "true"}).status, 0);
  process.signal(SIGCONT);
  EXPECT_EQ(process.wait(), 5);
  EXPECT_TRUE(is_one_error_line(process.err()));
  EXPECT_EQ(keyrack({"check", "a"}).status, 1) << "a lost lock is not taken back";
}

TEST_F(Run, ChildrenOfTheCommandThatLiveOnHoldNothing) {
  // Its input is a pipe of the test's: it ends with the test.
  Process process = start({"run", "a", "--", "sh", "-c", "exec 3<&0; cat <&3 & echo ready"});
  EXPECT_EQ(process.wait(), 0);
  const Ended next = keyrack({"run", "--no-wait", "a", "--", "echo", "mine"});
  EXPECT_EQ(next.status, 0) << next.err;
  process.write("alive\n");
  EXPECT_TRUE(eventually([&] { return contains(process.out(), "alive"); }));
}

}    // namespace
}    // namespace keyrack::command_test
