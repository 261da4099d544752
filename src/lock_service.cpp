// What every lock service has from the start: waiting for a while, and a mutex over its calls.
#include <keyrack/lock_service.hpp>
#include <keyrack/named_mutex.hpp>

#include "unique_signee.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace keyrack {
namespace {

using std::chrono::steady_clock;

// As std::timed_mutex, whose timed waits the thread sanitizer of GCC 12 does not see.
class LocalLock {
 public:
  // time_point::min(): do not wait; time_point::max(): no limit.
  bool lock_until(steady_clock::time_point when) {
    std::unique_lock guard(mutex_);
    const auto is_free = [this] { return !locked_; };
    if (when == steady_clock::time_point::max()) {
      free_.wait(guard, is_free);
    } else if (!is_free() && (when == steady_clock::time_point::min() || !free_.wait_until(guard, when, is_free))) {
      return false;
    }
    locked_ = true;
    return true;
  }

  void unlock() {
    const std::lock_guard guard(mutex_);
    locked_ = false;
    free_.notify_one();    // under the mutex: whoever gets the lock may destroy it
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool locked_ = false;
};

// Services tell holders apart by signee, so each engine has a signee of its own, and what the service cannot see
// happens here: threads that use the same engine exclude each other by a local lock, and a thread that asks for a
// key that it holds is told so.
class DefaultMutex final : public detail::MutexEngine {
 public:
  DefaultMutex(LockService& service, std::string_view signature, const LockOptions& options)
      : service_(service), signature_(signature), options_(options) {}

  Result<std::uint64_t, Refusal> lock_until(steady_clock::time_point when) override {
    if (held_by_this_thread()) return Refusal{.code = Errc::would_deadlock, .holder = {}};
    const bool wait = when != steady_clock::time_point::min();
    if (!local_.lock_until(when)) return Refusal{.code = wait ? Errc::timed_out : Errc::forbidden, .holder = {}};
    std::unique_lock local(local_, std::adopt_lock);
    if (const pid_t pid = getpid(); pid_ != pid) {    // the first time, or in a forked child
      signee_ = unique_signee();
      pid_ = pid;
    }
    held_.reserve(held_.size() + 1);    // nothing may fail between the grant and the return
    const LockRequest request{.signature = signature_, .signee = signee_};
    const auto granted = wait ? service_.lock_until(request, when, options_) : service_.lock(request, options_);
    if (!granted) return granted.error();
    held_.push_back(this);
    local.release();
    return granted->token;
  }

  void unlock(std::uint64_t) noexcept override {
    // What a forked child has copied is its parent's to give back.
    if (pid_ == getpid()) (void)service_.unlock({.signature = signature_, .signee = signee_});
    std::erase(held_, this);
    local_.unlock();
  }

 private:
  // Of a copy made by fork only this very engine counts: its local lock is taken, but the key is the parent's.
  bool held_by_this_thread() const {
    return std::any_of(held_.begin(), held_.end(), [this, pid = getpid()](const DefaultMutex* held) {
      return held == this || (held->pid_ == pid && &held->service_ == &service_ && held->signature_ == signature_);
    });
  }

  static thread_local std::vector<const DefaultMutex*> held_;

  LockService& service_;
  const std::string signature_;
  const LockOptions options_;
  LocalLock local_;
  std::string signee_;    // this and pid_ are written under local_ only
  pid_t pid_ = 0;
};

thread_local std::vector<const DefaultMutex*> DefaultMutex::held_;

}    // namespace

LockService::~LockService() = default;

Result<LockResponse, Refusal> LockService::lock_for(const LockRequest& request, std::chrono::nanoseconds wait,
                                                    const LockOptions& options) {
  const auto now = steady_clock::now();
  if (wait >= steady_clock::time_point::max() - now) {
    return lock_until(request, steady_clock::time_point::max(), options);
  }
  return lock_until(request, now + std::max(wait, std::chrono::nanoseconds::zero()), options);
}

std::unique_ptr<detail::MutexEngine> LockService::make_mutex(std::string_view signature, const LockOptions& options) {
  // Asked now, for a mutex of a key that cannot be would fail at every lock(). Any other error may pass by then.
  if (const auto seen = check(signature); !seen && seen.error() == Errc::bad_request) {
    throw std::system_error(seen.error());
  }
  return std::make_unique<DefaultMutex>(*this, signature, options);
}

}    // namespace keyrack
