// One page of HTML that shows a whole segment: of one file, without a script, and nothing is loaded from anywhere.
#pragma once

#include "output.hpp"

#include <keyrack/inspect.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::command {

/// What became of all slots, and how the names stand: of the whole segment, whatever is shown of it.
struct Occupancy {
  explicit Occupancy(const Snapshot&);

  std::size_t held = 0, stale = 0, abandoned = 0, idle = 0;    ///< locks
  std::size_t names_held = 0, names_free = 0;
  std::size_t free = 0;    ///< slots with nothing in them
  std::size_t sessions_dead = 0;
};

/// A table of the page, and how many records it would have were there no limit.
struct PageTable {
  std::string title;    ///< "locks"
  Table table;
  std::size_t shown = 0, all = 0;
};

void write_page(Output&, const Snapshot&, const Occupancy&, const std::vector<PageTable>&, bool is_copy);

}    // namespace keyrack::command
