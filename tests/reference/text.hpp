// Calls, answers and states of the reference rules, for people who look for what went wrong.
#pragma once

#include "sequential_model.hpp"

#include <fmt/format.h>

#include <array>
#include <string>

namespace keyrack::reference {

inline std::string text(std::optional<Instant> span) { return span ? fmt::format("{} us", *span / 1000) : "none"; }

inline std::string text(const LockCall& call) {
  static constexpr std::array kNames{"lock", "wait", "unlock", "check", "confirm", "close", "death"};
  const char* name = kNames[static_cast<std::size_t>(call.kind)];
  switch (call.kind) {
    case LockCall::Kind::lock:
    case LockCall::Kind::wait:
      return fmt::format("{} by s{}{}, level {}{}, lease {}, time to live {}", name, call.signee,
                         call.bound ? fmt::format(", bound to {}", call.process) : "", call.level,
                         call.force ? ", force" : "", text(call.duration), text(call.time_to_live));
    case LockCall::Kind::unlock:
      return fmt::format("unlock by s{} in {}", call.signee, call.process);
    case LockCall::Kind::confirm:
      return fmt::format("confirm token {}", call.token);
    case LockCall::Kind::check:
      return name;
    case LockCall::Kind::close:
    case LockCall::Kind::death:
      return fmt::format("{} of {}", name, call.process);
  }
  return {};
}

inline const char* text(LockAnswer::Status status) {
  static constexpr std::array kNames{
      "ok",         "transferred", "renewed",   "forbidden", "timed_out", "would_deadlock",
      "table_full", "no_lock",     "not_found", "lost"};
  return kNames[static_cast<std::size_t>(status)];
}

inline std::string text(const LockAnswer& answer) {
  return fmt::format("{}{}{}{}", text(answer.status),
                     answer.signee == kAnySignee ? "" : fmt::format(" s{}", answer.signee),
                     answer.token == kAnyToken ? "" : fmt::format(", token {}", answer.token),
                     answer.expires_in ? ", left " + text(answer.expires_in) : "");
}

/// `origin`: from which instants are counted.
inline std::string text(const End& end, Instant origin) {
  const auto instant = [&](Instant at) {
    return at == kNever ? "never" : at == kAlways ? "at once" : fmt::format("{:.3f} us", double(at - origin) / 1000);
  };
  return end.earliest == end.latest ? instant(end.earliest) : instant(end.earliest) + " to " + instant(end.latest);
}

inline std::string text(const LockState& state, Instant origin) {
  if (!state.grant) return fmt::format("not held, tokens above {}", state.floor);
  const Grant& grant = *state.grant;
  return fmt::format("held by s{}{}{}, level {}, token {}, lease ends {}, gone {}", grant.signee,
                     grant.bound ? fmt::format(", bound to {}", grant.process) : "",
                     grant.abandoned ? " that has died" : "", grant.level,
                     grant.token == kAnyToken ? fmt::format("from {}", state.floor) : std::to_string(grant.token),
                     text(grant.lease, origin), text(grant.gone, origin));
}

inline std::string text(const NamesCall& call) {
  static constexpr std::array kNames{"acquire",   "try_acquire", "keep_alive", "release",   "release of a held",
                                     "status",    "list",        "reset",      "keep_loan", "close",
                                     "close_one", "death",       "undo"};
  return fmt::format("{} {}, loan {:x}{} in {}", kNames[static_cast<std::size_t>(call.kind)], call.number, call.loan,
                     call.bound ? ", bound" : "", call.process);
}

inline const char* text(NamesAnswer::Status status) {
  static constexpr std::array kNames{"ok", "in_use", "not_exist", "table_full", "lost", "listed free", "listed held"};
  return kNames[static_cast<std::size_t>(status)];
}

inline std::string text(const NamesAnswer& answer) { return fmt::format("{} {}", text(answer.status), answer.number); }

inline std::string text(const NamesState& state, Instant) {
  std::string all;
  for (Number number = 0; number < state.names.size(); ++number) {
    const NameState& name = state.names[number];
    all += fmt::format("{}: {}; ", number,
                       !name.held ? "free"
                                  : fmt::format("loan {:x}{}", name.loan,
                                                name.bound ? fmt::format(" bound to {}", name.process) : ""));
  }
  return all.empty() ? "no names" : all;
}

}    // namespace keyrack::reference
