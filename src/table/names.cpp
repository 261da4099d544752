#include "table/names.hpp"

#include <algorithm>
#include <bit>

namespace keyrack::table {

namespace {

using std::chrono::nanoseconds;

std::uint32_t span_of(unsigned level) { return 1u << 4 * level; }    // names under one hint of that level
static_assert(kHintFan == 16);

/// The names of a family in one epoch, and what a thread remembers of them, if there is one.
struct Names {
  Names(const Table& of, std::uint32_t of_epoch, std::string_view family_name, ThreadMemory* memory = nullptr)
      : table(of),
        epoch(of_epoch),
        family(family_name),
        memo(memory != nullptr ? memory->families.of(family_name) : nullptr) {
    if (memo != nullptr && memo->epoch == epoch && memo->hash != 0) {
      hash = memo->hash;
    } else {
      hash = Key::hash(family);
      if (memo != nullptr) *memo = {hash, epoch, 0, {}, {}, {}};
    }
  }

  const Table& table;
  std::uint32_t epoch;
  std::string_view family;
  FamilyMemo* memo;
  std::uint64_t hash;

  Key key(std::uint32_t number) const { return Key::name(epoch, family, hash, number); }
};

/// The record of one name, in whatever state its cell is.
struct Place {
  Key key;
  Record* record;
  std::uint64_t birth = kUnknown;    // as told by the first word that was read

  /// A word of its NamePart, as a word of this name and not of what the record may have become since: one that was born
  /// with another word of this name is. False: it is not.
  template <class Value>
  bool read(const Word& word, Value& seen) {
    seen.bits = word.load(std::memory_order_acquire);    // before the key; pairs with [N4]
    if (seen.birth() == birth) [[likely]]
      return true;
    if (!holds_key(*record, key)) return false;
    birth = seen.birth();
    return true;
  }

  static constexpr std::uint64_t kUnknown = ~std::uint64_t{0};
};

/// Where a name that has sets of hints is remembered: the more levels it has, the higher.
std::size_t slot_of(std::uint32_t number) {
  return number == 0 ? 0 : std::min<std::size_t>(static_cast<std::size_t>(std::countr_zero(number)) / 4, 3);
}

std::optional<Place> place_of(const Names& names, std::uint32_t number) {
  const Key key = names.key(number);
  FamilyMemo::Place* known = nullptr;
  if (names.memo != nullptr) {
    known = &names.memo->places[slot_of(number)];
    if (known->record != nullptr && known->number == number && holds_key(*known->record, key)) {
      return Place{key, known->record, known->birth};
    }
  }
  // A cell of the record's earlier life may have been met beside its new key. What that left in the words that are
  // read next must not be taken for this name's: the cell has to be of the life that the key is of.
  Hit hit;
  do {
    if (!meet(names.table, key, hit)) return {};
  } while (!hit.still());
  Place place{key, hit.record};
  if (Hints seen; known != nullptr && place.read(names.table.name_part(*hit.record).hints[0], seen)) {
    *known = {number, hit.record, place.birth};
  }
  return place;
}

/// The record that has the level-k set for a name, and the name's hint in it.
std::uint32_t holder_of_set(std::uint32_t number, unsigned level) { return number & ~(span_of(level) * kHintFan - 1); }
std::uint32_t hint_in_set(std::uint32_t number, unsigned level) { return 1u << (number / span_of(level)) % kHintFan; }

/// The lowest number that may be free, if all hints are as they were when it was found the last time.
std::optional<std::uint32_t> lowest_remembered(const Names& names) {
  if (names.memo == nullptr || !names.memo->path.stands()) return {};
  return names.memo->path.number;
}

/// Says in the sets of all levels that the name may be free. After its cell was made free.
void announce(const Names& names, std::uint32_t number) {
  if (lowest_remembered(names) == number) return;
  std::optional<Place> place;
  std::uint32_t last = 0;
  for (unsigned level = 0; level < kHintLevels; ++level) {
    const std::uint32_t at = holder_of_set(number, level), hint = hint_in_set(number, level);
    if (!place || at != last) place = place_of(names, at);
    if (!place) return;
    last = at;
    Word& word = names.table.name_part(*place->record).hints[level];
    Hints seen;
    // A hint that is doubted is written anew: whoever doubts it has looked too early.
    while (place->read(word, seen) && (!seen.has(hint) || seen.doubts(hint)) &&
           !word.compare_exchange_weak(seen.bits, seen.with(hint).bits)) {
    }
  }
}

/// How a name stands for somebody with that `auto_release_after`.
struct NameSight {
  Hit hit;
  Descriptor holder;
  bool free;
};

std::optional<NameSight> look_at(const Names& names, std::uint32_t number,
                                 const std::optional<nanoseconds>& auto_release, Now& now) {
  std::optional<NameSight> sight(std::in_place);
  Hit& hit = sight->hit;
  do {
    if (!meet(names.table, names.key(number), hit)) {
      sight.reset();
      return sight;
    }
    if (!hit.owner.is_claimant() && !hit.owner.is_idle() && !hit.owner.is_alloc()) {
      corrupt("a name's cell has no known owner");
    }
    sight->holder = holder_of(names.table, hit);
  } while (sight->holder && !hit.still());
  sight->free = is_name_free(names.table, hit, sight->holder, auto_release, now);
  return sight;
}

/// The same as the thread remembers it; empty if it does not, or if the name was not free.
std::optional<NameSight> remembered_free(const Names& names, std::uint32_t number) {
  const FamilyMemo* memo = names.memo;
  if (memo == nullptr || memo->number != number || memo->hit.owner != Owner::idle()) return {};
  return NameSight{memo->hit, {}, true};
}

/// Is the name held, or, from level 1 on, the set below empty?
bool leads_nowhere(const Names& names, std::uint32_t number, unsigned level,
                   const std::optional<nanoseconds>& auto_release) {
  if (level > 0) {
    auto child = place_of(names, number & ~(span_of(level) - 1));
    Hints below;
    return !child || !child->read(names.table.name_part(*child->record).hints[level - 1], below) || below.set() == 0;
  }
  Now now;
  const auto sight = look_at(names, number, auto_release, now);
  if (!sight) return true;
  if (sight->free) return false;
  // Others may call a name free by its age that is held for us: let them look for it again.
  if (auto root = place_of(names, 0)) {
    Word& word = names.table.name_part(*root->record).oldest;
    BornTick oldest{word.load(std::memory_order_relaxed)};
    const Tick deadline = sight->hit.owner.deadline();
    // If it fails: whoever was quicker has looked at this name, too. It comes before all others that are held, as long
    // as its hint is there. The record may have become another name's: that costs one look.
    if (deadline < oldest.tick()) {
      word.compare_exchange_strong(oldest.bits, oldest.with(deadline).bits);
    }
  }
  return true;
}

/// Takes a hint away that seemed to lead nowhere, if it does, and if nobody changes the set meanwhile: who comes by the
/// hint again tries again. Killed or stopped anywhere in it: the hint is there, or it is gone and rightly so.
void retract(const Names& names, std::uint32_t number, unsigned level, const std::optional<nanoseconds>& auto_release) {
  auto place = place_of(names, holder_of_set(number, level));
  if (!place) return;
  Word& word = names.table.name_part(*place->record).hints[level];
  const std::uint32_t hint = hint_in_set(number, level);
  Hints seen;
  if (!place->read(word, seen) || !seen.has(hint)) return;
  // [N2] Before the look, also where others doubt it: an exchange. Who frees the name after the look either takes the
  // doubt away, so that the next exchange fails, or sees the hint gone, and sets it.
  Hints doubted = seen.doubts(hint) ? seen : seen.doubting(hint);
  if (!word.compare_exchange_strong(seen.bits, doubted.bits)) return;
  if (!leads_nowhere(names, number, level, auto_release)) return;
  word.compare_exchange_strong(doubted.bits, doubted.without(hint).bits);
}

/// The lowest number that may be free. Hints that lead nowhere are taken away on the way.
std::optional<std::uint32_t> lowest_announced(const Names& names, const Place& root,
                                              const std::optional<nanoseconds>& auto_release) {
  // Found anew each time: a reset takes the record away, and its words stay as they are until it is used again.
  HintPath path;
  for (std::optional<Place> start = root; start; start = place_of(names, 0)) {
    std::optional<Place> place = start;
    std::uint32_t number = 0;
    path.known = true;
    for (unsigned level = kHintLevels; level-- > 0;) {
      Hints set;
      const Word& word = names.table.name_part(*place->record).hints[level];
      if (!place->read(word, set)) return {};    // a reset
      if (set.set() == 0) {
        if (level == kHintLevels - 1) return {};
        retract(names, number, level + 1, auto_release);
        break;
      }
      const auto hint = static_cast<std::uint32_t>(std::countr_zero(set.set()));
      number += hint * span_of(level);
      path.words[level] = &word;
      path.seen[level] = set.bits;
      path.known &= !set.doubts(1u << hint);
      if (level == 0) {
        path.number = number;
        if (names.memo != nullptr) names.memo->path = path;
        return number;
      }
      if (hint == 0) continue;
      place = place_of(names, number);
      if (!place) {
        retract(names, number, level, auto_release);
        break;
      }
    }
  }
  return {};
}

/// Puts a claimant of the caller's into a name's cell. Empty: the cell has changed, or the names were forgotten.
Result<std::optional<NameGrant>> take(const Caller& caller, const Names& names, std::uint32_t number, const Hit& hit,
                                      const Descriptor& holder, bool process_bound, Now& now) {
  const Table& table = names.table;
  // [N3] The cell was so while the epoch was still ours, so a reset comes after this: whoever made it so after a reset
  // knew of it, and the cell was acquired.
  if (table.names_epoch() != names.epoch) {
    take_out_unmade(table, hit);
    return std::optional<NameGrant>{};
  }
  const Terms terms{Rank::of(0, 0, process_bound), 0, kNever};
  const auto use = caller.memory.claimants.use(caller.session, terms, {}, caller.pid);
  if (!use) {
    take_out_unmade(table, hit);
    return make_error_code(Errc::table_full);
  }
  const Head head = hit.head.next_token();
  const Owner owner = Owner::claimant(use->index, now.tick(table));
  const bool taken = hit.replace(head, owner);    // [N1]
  if (use->single) drop_claimant(table, use->index);
  if (!taken) return std::optional<NameGrant>{};
  if (names.memo != nullptr && !use->single) {
    names.memo->number = number;
    names.memo->hit = {hit.index, hit.record, head, owner};
  }
  caller.memory.tally.count(Counter::lendings);
  free_if_single(table, holder);
  return std::optional<NameGrant>{NameGrant{number, hit.index, head.token(), names.epoch}};
}

/// Announces what is free by age. Before the tick that is returned no other held name was updated. Looks at all there
/// are: the last one may be lent and not be counted yet.
Tick announce_all_old(const Names& names, nanoseconds auto_release, Now& now) {
  Tick bound = now.tick(names.table);    // held names that are registered meanwhile are younger
  for (std::uint32_t number = 0; number < names.table.geometry().slots; ++number) {
    const auto sight = look_at(names, number, auto_release, now);
    if (!sight) break;
    if (!sight->holder) continue;
    if (sight->free) {
      announce(names, number);
    } else {
      bound = std::min(bound, sight->hit.owner.deadline());
    }
  }
  return bound;
}

/// Names that are free by age announce themselves to nobody: looks for them when the oldest may have become so.
void announce_the_old(const Names& names, Place& root, nanoseconds auto_release, Now& now) {
  const Table& table = names.table;
  NamePart& part = table.name_part(*root.record);
  BornTick oldest;
  if (!root.read(part.oldest, oldest)) return;    // a reset
  if (now.ns() - table.tick_ns(oldest.tick()) <= auto_release.count()) return;
  const Tick bound = announce_all_old(names, auto_release, now);
  part.oldest.compare_exchange_strong(oldest.bits, oldest.with(bound).bits);
  // Again: somebody to whom they are held, because his names age later, may have taken a hint away before `oldest`
  // rose, and had nothing to lower. Who does it from now on has. Killed before this: hidden for one more age at most.
  announce_all_old(names, auto_release, now);
}

/// The next number that was never registered; or one that somebody has registered and died, or is about to count.
Result<std::optional<NameGrant>> take_new(const Caller& caller, const Names& names, std::uint32_t number,
                                          const Family& family, bool process_bound, Now& now) {
  const Key key = names.key(number);
  const Search search = find(names.table, key);
  std::optional<Hit> hit = search.hit;
  if (!hit) hit = insert(caller.session, key, search);
  if (!hit) return make_error_code(Errc::table_full);
  const auto sight = look_at(names, number, family.auto_release_after, now);
  // Whoever was making the record has died, and somebody has taken it out: not registered, so not to be counted.
  if (!sight) return std::optional<NameGrant>{};
  std::optional<NameGrant> grant;
  if (sight->free) {
    auto taken = take(caller, names, number, sight->hit, sight->holder, process_bound, now);
    if (!taken || !*taken) return taken;    // changed, or gone with its maker: not to be counted, either
    grant = *taken;
  }
  // Killed before: the next one finds the record and counts it.
  if (auto root = place_of(names, 0)) {
    Word& count = names.table.name_part(*root->record).count;
    Born seen;
    if (root->read(count, seen) && seen.value() <= number) {
      // If it fails, somebody else has counted as far, or it is another family's count by now.
      count.compare_exchange_strong(seen.bits, seen.with(number + 1).bits);
    }
  }
  return grant;
}

/// A grant's cell, if it is in force.
std::optional<Hit> cell_of(const Table& table, const NameGrant& grant) {
  const Hit hit = read_record(table, grant.index);
  if (hit.head.token() != grant.token || !hit.owner.is_claimant() || table.names_epoch() != grant.epoch) return {};
  return hit;
}

bool is_old(const Table& table, const Hit& hit, const std::optional<nanoseconds>& auto_release, Now& now) {
  // Somewhere within its tick it was updated: never call it old too early.
  return auto_release && now.ns() - table.tick_ns(hit.owner.deadline() + 1) > auto_release->count();
}

/// Gives a name back. False: the cell has changed.
bool free_cell(const Names& names, std::uint32_t number, const Hit& hit, const Descriptor& holder) {
  const Head head = hit.head.next_token();
  // [N2] Killed after this: free and not announced; whoever clears up after us announces it.
  if (!hit.replace(head, Owner::idle())) return false;
  if (names.memo != nullptr && names.memo->number == number) {
    names.memo->hit = {hit.index, hit.record, head, Owner::idle()};
  }
  free_if_single(names.table, holder);
  announce(names, number);
  return true;
}

/// The same for a name that this thread has taken and that nobody has touched since. Its claimant is remembered: there
/// is nothing to free.
bool free_remembered(const Names& names, std::uint32_t number) {
  const FamilyMemo* memo = names.memo;
  if (memo == nullptr || memo->number != number || !memo->hit.owner.is_claimant()) return false;
  return free_cell(names, number, Hit(memo->hit), {});
}

}    // namespace

bool is_name_free(const Table& table, const Hit& hit, const Descriptor& holder,
                  const std::optional<nanoseconds>& auto_release_after, Now& now) {
  if (!holder) return true;
  if (holder.terms.rank.process_bound() && !alive(table, holder.session())) return true;
  return is_old(table, hit, auto_release_after, now);
}

Result<NameGrant> acquire_name(const Caller& caller, const Family& family, bool process_bound) {
  const Table& table = caller.session.table;
  recover_the_dead(table);    // whose names are free, and have to be announced
  for (int tries = 0;; ++tries) {
    Now now;    // of this try: a name may have become free by its age since the last one, which retract() will see
    const Names names{table, table.names_epoch(), family.name, &caller.memory};
    std::optional<Place> root;
    if (family.auto_release_after && (root = place_of(names, 0))) {
      announce_the_old(names, *root, *family.auto_release_after, now);
    }
    // What is remembered is tried once: in a damaged segment its records may be lost, and its words stay as they are.
    std::optional<std::uint32_t> number = tries == 0 ? lowest_remembered(names) : std::nullopt;
    if (!number && (root || (root = place_of(names, 0)))) {
      number = lowest_announced(names, *root, family.auto_release_after);
    }
    if (number) {
      auto sight = tries == 0 ? remembered_free(names, *number) : std::nullopt;
      if (!sight) sight = look_at(names, *number, family.auto_release_after, now);
      if (!sight || !sight->free) {
        retract(names, *number, 0, family.auto_release_after);
        continue;
      }
      auto taken = take(caller, names, *number, sight->hit, sight->holder, process_bound, now);
      if (!taken) return taken.error();
      if (*taken) return **taken;
      continue;
    }
    std::uint32_t next = 0;
    if (root) {
      Born count;
      if (!root->read(table.name_part(*root->record).count, count)) continue;    // a reset
      next = count.value();
      if (next > table.geometry().slots) {
        // A reset makes room, where somebody who has not heard of it may register one more.
        if (table.names_epoch() != names.epoch) continue;
        corrupt("more names are registered than there are records");
      }
    }
    auto taken = take_new(caller, names, next, family, process_bound, now);
    if (!taken) return taken.error();
    if (*taken) return **taken;
  }
}

Result<NameGrant> try_acquire_name(const Caller& caller, const Family& family, std::uint32_t number,
                                   bool process_bound) {
  const Table& table = caller.session.table;
  for (;;) {
    Now now;
    const Names names{table, table.names_epoch(), family.name};
    const auto sight = look_at(names, number, family.auto_release_after, now);
    if (!sight || sight->hit.owner.is_alloc()) return make_error_code(Errc::not_exist);
    if (!sight->free) return make_error_code(Errc::in_use);
    auto taken = take(caller, names, number, sight->hit, sight->holder, process_bound, now);
    if (!taken) return taken.error();
    if (*taken) return **taken;
  }
}

Result<void> keep_alive_name(const Table& table, const Family& family, std::uint32_t number) {
  const Names names{table, table.names_epoch(), family.name};
  for (;;) {
    Now now;
    const auto sight = look_at(names, number, family.auto_release_after, now);
    if (!sight || sight->free) return {};
    const Hit& hit = sight->hit;
    if (hit.replace(hit.head, Owner::claimant(hit.owner.claimant_index(), now.tick(table)))) return {};
  }
}

Result<void> release_name(const Table& table, ThreadMemory* memory, const Family& family, std::uint32_t number) {
  const Names names{table, table.names_epoch(), family.name, memory};
  if (free_remembered(names, number)) return {};
  for (;;) {
    Now now;
    const auto sight = look_at(names, number, {}, now);
    if (!sight || !sight->holder) return {};
    if (free_cell(names, number, sight->hit, sight->holder)) return {};
  }
}

Result<void> keep_alive_grant(const Table& table, const Family& family, const NameGrant& grant) {
  for (;;) {
    const auto hit = cell_of(table, grant);
    Now now;
    if (!hit) return make_error_code(Errc::lost);
    if (is_old(table, *hit, family.auto_release_after, now)) {
      if (!hit->still()) continue;    // kept alive in time
      return make_error_code(Errc::lost);
    }
    if (hit->replace(hit->head, Owner::claimant(hit->owner.claimant_index(), now.tick(table)))) return {};
  }
}

Result<void> release_grant(const Table& table, ThreadMemory* memory, const Family& family, const NameGrant& grant) {
  const Names names{table, grant.epoch, family.name, memory};
  for (;;) {
    const auto hit = cell_of(table, grant);
    if (!hit) return make_error_code(Errc::lost);
    if (free_cell(names, grant.number, *hit, describe(table, hit->owner.claimant_index()))) return {};
  }
}

bool is_in_force(const Table& table, const Family& family, const NameGrant& grant) {
  for (;;) {
    const auto hit = cell_of(table, grant);
    Now now;
    if (!hit) return false;
    if (!is_old(table, *hit, family.auto_release_after, now)) return true;
    if (hit->still()) return false;    // else it may have been kept alive in time
  }
}

void reset_names(const Table& table) {
  table.header().names_epoch.fetch_add(1);    // [N3]
  // All are forgotten. Killed from here on: their records stay until room is needed.
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    const Hit hit = read_record(table, index);
    if (!hit.owner.is_idle() && !hit.owner.is_claimant()) continue;
    const auto key = read_key(table, *hit.record);
    // Epochs only rise, and whoever made the record knew its own: so another one is a later one. Of a record that has
    // changed since, condemn() knows.
    if (!key || key->kind != Kind::name || key->epoch == table.names_epoch()) continue;
    const Descriptor holder = holder_of(table, hit);
    if (condemn(table, hit)) free_if_single(table, holder);
  }
}

std::optional<NameSeen> see_name(const Table& table, const Hit& hit, std::uint32_t epoch,
                                 std::optional<nanoseconds> auto_release_after, Now& now) {
  if (!hit.owner.is_idle() && !hit.owner.is_claimant()) return {};
  const auto key = read_key(table, *hit.record);
  const auto created_ns =
      static_cast<std::int64_t>(table.name_part(*hit.record).created.load(std::memory_order_relaxed));
  const Descriptor holder = holder_of(table, hit);
  if (!hit.still() || !key || key->kind != Kind::name || key->epoch != epoch) return {};
  NameSeen seen{
      key->bytes, key->number, is_name_free(table, hit, holder, auto_release_after, now), false, 0, created_ns, 0};
  if (seen.free) return seen;
  seen.process_bound = holder.terms.rank.process_bound();
  seen.pid = holder.pid;
  seen.updated_ns = os::wall_ns() - (now.ns() - table.tick_ns(hit.owner.deadline()));
  seen.updated_ns = std::max(seen.updated_ns, created_ns);    // a tick is coarser than the wall clock
  return seen;
}

std::vector<NameSeen> list_names(const Table& table, std::optional<nanoseconds> auto_release_after) {
  std::vector<NameSeen> names;
  const std::uint32_t epoch = table.names_epoch();
  Now now;
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    const Hit hit = read_record(table, index);
    const Tag tag{hit.record->tag.load(std::memory_order_relaxed)};
    if (tag.kind() != Kind::name) continue;
    auto seen = see_name(table, hit, epoch, auto_release_after, now);
    for (Hit again = hit; !seen && !again.still();) {    // it changed under our eyes
      again = read_record(table, index);
      seen = see_name(table, again, epoch, auto_release_after, now);
    }
    if (seen) names.push_back(std::move(*seen));
  }
  std::sort(names.begin(), names.end(), [](const NameSeen& a, const NameSeen& b) {
    return a.family != b.family ? a.family < b.family : a.number < b.number;
  });
  return names;
}

void announce_if_free(const Table& table, const Hit& hit, std::uint32_t epoch) {
  const auto key = read_key(table, *hit.record);
  if (!key || key->kind != Kind::name || key->epoch != epoch) return;
  const Descriptor holder = holder_of(table, hit);
  Now now;    // what has changed meanwhile is announced by whoever changed it; a hint too many costs one look
  if (is_name_free(table, hit, holder, {}, now)) announce(Names(table, epoch, key->bytes), key->number);
}

void release_all_of(const Table& table, SessionId session) {
  const std::uint32_t epoch = table.names_epoch();
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    for (;;) {    // the keeper may be keeping it alive at this moment
      const Hit hit = read_record(table, index);
      if (!hit.owner.is_claimant()) break;
      const auto key = read_key(table, *hit.record);
      // free_cell() says whether both are of that cell.
      const Descriptor holder = describe(table, hit.owner.claimant_index());
      if (!key || key->kind != Kind::name || key->epoch != epoch) break;
      if (!holder.terms.rank.process_bound() || holder.session() != session) break;
      if (free_cell(Names(table, epoch, key->bytes), key->number, hit, holder)) break;
    }
  }
}

}    // namespace keyrack::table
