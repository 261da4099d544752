// The rules of the lock service, on the cells of a table.
#pragma once

#include "table/claimant_cache.hpp"
#include "table/grants.hpp"
#include "table/memo.hpp"

#include <keyrack/lock_service.hpp>

#include <limits>

namespace keyrack::table {

/// What one thread remembers of its last calls in one session.
struct ThreadMemory {
  Tally tally{};
  ClaimantCache claimants{};
  TextMemo<CellMemo> keys{};
  NumberMemo mutexes{};
  TextMemo<FamilyMemo> families{};
};

/// A thread at work in a session.
struct Caller {
  Session& session;
  ThreadMemory& memory;
  std::int32_t pid;
};

struct Ask {
  Key key;
  std::string_view signee;
  std::int32_t level = 0;
  bool force = false;
  bool process_bound = false;
  bool renews = true;    // false: one's own grant is in the way like anybody's
  std::optional<std::chrono::nanoseconds> duration = {}, time_to_live = {};
};

inline Terms terms_of(const Ask& ask, const Ends& ends) {
  return {Rank::of(ask.level, ask.signee.size(), ask.process_bound), ends.lease_gap, ends.gone_gap};
}

/// What is asked for, as it would stand in the table if it were granted at once. `since` is for people.
struct Wish {
  std::string_view signee;
  Terms terms;
  Tick deadline, since;
};
inline Wish wish_of(const Table& table, std::string_view signee, Rank rank,
                    const std::optional<std::chrono::nanoseconds>& duration,
                    const std::optional<std::chrono::nanoseconds>& time_to_live) {
  Now now;
  const Ends ends = ends_of(table, duration, time_to_live, now);
  return {signee, {rank, ends.lease_gap, ends.gone_gap}, ends.deadline, table.rough_tick(now.about_ns())};
}
inline Wish wish_of(const Table& table, const Ask& ask) {
  return wish_of(table, ask.signee, Rank::of(ask.level, ask.signee.size(), ask.process_bound), ask.duration,
                 ask.time_to_live);
}

constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

// Key and signee have a length that fits. Error bad_request: there is a NUL in them.
Result<LockResponse, Refusal> lock(const Caller&, const Ask&);
/// `until_ns`: monotonic.
Result<LockResponse, Refusal> lock_until(const Caller&, const Ask&, std::int64_t until_ns);
Result<UnlockResponse, Refusal> unlock(const Caller&, const Key&, std::string_view signee);
/// False: nobody holds it; then the response means nothing. `memory`: the thread's, if it has one.
bool check(const Table&, const Key&, CheckResponse&, ThreadMemory* memory = nullptr);
Result<void> confirm(const Table&, const Key&, std::uint64_t token);

/// Unlocks this session's grant with that token; nothing if it is no more, or another session's.
void unlock_grant(const Session&, const Key&, std::uint64_t token);

/// Unlocks what is bound to a session that is about to end.
void unlock_all_of(const Table&, SessionId);

}    // namespace keyrack::table
