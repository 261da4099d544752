// Finding, inserting and taking out records: chains of records that hang in buckets. All of it is lock-free; the steps
// are those of src/README.md, "Chains".
#pragma once

#include "table/table.hpp"

#include <optional>
#include <string_view>

namespace keyrack::table {

struct Key {
  static Key lock(std::string_view signature);
  static Key name(std::uint32_t epoch, std::string_view family, std::uint32_t number);

  Tag tag;
  std::uint64_t qualifier;    // names: {epoch 32, number 32}
  std::string_view bytes;
};

/// A record as it was seen: its two words belong together, and the record had the key while they stood there.
struct Hit {
  RecordIndex index;
  Record* record;
  Head head;
  Owner owner;

  /// Are both words still what they were? Everything read before is then true of that grant. [C2] acquire fence: what
  /// was read before stays before; pairs with the release of whoever wrote it ([K1], [I1]).
  bool still() const {
    std::atomic_thread_fence(std::memory_order_acquire);
    return record->cell.second.load(std::memory_order_relaxed) == owner.bits &&
           record->cell.first.load(std::memory_order_relaxed) == head.bits;
  }
  bool replace(Head new_head, Owner new_owner) const {
    return os::compare_exchange(record->cell, head.bits, owner.bits, new_head.bits, new_owner.bits);
  }
};

struct Search {
  std::optional<Hit> hit;
  Link bucket_link;    // absent: the chain as it was when the key was not in it
};

/// The record with that key. Its owner is IDLE, ALLOC or a claimant.
Search find(const Table&, const Key&);

/// Are these the key's words? Says nothing of the cell.
bool holds_key(const Record&, const Key&);

/// The two words of a record, read as they are, whatever its state. For walks over all records.
Hit read_record(const Table&, RecordIndex);

/// Puts a record with that key into the table, unless there is one by now: either way, the record is returned. Empty
/// when there is no room. `absent` is what find() answered. An inserted record is in ALLOC: nobody holds it, and
/// somebody else may be the first to.
std::optional<Hit> insert(Session&, const Key&, const Search& absent);

/// Takes a record that was seen so out of the table and frees it. False if it has changed; then nothing was done.
/// Allowed for IDLE, for ALLOC of a dead session, and for grants that count no more.
bool condemn(const Table&, const Hit&);

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
