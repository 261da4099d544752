// Puts the calls of the reference rules to real services, and says what they answered in the same terms.
#pragma once

#include "answers.hpp"

#include <keyrack/keyrack.hpp>

#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace keyrack::reference {

/// `until`: how long a `wait` may take, on the clock that keyrack reads.
inline LockAnswer ask(LockService& locks, std::string_view signature, const LockCall& call, Instant until) {
  const std::string signee = signee_text(call.signee);
  switch (call.kind) {
    case LockCall::Kind::lock:
    case LockCall::Kind::wait: {
      const LockRequest request{signature, signee, call.level};
      const LockOptions options{call.force, span_of(call.duration), span_of(call.time_to_live),
                                call.bound ? Lifetime::process : Lifetime::lease};
      const auto granted =
          call.kind == LockCall::Kind::lock
              ? locks.lock(request, options)
              : locks.lock_until(request, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(until)),
                                 options);
      return answer_of(granted);
    }
    case LockCall::Kind::unlock:
      return answer_of(locks.unlock({signature, signee}));
    case LockCall::Kind::check:
      return answer_of(locks.check(signature));
    case LockCall::Kind::confirm:
      return answer_of(locks.confirm(signature, call.token));
    case LockCall::Kind::close:
    case LockCall::Kind::death:
      break;
  }
  throw std::logic_error("not a call");
}

using HeldNames = std::map<Loan, HeldName>;

/// Names that are held are put among `held`, and looked for there. All calls but list().
inline NamesAnswer ask(NameManager& names, std::string_view family, const NamesCall& call, HeldNames& held) {
  using Kind = NamesCall::Kind;
  const std::string name = std::to_string(call.number);
  const auto keep = [&](Result<HeldName> fresh) -> NamesAnswer {
    if (!fresh) return {.status = name_status_of(fresh.error())};
    const NamesAnswer answer{.number = static_cast<Number>(std::stoul(fresh->name()))};
    held.emplace(call.loan, std::move(*fresh));
    return answer;
  };
  const auto loan = held.find(call.loan);
  switch (call.kind) {
    case Kind::acquire: {
      if (call.bound) return keep(names.hold(family));
      const auto lent = names.acquire(family);
      if (!lent) return {.status = name_status_of(lent.error())};
      return {.number = static_cast<Number>(std::stoul(*lent))};
    }
    case Kind::try_acquire:
      if (call.bound) return keep(names.try_hold(family, name));
      return {.status = name_status_of(names.try_acquire(family, name))};
    case Kind::keep_alive:
      return {.status = name_status_of(names.keep_alive(family, name))};
    case Kind::release:
      return {.status = name_status_of(names.release(family, name))};
    case Kind::release_loan:
      return {.status = name_status_of(held.extract(loan).mapped().release())};
    case Kind::status:
      return {.status = name_status_of(loan->second.status())};
    case Kind::reset:
      return {.status = name_status_of(names.reset())};
    case Kind::keep_loan:    // its keeper does it
    case Kind::list:
    case Kind::close:
    case Kind::close_one:
    case Kind::death:
    case Kind::undo:
      break;
  }
  throw std::logic_error("not a call");
}

}    // namespace keyrack::reference
