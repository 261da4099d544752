// Durations as people write them.
#include "duration.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

namespace keyrack {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t ns;
};

constexpr std::array kUnits{Unit{"h", 3'600'000'000'000}, Unit{"m", 60'000'000'000}, Unit{"s", 1'000'000'000},
                            Unit{"ms", 1'000'000},        Unit{"us", 1'000},         Unit{"ns", 1}};

}    // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789";
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  if (text.empty()) return std::nullopt;
  std::uint64_t total = 0;
  for (auto unit = kUnits.begin(); !text.empty(); ++unit) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.begin(), text.end(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.begin()));
    const std::string_view name = text.substr(0, text.find_first_of(kDigits));
    while (unit != kUnits.end() && unit->name != name) ++unit;
    if (unit == kUnits.end() || number > (kMax - total) / unit->ns) return std::nullopt;
    total += number * unit->ns;
    text.remove_prefix(name.size());
  }
  return std::chrono::nanoseconds(static_cast<std::int64_t>(total));
}

std::string format_duration(std::chrono::nanoseconds duration) {
  const std::int64_t ns = duration.count();
  // Unsigned, for the lowest value has no positive counterpart.
  std::uint64_t left = ns < 0 ? 0 - static_cast<std::uint64_t>(ns) : static_cast<std::uint64_t>(ns);
  if (left == 0) return "0s";
  std::string text = ns < 0 ? "-" : "";
  for (const Unit& unit : kUnits) {
    if (left >= unit.ns) text += std::to_string(left / unit.ns).append(unit.name);
    left %= unit.ns;
  }
  return text;
}

}    // namespace keyrack
