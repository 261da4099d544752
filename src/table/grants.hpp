// What a record's cell means at this moment: the rules that do not depend on who asks.
#pragma once

#include "table/chain.hpp"
#include "table/claimants.hpp"
#include "table/sessions.hpp"

#include <chrono>
#include <optional>

namespace keyrack::table {

/// Reads the clock when it is first needed, and only then: it is the dearest single step of a call.
class Now {
 public:
  Now() = default;
  explicit Now(std::int64_t ns) : ns_(ns) {}    // of a picture: for all of it the same
  std::int64_t ns() {
    if (ns_ == 0) ns_ = os::monotonic_ns();
    return ns_;
  }
  Tick tick(const Table& table) { return table.tick(ns()); }
  /// Some milliseconds off unless the clock has been read: cheap, for people.
  std::int64_t about_ns() const { return ns_ != 0 ? ns_ : os::monotonic_coarse_ns(); }

 private:
  std::int64_t ns_ = 0;
};

/// Whose grant stands in the cell; nobody's if there is none.
inline Descriptor holder_of(const Table& table, const Hit& hit) {
  return hit.owner.is_claimant() ? describe(table, hit.owner.claimant_index()) : Descriptor{};
}

enum class Standing {
  unheld,    // IDLE, ALLOC, or past its time to live: as if there were no grant
  held,
  stale,        // its lease is past
  abandoned,    // bound to a process that died
};

/// When a grant ends. A cell has room for one deadline: the earlier of the two; the gaps in the claimant give both.
inline Tick end_after(Tick deadline, Tick gap) {
  if (deadline == kNever || gap == kNever) return kNever;
  return std::min(deadline + gap, kNever - 1);
}
inline Tick lease_end(const Hit& hit, const Terms& terms) { return end_after(hit.owner.deadline(), terms.lease_gap); }
inline Tick gone_at(const Hit& hit, const Terms& terms) { return end_after(hit.owner.deadline(), terms.gone_gap); }

/// Of a lock whose owner is a claimant, described as `seen`.
inline Standing standing_of(const Table& table, const Hit& hit, const Descriptor& seen, Now& now) {
  if (hit.owner.deadline() != kNever) {
    const Tick tick = now.tick(table);
    if (tick >= gone_at(hit, seen.terms)) return Standing::unheld;
    if (seen.terms.rank.process_bound() && !alive(table, seen.session())) return Standing::abandoned;
    return tick >= lease_end(hit, seen.terms) ? Standing::stale : Standing::held;
  }
  return seen.terms.rank.process_bound() && !alive(table, seen.session()) ? Standing::abandoned : Standing::held;
}

/// A grant's two ends as a cell and a claimant hold them.
struct Ends {
  Tick deadline, lease_gap, gone_gap;
};
constexpr Ends kNoEnds{kNever, 0, kNever};
Ends ends_of_some(const Table&, std::optional<std::chrono::nanoseconds> duration,
                  std::optional<std::chrono::nanoseconds> time_to_live, Now&);
inline Ends ends_of(const Table& table, const std::optional<std::chrono::nanoseconds>& duration,
                    const std::optional<std::chrono::nanoseconds>& time_to_live, Now& now) {
  return duration || time_to_live ? ends_of_some(table, duration, time_to_live, now) : kNoEnds;
}

}    // namespace keyrack::table
