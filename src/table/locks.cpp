#include "table/locks.hpp"

#include "os/probe.hpp"
#include "table/quick.hpp"
#include "table/waiting.hpp"

#include <algorithm>
#include <utility>

namespace keyrack::table {

namespace {

using std::chrono::nanoseconds;

/// Who is in the way, as he was when the call was refused.
struct Obstacle {
  Hit hit;
  Descriptor holder;
  bool held = false;    // else nobody holds it, but it is another waiter's turn
  bool own = false;     // held by the caller itself, who does not renew
  std::string signee;
};

Refusal refusal(Errc code) { return {code, {}, 0, 0, 0}; }

template <class Response>
Result<Response, Refusal> refusal(Errc code, Obstacle& obstacle) {
  if (!obstacle.held) return refusal(code);
  return Refusal{make_error_code(code), std::move(obstacle.signee), obstacle.holder.terms.rank.level(),
                 obstacle.holder.pid, obstacle.hit.head.token()};
}

std::optional<Hit> glimpse(const Table& table, const Key& key) {
  std::optional<Hit> met(std::in_place);
  if (!glance(table, key, *met)) met.reset();
  return met;
}

enum class Manners {
  barge,    // take what is free: lock() never waits, so it has no turn
  queue,    // leave it to those who have waited too long
};

enum class Tried { granted, refused, full };

struct Cause {
  Counter counter;
  const char* name;
};
Cause cause_of_transfer(Standing before, bool outranked) {
  if (before == Standing::abandoned) return {Counter::transfers_abandoned, "abandoned"};
  if (before != Standing::held) return {Counter::transfers_expired, "expired"};
  if (outranked) return {Counter::transfers_outranked, "outranked"};
  return {Counter::transfers_forced, "forced"};
}

/// One try by the rules. `met`: what a glance has just shown. `place`: ours, when we wait. Fills in `response` or
/// `obstacle`.
Tried attempt(const Caller& caller, const Ask& ask, std::optional<Hit> met, Manners manners, const WaiterPlace* place,
              LockResponse& response, Obstacle& obstacle) {
  Session& session = caller.session;
  const Table& table = session.table;
  for (bool again = false;; again = true) {
    Now now;
    if (again) met = glimpse(table, ask.key);
    if (!met) {
      const Search search = find(table, ask.key);
      met = search.hit ? search.hit : insert(session, ask.key, search);
      if (!met) return Tried::full;
    }
    const Hit hit = *std::exchange(met, std::nullopt);
    obstacle.hit = hit;

    Descriptor holder;
    const bool has_holder = hit.owner.is_claimant();
    Standing standing = Standing::unheld;
    bool own = false;
    if (has_holder) {
      holder = describe(table, hit.owner.claimant_index());
      own = holder.signed_by(ask.signee);
      if (own) {
        obstacle.signee = ask.signee;
      } else {
        holder.signee(obstacle.signee);
      }
      if (!hit.still()) continue;
      own = own && (!holder.terms.rank.process_bound() || holder.session() == session.id);
      standing = standing_of(table, hit, holder, now);
    } else if (!hit.owner.is_idle() && !hit.owner.is_alloc()) {
      corrupt("a cell has no known owner");
    }

    const bool outranks = ask.level > holder.terms.rank.level();
    LockStatus status = LockStatus::failed;
    if (standing == Standing::unheld) {
      status = LockStatus::ok;
    } else if (own && ask.renews) {
      status = LockStatus::renewed;
    } else if (standing != Standing::held || outranks || ask.force) {
      status = LockStatus::transferred;
    }
    // What is free for all is left to those who have waited too long; what is ours by rank or force is not theirs.
    const bool queues = manners == Manners::queue && status != LockStatus::renewed;
    WaiterPlace::Line line{.older = false, .others = hit.head.waiters(), .urgent = hit.head.urgent()};
    if (queues && place != nullptr && status != LockStatus::failed) line = place->line(now.ns());
    const bool not_our_turn =
        queues && standing != Standing::held && hit.head.urgent() && (place == nullptr || line.older);
    if (status == LockStatus::failed || not_our_turn) {
      obstacle.holder = holder;
      obstacle.held = status == LockStatus::failed;
      obstacle.own = own;
      return Tried::refused;
    }

    const Ends ends = ends_of(table, ask.duration, ask.time_to_live, now);
    const Terms terms = terms_of(ask, ends);
    if (status == LockStatus::renewed && holder.terms == terms) {
      // The claimant says it all already; only the deadline moves.
      if (!hit.replace(hit.head, Owner::claimant(holder.index, ends.deadline))) continue;
      response.token = hit.head.token();
      caller.memory.tally.count(Counter::renewals);
    } else {
      const ClaimantUse claimant(caller, terms, ask.signee);
      if (!claimant) {
        take_out_unmade(table, hit);
        return Tried::full;
      }
      const Head head = (status == LockStatus::renewed ? hit.head.next_edition() : hit.head.next_token())
                            .with_flags(line.urgent, line.others);
      const Owner owner = Owner::claimant(claimant.index(), ends.deadline);
      // [G1] The grant. Killed before: nothing has happened. Killed after: it is granted to a dead process.
      if (!hit.replace(head, owner)) continue;
      remember(caller.memory, ask.key, {hit.index, hit.record, head, owner});
      response.token = head.token();
      if (status == LockStatus::renewed) {
        caller.memory.tally.count(Counter::renewals);
      } else {
        caller.memory.tally.count_grant(hit.record, head.token());
        note_since(hit, head, table.rough_tick(now.about_ns()));
      }
      if (has_holder) free_if_single(table, holder);
    }
    if (has_holder && hit.head.waiters()) wake_all_waiters(table, hit.index);    // they wait for another holder now
    response.status = status;
    if (status == LockStatus::transferred) {
      const auto& [counter, cause] = cause_of_transfer(standing, outranks);
      session.count(counter);
      KEYRACK_PROBE(take_over, KEYRACK_PROBE_TEXT(ask.key.bytes), KEYRACK_PROBE_TEXT(ask.signee), cause);
      response.previous_signee = std::move(obstacle.signee);
    }
    return Tried::granted;
  }
}

/// The end of a sleep that nobody interrupts: whatever of the holder's grant ends first.
std::int64_t end_of_grant_ns(const Table& table, const Obstacle& obstacle) {
  const Terms& terms = obstacle.holder.terms;
  const Tick end = std::min(lease_end(obstacle.hit, terms), gone_at(obstacle.hit, terms));
  return end == kNever ? kForever : table.tick_ns(end);
}

/// False: the cell has changed.
bool release(const Table& table, const Hit& hit, const Descriptor& holder) {
  // [G2] Killed after this and before the wake: the sleepers' slice ends.
  if (!hit.replace(hit.head.next_token().with_flags(hit.head.urgent(), false), Owner::idle())) return false;
  if (hit.head.waiters() || hit.head.urgent()) wake_first_waiter(table, hit.index);
  free_if_single(table, holder);
  return true;
}

/// Waits asleep until a rule lets us in; `obstacle` was in the way before.
Tried wait(const Caller& caller, const Ask& ask, std::int64_t until_ns, ClaimantIndex self, LockResponse& response,
           Obstacle& obstacle, Errc& error) {
  const Table& table = caller.session.table;
  WaiterPlace place(caller.session, self, os::monotonic_ns());
  Hit turn_of_others;    // a cell that is free, but somebody else's turn
  std::int64_t turn_since_ns = 0;
  for (;;) {
    const std::uint32_t wake_count = place.wake_count();
    const RecordIndex aimed = obstacle.hit.index;
    place.aim(aimed);
    const Tried tried = attempt(caller, ask, glimpse(table, ask.key), Manners::queue, &place, response, obstacle);
    if (tried == Tried::full) return tried;
    if (obstacle.hit.index != aimed) {
      // Another record has the key now. A wake for the one we waited at may have been ours: to its next waiter.
      place.aim(obstacle.hit.index);
      wake_first_waiter(table, aimed);
    }
    if (tried == Tried::granted) return tried;
    if (obstacle.hit.index != aimed) continue;
    const std::int64_t now_ns = os::monotonic_ns();
    if (now_ns >= until_ns) {
      error = Errc::timed_out;
      return tried;
    }
    const Head flagged = obstacle.hit.head.with_flags(obstacle.hit.head.urgent() || place.urgent(now_ns), true);
    // Flagged by us, or before. Who changes the cell after it was read sees our place, and wakes; see [W1].
    if (flagged != obstacle.hit.head && !obstacle.hit.replace(flagged, obstacle.hit.owner)) continue;

    if (!obstacle.held) {
      if (turn_of_others.index != aimed || turn_of_others.head.token() != obstacle.hit.head.token()) {
        turn_of_others = obstacle.hit;
        turn_since_ns = now_ns;
      } else if (now_ns - turn_since_ns >= kGrace) {
        place.pass_over_the_older();
        continue;
      }
      place.sleep(wake_count, std::min(until_ns, now_ns + kMs), now_ns, {});
      continue;
    }
    if (place.closes_a_cycle()) {
      error = Errc::would_deadlock;
      return tried;
    }
    std::int64_t wake_ns = std::min(until_ns, end_of_grant_ns(table, obstacle));
    if (!place.urgent(now_ns)) wake_ns = std::min(wake_ns, now_ns + kUrgentAfter);    // to say that it is urgent
    std::optional<SessionId> holder;
    if (obstacle.holder.terms.rank.process_bound()) holder = obstacle.holder.session();
    place.sleep(wake_count, wake_ns, now_ns, holder);
  }
}

}    // namespace

Result<LockResponse, Refusal> lock(const Caller& caller, const Ask& ask) {
  std::optional<Hit> met;
  if (const std::uint64_t token = lock_idle(caller, ask, met)) return granted(token);
  if (has_nul(ask.key.bytes) || has_nul(ask.signee)) return refusal(Errc::bad_request);
  if (Refusal refusal;
      met && !ask.force && is_plainly_refused(caller.session.table, *met, ask.signee, ask.level, refusal)) {
    remember(caller.memory, ask.key, *met);
    caller.memory.tally.count(Counter::refusals);
    return refusal;
  }
  LockResponse response;
  Obstacle obstacle;
  switch (attempt(caller, ask, met, Manners::barge, nullptr, response, obstacle)) {
    case Tried::granted:
      return response;
    case Tried::full:
      return refusal(Errc::table_full);
    case Tried::refused:
      break;
  }
  caller.memory.tally.count(Counter::refusals);
  return refusal<LockResponse>(Errc::forbidden, obstacle);
}

Result<LockResponse, Refusal> lock_until(const Caller& caller, const Ask& ask, std::int64_t until_ns) {
  std::optional<Hit> met;
  if (const std::uint64_t token = lock_idle(caller, ask, met)) return granted(token);
  if (has_nul(ask.key.bytes) || has_nul(ask.signee)) return refusal(Errc::bad_request);
  const Table& table = caller.session.table;
  LockResponse response;
  Obstacle obstacle;
  Tried tried = attempt(caller, ask, met, Manners::queue, nullptr, response, obstacle);
  for (int spin = 0; tried == Tried::refused && obstacle.held && !obstacle.own && spin < os::kSpins; ++spin) {
    os::pause();
    const Hit& hit = obstacle.hit;
    if (hit.record->cell.first.load(std::memory_order_relaxed) == hit.head.bits) continue;
    tried = attempt(caller, ask, glimpse(table, ask.key), Manners::queue, nullptr, response, obstacle);
  }
  Errc error = Errc::timed_out;
  if (tried == Tried::refused && until_ns > os::monotonic_ns()) {
    if (obstacle.held && obstacle.own) {
      error = Errc::would_deadlock;
    } else {
      caller.session.count(Counter::waits);
      KEYRACK_PROBE(wait, KEYRACK_PROBE_TEXT(ask.key.bytes), KEYRACK_PROBE_TEXT(ask.signee));
      const std::int64_t since_ns = os::monotonic_ns();
      Now now;
      const Ends ends =
          ends_of(table, ask.duration, ask.time_to_live, now);    // terms of the grant: one claimant for both
      const Terms terms = terms_of(ask, ends);
      const ClaimantUse self(caller, terms, ask.signee);
      tried = self ? wait(caller, ask, until_ns, self.index(), response, obstacle, error) : Tried::full;
      count_time(table.counts(caller.session.id.slot).waiting, os::monotonic_ns() - since_ns);
      // The wake that was meant for the next holder may have been ours.
      if (tried != Tried::granted) wake_first_waiter(table, obstacle.hit.index);
    }
  }
  if (tried == Tried::granted) return response;
  if (tried == Tried::full) return refusal(Errc::table_full);
  if (error == Errc::would_deadlock) {
    caller.session.count(Counter::deadlocks);
    return refusal(error);
  }
  caller.memory.tally.count(Counter::refusals);
  return refusal<LockResponse>(error, obstacle);
}

Result<UnlockResponse, Refusal> unlock(const Caller& caller, const Key& key, std::string_view signee) {
  if (unlock_known(caller, key, signee)) return UnlockResponse{UnlockStatus::ok};
  if (has_nul(key.bytes) || has_nul(signee)) return refusal(Errc::bad_request);
  const Session& session = caller.session;
  const Table& table = session.table;
  for (;;) {
    Hit hit;
    if (!meet(table, key, hit) || !hit.owner.is_claimant()) return UnlockResponse{UnlockStatus::no_lock};
    Obstacle obstacle;
    obstacle.holder = describe(table, hit.owner.claimant_index());
    Descriptor& holder = obstacle.holder;
    const bool same_signee = holder.signed_by(signee);
    if (!same_signee) holder.signee(obstacle.signee);
    if (!hit.still()) continue;
    if (hit.owner.deadline() != kNever) {
      Now now;
      if (now.tick(table) >= gone_at(hit, holder.terms)) {
        if (!hit.still()) continue;    // else it may have been renewed in time
        return UnlockResponse{UnlockStatus::no_lock};
      }
    }
    if (!same_signee || (holder.terms.rank.process_bound() && holder.session() != session.id)) {
      if (same_signee) obstacle.signee = signee;
      obstacle.hit = hit;
      obstacle.held = true;
      caller.memory.tally.count(Counter::refusals);
      return refusal<UnlockResponse>(Errc::forbidden, obstacle);
    }
    if (release(table, hit, holder)) {
      caller.memory.tally.count_release(hit.record, hit.head.token());
      return UnlockResponse{UnlockStatus::ok};
    }
  }
}

void unlock_grant(const Session& session, const Key& key, std::uint64_t token) {
  const Table& table = session.table;
  for (;;) {
    Hit hit;
    if (!meet(table, key, hit) || !hit.owner.is_claimant() || hit.head.token() != token) return;
    const Descriptor holder = describe(table, hit.owner.claimant_index());
    if (holder.session() != session.id || release(table, hit, holder)) return;
  }
}

bool check(const Table& table, const Key& key, CheckResponse& response, ThreadMemory* memory) {
  for (;;) {
    Hit hit;
    if (!meet(table, key, hit) || !hit.owner.is_claimant()) return false;
    const Descriptor holder = tell_holder(table, hit, response);
    if (!hit.still()) continue;
    if (memory != nullptr) remember(*memory, key, hit);
    if (hit.owner.deadline() == kNever) return true;
    Now now;
    const Tick tick = now.tick(table);
    if (!hit.still()) continue;    // else it may have been renewed in time
    if (tick >= gone_at(hit, holder.terms)) return false;
    const Tick end = lease_end(hit, holder.terms);
    if (end == kNever) return true;
    nanoseconds left(table.tick_ns(end) - now.ns());
    // A tick that has begun is past: never say that nothing is left of a lease, nor that some is left of a stale one.
    if (tick >= end) left = std::min(left, nanoseconds(-1));
    response.expires_in = left;
    return true;
  }
}

Result<void> confirm(const Table& table, const Key& key, std::uint64_t token) {
  for (;;) {
    Hit hit;
    if (!meet(table, key, hit) || !hit.owner.is_claimant() || hit.head.token() != token) {
      return make_error_code(Errc::lost);
    }
    const Descriptor holder = describe(table, hit.owner.claimant_index());
    if (!hit.still()) continue;
    Now now;
    if (standing_of(table, hit, holder, now) == Standing::held) return {};
    if (!hit.still()) continue;    // else it may have been renewed in time
    return make_error_code(Errc::lost);
  }
}

void unlock_all_of(const Table& table, SessionId session) {
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    for (;;) {
      const Hit hit = read_record(table, index);
      if (!hit.owner.is_claimant()) break;
      const Tag tag{hit.record->tag.load(std::memory_order_relaxed)};
      // release() says whether both are of that cell.
      const Descriptor holder = describe(table, hit.owner.claimant_index());
      if (tag.kind() != Kind::lock || !holder.terms.rank.process_bound() || holder.session() != session) break;
      if (release(table, hit, holder)) break;
    }
  }
}

}    // namespace keyrack::table
