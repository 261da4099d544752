// Recorded histories of many processes on etcd://, checked for linearizability as those on shm:// are.
#include "cluster.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

namespace keyrack {
namespace {

// One host, so one clock: clock_error=0 lets leases end when the rules say. Deaths are noticed late, so nobody is
// killed.
std::string command(const tests::Cluster& cluster, const std::string& prefix, const std::string& options) {
  return KEYRACK_HISTORY " --url 'etcd://" + cluster.endpoints() + "/" + prefix +
         "?clock_error=0s&timeout=1m' --kills 0 --window 50 " + options;
}

TEST(EtcdHistory, IsLinearizable) {
  const tests::Cluster cluster;
  EXPECT_EQ(std::system(command(cluster, "sound", "--calls 4000").c_str()), 0);
}

TEST(EtcdHistory, OneThatCannotHaveBeenIsFound) {
  const tests::Cluster cluster;
  EXPECT_NE(std::system(command(cluster, "tampered", "--calls 4000 --tamper two_holders").c_str()), 0);
}

}    // namespace
}    // namespace keyrack
