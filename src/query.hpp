// The parts of a URL that backends share: which bytes it may have, and its options as a query.
#pragma once

#include <keyrack/errors.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace keyrack::url {

OpenError bad_url(std::string detail);

/// A URL, or what follows its protocol, as it may be shown.
std::string without_password(std::string_view url);

/// Takes the value of one option; what is wrong with it, else empty.
using Setter = std::function<std::string(std::string_view value)>;
using Setters = std::map<std::string, Setter, std::less<>>;

Setter number_to(std::optional<std::uint32_t>&, std::uint32_t max);
Setter flag_to(bool&);
/// "none" empties it.
Setter duration_to(std::optional<std::chrono::nanoseconds>&);

/// What `encoded` says: bytes that a URL may have in a name, %HH for others. Errors:
/// bad_url; `where` says which part of the URL it is.
Result<std::string, OpenError> decode_name(std::string_view encoded, std::string_view where);

/// Gives each option of the URL to its setter, and what stands before them. Errors: bad_url, the detail names the
/// offending part.
Result<std::string_view, OpenError> parse_options(std::string_view rest, const Setters&);

}    // namespace keyrack::url
