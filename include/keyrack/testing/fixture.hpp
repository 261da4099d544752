// What all conformance tests stand on: a fresh place each, services on it, and an audit at the end.
#pragma once

#include <keyrack/testing/bootstrap.hpp>
#include <keyrack/testing/child.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>

namespace keyrack::testing {

/// Calls `done` until it answers true, letting the leases' clock run; false when patience runs out first.
template <class Done>
bool eventually(ServiceBootstrap& bootstrap, Done done) {
  const ServiceTraits traits = bootstrap.traits();
  const auto give_up = std::chrono::steady_clock::now() + traits.patience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    bootstrap.debug().pass(traits.granularity);
  }
  return true;
}

class Conformance : public ::testing::TestWithParam<ServiceFactory> {
 protected:
  void SetUp() override {
    bootstrap_ = GetParam().make();
    ASSERT_TRUE(bootstrap_);
    traits_ = bootstrap_->traits();
  }

  void TearDown() override {
    if (!bootstrap_) return;
    if (!IsSkipped()) {
      EXPECT_EQ(bootstrap_->debug().audit(), "");
    }
    bootstrap_.reset();
  }

  std::unique_ptr<LockService> open_locks(const ServiceOptions& options = {}) const {
    return bootstrap_->open_lock_service(options).value();
  }
  std::unique_ptr<NameManager> open_names(const ServiceOptions& options = {}) const {
    return bootstrap_->open_name_manager(options).value();
  }

  /// Gives a thread that has just started to wait the time to fall asleep. No outcome depends on it.
  void settle() const { bootstrap_->debug().pass(std::chrono::milliseconds(30)); }

  /// How often a test does what it usually does so many times.
  int turns(int usual) const { return std::max(usual / traits_.slowness, 2); }

  template <class Done>
  bool eventually(Done done) const {
    return testing::eventually(*bootstrap_, done);
  }

  /// A span that is over soon, for leases that are to run out.
  std::chrono::nanoseconds soon() const { return 10 * traits_.granularity; }

  /// A span that no test outlasts, for leases that are not to run out.
  static constexpr std::chrono::nanoseconds kLong = std::chrono::hours(1);

  std::unique_ptr<ServiceBootstrap> bootstrap_;
  ServiceTraits traits_;
};

/// Those that need another process.
template <class Base>
class WithProcesses : public Base {
 protected:
  void SetUp() override {
    Base::SetUp();
    if (Base::bootstrap_ && !Base::traits_.processes) GTEST_SKIP() << "this backend does not tell processes apart";
  }

  /// Both return when the child is dead and the backend has noticed.
  void kill(Child& child) const {
    const pid_t pid = child.pid();
    child.kill();
    Base::bootstrap_->debug().await_death(pid);
  }
  void expect_end(Child& child) const {
    const pid_t pid = child.pid();
    EXPECT_EQ(child.join(), 0);
    Base::bootstrap_->debug().await_death(pid);
  }
};

}    // namespace keyrack::testing
