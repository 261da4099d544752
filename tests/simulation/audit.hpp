// What is left when all have ended: a newcomer uses every key and name, and all the room there is.
#pragma once

#include "trial.hpp"

#include "table/table.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace keyrack::simulation {

/// The highest token that was given for each key.
using Tokens = std::array<std::uint64_t, kKeys>;

/// What is lost for good, in words; empty if nothing. `sessions` were there before: who has not closed is dead now.
std::string audit(const table::Table&, const std::vector<table::SessionId>& sessions, const Tokens&);

}    // namespace keyrack::simulation
