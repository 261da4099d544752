// Waiting for a lock: a place in the queue, asleep on a watch, and cycles of waiters.
#pragma once

#include "etcd/locks.hpp"

namespace keyrack::etcd {

/// Tries until the lock is had or the time is up, at least once. Errors: timed_out, would_deadlock, the client's.
/// Throws Corruption.
Result<LockResponse, Refusal> wait_for_lock(Place&, const Ask&, const Options&, steady_clock::time_point until);

}    // namespace keyrack::etcd
