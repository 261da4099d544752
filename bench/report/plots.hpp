// The charts of a run.
#pragma once

#include "rounds.hpp"

#include <string>
#include <vector>

namespace keyrack::bench {

struct Plot {
  std::string name;    // of its file, without the ending
  std::string svg;
};

/// Throws where a case is missing that should be there.
std::vector<Plot> plots(const Run&);

/// What the charts of how cost grows show, as tables.
std::string growth_tables(const Run&);

}    // namespace keyrack::bench
