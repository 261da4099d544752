#include "table/grants.hpp"

#include <limits>

namespace keyrack::table {

namespace {

using std::chrono::nanoseconds;

/// A lease is rounded up, so that it never ends early; one that is not positive ends at once.
Tick tick_of_end(const Table& table, std::int64_t now_ns, nanoseconds span) {
  std::int64_t end = 0;
  if (__builtin_add_overflow(now_ns, span.count(), &end)) {
    end =
        span.count() > 0 ? std::numeric_limits<std::int64_t>::max() / 2 : std::numeric_limits<std::int64_t>::min() / 2;
  }
  return span.count() > 0 ? table.tick_after(end) : table.tick(end);
}

Tick ticks(nanoseconds shorter, nanoseconds longer) {
  std::int64_t gap = 0;
  if (__builtin_sub_overflow(longer.count(), shorter.count(), &gap)) gap = std::numeric_limits<std::int64_t>::max();
  return static_cast<Tick>(gap) >> kTickShift;
}

}    // namespace

Ends ends_of_some(const Table& table, std::optional<nanoseconds> duration, std::optional<nanoseconds> time_to_live,
                  Now& now) {
  if (!time_to_live) return {tick_of_end(table, now.ns(), *duration), 0, kNever};
  if (!duration) return {tick_of_end(table, now.ns(), *time_to_live), kNever, 0};
  if (*duration <= *time_to_live) {
    return {tick_of_end(table, now.ns(), *duration), 0, ticks(*duration, *time_to_live)};
  }
  return {tick_of_end(table, now.ns(), *time_to_live), ticks(*time_to_live, *duration), 0};
}

}    // namespace keyrack::table
