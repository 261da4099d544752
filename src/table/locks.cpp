#include "table/locks.hpp"

#include "table/waiting.hpp"

#include <algorithm>

namespace keyrack::table {

namespace {

constexpr int kSpins = 200;    // some microseconds: a holder that is running is soon done, and a sleep costs 50

/// Drops a claimant that was taken for one call, at the call's end.
class ClaimantUse {
 public:
  ClaimantUse(const Caller& caller, const Terms& terms, std::string_view signee)
      : table_(caller.session.table), use_(caller.claimants.use(caller.session, terms, signee, caller.pid)) {}
  ~ClaimantUse() {
    if (use_ && use_->single) drop_claimant(table_, use_->index);
  }
  ClaimantUse(const ClaimantUse&) = delete;
  ClaimantUse& operator=(const ClaimantUse&) = delete;

  explicit operator bool() const { return use_.has_value(); }
  ClaimantIndex index() const { return use_->index; }

 private:
  const Table& table_;
  std::optional<ClaimantCache::Use> use_;
};

/// Who is in the way, as he was when the call was refused.
struct Obstacle {
  Hit hit;
  std::optional<Descriptor> holder = {};    // empty: nobody holds it, but it is another waiter's turn
  std::string signee = {};
  bool own = false;    // the caller itself, who does not renew
};

Refusal refusal(Errc code, const Obstacle& obstacle) {
  Refusal refused{code, obstacle.signee, 0, 0, 0};
  if (obstacle.holder) {
    refused.level = obstacle.holder->terms.rank.level();
    refused.pid = obstacle.holder->pid;
    refused.token = obstacle.hit.head.token();
  }
  return refused;
}

/// What came of one try.
struct Attempt {
  std::optional<LockResponse> granted;
  std::optional<Obstacle> obstacle;    // neither: the table is full
};

enum class Manners {
  barge,    // take what is free: lock() never waits, so it has no turn
  queue,    // leave it to those who have waited too long
};

/// One try by the rules. `place`: ours, when we wait; `line` says what it means.
Attempt attempt(const Caller& caller, const Ask& ask, Manners manners, const WaiterPlace* place) {
  Session& session = caller.session;
  const Table& table = session.table;
  for (;;) {
    Now now;
    const Search search = find(table, ask.key);
    std::optional<Hit> found = search.hit;
    if (!found) found = insert(session, ask.key, search);
    if (!found) return {};
    const Hit& hit = *found;

    std::optional<Descriptor> holder;
    Standing standing = Standing::unheld;
    bool own = false;
    std::string signee;    // of a holder that is in the way or gives way
    if (hit.owner.is_claimant()) {
      holder = describe(table, hit.owner.claimant_index());
      own = holder->signed_by(ask.signee);
      if (!own) signee = holder->signee();
      if (!hit.still()) continue;
      standing = standing_of(table, hit, *holder, now);
      if (own) signee = ask.signee;
      own = own && (!holder->terms.rank.process_bound() || holder->session() == session.id);
    } else if (!hit.owner.is_idle() && !hit.owner.is_alloc()) {
      corrupt("a cell has no known owner");
    }

    LockStatus status = LockStatus::failed;
    if (standing == Standing::unheld) {
      status = LockStatus::ok;
    } else if (own && ask.renews) {
      status = LockStatus::renewed;
    } else if (standing != Standing::held || (holder && ask.level > holder->terms.rank.level()) || ask.force) {
      status = LockStatus::transferred;
    }
    if (status == LockStatus::failed) return {{}, Obstacle{hit, holder, std::move(signee), own}};

    WaiterPlace::Line line{.older = false, .others = hit.head.waiters(), .urgent = hit.head.urgent()};
    if (manners == Manners::queue && status != LockStatus::renewed && (place != nullptr || hit.head.urgent())) {
      const bool anyone_may = standing != Standing::held;    // else it is ours by rank or force, and not theirs
      if (place == nullptr) {
        if (anyone_may) return {{}, Obstacle{hit}};
      } else {
        line = place->line(now.ns());
        if (anyone_may && hit.head.urgent() && line.older) return {{}, Obstacle{hit}};
      }
    }

    const Ends ends = ends_of(table, ask.duration, ask.time_to_live, now);
    const Terms terms{Rank::of(ask.level, ask.signee.size(), ask.process_bound), ends.lease_gap, ends.gone_gap};
    LockResponse response{status, {}, 0};
    if (status == LockStatus::renewed && holder->terms == terms) {
      // The claimant says it all already; only the deadline moves.
      if (!hit.replace(hit.head, Owner::claimant(holder->index, ends.deadline))) continue;
      response.token = hit.head.token();
    } else {
      const ClaimantUse claimant(caller, terms, ask.signee);
      if (!claimant) return {};
      const Head head = (status == LockStatus::renewed ? hit.head.next_edition() : hit.head.next_token())
                            .with_flags(line.urgent, line.others);
      // [G1] The grant. Killed before: nothing has happened. Killed after: it is granted to a dead process.
      if (!hit.replace(head, Owner::claimant(claimant.index(), ends.deadline))) continue;
      response.token = head.token();
      if (status != LockStatus::renewed) {
        hit.record->since.store(Since::at(table.tick(os::monotonic_coarse_ns()), head.token()).bits,
                                std::memory_order_relaxed);
      }
      if (holder) free_if_single(table, *holder);
    }
    if (hit.head.waiters() && holder) wake_all_waiters(table, hit.index);    // they wait for another holder now
    if (status == LockStatus::transferred) {
      session.count(Counter::transfers);
      response.previous_signee = std::move(signee);
    }
    return {std::move(response), {}};
  }
}

/// The end of a sleep that nobody interrupts: whatever of the holder's grant ends first.
std::int64_t end_of_grant_ns(const Table& table, const Obstacle& obstacle) {
  const Tick end =
      std::min(lease_end(obstacle.hit, obstacle.holder->terms), gone_at(obstacle.hit, obstacle.holder->terms));
  return end == kNever ? kForever : table.tick_ns(end);
}

/// False: the cell has changed.
bool release(const Table& table, const Hit& hit, const Descriptor& holder) {
  // [G2] Killed after this and before the wake: the sleepers' slice ends.
  if (!hit.replace(hit.head.next_token().with_flags(hit.head.urgent(), false), Owner::idle())) return false;
  free_if_single(table, holder);
  if (hit.head.waiters() || hit.head.urgent()) wake_first_waiter(table, hit.index);
  return true;
}

Refusal full() { return {Errc::table_full, {}, 0, 0, 0}; }

}    // namespace

Result<LockResponse, Refusal> lock(const Caller& caller, const Ask& ask) {
  Attempt tried = attempt(caller, ask, Manners::barge, nullptr);
  if (tried.granted) return std::move(*tried.granted);
  if (!tried.obstacle) return full();
  caller.session.count(Counter::refusals);
  return refusal(Errc::forbidden, *tried.obstacle);
}

namespace {

/// Waits asleep until a rule lets us in. `tried` was refused.
Result<LockResponse, Refusal> wait(const Caller& caller, const Ask& ask, std::int64_t until_ns, ClaimantIndex self,
                                   Attempt& tried) {
  const Table& table = caller.session.table;
  WaiterPlace place(caller.session, self, os::monotonic_ns());
  Hit turn_of_others{};    // the cell that is free, but somebody else's turn
  std::int64_t turn_since_ns = 0;
  for (;;) {
    const std::uint32_t wake_count = place.wake_count();
    place.aim(tried.obstacle->hit.index);
    const RecordIndex aimed = tried.obstacle->hit.index;
    tried = attempt(caller, ask, Manners::queue, &place);
    if (tried.granted) return std::move(*tried.granted);
    if (!tried.obstacle) return full();
    const Obstacle& obstacle = *tried.obstacle;
    if (obstacle.hit.index != aimed) continue;    // another record has the key now
    const std::int64_t now_ns = os::monotonic_ns();
    if (now_ns >= until_ns) {
      caller.session.count(Counter::refusals);
      return refusal(Errc::timed_out, obstacle);
    }
    const Head flagged = obstacle.hit.head.with_flags(obstacle.hit.head.urgent() || place.urgent(now_ns), true);
    if (flagged != obstacle.hit.head && !obstacle.hit.replace(flagged, obstacle.hit.owner)) continue;

    if (!obstacle.holder) {
      if (turn_of_others.head.token() != obstacle.hit.head.token() || turn_of_others.index != obstacle.hit.index) {
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
      caller.session.count(Counter::deadlocks);
      return Refusal{Errc::would_deadlock, {}, 0, 0, 0};
    }
    std::int64_t wake_ns = std::min(until_ns, end_of_grant_ns(table, obstacle));
    if (!place.urgent(now_ns)) wake_ns = std::min(wake_ns, now_ns + kUrgentAfter);    // to say that it is urgent
    std::optional<SessionId> holder;
    if (obstacle.holder->terms.rank.process_bound()) holder = obstacle.holder->session();
    place.sleep(wake_count, wake_ns, now_ns, holder);
  }
}

}    // namespace

Result<LockResponse, Refusal> lock_until(const Caller& caller, const Ask& ask, std::int64_t until_ns) {
  const Table& table = caller.session.table;
  Attempt tried = attempt(caller, ask, Manners::queue, nullptr);
  for (int spin = 0; tried.obstacle && tried.obstacle->holder && spin < kSpins; ++spin) {
    os::pause();
    const Hit& hit = tried.obstacle->hit;
    if (hit.record->cell.first.load(std::memory_order_relaxed) == hit.head.bits) continue;
    tried = attempt(caller, ask, Manners::queue, nullptr);
  }
  if (tried.granted) return std::move(*tried.granted);
  if (!tried.obstacle) return full();
  if (until_ns <= os::monotonic_ns()) {
    caller.session.count(Counter::refusals);
    return refusal(Errc::timed_out, *tried.obstacle);
  }
  if (tried.obstacle->own) {
    caller.session.count(Counter::deadlocks);
    return Refusal{Errc::would_deadlock, {}, 0, 0, 0};
  }

  caller.session.count(Counter::waits);
  Now now;
  const Ends ends =
      ends_of(table, ask.duration, ask.time_to_live, now);    // the terms of the grant: one claimant for both
  const ClaimantUse self(
      caller, Terms{Rank::of(ask.level, ask.signee.size(), ask.process_bound), ends.lease_gap, ends.gone_gap},
      ask.signee);
  if (!self) return full();
  auto result = wait(caller, ask, until_ns, self.index(), tried);
  // The wake that was meant for the next holder may have been ours.
  if (!result && tried.obstacle) wake_first_waiter(table, tried.obstacle->hit.index);
  return result;
}

Result<UnlockResponse, Refusal> unlock(const Session& session, const Key& key, std::string_view signee) {
  const Table& table = session.table;
  for (;;) {
    const Search search = find(table, key);
    if (!search.hit || !search.hit->owner.is_claimant()) return UnlockResponse{UnlockStatus::no_lock};
    const Hit& hit = *search.hit;
    const Descriptor holder = describe(table, hit.owner.claimant_index());
    bool own = holder.signed_by(signee);
    std::string other;
    if (!own) other = holder.signee();
    if (!hit.still()) continue;
    if (hit.owner.deadline() != kNever) {
      Now now;
      if (now.tick(table) >= gone_at(hit, holder.terms)) return UnlockResponse{UnlockStatus::no_lock};
    }
    own = own && (!holder.terms.rank.process_bound() || holder.session() == session.id);
    if (!own) {
      session.count(Counter::refusals);
      return refusal(Errc::forbidden, Obstacle{hit, holder, other.empty() ? std::string(signee) : std::move(other)});
    }
    if (release(table, hit, holder)) return UnlockResponse{UnlockStatus::ok};
  }
}

void unlock_grant(const Session& session, const Key& key, std::uint64_t token) {
  const Table& table = session.table;
  for (;;) {
    const Search search = find(table, key);
    if (!search.hit || !search.hit->owner.is_claimant() || search.hit->head.token() != token) return;
    const Hit& hit = *search.hit;
    const Descriptor holder = describe(table, hit.owner.claimant_index());
    if (!hit.still()) continue;
    if (holder.session() != session.id || release(table, hit, holder)) return;
  }
}

Result<CheckResponse> check(const Table& table, const Key& key) {
  for (;;) {
    const Search search = find(table, key);
    if (!search.hit || !search.hit->owner.is_claimant()) return make_error_code(Errc::not_found);
    const Hit& hit = *search.hit;
    const Descriptor holder = describe(table, hit.owner.claimant_index());
    CheckResponse response{holder.signee(), holder.terms.rank.level(), hit.head.token(), {}, holder.pid};
    if (!hit.still()) continue;
    if (hit.owner.deadline() == kNever) return response;
    Now now;
    if (now.tick(table) >= gone_at(hit, holder.terms)) return make_error_code(Errc::not_found);
    const Tick end = lease_end(hit, holder.terms);
    if (end != kNever) {
      response.expires_in = std::chrono::nanoseconds(table.tick_ns(end) - now.ns());
      // A tick that has begun is past: never say that nothing is left of a lease, nor that some is left of a stale one.
      if (now.tick(table) >= end && response.expires_in->count() >= 0)
        response.expires_in = std::chrono::nanoseconds(-1);
    }
    return response;
  }
}

Result<void> confirm(const Table& table, const Key& key, std::uint64_t token) {
  for (;;) {
    const Search search = find(table, key);
    if (!search.hit || !search.hit->owner.is_claimant() || search.hit->head.token() != token) {
      return make_error_code(Errc::lost);
    }
    const Hit& hit = *search.hit;
    const Descriptor holder = describe(table, hit.owner.claimant_index());
    if (!hit.still()) continue;
    Now now;
    if (standing_of(table, hit, holder, now) != Standing::held) return make_error_code(Errc::lost);
    return {};
  }
}

void unlock_all_of(const Table& table, SessionId session) {
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    for (;;) {
      const Hit hit = read_record(table, index);
      if (!hit.owner.is_claimant()) break;
      const Tag tag{hit.record->tag.load(std::memory_order_relaxed)};
      const Descriptor holder = describe(table, hit.owner.claimant_index());
      if (!hit.still()) continue;
      if (tag.kind() != Kind::lock || !holder.terms.rank.process_bound() || holder.session() != session) break;
      if (release(table, hit, holder)) break;
    }
  }
}

}    // namespace keyrack::table
