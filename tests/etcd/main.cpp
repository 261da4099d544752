// Runs the tests where there is an etcd to run them on.
#include "cluster.hpp"

#include <gtest/gtest.h>

#include <cstdio>

int main(int argc, char** argv) {
  constexpr int kSkipped = 77;
  ::testing::InitGoogleTest(&argc, argv);
  if (keyrack::tests::have_etcd()) return RUN_ALL_TESTS();
  std::puts("SKIPPED: there is no etcd here (tools/setup installs it)");
  return kSkipped;
}
