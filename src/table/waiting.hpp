// Waiting for a record: who sleeps for what, in which order they are let in, and who waits for whom.
//
// Everything here but the sleep itself is advice: the cell alone decides who holds a lock, so that a waiter that is
// stopped, killed or lost delays others by a bounded time and never lets two in. Every sleep is bounded by a slice.
#pragma once

#include "table/grants.hpp"

namespace keyrack::table {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kSlice = 50 * kMs;         // the longest sleep: covers a waker that died before it woke anyone
constexpr std::int64_t kBlindSlice = 5 * kMs;     // the same on kernels that cannot wait for a death as well
constexpr std::int64_t kUrgentAfter = 2 * kMs;    // from then on newcomers queue behind
constexpr std::int64_t kGrace = 10 * kMs;         // how long others wait for one whose turn it is

/// Wakes the waiter that has waited longest for that record.
void wake_first_waiter(const Table&, RecordIndex);
/// Wakes all of them: the grant that they wait for has changed.
void wake_all_waiters(const Table&, RecordIndex);

/// One thread's place among the waiters. There may be none left; then it waits by slices, in no order.
class WaiterPlace {
 public:
  /// `claimant` says who waits; it stays pinned for as long.
  WaiterPlace(Session&, ClaimantIndex claimant, std::int64_t now_ns);
  ~WaiterPlace();
  WaiterPlace(const WaiterPlace&) = delete;
  WaiterPlace& operator=(const WaiterPlace&) = delete;

  /// Waits for that record from now on. Before its cell is read, so that whoever changes the cell later sees us.
  void aim(RecordIndex);

  /// What the others who wait for our record mean for us.
  struct Line {
    bool older = false;    // somebody has waited longer, and may be on the way
    bool others = false;
    bool urgent = false;    // one of the others has waited too long
  };
  Line line(std::int64_t now_ns) const;

  /// It was their turn for long enough: those older than us are not waited for any more, until they run again.
  void pass_over_the_older() const;

  bool urgent(std::int64_t now_ns) const { return now_ns - since_ns_ >= kUrgentAfter; }

  /// To be read before the cell is.
  std::uint32_t wake_count() const;
  /// Sleeps until woken, or `until_ns`. `holder`: wakes at its death, too.
  void sleep(std::uint32_t wake_count, std::int64_t until_ns, std::int64_t now_ns,
             std::optional<SessionId> holder) const;

  /// Does a cycle of waiters run through us, and are we the youngest in it? If another is, it is woken to find out.
  bool closes_a_cycle() const;

 private:
  Session& session_;
  Waiter* slot_ = nullptr;
  std::uint32_t index_ = 0;
  WaiterState state_;
  std::int64_t since_ns_;
};

/// A waiter as others see it.
struct WaiterSight {
  std::uint32_t index;
  WaiterState state;
  RecordIndex record;
  ClaimantIndex claimant;
  std::int64_t since_ns;
};
/// Empty if there is none, or its session is dead.
std::optional<WaiterSight> see_waiter(const Table&, std::uint32_t index);

}    // namespace keyrack::table
