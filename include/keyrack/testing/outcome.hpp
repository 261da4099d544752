// What a call came to, in one word: results that compare and print well in tests.
#pragma once

#include <keyrack/keyrack.hpp>

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

namespace keyrack::testing {

/// "forbidden", "table_full", …: the enumerator, so that no test depends on a wording.
inline std::string outcome(std::error_code code) {
  static constexpr std::array kNames{"ok",
                                     "forbidden",
                                     "bad_request",
                                     "not_found",
                                     "in_use",
                                     "not_exist",
                                     "timed_out",
                                     "table_full",
                                     "session_limit",
                                     "bad_url",
                                     "unknown_backend",
                                     "no_segment",
                                     "incompatible_segment",
                                     "corrupt_segment",
                                     "permission_denied",
                                     "backend_unavailable",
                                     "lost",
                                     "would_deadlock"};
  if (!code) return kNames[0];
  const auto value = static_cast<std::size_t>(code.value());
  if (code.category() == category() && value < kNames.size()) return kNames[value];
  return code.category().name() + (":" + code.message());
}

inline std::string outcome(LockStatus status) {
  static constexpr std::array kNames{"failed", "ok", "transferred", "renewed"};
  return kNames[static_cast<std::size_t>(status)];
}

inline std::string outcome(UnlockStatus status) {
  static constexpr std::array kNames{"failed", "ok", "no_lock"};
  return kNames[static_cast<std::size_t>(status)];
}

/// "ok", "transferred from anna", "renewed".
inline std::string outcome(const LockResponse& response) {
  return outcome(response.status) + (response.previous_signee.empty() ? "" : " from " + response.previous_signee);
}

inline std::string outcome(const UnlockResponse& response) { return outcome(response.status); }

/// "anna".
inline std::string outcome(const CheckResponse& response) { return response.signee; }

/// The name itself.
inline std::string outcome(const std::string& name) { return name; }
inline std::string outcome(const HeldName& held) { return held.name(); }

/// "2 names".
inline std::string outcome(const std::vector<Name>& names) { return std::to_string(names.size()) + " names"; }

template <class Service>
std::string outcome(const std::unique_ptr<Service>&) {
  return "open";
}

template <class T, class E>
std::string outcome(const Result<T, E>& result) {
  if (!result) return outcome(std::error_code(result.error()));
  if constexpr (std::is_void_v<T>) {
    return "ok";
  } else {
    return outcome(*result);
  }
}

}    // namespace keyrack::testing
