// The rules of the lock service, on the cells of a table.
#pragma once

#include "table/claimant_cache.hpp"
#include "table/grants.hpp"

#include <keyrack/lock_service.hpp>

#include <limits>

namespace keyrack::table {

/// A thread at work in a session.
struct Caller {
  Session& session;
  ClaimantCache& claimants;
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

constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();

Result<LockResponse, Refusal> lock(const Caller&, const Ask&);
/// `until_ns`: monotonic.
Result<LockResponse, Refusal> lock_until(const Caller&, const Ask&, std::int64_t until_ns);
Result<UnlockResponse, Refusal> unlock(const Caller&, const Key&, std::string_view signee);
Result<CheckResponse> check(const Table&, const Key&);
Result<void> confirm(const Table&, const Key&, std::uint64_t token);

/// Unlocks this session's grant with that token; nothing if it is no more, or another session's.
void unlock_grant(const Session&, const Key&, std::uint64_t token);

/// Unlocks what is bound to a session that is about to end.
void unlock_all_of(const Table&, SessionId);

}    // namespace keyrack::table
