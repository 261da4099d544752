// Time in the reference rules: calls lie somewhere within an interval, and ends are known as intervals, too.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <limits>
#include <optional>

namespace keyrack::reference {

using Instant = std::int64_t;     // ns, of the clock that leases run on
using Process = std::uint32_t;    // one session of one process: after closing, a fork or a new start it is another
inline constexpr Instant kNever = std::numeric_limits<Instant>::max(), kAlways = std::numeric_limits<Instant>::min();
inline constexpr Instant kTick = 262'144;    // leases are rounded up to ticks

struct Interval {
  Instant from, to;
  friend auto operator<=>(const Interval&, const Interval&) = default;
};

/// `at` plus `span`, no further than for ever.
inline Instant later(Instant at, Instant span) {
  Instant sum = 0;
  return __builtin_add_overflow(at, span, &sum) ? (span > 0 ? kNever : kAlways) : sum;
}

/// When something ends: no sooner than `earliest`, by `latest`. It is past at an instant that is not before its end.
struct End {
  Instant earliest = kNever, latest = kNever;
  friend auto operator<=>(const End&, const End&) = default;

  /// Of a span that was asked for; what is not positive ends at once.
  static End of(std::optional<Instant> span, Interval when, Instant rounding) {
    if (!span) return {};
    if (*span <= 0) return {kAlways, kAlways};
    return {later(when.from, *span), later(later(when.to, *span), rounding)};
  }
  bool may_be_past(Interval when) const { return earliest <= when.to; }
  bool may_be_ahead(Interval when) const { return when.from < latest; }
  /// What was learnt: it was past, or ahead, at some instant of `when`.
  void was_past(Interval when) { latest = std::min(latest, when.to); }
  void was_ahead(Interval when) { earliest = std::max(earliest, when.from); }
};

}    // namespace keyrack::reference
