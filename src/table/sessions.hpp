// Who lives. A session is proven dead by the kernel, which marks its life word, or by a newer generation in its slot.
#pragma once

#include "table/table.hpp"

#include <optional>

namespace keyrack::os {
struct Identity;
}

namespace keyrack::table {

/// Is it the living session of its slot?
inline bool alive(const Table& table, SessionId id) {
  if (id.slot >= table.geometry().sessions) return false;
  const Life life{table.life(id.slot).word.load(std::memory_order_acquire)};    // [S2] pairs with [S1] in attach
  return life.alive() && life.generation() == id.generation;
}

/// Takes a slot for this process, after clearing up after the dead. Empty when every slot is a living process's. Throws
/// std::system_error when the system gives no thread.
std::optional<SessionId> attach(const Table&, const os::Identity&);

/// Frees the slot. Whatever is still bound to the session is a dead session's from here on. `unfinished`: it has not
/// given back all, so that others are to clear up after it.
void detach(const Table&, SessionId, bool unfinished = false);

/// Clears up after sessions that died and have not been cleared up after. True if there was one. Needed before the
/// lowest free name is looked for, and before a slot is used again; harmless at any time, by any number of processes.
/// Costs one load for each slot ever used when nobody died.
bool recover_the_dead(const Table&);

}    // namespace keyrack::table
