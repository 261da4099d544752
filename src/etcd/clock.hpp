// The wall clock, and what it tells about instants that were written by another one; the clock since boot.
#pragma once

#include "etcd/options.hpp"
#include "etcd/records.hpp"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <optional>

namespace keyrack::etcd {

/// How far this process's wall clock is ahead of the host's: for tests, which set it.
inline std::atomic<nanoseconds> wall_clock_shift{};

inline Instant wall_clock() {
  const nanoseconds shift = wall_clock_shift.load(std::memory_order_relaxed);
  return std::chrono::duration_cast<nanoseconds>(std::chrono::system_clock::now().time_since_epoch() + shift).count();
}

/// An instant of the wall clock, as it stands now, on the host's monotonic one.
inline std::chrono::steady_clock::time_point as_steady(Instant when) {
  using std::chrono::steady_clock;
  if (when == kNever) return steady_clock::time_point::max();
  return steady_clock::now() + nanoseconds(when - wall_clock());
}

/// The host's clock, which never jumps, and goes on while the host is suspended.
inline nanoseconds since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return std::chrono::seconds(now.tv_sec) + nanoseconds(now.tv_nsec);
}

/// `error`: how far two clocks may be apart.
struct Clock {
  nanoseconds error;
  Instant now = wall_clock();

  /// For whoever set it: it believes no longer.
  bool is_past_for_its_owner(Instant when) const { return when != kNever && now >= when; }
  /// For others: it is past by every clock.
  bool is_past(Instant when) const { return when != kNever && now - error.count() >= when; }

  /// How long until it is past for others, if ever.
  std::optional<nanoseconds> until_past(Instant when) const {
    if (when > kNever - error.count()) return {};
    return nanoseconds(std::max<Instant>(when + error.count() - now, 0));
  }

  /// The end of a span that begins now; a negative one has ended by every clock.
  Instant after(const std::optional<nanoseconds>& span) const {
    if (!span || span->count() >= kNever - now) return kNever;
    if (span->count() >= 0) return now + span->count();
    return std::max<Instant>(now - 2 * error.count() + std::max<Instant>(span->count(), -now), 0);
  }
};

}    // namespace keyrack::etcd
