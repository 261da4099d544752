// Runs the tests where there is an etcd to run them on.
//   --shards N   so many processes share the tests, and one cluster: most tests wait
#include "cluster.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <csignal>

namespace {

[[noreturn]] void run_shard(int number, int count, const std::string& log) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::setenv("GTEST_SHARD_INDEX", std::to_string(number).c_str(), 1);
  ::setenv("GTEST_TOTAL_SHARDS", std::to_string(count).c_str(), 1);
  const bool logged = std::freopen(log.c_str(), "w", stdout) != nullptr && ::dup2(STDOUT_FILENO, STDERR_FILENO) >= 0;
  const int status = logged ? RUN_ALL_TESTS() : EXIT_FAILURE;
  std::fflush(nullptr);
  ::_exit(status);    // the cluster is not its own
}

int run_shards(int count) {
  const auto& cluster = keyrack::tests::shared_cluster();
  const auto log = [&](int number) { return cluster.file("shard" + std::to_string(number)); };
  std::vector<pid_t> shards;
  for (int i = 0; i < count; ++i) {
    shards.push_back(::fork());
    if (shards.back() == 0) run_shard(i, count, log(i));
  }
  bool passed = true;
  for (int i = 0; i < count; ++i) {
    int status = -1;
    ::waitpid(shards[static_cast<std::size_t>(i)], &status, 0);
    std::cout << std::ifstream(log(i)).rdbuf() << std::flush;
    passed = passed && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}

}    // namespace

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  ::testing::InitGoogleTest(&argc, argv);
  if (!keyrack::tests::have_etcd()) {
    std::puts("SKIPPED: there is no etcd here (tools/setup installs it)");
    return kSkipped;
  }
  return argc == 3 && std::string_view(argv[1]) == "--shards" ? run_shards(std::atoi(argv[2])) : RUN_ALL_TESTS();
}
