#include "table/room.hpp"

#include "table/grants.hpp"

#include <algorithm>
#include <array>

namespace keyrack::table {

namespace {

/// How dear a record is; the cheapest goes first.
enum class Worth { unheld, gone, abandoned, stale, kept };

Worth worth_of(const Table& table, const Hit& hit, Now& now) {
  if (hit.owner.is_alloc()) return alive(table, hit.owner.alloc_session()) ? Worth::kept : Worth::unheld;
  const Tag tag{hit.record->tag.load(std::memory_order_relaxed)};
  if (tag.kind() == Kind::name) {
    // Epochs only rise, and whoever made the record, which was acquired with its cell, knew its own: so another one is
    // a later one, and the name is forgotten. Of a record that has changed since, condemn() knows.
    const std::uint64_t epoch = hit.record->key[0].load(std::memory_order_relaxed) >> 32;
    return epoch == table.names_epoch() ? Worth::kept : Worth::unheld;
  }
  if (hit.owner.is_idle()) return Worth::unheld;
  if (!hit.owner.is_claimant()) corrupt("a cell has no known owner");
  const Descriptor seen = describe(table, hit.owner.claimant_index());
  switch (standing_of(table, hit, seen, now)) {
    case Standing::unheld:
      return Worth::gone;
    case Standing::abandoned:
      return Worth::abandoned;
    case Standing::stale:
      return Worth::stale;
    case Standing::held:
      break;
  }
  return Worth::kept;
}

std::optional<Hit> take(Session& session, const Hit& hit, std::uint64_t floor) {
  const Head head = hit.head.with_token(std::max(hit.head.token(), floor) + 1).with_flags(false, false);
  const Owner owner = Owner::alloc(session.id);
  raise(session.table.header().records_high_water,
        hit.index + 1);    // first: who dies as its maker is looked for below
  if (!hit.replace(head, owner)) return {};
  return Hit{hit.index, hit.record, head, owner};
}

bool evict(Session& session, const Hit& victim) {
  const Descriptor holder = holder_of(session.table, victim);
  if (!condemn(session.table, victim)) return false;
  free_if_single(session.table, holder);
  session.count(Counter::evictions);
  return true;
}

}    // namespace

std::optional<Hit> take_free_record(Session& session, std::uint64_t floor) {
  constexpr std::uint32_t kLook =
      16;    // how far to look for a free record before an unlocked one is taken from its key
  const Table& table = session.table;
  const std::uint32_t slots = table.geometry().slots;
  Now now;
  for (;;) {
    std::array<std::optional<Hit>, static_cast<std::size_t>(Worth::kept)> cheapest;
    for (std::uint32_t seen = 0; seen < slots; ++seen) {
      const RecordIndex index = session.record_cursor.fetch_add(1, std::memory_order_relaxed) % slots;
      const Hit hit = read_record(table, index);
      if (hit.owner.is_free()) {
        if (auto mine = take(session, hit, floor)) return mine;
        continue;
      }
      if (hit.owner.is_dead()) {
        finish_condemned(table, hit);    // its condemner may be dead
        const Hit freed = read_record(table, index);
        if (!freed.owner.is_free()) continue;
        if (auto mine = take(session, freed, floor)) return mine;
        continue;
      }
      const Worth worth = worth_of(table, hit, now);
      if (worth != Worth::kept && !cheapest[static_cast<std::size_t>(worth)]) {
        cheapest[static_cast<std::size_t>(worth)] = hit;
      }
      if (seen >= kLook && cheapest[0]) break;
    }
    const auto victim = std::find_if(cheapest.begin(), cheapest.end(), [](const auto& hit) { return hit.has_value(); });
    if (victim == cheapest.end()) return {};
    if (evict(session, **victim)) {
      const Hit freed = read_record(table, (*victim)->index);
      if (!freed.owner.is_free()) continue;    // somebody was quicker
      if (auto mine = take(session, freed, floor)) return mine;
    }
  }
}

}    // namespace keyrack::table
