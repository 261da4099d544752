// What a backend gives the conformance suite: places to test on, what it can do, and how to look behind it.
#pragma once

#include <keyrack/keyrack.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <thread>

#include <sys/types.h>

namespace keyrack::testing {

/// What a test wants its services opened with; unset: the backend's default, which is none.
struct ServiceOptions {
  std::optional<std::chrono::nanoseconds> duration = {};
  std::optional<std::chrono::nanoseconds> time_to_live = {};
  std::optional<std::chrono::nanoseconds> auto_release_after = {};
};

/// What the backend can do. Tests scale with it, or are skipped by it; the rules are the same for all.
struct ServiceTraits {
  /// Leases, times to live and ages may end late by so much.
  std::chrono::nanoseconds granularity = std::chrono::milliseconds(1);
  /// How long what must happen may take before a test gives up; waits that must be ended by somebody last so long.
  std::chrono::nanoseconds patience = std::chrono::seconds(60);
  /// Time enough for a loaded machine to make a call, or to keep a name alive.
  std::chrono::nanoseconds leeway = std::chrono::seconds(1);
  /// A forked process can open the same place, and the death of a process is noticed.
  bool processes = true;
  /// NamedMutex::lock() by the thread that holds it throws would_deadlock.
  bool relock_detected = true;
  std::size_t max_signature = 128, max_signee = 64;
  /// Locks held at once, or names in one family; the place has room for so many of either.
  std::size_t many = 2000;
  /// What is done again and again is done so many times less often.
  int slowness = 1;
};

/// Hooks behind the interface.
class ServiceDebug {
 public:
  virtual ~ServiceDebug() = default;

  /// Returns when the clock of the leases has moved on by `span`. For a backend with a clock of its own to set.
  virtual void pass(std::chrono::nanoseconds span) {
    const auto until = std::chrono::steady_clock::now() + span;
    while (std::chrono::steady_clock::now() < until) std::this_thread::sleep_until(until);
  }

  /// Called when a process has died: returns when everybody may rely on that. For a backend that notices late.
  virtual void await_death([[maybe_unused]] pid_t pid) {}

  /// Called after every test, when all services are closed: what is wrong inside the place, or nothing.
  virtual std::string audit() { return {}; }
};

/// One fresh, empty place for one test; its destructor cleans up, also after a failure.
class ServiceBootstrap {
 public:
  ServiceBootstrap() = default;
  virtual ~ServiceBootstrap() = default;
  ServiceBootstrap(const ServiceBootstrap&) = delete;
  ServiceBootstrap& operator=(const ServiceBootstrap&) = delete;

  /// All services opened here share the place. With ServiceTraits::processes these are called in forked children, too.
  virtual Opened<LockService> open_lock_service(const ServiceOptions&) = 0;
  virtual Opened<NameManager> open_name_manager(const ServiceOptions&) = 0;

  virtual ServiceTraits traits() const { return {}; }
  virtual ServiceDebug& debug() { return debug_; }

 private:
  ServiceDebug debug_;
};

/// Makes the place of each test.
struct ServiceFactory {
  std::string name;    ///< letters and digits: it becomes part of the tests' names
  std::function<std::unique_ptr<ServiceBootstrap>()> make;

  friend std::ostream& operator<<(std::ostream& out, const ServiceFactory& factory) { return out << factory.name; }
};

}    // namespace keyrack::testing
