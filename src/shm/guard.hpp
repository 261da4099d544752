// Where calls begin and end: bad input is refused before anything is touched, and what is thrown inside becomes an
// error.
#pragma once

#include "table/table.hpp"

#include <keyrack/errors.hpp>

#include <cstring>
#include <new>
#include <string_view>
#include <system_error>

namespace keyrack::shm {

/// 1 to `max` bytes, none of them NUL.
inline bool is_text(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max && std::memchr(text.data(), 0, text.size()) == nullptr;
}

template <class Error>
Error error_of(Errc code) {
  if constexpr (std::is_same_v<Error, Refusal>) {
    return Refusal{make_error_code(code), {}, 0, 0, 0};
  } else {
    return make_error_code(code);
  }
}

/// What is in flight as an error; what keyrack does not throw flies on.
template <class Error>
[[gnu::noinline, gnu::cold]] Error error_in_flight() {
  try {
    throw;
  } catch (const table::Corruption&) {
    return error_of<Error>(Errc::corrupt_segment);
  } catch (const std::bad_alloc&) {
    return error_of<Error>(Errc::backend_unavailable);
  } catch (const std::system_error&) {
    return error_of<Error>(Errc::backend_unavailable);
  }
}

/// Runs a call; an error code instead of whatever it throws.
template <class Call>
[[gnu::always_inline]] inline auto guarded(Call&& call) -> decltype(call()) {
  try {
    return call();
  } catch (...) {
    return error_in_flight<typename decltype(call())::error_type>();
  }
}

}    // namespace keyrack::shm
