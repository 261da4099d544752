// Named locks: who may do a thing, until when, and who has it now.
//
// A lock has a key, the *signature*, and a holder, the *signee*; both are strings that the caller chooses. Signees are
// not processes: with Lifetime::lease any process that states the signee may renew and unlock. With Lifetime::process
// a grant belongs to signee and process, and ends when the process dies, however it dies.
//
// Grants, in the order in which the rules are tried:
//   no record, or not held                                                        ok
//   the same signee (for a process-bound grant: in the same process)               renewed, the token stays
//   a strictly higher level; a lease that is past; a dead process; `force`         transferred, with previous_signee
//   else                                                                           Errc::forbidden, nothing changed
//
// Threads      Every call is safe from any number of threads. Threads of one process are told apart by signees alone.
// Processes    One session per process and segment, shared by all services the process has open on it. When the last
//              of them is closed, the process-bound locks of the process are released.
// fork, exec   A child holds nothing and starts a session of its own on first use; nothing it does or ends with
//              releases what its parent holds. A process that replaces its image has died as a holder.
// Progress     On shm://, lock, unlock, check and confirm are lock-free: no process that is stopped or dead, wherever
//              it is, keeps another from finishing its call. Inserting a key and making room for it are lock-free too.
//              lock_for and lock_until sleep in the kernel, and let waiters of one key in by age: whoever has waited
//              2 ms goes before later callers of lock_for and lock_until. A waiter that is stopped when its turn comes
//              delays the others by at most 10 ms, once.
// Clock        On shm://, CLOCK_MONOTONIC of the host, so a lease is not used up while the machine is suspended.
//              Leases have a granularity of 262,144 ns there and are rounded up; they reach about nine years, longer
//              is for ever.
// Elsewhere    Progress, clocks, and when a death is noticed are the backend's: of etcd://, etcd.hpp tells.
#pragma once

#include <keyrack/errors.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace keyrack {

struct LockRequest {
  std::string_view signature;    ///< the key: 1 to max_signature bytes, any but NUL
  std::string_view signee;       ///< who asks: 1 to max_signee bytes, any but NUL
  std::int32_t level = 0;        ///< a strictly higher one takes a lock from a lower one
};

struct UnlockRequest {
  std::string_view signature;
  std::string_view signee;
};

enum class Lifetime {
  lease,      ///< until unlocked, or past its lease or time to live
  process,    ///< also released when the holder's process dies
};

struct LockOptions {
  bool force = false;    ///< take it whoever holds it
  std::optional<std::chrono::nanoseconds> duration =
      {};    ///< lease; unset: the service's default. Negative: stale at once
  std::optional<std::chrono::nanoseconds> time_to_live =
      {};    ///< unset: the service's default. Past it the record is gone
  Lifetime lifetime = Lifetime::lease;
};

enum class LockStatus { failed, ok, transferred, renewed };
enum class UnlockStatus { failed, ok, no_lock };

struct LockResponse {
  LockStatus status = LockStatus::failed;
  std::string previous_signee;    ///< transferred: whose it was
  std::uint64_t token = 0;        ///< fencing token: for one signature strictly greater at each new grant

  bool ok() const { return status != LockStatus::failed; }
  bool created() const { return status == LockStatus::ok || status == LockStatus::transferred; }
};

struct UnlockResponse {
  UnlockStatus status = UnlockStatus::failed;

  bool ok() const { return status != UnlockStatus::failed; }
};

struct CheckResponse {
  std::string signee;
  std::int32_t level = 0;
  std::uint64_t token = 0;
  std::optional<std::chrono::nanoseconds> expires_in = {};    ///< negative once stale; empty: no lease
  std::int32_t pid = 0;                                       ///< of the granting call's process
};

namespace detail {
class MutexEngine;
}

/// Named locks on some backend; open_lock_service() makes one. Whoever implements a backend derives from this.
class KEYRACK_API LockService {
 public:
  virtual ~LockService();
  LockService(const LockService&) = delete;
  LockService& operator=(const LockService&) = delete;

  /// Asks once; never waits. Errors: forbidden, bad_request, table_full, session_limit, corrupt_segment,
  /// backend_unavailable.
  virtual Result<LockResponse, Refusal> lock(const LockRequest&, const LockOptions& = {}) = 0;

  /// Asks until a rule lets it in, for at most `wait` (negative counts as 0, a huge one as without limit); asleep, not
  /// spinning. Errors: as lock(), but timed_out for forbidden, and would_deadlock.
  virtual Result<LockResponse, Refusal> lock_for(const LockRequest&, std::chrono::nanoseconds wait,
                                                 const LockOptions& = {});

  /// The same, until a point in time; time_point::max() is without limit.
  virtual Result<LockResponse, Refusal> lock_until(const LockRequest&, std::chrono::steady_clock::time_point,
                                                   const LockOptions& = {}) = 0;

  /// By the signee: ok, also when its lease is past. No record: no_lock. Errors: forbidden where another signee holds
  /// it, even when stale; bad_request, corrupt_segment, backend_unavailable.
  virtual Result<UnlockResponse, Refusal> unlock(const UnlockRequest&) = 0;

  /// Who holds it, also when the lease is past. A glimpse: it may have changed before you read it.
  /// Errors: not_found, bad_request, corrupt_segment, backend_unavailable.
  virtual Result<CheckResponse> check(std::string_view signature) = 0;

  /// Is the grant with that token still in force: not released, not taken, its lease not past, its process not dead?
  /// Errors: lost, bad_request, corrupt_segment, backend_unavailable.
  virtual Result<void> confirm(std::string_view signature, std::uint64_t token) = 0;

  /// How NamedMutex locks one key here. The default is built upon the calls above; a backend may know a faster way.
  /// Throws std::system_error for a signature that is no key.
  virtual std::unique_ptr<detail::MutexEngine> make_mutex(std::string_view signature, const LockOptions&);

 protected:
  LockService() = default;
};

}    // namespace keyrack
