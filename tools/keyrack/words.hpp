// Words for what an inspector shows, the same in every command.
#pragma once

#include "output.hpp"

#include <keyrack/inspect.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace keyrack::command {

struct Counter {
  std::string_view name, help;
  std::uint64_t Counters::*value;
};

inline constexpr std::array<Counter, 13> kCounters = {{
    {"grants", "Locks given to a new holder.", &Counters::grants},
    {"renewals", "Locks given again to the signee that had them.", &Counters::renewals},
    {"refusals", "Requests refused or timed out.", &Counters::refusals},
    {"lendings", "Names lent.", &Counters::lendings},
    {"inserts", "Keys given a record.", &Counters::inserts},
    {"evictions", "Records taken from an old key for a new one.", &Counters::evictions},
    {"transfers_expired", "Locks taken from a signee whose lease was past.", &Counters::transfers_expired},
    {"transfers_abandoned", "Locks taken from a signee whose process had died.", &Counters::transfers_abandoned},
    {"transfers_outranked", "Locks taken from a living signee of a lower level.", &Counters::transfers_outranked},
    {"transfers_forced", "Locks taken from a living signee by force.", &Counters::transfers_forced},
    {"waits", "Calls that slept.", &Counters::waits},
    {"deadlocks", "Cycles of waiters broken.", &Counters::deadlocks},
    {"recoveries", "Dead sessions cleared up after.", &Counters::recoveries},
}};

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

}    // namespace keyrack::command
