#include "table/grants.hpp"

#include <limits>

namespace keyrack::table {

namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kForEver = std::chrono::hours(24 * 365 * 9);    // ticks reach that far

/// A lease is rounded up, so that it never ends early; one that is not positive ends at once.
Tick tick_of_end(const Table& table, std::int64_t now_ns, nanoseconds span) {
  std::int64_t end = 0;
  if (__builtin_add_overflow(now_ns, span.count(), &end)) {
    end =
        span.count() > 0 ? std::numeric_limits<std::int64_t>::max() / 2 : std::numeric_limits<std::int64_t>::min() / 2;
  }
  return span.count() > 0 ? table.tick_after(end) : table.tick(end);
}

/// From the end of the shorter of two spans to that of the longer: rounded up as well, and by one more tick where the
/// end of the shorter was rounded down.
Tick gap_between(nanoseconds shorter, nanoseconds longer) {
  std::int64_t gap = 0;
  if (__builtin_sub_overflow(longer.count(), shorter.count(), &gap)) gap = std::numeric_limits<std::int64_t>::max();
  const Tick whole = static_cast<Tick>(gap) >> kTickShift;
  if (longer.count() <= 0) return whole;
  const bool rest = static_cast<Tick>(gap) % (Tick{1} << kTickShift) != 0;
  return whole + (rest ? 1 : 0) + (shorter.count() <= 0 ? 1 : 0);
}

/// The terms of a grant with two ends. What ended days ago may lie before the segment's epoch, where no tick can say by
/// how much: it ended a day ago.
Ends ends_of_both(const Table& table, nanoseconds shorter, nanoseconds longer, Now& now, Tick Ends::*gap) {
  shorter = std::max<nanoseconds>(shorter, -std::chrono::hours(24));
  longer = std::max(shorter, longer);
  Ends ends{tick_of_end(table, now.ns(), shorter), 0, 0};
  ends.*gap = gap_between(shorter, longer);
  return ends;
}

}    // namespace

Ends ends_of_some(const Table& table, std::optional<nanoseconds> duration, std::optional<nanoseconds> time_to_live,
                  Now& now) {
  const nanoseconds lease = duration.value_or(nanoseconds::max()), life = time_to_live.value_or(nanoseconds::max());
  const bool has_lease = lease <= kForEver, has_life = life <= kForEver;
  if (!has_lease && !has_life) return {kNever, 0, kNever};
  if (!has_life) return {tick_of_end(table, now.ns(), lease), 0, kNever};
  if (!has_lease) return {tick_of_end(table, now.ns(), life), kNever, 0};
  if (lease <= life) return ends_of_both(table, lease, life, now, &Ends::gone_gap);
  return ends_of_both(table, life, lease, now, &Ends::lease_gap);
}

}    // namespace keyrack::table
