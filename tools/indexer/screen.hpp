// What the demo shows: lines, with a progress bar below them on a terminal, and now and then a line of progress
// elsewhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace indexer {

/// 1234567 as "1,234,567".
std::string grouped(std::uint64_t);

class Screen {
 public:
  Screen();
  /// Takes the bar away.
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  void line(const std::string&);
  /// A line that matters more: bold, or in green or red, on a terminal.
  enum class Tone { heading, good, bad };
  void line(Tone, const std::string&);

  /// `what` says what is counted: "files done".
  void progress(std::size_t done, std::size_t of, const std::string& what);
  /// Until the next progress(); for when somebody else writes to the terminal.
  void clear_bar();

 private:
  void draw_bar();

  const bool terminal_;
  std::string bar_;    // empty: none is shown
  std::size_t tenths_told_ = 0;
};

}    // namespace indexer
