// Recorded histories of many processes on etcd://, checked for linearizability as those on shm:// are: in peace, while
// leaders are killed, while answers are lost, and while the processes themselves are killed.
#include "cluster.hpp"
#include "proxy.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <random>
#include <string>
#include <thread>

#include <sys/wait.h>

namespace keyrack {
namespace {

using namespace std::chrono_literals;
using tests::Cluster;
using tests::Proxy;

constexpr int kRight = 0, kFound = 1;

/// How a program that records a history there ends. One host, so one clock: clock_error=0 lets leases end when the
/// rules say.
int end_of(const std::string& program, const std::string& endpoints, const std::string& url_options,
           const std::string& options) {
  const std::string url = "etcd://" + endpoints + "/history?clock_error=0s&" + url_options;
  const int status = std::system((program + " --url '" + url + "' --window 50" + options).c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// Sessions outlive everything but their processes, and these live. Held names are kept alive late, when the machine is
/// busy.
int end_in_peace(const std::string& program, const std::string& options) {
  const Cluster cluster;
  return end_of(program, cluster.endpoints(), "timeout=1m&session_ttl=1m", " --kills 0 --age 3000" + options);
}

/// A name whose age is near its end may be believed lost before it is, while nobody answers: none is so old.
const std::string kFaults = " --kills 0 --age 600000 --effect 10 --unavailable 10";

/// Meanwhile the leader of three members is killed and restarted, again and again.
int end_without_leaders(const std::string& program, const std::string& options) {
  Cluster cluster(3);
  auto ended = std::async(std::launch::async, [&] {
    return end_of(program, cluster.endpoints(), "timeout=2s&session_ttl=1m", kFaults + options);
  });
  int killed = 0;
  while (ended.wait_for(1s) == std::future_status::timeout) {
    const std::size_t leader = cluster.leader();
    if (leader == cluster.size()) continue;
    cluster.kill(leader);
    ++killed;
    const auto give_up = std::chrono::steady_clock::now() + 60s;
    while (cluster.leader() == cluster.size() && std::chrono::steady_clock::now() < give_up) {
      std::this_thread::sleep_for(20ms);
    }
    cluster.start(leader);
  }
  std::printf("%d leaders killed\n", killed);
  EXPECT_GE(killed, 1);
  return ended.get();
}

/// Meanwhile answers get lost by chance; now and then all of them for a while.
int end_without_answers(const std::string& program, const std::string& options) {
  const Cluster cluster;
  const std::string endpoint = cluster.endpoint(0);
  Proxy proxy(std::stoi(endpoint.substr(endpoint.find(':') + 1)));
  auto ended = std::async(std::launch::async, [&] {
    return end_of(program, proxy.endpoint(), "timeout=1s&session_ttl=1m", kFaults + options);
  });
  std::mt19937 random(7);
  int lost = 0;
  using Fault = Proxy::Fault;
  while (ended.wait_for(0s) == std::future_status::timeout) {
    constexpr std::array kLosses{Fault::cut, Fault::truncate, Fault::corrupt, Fault::garbage};
    const Fault fault = kLosses[random() % kLosses.size()];
    if (random() % 100 == 0) {
      proxy.spoil(fault, Proxy::kAlways);
      std::this_thread::sleep_for(1100ms);
      proxy.spare();
      continue;
    }
    proxy.spoil(fault, 1, static_cast<int>(random() % 20));
    ++lost;
    while (proxy.left() > 0 && ended.wait_for(1ms) == std::future_status::timeout) {    // as many on a slow machine
    }
  }
  std::printf("%d answers lost one by one\n", lost);
  return ended.get();
}

/// Meanwhile the processes themselves are killed.
int end_without_processes(const std::string& program, const std::string& options) {
  const Cluster cluster;
  return end_of(program, cluster.endpoints(), "timeout=1m&session_ttl=3s",
                " --kills 4 --age 600000 --effect 5 --death 8" + options);
}

struct Conditions {
  const char* name;
  int (*end)(const std::string& program, const std::string& options);
  const char* few;    // calls
};
class EtcdHistory : public ::testing::TestWithParam<Conditions> {};

TEST_P(EtcdHistory, IsLinearizable) {
  // Longer, where asked for by the environment.
  const char* calls = std::getenv("KEYRACK_ETCD_CALLS");
  EXPECT_EQ(GetParam().end(KEYRACK_HISTORY, std::string(" --calls ") + (calls != nullptr ? calls : GetParam().few)),
            kRight);
}

TEST_P(EtcdHistory, OneThatCannotHaveBeenIsFound) {
  EXPECT_EQ(GetParam().end(KEYRACK_HISTORY, " --calls 20000 --tamper two_holders"), kFound);
}

#if defined(KEYRACK_HISTORY_CANARY)
TEST_P(EtcdHistory, ALibraryThatBreaksARuleIsFound) {
  EXPECT_EQ(GetParam().end(KEYRACK_HISTORY_CANARY, " --calls 20000"), kFound);
}
#endif

INSTANTIATE_TEST_SUITE_P(Conditions, EtcdHistory,
                         ::testing::Values(Conditions{"InPeace", end_in_peace, "3000"},
                                           Conditions{"WhileLeadersDie", end_without_leaders, "1200"},
                                           Conditions{"WhileAnswersAreLost", end_without_answers, "1200"},
                                           Conditions{"WhileProcessesDie", end_without_processes, "7000"}),
                         [](const auto& conditions) { return std::string(conditions.param.name); });

}    // namespace
}    // namespace keyrack
