// Runs the tests where there is an etcd to run them on.
//   --shards N         so many processes share the tests, and one cluster: most tests wait
//   --kill-leaders M   the cluster has M members, and its leader is killed and started again as long as tests run
#include "cluster.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using std::chrono::steady_clock;

[[noreturn]] void run_shard(int number, int count, const std::string& log) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setenv("GTEST_SHARD_INDEX", std::to_string(number).c_str(), 1);
  ::setenv("GTEST_TOTAL_SHARDS", std::to_string(count).c_str(), 1);
  const bool logged = std::freopen(log.c_str(), "w", stdout) != nullptr && ::dup2(STDOUT_FILENO, STDERR_FILENO) >= 0;
  const int status = logged ? RUN_ALL_TESTS() : EXIT_FAILURE;
  std::fflush(nullptr);
  ::_exit(status);    // the cluster is not its own
}

/// Forgets those that have ended; whether all of these passed.
bool reap(std::vector<pid_t>& shards) {
  bool passed = true;
  std::erase_if(shards, [&](pid_t shard) {
    int status = -1;
    if (::waitpid(shard, &status, WNOHANG) == 0) return false;
    passed = passed && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return true;
  });
  return passed;
}

/// As long as `busy`. How many were killed.
int kill_leaders(keyrack::tests::Cluster& cluster, const std::function<bool()>& busy) {
  // Each leader gives all leases their whole time anew: deaths are noticed in the longer pause, or not at all.
  constexpr std::array kPauses{std::chrono::seconds(5), std::chrono::seconds(1)};
  std::size_t killed = 0;
  while (busy()) {
    const std::size_t leader = cluster.leader();
    if (leader == cluster.size()) continue;
    cluster.kill(leader);
    ++killed;
    cluster.await_health();
    cluster.start(leader);
    cluster.await_health();
    const auto until = steady_clock::now() + kPauses[killed % kPauses.size()];
    while (busy() && steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return static_cast<int>(killed);
}

int run_shards(int count, std::size_t members) {
  auto& cluster = keyrack::tests::shared_cluster(members);
  const auto log = [&](int number) { return cluster.file("shard" + std::to_string(number)); };
  std::vector<pid_t> shards;
  for (int i = 0; i < count; ++i) {
    shards.push_back(::fork());
    if (shards.back() == 0) run_shard(i, count, log(i));
  }
  bool passed = true;
  const auto busy = [&] {
    passed = reap(shards) && passed;
    return !shards.empty();
  };
  const int killed = members > 1 ? kill_leaders(cluster, busy) : 0;
  while (busy()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (int i = 0; i < count; ++i) std::cout << std::ifstream(log(i)).rdbuf() << std::flush;
  if (members == 1) return passed ? EXIT_SUCCESS : EXIT_FAILURE;
  std::printf("%d leaders killed\n", killed);
  return passed && killed >= 3 ? EXIT_SUCCESS : EXIT_FAILURE;
}

}    // namespace

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  ::testing::InitGoogleTest(&argc, argv);
  if (!keyrack::tests::have_etcd()) {
    std::puts("SKIPPED: there is no etcd here (tools/setup installs it)");
    return kSkipped;
  }
  int shards = 0;
  std::size_t members = 1;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--shards") shards = std::atoi(argv[i + 1]);
    if (option == "--kill-leaders") members = std::stoul(argv[i + 1]);
  }
  return shards > 0 ? run_shards(shards, members) : RUN_ALL_TESTS();
}
