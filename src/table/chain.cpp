#include "table/chain.hpp"

#include "table/room.hpp"
#include "table/waiting.hpp"

namespace keyrack::table {

namespace {

constexpr int kPatience = 1 << 20;    // restarts in a row that no contention explains

/// One walk along a chain. Takes out every dead record that it meets; stops at a record that `wanted` claims.
/// Empty: not met, and `head` is the bucket's link as it was.
template <class Wanted>
std::optional<Hit> walk(const Table& table, Bucket& bucket, Link& head, Wanted&& wanted) {
  for (int restarts = 0; restarts < kPatience; ++restarts) {
    Word* from = &bucket.link;
    Link link{from->load(std::memory_order_acquire)};    // [C1] pairs with the push [I3] and the unlinking [D3]
    head = link;
    std::uint32_t steps = 0;
    bool again = false;
    while (!link.at_end()) {
      if (steps++ > table.geometry().slots) corrupt("a chain runs in a circle");
      Record& record = table.record(link.record());
      // Next before the cell: a cell that is dead vouches for the next that was read.
      Link next{record.next.load(std::memory_order_acquire)};
      const Hit hit = seen(link.record(), record);
      const bool met = wanted(hit);
      if (met && (hit.owner.is_claimant() || hit.owner.is_idle())) return hit;
      if (from->load(std::memory_order_relaxed) != link.bits) {    // after the cell, whose loads acquire
        again = true;
        break;
      }
      if (met && !hit.owner.is_dead()) {
        if (hit.owner.is_alloc()) return hit;    // only now: it might not have been in this chain yet
        again = true;    // the cell has changed under our eyes; to go on would be to miss the key
        break;
      }
      if (!next.marked() && hit.owner.is_dead()) {
        // Marks just the next that was read before the cell was found dead: a record that has been used again since has
        // another version there.
        const Link marked = next.with_mark();
        if (!record.next.compare_exchange_strong(next.bits, marked.bits)) {
          again = true;
          break;
        }
        next = marked;
      }
      if (next.marked()) {
        // Killed after the floor is raised: some tokens are never given. Nothing else.
        // The token is read anew: the one in the hit may be older than the owner beside it, which was found dead.
        const Head last{record.cell.first.load(std::memory_order_relaxed)};
        raise(bucket.floor, last.token());    // [D2] before [D3]: who finds the key gone finds the floor
        const Link shorter = link.pointing_as(next);
        if (!from->compare_exchange_strong(link.bits, shorter.bits)) {    // [D3]
          again = true;
          break;
        }
        if (from == &bucket.link) head = shorter;
        link = shorter;
        continue;
      }
      from = &record.next;
      link = next;
    }
    if (!again) return {};
  }
  corrupt("a chain does not come to rest");
}

void write_key(Record& record, const Key& key) {
  record.tag.store(key.tag.bits, std::memory_order_relaxed);
  if (key.tag.kind() == Kind::name) {
    record.key[0].store(key.qualifier, std::memory_order_relaxed);
    write_words(record.key + 1, key.bytes);
  } else {
    write_words(record.key, key.bytes);
  }
}

void clear_name_part(const Table& table, Record& record, std::uint64_t birth) {
  NamePart& part = table.name_part(record);
  os::fence(std::memory_order_release);    // [N4] who reads one of these words sees the key, which is not his any more
  part.created.store(static_cast<std::uint64_t>(os::wall_ns()), std::memory_order_relaxed);
  part.count.store(Born::at(birth, 0).bits, std::memory_order_relaxed);
  for (Word& hints : part.hints) hints.store(Hints::none(birth).bits, std::memory_order_relaxed);
  part.oldest.store(BornTick::at(birth, 0).bits, std::memory_order_relaxed);
}

}    // namespace

Search find(const Table& table, const Key& key) {
  Search search;
  search.hit = walk(table, table.bucket(key.tag.hash()), search.bucket_link,
                    [&](const Hit& met) { return holds_key(*met.record, key); });
  return search;
}

std::optional<Hit> insert(Session& session, const Key& key, const Search& absent) {
  const Table& table = session.table;
  Bucket& bucket = table.bucket(key.tag.hash());
  // The link that was acquired in the search, [C1], brings a floor that is high enough, or is no more the bucket's.
  std::uint64_t floor = bucket.floor.load(std::memory_order_relaxed);
  std::optional<Hit> mine = take_free_record(session, floor);    // [I0] killed from here on: ALLOC of a dead session
  if (!mine) {
    const Search now = find(table, key);    // somebody may have taken the last record for this very key
    return now.hit;
  }
  Record& record = *mine->record;
  // [I1] The exchange was a full barrier: the cell says ALLOC before the key changes.
  write_key(record, key);
  if (key.tag.kind() == Kind::name) clear_name_part(table, record, mine->head.token());

  Link head = absent.bucket_link;
  for (;;) {
    const Link old_next{record.next.load(std::memory_order_relaxed)};
    // [I2] Relaxed: who still comes by a link of the record's earlier life sees, by the exchange that made it ours,
    // that this link is gone; the others come by [I3].
    record.next.store(old_next.pointing_as(head).bits, std::memory_order_relaxed);
    std::uint64_t expected = head.bits;
    // [I3] the only way into a chain: an unchanged head proves that the key is still not in it.
    if (bucket.link.compare_exchange_strong(expected, head.pointing_to(mine->index).bits)) {
      session.count(Counter::inserts);
      return mine;
    }
    const Search now = find(table, key);
    if (now.hit) {
      record.cell.second.store(Owner::free().bits);
      return now.hit;
    }
    head = now.bucket_link;
    floor = bucket.floor.load(std::memory_order_relaxed);    // again: the key may have come and gone meanwhile
    if (mine->head.token() <= floor) {
      mine->head = mine->head.with_token(floor + 1);
      record.cell.first.store(mine->head.bits, std::memory_order_relaxed);    // ours while we live; [I3] publishes it
    }
  }
}

bool condemn(const Table& table, const Hit& hit) {
  const Head head = hit.head.next_token().with_flags(false, false);
  if (!hit.replace(head, Owner::dead())) return false;    // [D1]
  finish_condemned(table, {hit.index, hit.record, head, Owner::dead()});
  if (hit.head.waiters()) wake_all_waiters(table, hit.index);
  return true;
}

void finish_condemned(const Table& table, const Hit& dead) {
  // Of a record that has another life by now the tag may be another's: a walk along its chain harms nobody, and the
  // exchange fails, because the token has risen.
  const Tag tag{dead.record->tag.load(std::memory_order_relaxed)};
  Link head;
  walk(table, table.bucket(tag.hash()), head, [](const Hit&) { return false; });    // takes it out
  (void)dead.replace(dead.head, Owner::free());
}

std::optional<KeyText> read_key(const Table& table, const Record& record) {
  const Tag tag{record.tag.load(std::memory_order_relaxed)};
  if (tag.length() < 1 || tag.length() > table.geometry().max_signature) return {};
  KeyText key{tag.kind(), 0, 0, {}};
  if (tag.kind() == Kind::lock) {
    key.bytes = read_words(record.key, tag.length());
  } else if (tag.kind() == Kind::name) {
    const std::uint64_t qualifier = record.key[0].load(std::memory_order_relaxed);
    key.epoch = static_cast<std::uint32_t>(qualifier >> 32);
    key.number = static_cast<std::uint32_t>(qualifier);
    key.bytes = read_words(record.key + 1, tag.length());
  } else {
    return {};
  }
  return key;
}

}    // namespace keyrack::table
