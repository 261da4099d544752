// The rules of the locks as a relation, one key at a time and one call after the other: whether an answer is allowed in
// a state, and which state it leads to. It knows nothing of shared memory: the property tests, the checker of recorded
// histories and the simulator hold keyrack against it.
#pragma once

#include "time.hpp"

#include <vector>

namespace keyrack::reference {

using Signee = std::uint32_t;
using Token = std::uint64_t;

inline constexpr Token kAnyToken = 0;    // in answers and states: not known which
inline constexpr Signee kAnySignee = std::numeric_limits<Signee>::max();
inline constexpr Process kAnyProcess = 0;

struct Grant {
  Signee signee = 0;
  Process process = 0;    // of the granting call; certain only if bound
  std::int32_t level = 0;
  bool bound = false, abandoned = false;    // to its process; that has died
  Token token = 0;
  End lease = {}, gone = {};
  friend auto operator<=>(const Grant&, const Grant&) = default;
};

struct LockState {
  std::optional<Grant> grant;
  Token floor = 0;    // every new grant's token is above it; that of a grant whose token is not known is at least this
  friend auto operator<=>(const LockState&, const LockState&) = default;
};

struct LockCall {
  enum class Kind : std::uint8_t { lock, wait, unlock, check, confirm, close, death };    // the last two: of a process
  Kind kind = Kind::lock;
  Process process = 0;
  Signee signee = 0;
  std::int32_t level = 0;
  bool force = false, bound = false;
  std::optional<Instant> duration = {}, time_to_live = {};
  Token token = 0;    // confirm
};

struct LockAnswer {
  enum class Status : std::uint8_t {
    ok,    // of a check: the holder is told
    transferred,
    renewed,
    forbidden,
    timed_out,    // without a token: nobody held it, it was another waiter's turn
    would_deadlock,
    table_full,
    no_lock,
    not_found,
    lost,
  };
  Status status = Status::ok;
  Token token = kAnyToken;                   // of the grant, or of the holder's
  Signee signee = kAnySignee;                // the previous one, or the holder
  std::int32_t level = 0;                    // of the holder's grant, where a token is told
  Process process = 0;                       // the holder's, likewise
  std::optional<Instant> expires_in = {};    // check
};

enum class Eviction { impossible, possible };    // of what nobody holds, for a key that needs room

namespace detail {

using Kind = LockCall::Kind;
using Status = LockAnswer::Status;

/// One call and its answer, held against a copy of the state, which becomes the next one.
struct LockStep {
  LockState state;
  const LockCall& call;
  const LockAnswer& answer;
  const Interval when;
  const Eviction eviction;

  Grant* grant() { return state.grant ? &*state.grant : nullptr; }
  bool own() { return grant()->signee == call.signee && (!grant()->bound || grant()->process == call.process); }
  bool outranked() { return call.force || call.level > grant()->level; }

  /// There was no record, or none that anybody held any more: past its time to live, or given to another key.
  bool vanished() {
    if (!grant()) return true;
    if (grant()->gone.may_be_past(when)) {
      // It stays in the state: a call that has read the clock before may still find it there.
      grant()->gone.was_past(when);
      return true;
    }
    if (eviction == Eviction::impossible || (!grant()->abandoned && !grant()->lease.may_be_past(when))) return false;
    state.grant.reset();
    return true;
  }

  /// There was the grant, not past its time to live.
  bool present() {
    if (!grant() || !grant()->gone.may_be_ahead(when)) return false;
    grant()->gone.was_ahead(when);
    return true;
  }

  bool in_force() {
    if (!present() || grant()->abandoned || !grant()->lease.may_be_ahead(when)) return false;
    grant()->lease.was_ahead(when);
    return true;
  }

  bool stale() {
    if (!present() || !grant()->lease.may_be_past(when)) return false;
    grant()->lease.was_past(when);
    return true;
  }

  bool has_token(Token token) {
    if (token == kAnyToken) return true;
    if (grant()->token == kAnyToken && token >= state.floor) grant()->token = state.floor = token;
    return grant()->token == token;
  }

  bool is_told() {
    return answer.signee == grant()->signee && answer.level == grant()->level &&
           (!grant()->bound || answer.process == kAnyProcess || answer.process == grant()->process) &&
           has_token(answer.token);
  }

  void set_terms() {
    const Instant rounding = call.duration && call.time_to_live ? 2 * kTick : kTick;
    grant()->level = call.level;
    grant()->bound = call.bound;
    grant()->process = call.process;
    grant()->lease = End::of(call.duration, when, rounding);
    grant()->gone = End::of(call.time_to_live, when, rounding);
  }

  bool grants_anew() {
    if (answer.token != kAnyToken && answer.token <= state.floor) return false;
    state.floor = answer.token != kAnyToken ? answer.token : state.floor + 1;
    state.grant = Grant{.signee = call.signee, .token = answer.token};
    set_terms();
    return true;
  }

  bool lock() {
    switch (answer.status) {
      case Status::ok:
        return vanished() && grants_anew();
      case Status::renewed:
        if (!present() || !own() || !has_token(answer.token)) return false;
        set_terms();
        return true;
      case Status::transferred:
        if (!present() || own() || (answer.signee != kAnySignee && answer.signee != grant()->signee)) return false;
        return (outranked() || grant()->abandoned || stale()) && grants_anew();
      case Status::timed_out:
        if (call.kind != Kind::wait) return false;
        if (answer.token == kAnyToken) return !grant() || grant()->abandoned || stale() || vanished();
        return in_force() && !own() && !outranked() && is_told();
      case Status::forbidden:
        return call.kind == Kind::lock && in_force() && !own() && !outranked() && is_told();
      case Status::would_deadlock:
        return call.kind == Kind::wait && in_force() && !own() && !outranked();
      case Status::table_full:
        return vanished();
      default:
        return false;
    }
  }

  bool unlock() {
    if (answer.status == Status::no_lock) return vanished();
    if (answer.status == Status::forbidden) return present() && !own() && is_told();
    if (answer.status != Status::ok || !present() || !own()) return false;
    state.grant.reset();
    return true;
  }

  bool check() {
    if (answer.status == Status::not_found) return vanished();
    if (answer.status != Status::ok || !present() || !is_told()) return false;
    End& lease = grant()->lease;
    if (!answer.expires_in) return lease == End{};
    if (*answer.expires_in < 0) return stale();
    lease.earliest = std::max(lease.earliest, later(when.from, *answer.expires_in));
    lease.latest = std::min(lease.latest, later(when.to, *answer.expires_in));
    return lease.earliest <= lease.latest;
  }

  bool confirm() {
    if (answer.status == Status::ok) return in_force() && has_token(call.token);
    if (answer.status != Status::lost) return false;
    if (!grant() || grant()->token != call.token || grant()->abandoned) return true;
    // Which of the two was past is told by no answer; if it can only be the lease, that is learnt.
    return grant()->gone.may_be_past(when) || stale();
  }

  bool allowed() {
    switch (call.kind) {
      case Kind::lock:
      case Kind::wait:
        return lock();
      case Kind::unlock:
        return unlock();
      case Kind::check:
        return check();
      case Kind::confirm:
        return confirm();
      case Kind::close:
        if (grant() && grant()->bound && grant()->process == call.process) state.grant.reset();
        return true;
      case Kind::death:
        if (grant() && grant()->bound && grant()->process == call.process) grant()->abandoned = true;
        return true;
    }
    return false;
  }
};

}    // namespace detail

/// The state after the call, if it may have been answered so; else nothing. close and death: any answer.
inline std::optional<LockState> apply(const LockState& state, const LockCall& call, const LockAnswer& answer,
                                      Interval when, Eviction eviction = Eviction::possible) {
  detail::LockStep step{state, call, answer, when, eviction};
  if (!step.allowed()) return {};
  return step.state;
}

/// The states that a call may have led to whose answer nobody heard. That it had no effect is possible besides.
inline std::vector<LockState> effects(const LockState& state, const LockCall& call, Interval when,
                                      Eviction eviction = Eviction::possible) {
  using Status = LockAnswer::Status;
  std::vector<LockState> after;
  if (call.kind == LockCall::Kind::close) after.push_back(*apply(state, call, {}, when));
  const bool locks = call.kind == LockCall::Kind::lock || call.kind == LockCall::Kind::wait;
  if (!locks && call.kind != LockCall::Kind::unlock) return after;
  for (const Status status : {Status::ok, Status::transferred, Status::renewed}) {
    if (auto next = apply(state, call, {.status = status}, when, eviction)) after.push_back(*next);
  }
  return after;
}

}    // namespace keyrack::reference
