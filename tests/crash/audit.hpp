// What must be so after a death or a stop, whatever happened: every invariant of the segment, every key and name usable
// by the rules, tokens that rise, and no record, claimant, session or name lost.
#pragma once

#include "scenarios.hpp"

#include <functional>
#include <string>
#include <vector>

namespace keyrack::crash {

using Violations = std::vector<std::string>;

struct Ground {
  std::string segment, options;
  Board& board;
  Actor* survivor;    // attached before; null: a newcomer looks
  Helper helper;
  std::function<void()> kill_helper;
};

/// The victim is dead. Uses everything up: afterwards the survivor is closed, and the helper dead.
Violations audit(const Ground&);

/// The victim is stopped, by the process that is known by `victim_fd`: what waits for it? Tries every call on the same
/// bucket and family.
Violations probe(const Ground&, const Scenario&, int victim_fd);

}    // namespace keyrack::crash
