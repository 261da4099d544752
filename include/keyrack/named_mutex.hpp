// A lock as a mutex: Lockable and TimedLockable, so that std::unique_lock and std::scoped_lock work with it.
//
//     keyrack::NamedMutex ledger(*locks, "ledger");
//     std::scoped_lock hold(ledger);
//     store.write(ledger.token(), total);        // the store refuses a token lower than one it has seen
//
// Excludes all other NamedMutex objects of that signature on that segment, in this and in other processes, and the
// other users of the same object. It is not recursive: a thread that locks a key that it holds, through this or another
// NamedMutex, gets would_deadlock from lock(), false from try_lock(). A holder that dies lets the next one in;
// whatever it left half done is for the next one to find: compare tokens, or write so that it does not matter.
#pragma once

#include <keyrack/lock_service.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>

namespace keyrack {

namespace detail {
/// How a backend locks one key for NamedMutex. Never renews: whoever asks for a key that is held waits, itself
/// included.
class MutexEngine {
 public:
  virtual ~MutexEngine() = default;
  /// The token, if this thread had it last and nobody has touched it since; else 0, and nothing is done.
  virtual std::uint64_t lock_again() noexcept { return 0; }
  /// The token. time_point::min(): do not wait; time_point::max(): no limit. Errors as LockService::lock_until().
  virtual Result<std::uint64_t, Refusal> lock_until(std::chrono::steady_clock::time_point) = 0;
  virtual void unlock(std::uint64_t token) noexcept = 0;
};

/// `wait` from now on; what is too long for the clock is without limit, what is past is now.
template <class R, class P>
std::chrono::steady_clock::time_point steady_after(const std::chrono::duration<R, P>& wait) {
  using std::chrono::steady_clock;
  const auto now = steady_clock::now();
  const std::chrono::duration<long double, std::nano> span = wait, most = steady_clock::time_point::max() - now;
  if (span >= most) return steady_clock::time_point::max();
  if (span <= std::chrono::duration<long double, std::nano>::zero()) return now;
  return now + std::chrono::ceil<std::chrono::nanoseconds>(span);
}
}    // namespace detail

class KEYRACK_API NamedMutex {
 public:
  /// The service must outlive the mutex. Throws std::system_error (bad_request) for a signature that is no key.
  /// With a lease the lock can be lost while it is held: LockService::confirm(signature, token()) tells.
  NamedMutex(LockService&, std::string_view signature, LockOptions = {.lifetime = Lifetime::process});
  ~NamedMutex();
  NamedMutex(const NamedMutex&) = delete;
  NamedMutex& operator=(const NamedMutex&) = delete;

  /// Throws std::system_error: would_deadlock, table_full, session_limit, corrupt_segment, backend_unavailable.
  void lock();
  /// False when it is held. Throws as lock(), but for would_deadlock.
  bool try_lock();
  /// Of a lock that was lost meanwhile: does nothing.
  void unlock();

  /// False when the time ran out. Throws as lock().
  template <class R, class P>
  bool try_lock_for(const std::chrono::duration<R, P>& wait) {
    return lock_by(detail::steady_after(wait));
  }
  template <class C, class D>
  bool try_lock_until(const std::chrono::time_point<C, D>& when) {
    if constexpr (std::is_same_v<std::chrono::time_point<C, D>, std::chrono::steady_clock::time_point>) {
      return lock_by(when);
    } else {
      const std::chrono::duration<long double> target = when.time_since_epoch(), now = C::now().time_since_epoch();
      return lock_by(detail::steady_after(target - now));
    }
  }

  /// Fencing token of the grant that is held; call it while holding. 0 while it is not.
  std::uint64_t token() const { return token_; }

 private:
  bool lock_by(std::chrono::steady_clock::time_point);
  void lock_by_asking();

  std::unique_ptr<detail::MutexEngine> engine_;
  std::uint64_t token_ = 0;    // written under the lock only
};

}    // namespace keyrack
