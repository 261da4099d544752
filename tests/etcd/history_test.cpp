// Recorded histories of many processes on etcd://, checked for linearizability as those on shm:// are.
#include "cluster.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include <sys/wait.h>

namespace keyrack {
namespace {

constexpr int kFound = 1;

/// How a program that records a history on that cluster ends. One host, so one clock: clock_error=0 lets leases end
/// when the rules say. Deaths are noticed late, so nobody is killed; and names that are held are kept alive late, when
/// the machine is busy.
int end_of(const std::string& program, const tests::Cluster& cluster, const std::string& options) {
  const std::string url = "etcd://" + cluster.endpoints() + "/history?clock_error=0s&timeout=1m&session_ttl=1m";
  const int status =
      std::system((program + " --url '" + url + "' --kills 0 --window 50 --age 3000 " + options).c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(EtcdHistory, IsLinearizable) {
  // Longer, where asked for by the environment.
  const char* calls = std::getenv("KEYRACK_ETCD_CALLS");
  EXPECT_EQ(end_of(KEYRACK_HISTORY, tests::Cluster(), std::string("--calls ") + (calls != nullptr ? calls : "3000")),
            0);
}

TEST(EtcdHistory, OneThatCannotHaveBeenIsFound) {
  EXPECT_EQ(end_of(KEYRACK_HISTORY, tests::Cluster(), "--calls 20000 --tamper two_holders"), kFound);
}

#if defined(KEYRACK_HISTORY_CANARY)
TEST(EtcdHistory, ALibraryThatBreaksARuleIsFound) {
  EXPECT_EQ(end_of(KEYRACK_HISTORY_CANARY, tests::Cluster(), "--calls 20000"), kFound);
}
#endif

}    // namespace
}    // namespace keyrack
