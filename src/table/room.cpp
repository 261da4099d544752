#include "table/room.hpp"

#include "table/grants.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace keyrack::table {

namespace {

/// Nobody has it, to judge by the record alone. Most that are met are held: nothing else is touched for those.
bool is_unheld(const Table& table, const Hit& hit) {
  if (hit.owner.is_alloc()) return !alive(table, hit.owner.alloc_session());
  const Tag tag{hit.record->tag.load(std::memory_order_relaxed)};
  if (tag.kind() == Kind::name) {
    // Epochs only rise, and whoever made the record, which was acquired with its cell, knew its own: so another one is
    // a later one, and the name is forgotten. Of a record that has changed since, condemn() knows.
    const std::uint64_t epoch = hit.record->key[0].load(std::memory_order_relaxed) >> 32;
    return epoch != table.names_epoch();
  }
  if (hit.owner.is_idle()) return true;
  if (!hit.owner.is_claimant()) corrupt("a cell has no known owner");
  return false;
}

/// How dear a grant is that may be given up; the cheapest goes first.
enum class Worth { gone, abandoned, stale, kept };

Worth worth_of(const Table& table, const Hit& hit, Now& now) {
  const Tag tag{hit.record->tag.load(std::memory_order_relaxed)};
  if (!hit.owner.is_claimant() || tag.kind() == Kind::name) return Worth::kept;
  switch (standing_of(table, hit, holder_of(table, hit), now)) {
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

/// Goes around the table from where this process looked last. Several threads may meet at the same record: one gets it.
class Round {
 public:
  explicit Round(Session& session)
      : cursor_(session.record_cursor),
        slots_(session.table.geometry().slots),
        next_(cursor_.load(std::memory_order_relaxed) % slots_) {}
  ~Round() { cursor_.store(next_, std::memory_order_relaxed); }
  Round(const Round&) = delete;
  Round& operator=(const Round&) = delete;

  bool ends() const { return seen_ == slots_; }
  std::uint32_t seen() const { return seen_; }
  RecordIndex next() {
    ++seen_;
    return std::exchange(next_, after(next_));
  }
  RecordIndex ahead(std::uint32_t n) const { return std::min(next_ + n, slots_ - 1); }
  /// The next round begins behind this one, and not where this one has ended.
  void go_on_behind(RecordIndex index) { next_ = after(index); }

 private:
  RecordIndex after(RecordIndex index) const { return index + 1 == slots_ ? 0 : index + 1; }

  std::atomic<std::uint32_t>& cursor_;
  const std::uint32_t slots_;
  std::uint32_t seen_ = 0;
  RecordIndex next_;
};

/// A record that is free; one that nobody has; or nothing.
struct Found {
  std::optional<Hit> mine, unheld;
};
Found look_around(Session& session, std::uint64_t floor) {
  constexpr std::uint32_t kLook = 8;    // so far a free record is looked for before an unlocked one loses its key
  const Table& table = session.table;
  Found found;
  Round round(session);
  while (!round.ends() && !(found.unheld && round.seen() >= kLook)) {
    const RecordIndex index = round.next();
    __builtin_prefetch(&table.record(round.ahead(12)));
    Hit hit = read_record(table, index);
    if (hit.owner.is_dead()) {
      finish_condemned(table, hit);    // its condemner may be dead
      hit = read_record(table, hit.index);
    }
    if (hit.owner.is_free()) {
      found.mine = take(session, hit, floor);
      if (found.mine) return found;
    } else if (!hit.owner.is_dead() && !found.unheld && is_unheld(table, hit)) {
      found.unheld = hit;
    }
  }
  if (found.unheld) round.go_on_behind(found.unheld->index);    // what was only looked at may be of use the next time
  return found;
}

/// The cheapest grant that may be given up.
std::optional<Hit> cheapest(const Session& session) {
  std::array<std::optional<Hit>, static_cast<std::size_t>(Worth::kept)> first;
  Now now;
  for (RecordIndex index = 0, end = session.table.records_used(); index < end; ++index) {
    const Hit hit = read_record(session.table, index);
    const Worth worth = worth_of(session.table, hit, now);
    if (worth == Worth::kept) continue;
    auto& place = first[static_cast<std::size_t>(worth)];
    if (!place) place = hit;
    if (worth == Worth::gone) break;
  }
  const auto found = std::find_if(first.begin(), first.end(), [](const auto& hit) { return hit.has_value(); });
  return found == first.end() ? std::nullopt : *found;
}

}    // namespace

std::optional<Hit> take_free_record(Session& session, std::uint64_t floor) {
  for (;;) {
    const Found found = look_around(session, floor);
    if (found.mine) return found.mine;
    const auto victim = found.unheld ? found.unheld : cheapest(session);
    if (!victim) return {};
    if (!evict(session, *victim)) continue;
    const Hit freed = read_record(session.table, victim->index);
    if (!freed.owner.is_free()) continue;    // somebody was quicker
    if (auto mine = take(session, freed, floor)) return mine;
  }
}

}    // namespace keyrack::table
