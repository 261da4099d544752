// The command by an etcd:// URL: what makes sense there works, the rest is refused by name.
#include "../command/harness.hpp"
#include "cluster.hpp"

#include "etcd/wire.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <sys/utsname.h>
#include <sys/wait.h>

namespace keyrack {
namespace {

using command_test::contains;
using command_test::eventually;
using command_test::Process;
using command_test::Words;
using std::chrono::steady_clock;

struct Ended {
  int status = -1;
  std::string said;    // on both outputs
};

/// etcd is silent, as a host that is cut off is, until the end.
class Silence {
 public:
  Silence() { tests::shared_cluster().stop(0); }
  ~Silence() { tests::shared_cluster().resume(0); }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;
};

class EtcdCommand : public ::testing::Test {
 protected:
  void SetUp() override {
    static int count = 0;
    prefix_ = "command" + std::to_string(++count);    // nothing is left there by another test
    ::setenv("KEYRACK_URL", url("session_ttl=2s&timeout=20s").c_str(), 1);
  }

  static const std::string& prefix() { return prefix_; }
  static std::string url(const std::string& options,
                         const std::string& endpoint = tests::shared_cluster().endpoint(0)) {
    return "etcd://" + endpoint + "/" + prefix_ + "?" + options;
  }

  /// `keyrack WORDS` beside the test.
  static Process start(const std::string& options, Words words,
                       const std::string& endpoint = tests::shared_cluster().endpoint(0)) {
    words.insert(words.begin(), KEYRACK_COMMAND);
    return {std::move(words), url(options, endpoint)};
  }
  static constexpr const char* kPatient = "timeout=1m&session_ttl=10m";

  /// The same with a CMD that says "ready", lives until SIGTERM, tells of that and ends with status 5.
  static Process start_trapper(const std::string& options, Words words) {
    words.insert(words.end(), {"--", "sh", "-c", R"(
      trap "echo got TERM; exit 5" TERM
      exec 3<&0
      cat <&3 &
      echo ready
      wait)"});
    return start(options, std::move(words));
  }

  /// etcd has been silent for longer than from one look to the next.
  static void await_looks() { EXPECT_EQ(shell("keyrack --url '" + url("timeout=2s") + "' check job").status, 3); }

  static bool has_socket(pid_t pid) {
    std::error_code gone;
    for (const auto& file : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone)) {
      if (std::filesystem::read_symlink(file, gone).string().starts_with("socket:")) return true;
    }
    return false;
  }

  /// A line of the shell in which `keyrack` is the command.
  static Ended shell(const std::string& line) {
    const std::string whole = "keyrack() { " KEYRACK_COMMAND " \"$@\"; }; { " + line + "; } 2>&1";
    FILE* pipe = ::popen(whole.c_str(), "r");
    Ended ended;
    std::array<char, 4096> part;
    while (std::fgets(part.data(), part.size(), pipe) != nullptr) ended.said += part.data();
    const int status = ::pclose(pipe);
    ended.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return ended;
  }

  static void expect(const std::string& line, int status, const std::string& begin) {
    const Ended ended = shell(line);
    EXPECT_EQ(ended.status, status) << line << ": " << ended.said;
    EXPECT_EQ(ended.said.substr(0, begin.size()), begin) << line;
  }

  /// `keyrack WORDS` says that one line, to the end.
  static void expect_line(const std::string& words, int status, const std::string& line) {
    const Ended ended = shell("keyrack " + words);
    EXPECT_EQ(ended.status, status) << words;
    EXPECT_EQ(ended.said, "keyrack: " + line + "\n");
  }

 private:
  static inline std::string prefix_;
};

TEST_F(EtcdCommand, LocksAndNames) {
  expect("keyrack lock job --signee anna --level 3", 0, "ok token=");
  expect("keyrack lock job --signee ben", 1, "keyrack: job is held by anna (pid ");
  expect("keyrack lock job --signee ben --wait 10ms", 1, "keyrack: job: timed out: held by anna (pid ");
  expect("keyrack check job", 0, "signee=anna level=3 token=");
  expect("keyrack unlock job --signee anna", 0, "ok");
  expect("keyrack check job", 1, "keyrack: job: no such lock");
  expect("keyrack acquire worker", 0, "0\n");
  expect("keyrack try-acquire worker 0", 1, "keyrack: worker/0: somebody has that name");
  expect("keyrack keep-alive worker 0 && keyrack release worker 0", 0, "");
  expect("keyrack hold worker -- sh -c 'echo $KEYRACK_NAME'", 0, "0\n");
  expect("keyrack list | cut -c 1-24", 0, "FAMILY  NAME  STATE");
  expect("keyrack reset", 0, "");
}

TEST_F(EtcdCommand, RunHoldsWhileItsCommandRuns) {
  expect("keyrack run nightly -- sh -c 'keyrack() { " KEYRACK_COMMAND
         " \"$@\"; }; keyrack run --no-wait nightly -- true; echo $?'",
         0, "keyrack: nightly is held by run-");
  expect("keyrack run --no-wait nightly -- echo done", 0, "done");
}

TEST_F(EtcdCommand, RunTellsOnWhichHostItIs) {
  utsname system = {};
  ASSERT_EQ(::uname(&system), 0);
  const std::string host(std::string_view(system.nodename).substr(0, std::string_view(system.nodename).find('.')));
  Process process = start(kPatient, {"run", "hosted", "--", "sh", "-c", "echo ready; exec cat"});
  ASSERT_TRUE(eventually([&] { return process.out() == "ready\n"; })) << process.err();
  const std::string said = shell("keyrack check hosted").said;
  EXPECT_TRUE(said.starts_with("signee=run-")) << said;
  EXPECT_TRUE(contains(said, host.substr(host.size() - std::min<std::size_t>(host.size(), 28)) + "-" +
                                 std::to_string(process.pid()) + " level="))
      << said;
  process.close_input();
  EXPECT_EQ(process.wait(), 0);
}

TEST_F(EtcdCommand, RunIsTakenOverWhenItIsKilled) {
  // By its own name, so that $! is its process.
  expect(KEYRACK_COMMAND
         " run killed -- sleep 600 >/dev/null & victim=$!;"
         " until keyrack check killed >/dev/null 2>&1; do sleep 0.1; done; kill -9 $victim;"
         " wait $victim 2>/dev/null; keyrack run --wait 60s killed -- echo mine",
         0, "mine");
}

TEST_F(EtcdCommand, HoldOutlastsASilenceOfEtcd) {
  Process holder = start("timeout=500ms&session_ttl=10m", {"hold", "steady"});
  ASSERT_TRUE(eventually([&] { return holder.out() == "0\n"; })) << holder.err();
  {
    const Silence silence;
    const auto asked = [](const std::string& command) {
      return shell("keyrack --url '" + url("timeout=500ms") + "' " + command).status;
    };
    // Longer than it takes to look, and to get no answer.
    for (const auto until = steady_clock::now() + std::chrono::seconds(3); steady_clock::now() < until;) {
      EXPECT_EQ(asked("check job"), 3);
    }
  }
  expect("keyrack try-acquire steady 0", 1, "keyrack: steady/0: somebody has that name");
  EXPECT_FALSE(holder.ended());
  holder.signal(SIGTERM);
  EXPECT_EQ(holder.wait(), 0);
  EXPECT_EQ(holder.err(), "");
}

TEST_F(EtcdCommand, HoldEndsWhenTheNameIsLost) {
  Process bare = start("timeout=20s&session_ttl=10m", {"hold", "reset"});
  ASSERT_TRUE(eventually([&] { return bare.out() == "0\n"; })) << bare.err();
  Process with_command =
      start("timeout=20s&session_ttl=10m", {"hold", "reset", "--", "sh", "-c", "echo $KEYRACK_NAME; exec cat"});
  ASSERT_TRUE(eventually([&] { return with_command.out() == "1\n"; })) << with_command.err();
  expect("keyrack reset", 0, "");
  EXPECT_EQ(bare.wait(), 1);
  EXPECT_EQ(bare.err(), "keyrack: 0 of reset: what you held was taken away; hold another\n");
  EXPECT_EQ(with_command.wait(), 1);
  EXPECT_EQ(with_command.err(), "keyrack: 1 of reset: what you held was taken away; hold another\n");
}

TEST_F(EtcdCommand, RunTellsItsCommandOfTheLoss) {
  Process process = start_trapper(kPatient, {"run", "taken-away"});
  ASSERT_TRUE(eventually([&] { return process.out() == "ready\n"; })) << process.err();
  expect("keyrack lock taken-away --signee thief --force", 0, "transferred token=");
  EXPECT_EQ(process.wait(), 5);
  EXPECT_EQ(process.out(), "ready\ngot TERM\n");
  EXPECT_TRUE(process.err().starts_with("keyrack: taken-away: the lock is lost, thief (pid ")) << process.err();
}

// A minute is what etcd's answers are waited for, and longer than any of this may take.

TEST_F(EtcdCommand, SignalsAndEndsDoNotWaitForASilentEtcd) {
  const Words reader = {"--", "sh", "-c", "echo ready; exec cat"};
  const auto with_reader = [&](Words words) {
    words.insert(words.end(), reader.begin(), reader.end());
    return start(kPatient, std::move(words));
  };
  Process told_run = start_trapper(kPatient, {"run", "told"}), told_hold = start_trapper(kPatient, {"hold", "told"});
  Process done_run = with_reader({"run", "done"}), done_hold = with_reader({"hold", "done"});
  Process bare_hold = start(kPatient, {"hold", "bare"});
  for (const Process* process : {&told_run, &told_hold, &done_run, &done_hold}) {
    ASSERT_TRUE(eventually([&] { return process->out() == "ready\n"; })) << process->err();
  }
  ASSERT_TRUE(eventually([&] { return bare_hold.out() == "0\n"; })) << bare_hold.err();

  const Silence silence;
  await_looks();
  told_run.signal(SIGTERM);
  told_hold.signal(SIGTERM);
  done_run.close_input();
  done_hold.close_input();
  bare_hold.signal(SIGINT);
  for (const Process* process : {&told_run, &told_hold}) {
    EXPECT_TRUE(eventually([&] { return process->out() == "ready\ngot TERM\n"; })) << process->out();
  }
  EXPECT_EQ(told_run.wait(), 5);
  EXPECT_EQ(done_run.wait(), 0);
  for (Process* process : {&told_hold, &done_hold, &bare_hold}) {
    EXPECT_EQ(process->wait(), 3) << "it could not give the name back";
  }
  EXPECT_EQ(done_run.err(),
            "keyrack: done: the backend is unavailable; the lock is free once the end of this process is noticed "
            "there\n");
  EXPECT_EQ(done_hold.err(),
            "keyrack: 0 of done: the backend is unavailable; it is free once the end of this process is noticed "
            "there\n");
}

TEST_F(EtcdCommand, RunAndHoldAreInterruptedBeforeTheyHaveAnything) {
  const Silence silence;
  for (const Words& words : {Words{"run", "never", "--", "true"}, Words{"hold", "never"}}) {
    Process process = start(kPatient, words);
    ASSERT_TRUE(eventually([&] { return has_socket(process.pid()); }));
    process.signal(SIGTERM);
    EXPECT_EQ(process.wait(), 128 + SIGTERM);
  }
}

TEST_F(EtcdCommand, LooksAreASecondApart) {
  const std::string endpoint = tests::shared_cluster().endpoint(0);
  tests::Proxy proxy(std::stoi(endpoint.substr(endpoint.find(':') + 1)));
  for (const Words& words : {Words{"run", "rare", "--", "sh", "-c", "echo ready; exec cat"},
                             Words{"hold", "rare", "--", "sh", "-c", "echo ready; exec cat"}}) {
    Process process = start(kPatient, words, proxy.endpoint());
    ASSERT_TRUE(eventually([&] { return process.out() == "ready\n"; })) << process.err();
    const auto asked = [&] { return tests::Proxy::kAlways - proxy.left(); };
    proxy.spoil(tests::Proxy::Fault::none, tests::Proxy::kAlways);
    const auto begin = steady_clock::now();
    // Of two looks at least: an answer may come in two parts.
    ASSERT_TRUE(eventually([&] { return asked() > 2; }));
    EXPECT_GE(steady_clock::now() - begin, std::chrono::milliseconds(900));
  }
}

TEST_F(EtcdCommand, WhatLooksIntoSegmentsIsRefusedByName) {
  for (const std::string command : {"dump", "waits", "watch job", "top", "stats", "verify", "repair", "create", "ls",
                                    "rm", "rm keyrack-command-test-none"}) {
    const std::string name = command.substr(0, command.find(' '));
    expect("keyrack " + command, 2, "keyrack: " + name + " works on shm:// only, not on etcd://");
  }
}

TEST_F(EtcdCommand, RemediesAreThoseOfEtcd) {
  expect_line("lock " + std::string(129, 'k') + " --signee anna", 2,
              std::string(129, 'k') +
                  ": a signature, signee, family or name is empty, too long or has a NUL inside; "
                  "max_signature and max_signee of the URL say how long each may be, else 128 and 64 bytes");
  expect("keyrack acquire taken", 0, "0\n");
  expect_line("try-acquire taken 0", 1,
              "taken/0: somebody has that name; keyrack list tells since when, keyrack acquire lends the lowest free "
              "name");
  expect_line("try-acquire taken 7", 1,
              "taken/7: that name was never acquired; keyrack acquire lends the lowest free name, keyrack list tells "
              "which there are");
  expect_line("--url etcd://127.0.0.1:2379 list", 2,
              "etcd://127.0.0.1:2379: bad URL: no prefix (write etcd://HOST:PORT/PREFIX); a URL looks like "
              "etcd://10.0.0.1:2379,10.0.0.2:2379/orders?duration=10s");
  tests::shared_cluster().ask("/v3/kv/put", R"({"key": ")" +
                                                etcd::encode_base64(prefix() + std::string("/lock/x\0grant", 13)) +
                                                R"(", "value": ")" + etcd::encode_base64("nonsense") + "\"}");
  expect_line("check x", 3,
              "x: what is stored is corrupt; etcdctl get --prefix shows it; delete what is not keyrack's");
}

TEST_F(EtcdCommand, RemediesAreThoseOfItsOperator) {
  const tests::Cluster cluster;
  const std::string url = "etcd://" + cluster.endpoint(0) + "/orders?timeout=20s";
  ::setenv("KEYRACK_URL", url.c_str(), 1);
  const auto alarm = [&](const std::string& action) {
    cluster.ask("/v3/maintenance/alarm", R"({"action": ")" + action + R"(", "alarm": "NOSPACE"})");
  };
  alarm("ACTIVATE");
  expect_line("lock job --signee anna", 3,
              "job: no room for another record; etcd's database is full: etcdctl compact, defrag, then alarm disarm");
  alarm("DEACTIVATE");
  cluster.ask("/v3/auth/user/add", R"({"name": "root", "password": "of root"})");
  cluster.ask("/v3/auth/role/add", R"({"name": "root"})");
  cluster.ask("/v3/auth/user/grant", R"({"user": "root", "role": "root"})");
  cluster.ask("/v3/auth/enable", "{}");
  const Ended refused = shell("keyrack check job");    // in the middle are etcd's words
  EXPECT_EQ(refused.status, 3);
  EXPECT_TRUE(refused.said.starts_with("keyrack: " + url + ": permission denied: " + cluster.endpoint(0) + ": "))
      << refused.said;
  EXPECT_TRUE(
      refused.said.ends_with("; give user and password in the URL, or that user a role for the keys of its prefix\n"))
      << refused.said;
}

TEST_F(EtcdCommand, BackendsDescribesIt) {
  const Ended ended = shell("keyrack backends");
  EXPECT_EQ(ended.status, 0);
  EXPECT_NE(ended.said.find("etcd: an etcd cluster"), std::string::npos) << ended.said;
  EXPECT_NE(ended.said.find("session_ttl"), std::string::npos);
}

TEST_F(EtcdCommand, NoPasswordIsShown) {
  for (const std::string url : {"etcd://127.0.0.1:1/x?timeout=100ms&user=u&password=secret",
                                "etcd://127.0.0.1:1/x?user=u&password=secret%", "etcd:127.0.0.1:1/x?password=secret",
                                "etcd://u:secret@127.0.0.1:1/x", "etcd2://u:secret@127.0.0.1:1/x?password=secret"}) {
    for (const std::string command : {"check job", "list", "reset", "dump", "verify", "run --no-wait job -- true"}) {
      const Ended ended = shell("keyrack --url '" + url + "' " + command);
      EXPECT_GE(ended.status, 2) << ended.said;
      EXPECT_EQ(ended.said.find("secret"), std::string::npos) << ended.said;
    }
  }
}

TEST_F(EtcdCommand, ErrorsNameTheEndpoint) {
  expect("keyrack --url 'etcd://127.0.0.1:1/x?timeout=100ms' check job", 3,
         "keyrack: etcd://127.0.0.1:1/x?timeout=100ms: the backend is unavailable: 127.0.0.1:1: ");
}

}    // namespace
}    // namespace keyrack
