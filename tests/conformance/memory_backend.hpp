// A backend in the memory of one process, under one mutex: too simple to be wrong, unless it is asked to be. Each
// Defect breaks one rule, and the conformance suite must notice.
#pragma once

#include <keyrack/testing/bootstrap.hpp>

#include <memory>

namespace keyrack::testing {

enum class Defect {
  none,
  grants_everything,         // every lock() is granted
  equal_level_takes,         // not strictly higher
  unsigned_levels,           // compares them as unsigned numbers
  force_ignored,             // asks as if force were not set
  forgets_tokens,            // tokens start again with each record
  renewal_draws_token,       // a renewal gets a new token
  renewal_keeps_lease,       // and level, and time to live
  refusal_changes_level,     // a refused request leaves its level behind
  refusal_without_holder,    // says forbidden, and not by whom
  anybody_unlocks,           // whoever asks
  anybody_unlocks_stale,     // whoever asks, once the lease is past
  check_hides_stale,         // check() finds nothing past the lease
  confirm_ignores_lease,     // confirm() says yes past the lease
  lease_never_ends,          //
  lease_ends_early,          // by half
  ttl_ignored,               //
  ttl_makes_stale,           // past it: transferred, as past a lease
  close_keeps_bound,         // process-bound locks survive the last service
  truncates_keys,            // to what it has room for
  waits_once,                // asks again when the wait is over, not before
  spins,                     // waits busily
  no_deadlocks_found,        //
  everybody_a_victim,        // breaks a cycle for all its waiters
  lends_highest,             // not the lowest free name
  lends_by_text,             // "10" before "2"
  lends_twice,               // one name to two
  accepts_leading_zeros,     // "007" is 7
  keep_alive_revives,        // a free name becomes a held one
  age_ignored,               // auto_release_after does nothing
  held_not_kept_alive,       // nobody keeps held names alive
  reset_unnoticed,           // holders are not told
  release_hits_successor,    // a lost HeldName releases whoever has the name now
  list_by_text,              // "10" before "2"
};

/// A fresh, empty place.
std::unique_ptr<ServiceBootstrap> make_memory_bootstrap(Defect);

}    // namespace keyrack::testing
