// Where calls begin and end: what is thrown inside becomes an error.
#pragma once

#include "etcd/client.hpp"
#include "etcd/records.hpp"

#include <cstring>
#include <exception>
#include <new>
#include <string_view>
#include <system_error>
#include <type_traits>

namespace keyrack::etcd {

/// 1 to `max` bytes, none of them NUL.
inline bool is_text(std::string_view text, std::size_t max) {
  return !text.empty() && text.size() <= max && std::memchr(text.data(), 0, text.size()) == nullptr;
}

inline Refusal refused(std::error_code code) { return {code, {}, 0, 0, 0}; }

/// What a call without an answer tells its caller. That there is no lease concerns nobody else.
inline std::error_code error_of(const Trouble& trouble) {
  return trouble.code == Errc::lost ? Errc::backend_unavailable : trouble.code;
}

/// Runs a call; an error instead of whatever it throws.
template <class Call>
auto guarded(Call&& call) -> decltype(call()) {
  const auto failed = [](Errc code) -> decltype(call()) {
    if constexpr (std::is_same_v<typename decltype(call())::error_type, Refusal>) {
      return refused(make_error_code(code));
    } else {
      return make_error_code(code);
    }
  };
  try {
    return call();
  } catch (const Corruption&) {
    return failed(Errc::corrupt_segment);
  } catch (const std::bad_alloc&) {
    return failed(Errc::backend_unavailable);
  } catch (const std::system_error&) {
    return failed(Errc::backend_unavailable);
  }
}

}    // namespace keyrack::etcd
