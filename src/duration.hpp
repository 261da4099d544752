// Durations as people write them: 250ms, 10s, 1m30s, 2h.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace keyrack {

/// One or more of NUMBER UNIT, each unit smaller than the one before it; units h, m, s, ms, us, ns. Empty where it is
/// anything else (a sign, a blank, a fraction, a bare number), or does not fit.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view);

/// The same shape, without parts that are zero; "0s" for nothing, and a '-' before a negative one.
std::string format_duration(std::chrono::nanoseconds);

}    // namespace keyrack
