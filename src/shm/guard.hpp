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

/// Runs a call; an error code instead of whatever it throws.
template <class Call>
auto guarded(Call&& call) -> decltype(call()) {
  using Error = typename decltype(call())::error_type;
  const auto error = [](Errc code) {
    if constexpr (std::is_same_v<Error, Refusal>) {
      return Refusal{make_error_code(code), {}, 0, 0, 0};
    } else {
      return make_error_code(code);
    }
  };
  try {
    return call();
  } catch (const table::Corruption&) {
    return error(Errc::corrupt_segment);
  } catch (const std::bad_alloc&) {
    return error(Errc::backend_unavailable);
  } catch (const std::system_error&) {
    return error(Errc::backend_unavailable);
  }
}

}    // namespace keyrack::shm
