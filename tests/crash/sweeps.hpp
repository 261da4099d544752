// The three sweeps, one point at a time.
#pragma once

#include "audit.hpp"
#include "run.hpp"

#include <map>
#include <string>
#include <vector>

namespace keyrack::crash {

struct Verdict {
  Violations violations;
  bool diverged = false;    // the run did not come to that point: it was killed or stopped at the end of the call
};

/// Steps through a scenario's call, undisturbed, and sees that it comes to what is expected. `watched`: and where the
/// segment changes.
Path trace(Cast&, std::size_t scenario, bool watched);

/// The victim is killed there.
Verdict die_at(Cast&, std::size_t scenario, const Path&, Point);

/// What becomes of a victim that is stopped, when the others have done what they want.
enum class Then { continues, dies };
Verdict stop_at(Cast&, std::size_t scenario, const Path&, Point, Then);

/// A segment as a death has left it.
struct Wreck {
  std::size_t scenario;
  std::vector<std::byte> bytes;
  std::map<std::string, std::uint64_t> tokens;    // the highest known of each key
};
Wreck wreck_of(Cast&, std::size_t scenario, const Path&, Point);

/// Steps through what a rescuer does about it.
Path trace_rescue(Cast&, const Wreck&, std::size_t rescue);

/// The rescuer is killed there.
Verdict rescuer_dies_at(Cast&, const Wreck&, std::size_t rescue, const Path&, Point);

}    // namespace keyrack::crash
