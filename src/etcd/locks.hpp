// The rules of the locks: one try to get one, and its release.
#pragma once

#include "etcd/place.hpp"

#include <functional>

namespace keyrack::etcd {

/// What is asked for by one call.
struct Ask {
  std::string_view signature, signee;
  std::int32_t level = 0;
  bool force = false, bound = false;
  bool renews = true;    // else a grant that is one's own is refused, too
  std::optional<nanoseconds> duration = {}, time_to_live = {};
  std::uint64_t call = random_number();

  /// By signee and, where the grant is bound to one, process.
  bool owns(const GrantRecord& record, std::uint64_t process) const {
    return record.signee == signee && (record.bound == 0 || record.process == process);
  }
};

/// As a service with these options asks for it. Its texts are the request's.
Ask make_ask(const LockRequest&, const LockOptions&, const Options&);

/// Whose turn it is among those who wait.
struct Turn {
  Range ahead;               // where nobody must be
  std::string place = {};    // our own, which must be there; empty: none yet
  std::string waiter = {};
};

struct Attempt {
  std::optional<LockResponse> granted = {};
  LockSeen seen = {};            // else: who has it, if anybody has
  bool refused = false;          // by the rules; else only those who wait are before us
  std::string ahead = {};        // the place just before ours, if there is one
  bool place_is_gone = false;    // etcd has ended the lease that ours hung on
};

/// What a transaction reads of a lock, and of the queue where there is a turn to keep.
std::vector<Operation> reads_of(const Keys&, const Ask&, const Turn*);
Attempt attempt_of(const TxnAnswer&, const Turn*);

/// Tries to get the lock, first as if it were as in `seen_before`; none: as if nobody had it. Without a turn nobody who
/// waits matters. Errors: the client's. Throws Corruption.
Answer<Attempt> try_lock(Place&, const Ask&, nanoseconds clock_error, const Turn*, std::optional<Attempt> seen_before,
                         steady_clock::time_point until);

/// Tries once, whoever waits. Errors: forbidden, the client's. Throws Corruption.
Result<LockResponse, Refusal> lock_now(Place&, const Ask&, const Options&, steady_clock::time_point until);

struct Release {
  bool done = false;
  LockSeen seen = {};    // what was released, or was not to be
};

/// Deletes the grant if it is `wanted`; asked of what stands there, again where another was faster. Errors: the
/// client's. Throws Corruption.
Answer<Release> release(Place&, std::string_view signature, const std::function<bool(const LockSeen&)>& wanted,
                        steady_clock::time_point until);

}    // namespace keyrack::etcd
