// Words for what an inspector shows, the same in every command.
#pragma once

#include "output.hpp"

#include <keyrack/inspect.hpp>

#include <array>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>

namespace keyrack::command {

struct Counter {
  std::string_view name, help;
  std::uint64_t Counters::*value;
  std::string_view cause = {};    ///< of a transfer
};

inline constexpr std::array<Counter, 13> kCounters = {{
    {"grants", "Locks given to a new holder.", &Counters::grants},
    {"renewals", "Locks given again to the signee that had them.", &Counters::renewals},
    {"refusals", "Requests refused or timed out.", &Counters::refusals},
    {"lendings", "Names lent.", &Counters::lendings},
    {"inserts", "Keys given a record.", &Counters::inserts},
    {"evictions", "Records taken from an old key for a new one.", &Counters::evictions},
    {"transfers_expired", "Locks taken from a signee whose lease was past.", &Counters::transfers_expired, "expired"},
    {"transfers_abandoned", "Locks taken from a signee whose process had died.", &Counters::transfers_abandoned,
     "abandoned"},
    {"transfers_outranked", "Locks taken from a living signee of a lower level.", &Counters::transfers_outranked,
     "outranked"},
    {"transfers_forced", "Locks taken from a living signee by force.", &Counters::transfers_forced, "forced"},
    {"waits", "Calls that slept.", &Counters::waits},
    {"deadlocks", "Cycles of waiters broken.", &Counters::deadlocks},
    {"recoveries", "Dead sessions cleared up after.", &Counters::recoveries},
}};

struct TimesName {
  std::string_view name, help;
  Histogram Snapshot::*times;
};

inline constexpr std::array<TimesName, 2> kTimes = {{
    {"waiting", "How long calls slept.", &Snapshot::waiting},
    {"holding", "How long locks were held: one grant of 64.", &Snapshot::holding},
}};

/// Below this so many of a hundred were, in microseconds: a power of two. 0 if there are none.
inline std::uint64_t percentile_us(const Histogram& times, unsigned percent) {
  const auto all = std::accumulate(times.counts.begin(), times.counts.end(), std::uint64_t{0});
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < times.counts.size(); ++i) {
    below += times.counts[i];
    if (below > 0 && below * 100 >= all * percent) return std::uint64_t{1} << i;
  }
  return 0;
}

/// {"sum": 12, "counts": [...]}: counts[i] were below 2^i microseconds, and not below half of that.
inline void write_times(Json& json, const Snapshot& snapshot) {
  for (const TimesName& times : kTimes) {
    const Histogram& histogram = snapshot.*times.times;
    json.key(std::string(times.name) + "_us").begin_object().member("sum", histogram.sum.count());
    json.key("counts").begin_array();
    for (const std::uint64_t count : histogram.counts) json.value(count);
    json.end_array().end_object();
  }
}

inline std::string_view lifetime_of(const auto& lock_or_name) {
  return lock_or_name.process_bound ? "process" : "lease";
}
inline std::string_view state_of(const NamePicture& name) { return name.free ? "free" : "held"; }
inline std::string_view state_of(const SessionPicture& session) { return session.alive ? "alive" : "dead"; }

inline Colour colour_of(LockState state) {
  return state == LockState::held        ? Colour::green
         : state == LockState::stale     ? Colour::yellow
         : state == LockState::abandoned ? Colour::red
                                         : Colour::plain;
}

/// "orders: 3 of 65536 slots used, 2 of 1024 sessions, 12.3 MiB".
inline std::string describe(const SegmentPicture& segment) {
  return fmt::format("{}: {} of {} slots used, {} of {} sessions, {}", printable(segment.name), segment.used,
                     segment.slots, segment.sessions, segment.session_slots, people_bytes(segment.bytes));
}

/// Of a copied segment: whom it shows as alive may be dead since.
inline std::string about_copy(const Snapshot& snapshot) {
  return fmt::format("a copy: times and who was alive are as of {}", iso_time(snapshot.taken_until));
}

}    // namespace keyrack::command
