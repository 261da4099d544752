// The rules of the names as a relation, one family at a time and one call after the other, as lock_rules.hpp for locks.
#pragma once

#include "time.hpp"

#include <algorithm>
#include <vector>

namespace keyrack::reference {

using Number = std::uint32_t;
using Loan = std::uint64_t;    // one for each time that a name is lent out: the caller counts them

struct NameState {
  bool held = false, bound = false;    // bound: by hold or try_hold, and kept alive by that process
  Process process = 0;
  Loan loan = 0;
  Interval updated = {};    // when it was last acquired or kept alive
  friend auto operator<=>(const NameState&, const NameState&) = default;

  bool may_be_free(Interval when, std::optional<Instant> age) const {
    return !held || (age && when.to - updated.from > *age);
  }
  bool may_be_held(Interval when, std::optional<Instant> age) const {
    return held && (!age || bound || when.from - updated.to <= *age + kTick);
  }
};

struct NamesState {
  std::vector<NameState> names;    // by number; all that were ever registered
  friend auto operator<=>(const NamesState&, const NamesState&) = default;
};

struct NamesCall {
  enum class Kind : std::uint8_t {
    acquire,
    try_acquire,
    keep_alive,
    release,
    release_loan,    // of a held name
    status,          // of a held name
    list,            // one name of what list() told
    reset,
    keep_loan,    // alive, which the keeper of a held name does
    close,        // these three: of a process
    close_one,    // its part for one name: closing gives them back one after the other
    death,
    undo,    // of a hold without an answer, by whoever asked for it: whichever name it got
  };
  Kind kind = Kind::acquire;
  Process process = 0;
  bool bound = false;    // hold, try_hold
  Number number = 0;
  Loan loan = 0;    // a new one for acquire and try_acquire
  std::optional<Instant> auto_release_after = {};
};

struct NamesAnswer {
  enum class Status : std::uint8_t { ok, in_use, not_exist, table_full, lost, listed_free, listed_held };
  Status status = Status::ok;
  Number number = 0;    // acquire
};

/// The state after the call, if it may have been answered so; else nothing. `passed_over`: names that others were
/// giving back at that very moment, which acquire may not see yet.
inline std::optional<NamesState> apply(NamesState state, const NamesCall& call, const NamesAnswer& answer,
                                       Interval when, const std::vector<Number>& passed_over = {}) {
  using Kind = NamesCall::Kind;
  using Status = NamesAnswer::Status;
  const auto age = call.auto_release_after;
  auto& names = state.names;
  const auto count = static_cast<Number>(names.size());
  NameState* name = call.number < count ? &names[call.number] : nullptr;
  const bool ours = name != nullptr && name->held && name->loan == call.loan;

  const auto lend = [&](NameState& taken) {
    taken = {.held = true, .bound = call.bound, .process = call.process, .loan = call.loan, .updated = when};
  };
  const auto none_lower = [&](Number end) {
    for (Number number = 0; number < end; ++number) {
      const bool unseen = std::find(passed_over.begin(), passed_over.end(), number) != passed_over.end();
      if (!unseen && !names[number].may_be_held(when, age)) return false;
    }
    return true;
  };

  bool allowed = false;
  switch (call.kind) {
    case Kind::acquire:
      if (answer.status == Status::table_full) {
        allowed = none_lower(count);
      } else if (answer.status == Status::ok && answer.number <= count && none_lower(answer.number)) {
        if (answer.number == count) names.emplace_back();
        allowed = names[answer.number].may_be_free(when, age);
        lend(names[answer.number]);
      }
      break;
    case Kind::try_acquire:
      if (name == nullptr) {
        allowed = answer.status == Status::not_exist;
      } else if (answer.status == Status::in_use) {
        allowed = name->may_be_held(when, age);
      } else if (answer.status == Status::ok) {
        allowed = name->may_be_free(when, age);
        lend(*name);
      }
      break;
    case Kind::keep_alive:
      allowed = answer.status == Status::ok;
      if (name != nullptr && name->may_be_held(when, age)) {
        name->updated.to = when.to;
        if (!name->may_be_free(when, age)) name->updated = when;
      }
      break;
    case Kind::release:
      allowed = answer.status == Status::ok;
      if (name != nullptr) name->held = false;
      break;
    case Kind::release_loan:
      allowed = answer.status == (ours ? Status::ok : Status::lost);
      if (ours) name->held = false;
      break;
    case Kind::keep_loan:
    case Kind::status:
      allowed = answer.status == Status::lost ? !ours || name->may_be_free(when, age)
                                              : answer.status == Status::ok && ours && name->may_be_held(when, age);
      if (allowed && call.kind == Kind::keep_loan && answer.status == Status::ok) name->updated = when;
      break;
    case Kind::list:
      if (name == nullptr) {
        allowed = answer.status == Status::not_exist;
      } else {
        allowed = answer.status == Status::listed_free   ? name->may_be_free(when, age)
                  : answer.status == Status::listed_held ? name->may_be_held(when, age)
                                                         : false;
      }
      break;
    case Kind::reset:
      allowed = true;
      names.clear();
      break;
    case Kind::close_one:
      allowed = true;
      if (name != nullptr && name->bound && name->process == call.process) name->held = false;
      break;
    case Kind::undo:
      allowed = true;
      for (NameState& one : names) {
        if (one.held && one.loan == call.loan) one.held = false;
      }
      break;
    case Kind::close:
    case Kind::death:
      allowed = true;
      for (NameState& one : names) {
        if (one.bound && one.process == call.process) one.held = false;
      }
      break;
  }
  if (!allowed) return {};
  return state;
}

}    // namespace keyrack::reference
