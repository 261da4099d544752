#include "screen.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace indexer {
namespace {

constexpr char kClearLine[] = "\r\x1b[K";

// Not fmt::print, which throws: that nobody reads any more is no reason to end.
void put(const std::string& text) { std::fputs(text.c_str(), stdout); }

std::size_t columns() {
  winsize size{};
  return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}    // namespace

std::string grouped(std::uint64_t number) {
  std::string digits = std::to_string(number);
  for (std::size_t left = digits.size(); left > 3;) {
    left -= 3;
    digits.insert(left, 1, ',');
  }
  return digits;
}

Screen::Screen() : terminal_(isatty(STDOUT_FILENO) == 1) {}

Screen::~Screen() { clear_bar(); }

void Screen::line(const std::string& text) {
  put((bar_.empty() ? "" : kClearLine) + text + '\n');
  draw_bar();
}

void Screen::line(Tone tone, const std::string& text) {
  const char* colour = tone == Tone::heading ? "1" : tone == Tone::good ? "1;32" : "1;31";
  line(terminal_ ? fmt::format("\x1b[{}m{}\x1b[0m", colour, text) : text);
}

void Screen::progress(std::size_t done, std::size_t of, const std::string& what) {
  const std::size_t tenths = of == 0 ? 10 : done * 10 / of;
  if (!terminal_) {
    if (tenths != tenths_told_) line(fmt::format("  {} of {} {}", grouped(done), grouped(of), what));
    tenths_told_ = tenths;
    return;
  }
  const std::string text = fmt::format(" {} of {} {}", grouped(done), grouped(of), what);
  const std::size_t room = columns() - std::min(columns(), text.size() + 4);
  const std::size_t width = std::min<std::size_t>(room, 40);
  const std::size_t filled = of == 0 ? width : width * done / of;
  bar_ = fmt::format("[{}{}]{}", std::string(filled, '#'), std::string(width - filled, '.'), text);
  put(kClearLine);
  draw_bar();
}

void Screen::clear_bar() {
  if (!bar_.empty()) put(kClearLine);
  bar_.clear();
  std::fflush(stdout);
}

void Screen::draw_bar() {
  put(bar_);
  std::fflush(stdout);
}

}    // namespace indexer
