// The rules of the locks: what stands under a key, what it means now, and one try to get it.
#pragma once

#include "etcd/clock.hpp"
#include "etcd/place.hpp"

#include <keyrack/lock_service.hpp>

namespace keyrack::etcd {

/// A lock as it stood at one revision.
struct LockSeen {
  std::optional<KeyValue> kv, life;
  GrantRecord record = {};    // of kv
  Revision revision = 0;

  /// Both have the revisions that were read.
  std::vector<Compare> guard(const Keys&, std::string_view signature) const;
  std::uint64_t token() const { return token_of(*kv, record); }
  bool abandoned() const { return record.bound != 0 && !life; }
  /// Is there a grant, and not one past its time to live?
  bool exists(const Clock& clock) const { return kv && !clock.is_past(record.gone_at); }
  /// Can others take it, whatever their level?
  bool can_be_taken(const Clock& clock) const { return abandoned() || clock.is_past(record.stale_at); }
  std::int32_t level() const { return static_cast<std::int32_t>(record.level); }

  Refusal refusal(Errc code) const {
    return {code, record.signee, level(), static_cast<std::int32_t>(record.pid), token()};
  }
};

/// From what a read of Keys::state() gave. Throws Corruption.
LockSeen lock_seen(const std::vector<KeyValue>&, Revision);

/// What is asked for by one call.
struct Ask {
  std::string_view signature, signee;
  std::int32_t level = 0;
  bool force = false, bound = false;
  std::optional<nanoseconds> duration = {}, time_to_live = {};
  std::uint64_t call = random_number();

  /// By signee and, where the grant is bound to one, process.
  bool owns(const GrantRecord& record, std::uint64_t process) const {
    return record.signee == signee && (record.bound == 0 || record.process == process);
  }
};

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

/// Ends the lease that a record hung on, which is stored no more; else it lives as long as that would have.
void end_lease_of(Client&, const std::optional<KeyValue>& record, steady_clock::time_point until);

}    // namespace keyrack::etcd
