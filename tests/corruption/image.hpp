// The bytes of a small segment in which everything occurs: what the corruption tests damage.
#pragma once

#include "table/layout.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace keyrack::tests {

struct Image {
  table::Geometry geometry;
  std::string bytes;

  // Keys by how their locks stand.
  std::string held, waited_for, idle, stale, abandoned;
  std::string family;    // its names: 0 held by a living process, 1 lent, 2 free, 3 held by a dead process

  table::Layout layout() const { return table::Layout(geometry); }
};

/// Made by real processes, one of which lives, one of which was killed; one waits. A chain has several records; there
/// are names that a reset forgot, a record that its maker left half made, and one that is half taken out.
/// `more_keys` and `more_names` beside these fill a larger one.
Image make_image(const table::Geometry&, unsigned more_keys = 0, unsigned more_names = 0);

/// Where a byte is, for people: "record 3 + 8".
std::string place_of(const table::Layout&, std::size_t offset);

}    // namespace keyrack::tests
