// Looking at a segment without disturbing anyone: the picture behind `keyrack dump`, `waits`, `top`, `verify` and more.
//
// Everything is read through a read-only mapping: nothing is written, no session is taken, nobody waits. Each record
// is consistent in itself; the whole was seen between `taken_from` and `taken_until`.
#pragma once

#include <keyrack/errors.hpp>

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack {

enum class LockState {
  held,
  stale,        ///< its lease is past; the next asker takes it
  abandoned,    ///< its process died; the next asker takes it
  idle,         ///< unlocked, kept for speed
};

/// held, stale, abandoned, idle.
KEYRACK_API std::string_view to_string(LockState) noexcept;

struct LockPicture {
  std::string signature, signee;    ///< any bytes but NUL
  std::int32_t level = 0;
  LockState state = LockState::held;
  bool process_bound = false;
  std::uint64_t token = 0;
  std::int32_t pid = 0;
  std::optional<std::chrono::milliseconds> held_for;      ///< empty if idle, or not known (granted an instant ago)
  std::optional<std::chrono::milliseconds> expires_in;    ///< empty without a lease; negative once stale
  std::uint32_t waiters = 0;
  std::uint32_t record = 0;                ///< index of its record
  std::optional<std::uint32_t> session;    ///< slot of whose grant it is, for as long as that session lives
  /// When the first of its ends comes, max() for never: between two pictures of one grant it shows a renewal.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
};

struct NamePicture {
  std::string family, name;
  bool free = false;
  bool process_bound = false;
  std::int32_t pid = 0;    ///< 0 while free
  std::chrono::system_clock::time_point created_at, updated_at;
};

/// What was counted; each thread counts in words of its own, so there is no order between two of these. They never
/// fall.
struct Counters {
  std::uint64_t grants = 0;                 ///< locks given to a new holder, transfers included
  std::uint64_t renewals = 0;               ///< locks given again to the signee that had them
  std::uint64_t refusals = 0;               ///< forbidden and timed out
  std::uint64_t lendings = 0;               ///< names lent: acquire, try_acquire, hold
  std::uint64_t inserts = 0;                ///< keys given a record
  std::uint64_t evictions = 0;              ///< records taken from an old key for a new one
  std::uint64_t transfers_expired = 0;      ///< locks taken from a signee whose lease was past
  std::uint64_t transfers_abandoned = 0;    ///< locks taken from a signee whose process had died
  std::uint64_t transfers_outranked = 0;    ///< locks taken from a living signee of a lower level
  std::uint64_t transfers_forced = 0;       ///< locks taken from a living signee by force
  std::uint64_t waits = 0;                  ///< calls that slept
  std::uint64_t deadlocks = 0;              ///< cycles broken
  std::uint64_t recoveries = 0;             ///< dead sessions cleared up after

  std::uint64_t transfers() const {
    return transfers_expired + transfers_abandoned + transfers_outranked + transfers_forced;
  }
};

/// Durations by their length: `counts[i]` were below 2^i microseconds and not below half of that; the last one, all
/// that were longer.
struct Histogram {
  std::array<std::uint64_t, 28> counts{};
  std::chrono::microseconds sum{};
};

struct SessionPicture {
  std::uint32_t slot = 0;
  std::int32_t pid = 0;               ///< as the process sees itself
  std::uint64_t pid_namespace = 0;    ///< inode of the PID namespace that its pid is of, 0 if unknown
  bool alive = false;
  std::string command;
  /// Held now and bound to this process: leases are anybody's, and the locks of the dead are abandoned.
  std::uint32_t locks_held = 0;
  std::uint32_t names_held = 0;
  std::chrono::system_clock::time_point attached_at;
  Counters counters;    ///< since then
};

struct WaiterPicture {
  std::string signature;    ///< empty if its record changed under our eyes
  std::string signee;
  std::int32_t level = 0, pid = 0;
  std::uint32_t session = 0;    ///< slot
  std::chrono::milliseconds waited{};
};

struct SegmentPicture {
  std::string name;
  std::uint32_t layout_version = 0;
  std::uint32_t slots = 0;
  std::uint32_t used = 0;        ///< records that are not free: held, stale, abandoned, idle, names
  std::uint32_t sessions = 0;    ///< attached now
  std::uint32_t session_slots = 0, max_signature = 0, max_signee = 0;
  std::uint64_t bytes = 0;
  std::chrono::system_clock::time_point created_at;
  std::uint32_t high_water = 0;    ///< no more records than these were ever in use
};

struct Snapshot {
  SegmentPicture segment;
  std::vector<LockPicture> locks;          ///< in no order
  std::vector<NamePicture> names;          ///< by family, then by number
  std::vector<SessionPicture> sessions;    ///< alive, and dead with something left to clear up; by slot
  std::vector<WaiterPicture> waiters;      ///< longest first
  Counters counters;                       ///< since the segment was created
  Histogram waiting;                       ///< of calls that slept, from falling asleep to the end of the call
  Histogram holding;    ///< of one grant of 64, at random, if the thread that got it gave it back itself
  std::chrono::system_clock::time_point taken_from, taken_until;
};

/// One invariant that does not hold.
struct Finding {
  std::string place;     ///< "record 17", "bucket 3", "header"
  std::string what;      ///< what is wrong there
  std::string remedy;    ///< what it does to users, and what to do
  std::string key;       ///< of the record, a lock's or FAMILY/NAME; empty if there is none, or it cannot be read
};

/// A read-only view of a live segment. Not safe to use from two threads at once.
class KEYRACK_API Inspector {
 public:
  virtual ~Inspector();
  /// Errors: corrupt_segment.
  virtual Result<Snapshot> snapshot(bool with_idle = false) const = 0;
  /// One key without a walk over the table: cheap enough to look again and again. Empty without a record; idle is told.
  /// Errors: bad_request, corrupt_segment.
  virtual Result<std::optional<LockPicture>> look_at(std::string_view signature) const = 0;
  /// Checks every invariant that holds at any instant, and on a quiet segment those that hold between calls, too.
  /// Throws std::bad_alloc when memory runs out.
  virtual std::vector<Finding> verify() const = 0;
};

/// Errors: no_segment, permission_denied, incompatible_segment, corrupt_segment, bad_url for a name that no segment can
/// have.
KEYRACK_API Result<std::unique_ptr<Inspector>, OpenError> open_inspector(std::string_view segment_name);

/// The same for a file that is a copy of a segment's, of whichever host and boot. What it shows is as it was then, also
/// who was alive; the time is the file's, or the latest that is told in it. A copy that was made while others worked
/// shows each record as it was when its bytes were read, and verify() may find what never was.
/// Errors: no_segment, permission_denied, incompatible_segment (of another layout), corrupt_segment.
KEYRACK_API Result<std::unique_ptr<Inspector>, OpenError> open_inspector_of_copy(std::string_view path);

}    // namespace keyrack
