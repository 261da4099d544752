#include "table/sessions.hpp"

#include "os/futex.hpp"
#include "os/probe.hpp"
#include "os/process.hpp"
#include "table/grants.hpp"
#include "table/names.hpp"

#include <algorithm>
#include <climits>
#include <cstring>

namespace keyrack::table {

namespace {

void write_info(const Table& table, SessionId id, const os::Identity& self) {
  SessionInfo& info = table.info(id.slot);
  char command[16] = {};
  self.command.copy(command, sizeof command);
  std::uint64_t words[2];
  std::memcpy(words, command, sizeof words);
  info.pid.store(static_cast<std::uint32_t>(self.pid), std::memory_order_relaxed);
  info.pid_namespace.store(self.pid_namespace, std::memory_order_relaxed);
  info.uid.store(self.uid, std::memory_order_relaxed);
  info.attached_ns.store(static_cast<std::uint64_t>(os::wall_ns()), std::memory_order_relaxed);
  for (int i = 0; i < 2; ++i) info.command[i].store(words[i], std::memory_order_relaxed);
  SessionCounts& counts = table.counts(id.slot);
  for (unsigned i = 0; i < kCounters; ++i) counts.before[i].store(total(counts, i), std::memory_order_relaxed);
  info.generation.store(id.generation);
}

/// All that a dead session can have left half done or bound to itself. Killed here: the slot stays as it is, and the
/// next process does it all again.
void recover(const Table& table, SessionId dead) {
  const std::uint32_t epoch = table.names_epoch();
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    const Hit hit = read_record(table, index);
    if (hit.owner.is_dead()) {
      finish_condemned(table, hit);
    } else if (hit.owner.is_alloc() && hit.owner.alloc_session() == dead) {
      condemn(table, hit);
    } else if (hit.owner.is_idle() || hit.owner.is_claimant()) {
      announce_if_free(table, hit, epoch);
    }
  }
}

}    // namespace

std::optional<SessionId> attach(const Table& table, const os::Identity& self) {
  recover_the_dead(table);
  for (std::uint32_t slot = 0; slot < table.geometry().sessions; ++slot) {
    LifeEntry& entry = table.life(slot);
    const Life life{entry.word.load(std::memory_order_relaxed)};
    if (life.alive() || life.owner_died()) continue;
    const SessionId id{slot, life.next_generation()};
    raise(table.header().sessions_high_water, slot + 1);    // first: who dies as the owner is looked for below it
    // [S1] One exchange makes the slot ours and everything bound to its earlier lives dead.
    if (!os::Keeper::of_this_process().take(entry, life.bits, id.generation)) continue;
    write_info(table, id, self);
    return id;
  }
  return {};
}

void detach(const Table& table, SessionId id, bool unfinished) {
  os::Keeper::of_this_process().give_back(table.life(id.slot), unfinished);
}

bool recover_the_dead(const Table& table) {
  bool any = false;
  for (std::uint32_t slot = 0, end = table.sessions_used(); slot < end; ++slot) {
    Word& word = table.life(slot).word;
    Life life{word.load(std::memory_order_acquire)};
    if (!life.owner_died()) continue;
    KEYRACK_PROBE(recovery, slot, life.generation());
    recover(table, {slot, life.generation()});
    if (word.compare_exchange_strong(life.bits, life.cleared().bits)) {
      count(table.counts(slot), Counter::recoveries);
      os::futex_wake(os::low_half(word), INT_MAX);
    }
    any = true;
  }
  return any;
}

}    // namespace keyrack::table
