// What the process tests stand on: a segment of their own, services on it, and an audit at the end.
#pragma once

#include "scratch_segment.hpp"

#include <keyrack/keyrack.hpp>
#include <keyrack/testing/child.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

namespace keyrack::tests {

using keyrack::testing::Child;
using keyrack::testing::outcome;

inline constexpr LockOptions kBound{.lifetime = Lifetime::process};
inline constexpr std::chrono::seconds kPatience{60};

/// Calls `done` until it answers true; false when patience runs out first.
template <class Done>
bool eventually(Done done) {
  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SegmentFixture : public ::testing::Test {
 protected:
  void TearDown() override {
    if (audited_ && std::filesystem::exists(segment_.path())) {
      EXPECT_EQ(findings_of(segment_.name()), "");
    }
  }

  Opened<LockService> try_locks(std::string_view query = "") const { return open_lock_service(segment_.url(query)); }
  std::unique_ptr<LockService> open_locks(std::string_view query = "") const { return try_locks(query).value(); }
  std::unique_ptr<NameManager> open_names(std::string_view query = "") const {
    return open_name_manager(segment_.url(query)).value();
  }

  Snapshot snapshot() const { return open_inspector(segment_.name()).value()->snapshot(true).value(); }

  /// For tests that break the segment on purpose.
  void do_not_audit() { audited_ = false; }

  ScratchSegment segment_;

 private:
  bool audited_ = true;
};

}    // namespace keyrack::tests
