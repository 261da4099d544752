// Puts the calls of the reference rules to real services, and says what they answered in the same terms.
// Signees are numbers in the rules and "s0", "s1", … for keyrack; of a holder's process only its pid is told.
#pragma once

#include "sequential_model.hpp"

#include <keyrack/keyrack.hpp>

#include <charconv>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <utility>

namespace keyrack::reference {

inline std::string signee_text(Signee signee) { return "s" + std::to_string(signee); }

inline Signee signee_number(const std::string& text) {
  Signee number = kAnySignee;
  std::from_chars(text.data() + 1, text.data() + text.size(), number);
  return number;
}

inline std::optional<std::chrono::nanoseconds> span_of(std::optional<Instant> span) {
  if (!span) return {};
  return std::chrono::nanoseconds(*span);
}

/// Throws for an answer that the rules do not know, such as corrupt_segment: never right here.
inline LockAnswer::Status status_of(std::error_code code) {
  using Status = LockAnswer::Status;
  if (code == Errc::forbidden) return Status::forbidden;
  if (code == Errc::timed_out) return Status::timed_out;
  if (code == Errc::would_deadlock) return Status::would_deadlock;
  if (code == Errc::table_full) return Status::table_full;
  if (code == Errc::not_found) return Status::not_found;
  if (code == Errc::lost) return Status::lost;
  throw std::runtime_error("an answer that no rule knows: " + code.message());
}

inline LockAnswer refusal_of(const Refusal& refusal) {
  return {.status = status_of(refusal.code),
          .token = refusal.token,
          .signee = refusal.holder.empty() ? kAnySignee : signee_number(refusal.holder),
          .level = refusal.level,
          .process = static_cast<Process>(refusal.pid)};
}

/// `until`: how long a `wait` may take, on the clock that keyrack reads.
inline LockAnswer ask(LockService& locks, std::string_view signature, const LockCall& call, Instant until) {
  using Status = LockAnswer::Status;
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
      if (!granted) return refusal_of(granted.error());
      if (granted->token == 0) throw std::runtime_error("a grant without a token");
      if (granted->status == LockStatus::transferred) {
        return {
            .status = Status::transferred, .token = granted->token, .signee = signee_number(granted->previous_signee)};
      }
      return {.status = granted->status == LockStatus::ok ? Status::ok : Status::renewed, .token = granted->token};
    }
    case LockCall::Kind::unlock: {
      const auto unlocked = locks.unlock({signature, signee});
      if (!unlocked) return refusal_of(unlocked.error());
      return {.status = unlocked->status == UnlockStatus::ok ? Status::ok : Status::no_lock};
    }
    case LockCall::Kind::check: {
      const auto told = locks.check(signature);
      if (!told) return {.status = status_of(told.error())};
      LockAnswer answer{.status = Status::ok,
                        .token = told->token,
                        .signee = signee_number(told->signee),
                        .level = told->level,
                        .process = static_cast<Process>(told->pid)};
      if (told->expires_in) answer.expires_in = told->expires_in->count();
      return answer;
    }
    case LockCall::Kind::confirm: {
      const auto confirmed = locks.confirm(signature, call.token);
      return {.status = confirmed ? Status::ok : status_of(confirmed.error())};
    }
    case LockCall::Kind::close:
    case LockCall::Kind::death:
      break;
  }
  throw std::logic_error("not a call");
}

inline NamesAnswer::Status name_status_of(std::error_code code) {
  using Status = NamesAnswer::Status;
  if (!code) return Status::ok;
  if (code == Errc::in_use) return Status::in_use;
  if (code == Errc::not_exist) return Status::not_exist;
  if (code == Errc::table_full) return Status::table_full;
  if (code == Errc::lost) return Status::lost;
  throw std::runtime_error("an answer that no rule knows: " + code.message());
}

template <class Answer>
NamesAnswer::Status name_status_of(const Result<Answer>& result) {
  return name_status_of(result ? std::error_code() : result.error());
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
    case Kind::list:
    case Kind::close:
    case Kind::death:
      break;
  }
  throw std::logic_error("not a call");
}

}    // namespace keyrack::reference
