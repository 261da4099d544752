// Looking again and again whether what is held is lost, while signals are waited for.
#pragma once

#include "child.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

namespace keyrack::command {

/// What is held, and how it is found out that it is lost.
struct Watched {
  std::chrono::nanoseconds interval;    ///< between two looks
  std::function<bool()> still_held;     ///< false once: it is lost, and that has been told
  bool may_hang = false;                ///< a look may take long: a thread of its own does it
};

/// For the thread that waits for signals. No two looks, nor the release, happen at the same time.
class Lookout {
 public:
  Lookout(const Signals&, Watched);
  ~Lookout();    ///< waits for a look that is under way
  Lookout(const Lookout&) = delete;
  Lookout& operator=(const Lookout&) = delete;

  /// The next signal; empty or SIGCHLD, too, when it may have been lost. The first call starts the thread, if any: fork
  /// before.
  std::optional<siginfo_t> next();

  bool lost() const { return lost_; }

  /// No more looks, then `release`. False: it takes too long, and goes on; all there is to do is to end_process().
  bool finish(std::function<void()> release);

 private:
  bool has_thread();    // starts it, too
  void loop();

  const Signals& signals_;
  const Watched watched_;
  const pthread_t waiter_ = ::pthread_self();
  bool apart_ = watched_.may_hang;
  std::chrono::steady_clock::time_point look_at_ = std::chrono::steady_clock::now() + watched_.interval;
  std::atomic<bool> lost_{false};

  std::mutex mutex_;    // guards the next three; never held during a look
  std::condition_variable wake_;
  bool stopping_ = false, finished_ = false;
  std::function<void()> release_;
  std::thread thread_;
};

/// Other threads may be in the middle of anything.
[[noreturn]] void end_process(int status);

}    // namespace keyrack::command
