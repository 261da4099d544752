// What keyrack answers, in the terms of the reference rules. Signees are numbers in the rules and "s0", "s1", … for
// keyrack; of a holder's process only its pid is told.
#pragma once

#include "sequential_model.hpp"

#include <keyrack/keyrack.hpp>

#include <charconv>
#include <chrono>
#include <stdexcept>
#include <string>

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

/// Whether the call took effect is not known.
struct Unavailable : std::runtime_error {
  Unavailable() : std::runtime_error("no answer") {}
};

/// Throws Unavailable for backend_unavailable, and another for an answer that the rules do not know, such as
/// corrupt_segment: never right here.
inline LockAnswer::Status status_of(std::error_code code) {
  using Status = LockAnswer::Status;
  if (code == Errc::forbidden) return Status::forbidden;
  if (code == Errc::timed_out) return Status::timed_out;
  if (code == Errc::would_deadlock) return Status::would_deadlock;
  if (code == Errc::table_full) return Status::table_full;
  if (code == Errc::not_found) return Status::not_found;
  if (code == Errc::lost) return Status::lost;
  if (code == Errc::backend_unavailable) throw Unavailable();
  throw std::runtime_error("an answer that no rule knows: " + code.message());
}

inline LockAnswer refusal_of(const Refusal& refusal) {
  return {.status = status_of(refusal.code),
          .token = refusal.token,
          .signee = refusal.holder.empty() ? kAnySignee : signee_number(refusal.holder),
          .level = refusal.level,
          .process = static_cast<Process>(refusal.pid)};
}

inline LockAnswer answer_of(const Result<LockResponse, Refusal>& granted) {
  using Status = LockAnswer::Status;
  if (!granted) return refusal_of(granted.error());
  if (granted->token == 0) throw std::runtime_error("a grant without a token");
  LockAnswer answer{.status = granted->status == LockStatus::ok            ? Status::ok
                              : granted->status == LockStatus::transferred ? Status::transferred
                                                                           : Status::renewed,
                    .token = granted->token};
  if (answer.status == Status::transferred) answer.signee = signee_number(granted->previous_signee);
  return answer;
}

inline LockAnswer answer_of(const Result<UnlockResponse, Refusal>& unlocked) {
  using Status = LockAnswer::Status;
  if (!unlocked) return refusal_of(unlocked.error());
  return {.status = unlocked->status == UnlockStatus::ok ? Status::ok : Status::no_lock};
}

inline LockAnswer answer_of(const Result<CheckResponse>& told) {
  if (!told) return {.status = status_of(told.error())};
  LockAnswer answer{.token = told->token,
                    .signee = signee_number(told->signee),
                    .level = told->level,
                    .process = static_cast<Process>(told->pid)};
  if (told->expires_in) answer.expires_in = told->expires_in->count();
  return answer;
}

inline LockAnswer answer_of(const Result<void>& confirmed) {
  return {.status = confirmed ? LockAnswer::Status::ok : status_of(confirmed.error())};
}

inline NamesAnswer::Status name_status_of(std::error_code code) {
  using Status = NamesAnswer::Status;
  if (!code) return Status::ok;
  if (code == Errc::in_use) return Status::in_use;
  if (code == Errc::not_exist) return Status::not_exist;
  if (code == Errc::table_full) return Status::table_full;
  if (code == Errc::lost) return Status::lost;
  if (code == Errc::backend_unavailable) throw Unavailable();
  throw std::runtime_error("an answer that no rule knows: " + code.message());
}

template <class Answer>
NamesAnswer::Status name_status_of(const Result<Answer>& result) {
  return name_status_of(result ? std::error_code() : result.error());
}

}    // namespace keyrack::reference
