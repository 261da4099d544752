// What keyrack top shows, line by line and as wide as the room is, and what keys do to it. Nothing here knows a
// terminal; texts are UTF-8 and measured by the locale (LC_CTYPE).
#pragma once

#include "output.hpp"
#include "top_picture.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace keyrack::command {

/// A key that was pressed: the character, or one of these, which are none.
using Key = char32_t;
inline constexpr Key kUp = 0x110000, kDown = 0x110001, kPageUp = 0x110002, kPageDown = 0x110003, kHome = 0x110004,
                     kEnter = 0x110005, kBackspace = 0x110006;
inline constexpr Key kEscape = 0x1b, kClearLine = 0x15;    // Ctrl-U

/// What the user has chosen to see.
struct View {
  Order order = Order::held;
  Filter filter;
  bool is_paused = false;
  std::size_t first = 0;               ///< of the locks, so many are above the first that is shown
  std::optional<std::string> typed;    ///< a filter that is being typed
};

/// False: that key asks to end. `step` is how far a page is.
bool press(View&, Key, std::size_t step);

struct Span {
  std::string text;    ///< printable
  Colour colour = Colour::plain;
};
using Line = std::vector<Span>;

struct Room {
  std::size_t rows, width;
};

struct Page {
  std::vector<Line> lines;                 ///< never more than the room's rows, none wider than it
  std::size_t first = 0, shown = 0;        ///< of the locks
  std::optional<std::size_t> cursor_at;    ///< on the last line, while something is typed there
};

/// The heading, the locks in the view's order, who waits, the dead sessions, and a line about the keys: what is less
/// important goes first where room is short.
Page page_of(const TopPicture&, const View&, Room);

/// The same for paper: every order that tells something, ten rows each, as wide as it needs.
std::vector<Line> block_of(const TopPicture&, const Filter&);

}    // namespace keyrack::command
