// The rules of the name manager, on the cells of a table.
//
// A name is a record with the key (epoch, family, number). Its cell says who has it; the cell's deadline is when it was
// last acquired or kept alive. A reset raises the epoch: all names of earlier epochs are forgotten at that instant, and
// their records are room for others.
//
// The lowest free name is found by hints, a tree of sets of 16: hint i of name n's level-0 set (16 divides n) says that
// name n + i may be free; hint i of its level-k set (16^(k+1) divides n) that the level-(k-1) set of name n + i * 16^k
// may not be empty. The sets lie in the records of the names themselves, those of all levels for the lowest names in
// name 0, which knows, too, how many numbers are registered. The cell is the truth: a hint too many costs a look. For
// none too few, whoever frees a name sets its hints afterwards, and takes doubts away; whoever takes a hint away doubts
// it first, then looks again, and then takes it away if the doubt is still there. After a death all are set anew.
#pragma once

#include "table/locks.hpp"

#include <keyrack/name_manager.hpp>

#include <vector>

namespace keyrack::table {

struct Family {
  std::string_view name;
  std::optional<std::chrono::nanoseconds> auto_release_after;
};

/// A name that was lent. Index and token say which grant of which record: tokens never come again.
struct NameGrant {
  std::uint32_t number;
  RecordIndex index;
  std::uint64_t token;
  std::uint32_t epoch;
};

Result<NameGrant> acquire_name(const Caller&, const Family&, bool process_bound);
Result<NameGrant> try_acquire_name(const Caller&, const Family&, std::uint32_t number, bool process_bound);
Result<void> keep_alive_name(const Table&, const Family&, std::uint32_t number);
/// `memory`: what this thread remembers, if anything.
Result<void> release_name(const Table&, ThreadMemory* memory, const Family&, std::uint32_t number);

/// The same for one grant. `lost` when it is no more, or too old by the family's `auto_release_after`.
Result<void> keep_alive_grant(const Table&, const Family&, const NameGrant&);
Result<void> release_grant(const Table&, ThreadMemory* memory, const Family&, const NameGrant&);
bool is_in_force(const Table&, const Family&, const NameGrant&);

void reset_names(const Table&);

struct NameSeen {
  std::string family;
  std::uint32_t number;
  bool free, process_bound;
  std::int32_t pid;
  std::int64_t created_ns, updated_ns;    // wall clock
};
/// By family, then by number; each name as it was at some instant.
std::vector<NameSeen> list_names(const Table&, std::optional<std::chrono::nanoseconds> auto_release_after);

/// A name whose cell is this, or nothing: not a name of that epoch, never acquired, or changed meanwhile.
std::optional<NameSeen> see_name(const Table&, const Hit&, std::uint32_t epoch,
                                 std::optional<std::chrono::nanoseconds> auto_release_after, Now&);

/// After a death: if the record is a name of that epoch that nobody has, it is announced as free.
void announce_if_free(const Table&, const Hit&, std::uint32_t epoch);

/// Is the name whose cell and holder are these free, for somebody with that `auto_release_after`?
bool is_name_free(const Table&, const Hit&, const Descriptor& holder,
                  const std::optional<std::chrono::nanoseconds>& auto_release_after, Now&);

/// Releases the held names of a session that is about to end.
void release_all_of(const Table&, SessionId);

}    // namespace keyrack::table
