// The terminal as a screen, by ncurses, and its return to what it was.
#pragma once

#include "top_page.hpp"

#include <memory>
#include <optional>

namespace keyrack::command {

/// The screen is the program's while this lives. Should a signal end the process meanwhile (SIGKILL apart), the
/// terminal is put back first; one that it waits for is not this one's business.
class Screen {
 public:
  /// Are standard input and output a terminal that can be drawn on?
  static bool is_there();

  explicit Screen(bool colours);
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  Room room() const;
  void draw(const Page&);
  std::optional<Key> key();    ///< the next one, if one was pressed

  void resize();    ///< to what the terminal is now
  void leave();     ///< for a while: the terminal is as before
  void enter();     ///< back again, or whatever else was done to the terminal

 private:
  struct End {
    void operator()(void*) const;
  };

  bool colours_;
  std::unique_ptr<void, End> screen_;
};

}    // namespace keyrack::command
