// One run of the real algorithm in a simulated world: some processes, what each of their threads calls, and the
// judgment of what came of it.
#pragma once

#include "world.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace keyrack::simulation {

/// Plain keys, the first, are only ever taken by the plainest rules: whoever has one is alone.
inline constexpr std::uint32_t kKeys = 8, kPlainKeys = 4;
inline constexpr const char* kFamily = "pool";
inline std::string key_text(std::uint32_t key) { return "key " + std::to_string(key); }

struct Call {
  enum class Kind {
    lock,
    wait,
    unlock,
    check,
    confirm,
    hold,
    acquire,
    try_acquire,
    keep_alive,
    release,
    give_back,
    reset,
    keep_held,    // the last one that was lent to the caller, as a held name does it for itself
    is_held,
    list,
    rest,      // does nothing for duration_ms
    attach,    // a further session of its process
    die
  };
  Kind kind = Kind::lock;
  std::uint32_t key = 0;    // of a lock; a name's number for those that take one
  std::uint32_t signee = 0;
  std::int32_t level = 0;
  bool force = false, bound = true;
  std::optional<std::int64_t> duration_ms = {}, time_to_live_ms = {};
  std::optional<std::int64_t> auto_release_ms = {};    // of names
};

struct Part {    // of one thread
  std::uint32_t process = 1;
  std::vector<Call> calls;
};

struct Plan {
  std::uint32_t slots = 2, spare_claimants = 64, waiters = 4;
  bool scarce = false;              // too few claimants, so that any call may answer table_full
  std::vector<Call> before = {};    // of process 1, before the others begin
  std::vector<Part> parts = {};
  // What process 1 got before it goes on with; and all is renewed in time, so that nobody may be told that it is past.
  bool in_time = false;
  bool talk = true;         // what one call did is known to all that begin later; else only what keyrack itself tells
  bool leave = true;        // processes close; else they end as if killed
  bool remember = false;    // first what the thread remembers of its last calls, as the service does
};

/// What went wrong, in words; empty if nothing.
struct Verdict {
  std::string fault;
  std::uint64_t steps = 0, calls = 0;
};
Verdict run(const Plan&, Strategy&);

/// A plan by chance.
Plan random_plan(std::uint64_t seed);

/// What is called, a line for each thread.
std::string to_text(const Plan&);

/// Small plans of two processes, to be run in every way there is within bounds.
struct Drill {
  std::string name;
  Plan plan;
};
std::vector<Drill> drills();

}    // namespace keyrack::simulation
