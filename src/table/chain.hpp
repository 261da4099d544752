// Finding, inserting and taking out records: chains of records that hang in buckets. All of it is lock-free; the steps
// are those of src/README.md, "Chains".
#pragma once

#include "table/table.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <optional>
#include <string_view>

namespace keyrack::table {

struct Key {
  static Key lock(std::string_view signature) {
    return {Tag::of(Kind::lock, hash(signature), signature.size()), 0, signature};
  }
  static Key name(std::uint32_t epoch, std::string_view family, std::uint32_t number) {
    return name(epoch, family, hash(family), number);
  }
  /// The same for one who knows the family's hash.
  static Key name(std::uint32_t epoch, std::string_view family, std::uint64_t family_hash, std::uint32_t number) {
    const std::uint64_t qualifier = std::uint64_t{epoch} << 32 | number;
    return {Tag::of(Kind::name, mixed(family_hash, qualifier), family.size()), qualifier, family};
  }
  static std::uint64_t hash(std::string_view bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

  Tag tag;
  std::uint64_t qualifier;    // names: {epoch 32, number 32}
  std::string_view bytes;

 private:
  static std::uint64_t mixed(std::uint64_t hash, std::uint64_t number) {
    return (hash ^ (number + 1) * 0x9e37'79b9'7f4a'7c15) * 0xc2b2'ae3d'27d4'eb4f >> 8;
  }
};

/// A record as it was seen, one word after the other. What an exchange from just these two words succeeds on is true of
/// them: they stood there together, and what was read in between is of that grant. Who answers without an exchange asks
/// still() first, unless the answer is that nobody holds it: that was so at the instant when the owner was read.
struct Hit {
  RecordIndex index = 0;
  Record* record = nullptr;
  Head head;
  Owner owner;

  /// Are both words still what they were? Everything read before is then true of that grant. [C2] acquire fence: what
  /// was read before stays before; pairs with the release of whoever wrote it ([K1], [I1]).
  bool still() const {
    os::fence(std::memory_order_acquire);
    return record->cell.second.load(std::memory_order_relaxed) == owner.bits &&
           record->cell.first.load(std::memory_order_relaxed) == head.bits;
  }
  bool replace(Head new_head, Owner new_owner) const {
    return os::compare_exchange(record->cell, head.bits, owner.bits, new_head.bits, new_owner.bits);
  }
};

inline Hit seen(RecordIndex index, Record& record) {
  return {index, &record, Head{record.cell.first.load(std::memory_order_acquire)},
          Owner{record.cell.second.load(std::memory_order_acquire)}};
}

/// Are these the key's words? Says nothing of the cell.
inline bool holds_key(const Record& record, const Key& key) {
  if (record.tag.load(std::memory_order_relaxed) != key.tag.bits) return false;
  if (key.tag.kind() != Kind::name) return words_equal(record.key, key.bytes);
  return record.key[0].load(std::memory_order_relaxed) == key.qualifier && words_equal(record.key + 1, key.bytes);
}

/// Is it this record that has the key, held or unlocked? A record that is remembered, or met on the way, may be tried
/// so: what chain it is in need not be known.
inline bool try_record(const Table& table, RecordIndex index, const Key& key, Hit& hit) {
  Record& record = table.record(index);
  hit = seen(index, record);
  return (hit.owner.is_claimant() || hit.owner.is_idle()) && holds_key(record, key);
}

/// A quick look at the first few records of the chain. False says nothing, and try_record() believes no link.
inline bool glance(const Table& table, const Key& key, Hit& hit) {
  Link link{table.bucket(key.tag.hash()).link.load(std::memory_order_relaxed)};
  for (int steps = 0; steps < 4 && !link.at_end(); ++steps) {
    if (try_record(table, link.record(), key, hit)) return true;
    link.bits = hit.record->next.load(std::memory_order_relaxed);
  }
  return false;
}

struct Search {
  std::optional<Hit> hit;
  Link bucket_link;    // absent: the chain as it was when the key was not in it
};

/// The record with that key. Its owner is IDLE, ALLOC or a claimant.
Search find(const Table&, const Key&);

/// The same for who does not want to insert: false if there is none.
inline bool meet(const Table& table, const Key& key, Hit& hit) {
  if (glance(table, key, hit)) [[likely]]
    return true;
  const Search search = find(table, key);
  if (search.hit) hit = *search.hit;
  return search.hit.has_value();
}

/// The two words of a record, read as they are, whatever its state. For walks over all records.
inline Hit read_record(const Table& table, RecordIndex index) {
  Record& record = table.record(index);
  for (;;) {
    const Hit hit = seen(index, record);
    if (record.cell.first.load(std::memory_order_relaxed) == hit.head.bits) return hit;
  }
}

/// Puts a record with that key into the table, unless there is one by now: either way, the record is returned. Empty
/// when there is no room. `absent` is what find() answered. An inserted record is in ALLOC: nobody holds it, and
/// somebody else may be the first to.
std::optional<Hit> insert(Session&, const Key&, const Search& absent);

/// Takes a record that was seen so out of the table and frees it. False if it has changed; then nothing was done.
/// Allowed for IDLE, for ALLOC in a chain or of a dead session, and for grants that count no more.
bool condemn(const Table&, const Hit&);

/// Takes out a record in ALLOC that was found and cannot be used: nobody may come for its key again, and it is kept for
/// as long as its maker lives. Nothing in any other state.
inline void take_out_unmade(const Table& table, const Hit& hit) {
  if (hit.owner.is_alloc()) condemn(table, hit);
}

/// Finishes what somebody began who condemned that record and may be dead. The hit's owner is DEAD.
void finish_condemned(const Table&, const Hit&);

/// Kind and key of a record, to be believed only after still(). Empty if they make no sense.
struct KeyText {
  Kind kind;
  std::uint32_t epoch, number;    // names
  std::string bytes;
};
std::optional<KeyText> read_key(const Table&, const Record&);

}    // namespace keyrack::table
