// Looks between two signals, or in a thread.
#include "lookout.hpp"

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

namespace keyrack::command {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

/// After this what is held is left to the end of the process, which frees it as well.
constexpr std::chrono::seconds kPatience(5);

}    // namespace

Lookout::Lookout(const Signals& signals, Watched watched) : signals_(signals), watched_(std::move(watched)) {}

Lookout::~Lookout() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard guard(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

std::optional<siginfo_t> Lookout::next() {
  if (has_thread()) return signals_.next(std::nullopt);
  std::optional<nanoseconds> wait;
  if (!lost_) wait = std::max(nanoseconds::zero(), nanoseconds(look_at_ - steady_clock::now()));
  const std::optional<siginfo_t> signal = signals_.next(wait);
  if (!lost_ && steady_clock::now() >= look_at_) {
    lost_ = !watched_.still_held();
    look_at_ = steady_clock::now() + watched_.interval;
  }
  return signal;
}

bool Lookout::finish(std::function<void()> release) {
  if (!has_thread()) {
    release();
    return true;
  }
  {
    std::unique_lock guard(mutex_);
    release_ = std::move(release);
    stopping_ = true;
    wake_.notify_all();
    if (!wake_.wait_for(guard, kPatience, [this] { return finished_; })) return false;
  }
  thread_.join();
  return true;
}

/// Where one is wanted, and can be had: else signals wait for looks.
bool Lookout::has_thread() {
  if (!apart_ || thread_.joinable()) return apart_;
  try {
    thread_ = std::thread([this] { loop(); });
  } catch (const std::system_error&) {
    apart_ = false;
  }
  return apart_;
}

void Lookout::loop() {
  const auto do_it = [](const auto& call) {
    try {
      call();
    } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): no memory; then another time
    }
  };
  std::unique_lock guard(mutex_);
  while (!stopping_) {
    if (lost_) {
      wake_.wait(guard);
    } else if (steady_clock::now() < look_at_) {
      wake_.wait_until(guard, look_at_);
    } else {
      guard.unlock();
      do_it([this] { lost_ = !watched_.still_held(); });
      if (lost_) ::pthread_kill(waiter_, SIGCHLD);
      look_at_ = steady_clock::now() + watched_.interval;
      guard.lock();
    }
  }
  guard.unlock();
  if (release_) do_it(release_);
  guard.lock();
  finished_ = true;
  wake_.notify_all();
}

void end_process(int status) { ::_exit(status); }

}    // namespace keyrack::command
