// A text at a glance.
#pragma once

#include "table/table.hpp"

#include <cstdint>
#include <string_view>

namespace keyrack::table {

/// First and last eight bytes, and the length. Of a text of up to sixteen bytes this is all of it.
struct Outline {
  explicit Outline(std::string_view text)
      : head(word_at(text.substr(0, 8), 0)),
        tail(text.size() > 8 ? load_as<std::uint64_t>(text.data() + text.size() - 8) : 0),
        size(text.size()) {}
  /// Of no text.
  static Outline none() {
    Outline outline({});
    outline.size = ~std::size_t{0};
    return outline;
  }

  bool is_whole() const { return size <= 16; }
  /// The upper bits are good to spread texts by.
  std::uint64_t hash() const { return ((head ^ size) * 0x9e37'79b9'7f4a'7c15 ^ tail) * 0xc2b2'ae3d'27d4'eb4f; }
  friend bool operator==(const Outline&, const Outline&) = default;

  std::uint64_t head, tail;
  std::size_t size;
};

}    // namespace keyrack::table
