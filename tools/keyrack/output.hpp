// What the commands print: text that a terminal and a parser can bear, tables, JSON, and one way out of the process.
//
// Keys are any bytes. What is not UTF-8 is shown as \xNN, here and in every format; in text for people so are control
// characters, since they would move the cursor, and what turns the reading round or cannot be seen. Widths are those of
// the locale (LC_CTYPE), which main() sets to UTF-8.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::command {

/// The text with every byte that is not UTF-8 as \xNN.
std::string utf8(std::string_view);

/// The same, control and invisible characters, too: one line that leaves the terminal alone and reads as it stands.
std::string printable(std::string_view);

/// Printable text within HTML, also between quotes.
std::string markup(std::string_view);

/// How many columns of a terminal printable text takes: two for some characters, none for marks on the one before.
std::size_t width_of(std::string_view);
/// The text, or its beginning and an ellipsis, in so many columns at most.
std::string fit(std::string_view, std::size_t width);

/// "12ms", "1m30s", "2h5m": no finer than tells something at that length.
std::string people(std::chrono::nanoseconds);

/// "2026-11-22T05:00:03Z".
std::string iso_time(std::chrono::system_clock::time_point);
/// "2026-11-22T05:00:03.123Z".
std::string iso_time_ms(std::chrono::system_clock::time_point);

/// "12.3 MiB".
std::string people_bytes(std::uint64_t);

enum class Colour : std::uint8_t { plain, bold, green, yellow, red };

/// Standard output in large pieces. After a write that failed nothing more is written, and finish() tells.
class Output {
 public:
  Output();

  template <class... Args>
  void print(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(fmt::appender(text_), format, std::forward<Args>(args)...);
  }
  fmt::memory_buffer& text() { return text_; }

  /// The text in that colour where standard output is a terminal and NO_COLOR is not set.
  void paint(Colour, std::string_view);

  void drain_if_large() {
    if (text_.size() >= kLarge) drain();
  }
  void drain();

  /// The process's exit status: kDone, or kFailure after saying why the output is incomplete.
  int finish();

  bool is_terminal() const { return is_terminal_; }
  bool has_colours() const { return colours_; }
  /// Of the terminal, as COLUMNS or the terminal itself says; empty where there is none.
  std::optional<std::size_t> width() const;
  bool failed() const { return error_ != 0; }

 private:
  static constexpr std::size_t kLarge = std::size_t{1} << 18;

  fmt::memory_buffer text_;
  bool is_terminal_, colours_;
  int error_ = 0;
};

struct Column {
  std::string_view title;
  bool right = false;      ///< numbers stand to the right
  bool may_cut = false;    ///< may be shown in part, with an ellipsis, where the terminal is narrow
};

/// Rows of cells, as wide as they need, and as the terminal is. All text lies in one buffer, so that a million rows
/// fit.
class Table {
 public:
  explicit Table(std::vector<Column>);
  /// Cells fill row after row; the text is made printable, an empty one becomes "-".
  void cell(std::string_view, Colour = Colour::plain);
  template <std::integral T>
  void cell(T number) {
    cell(fmt::to_string(number));
  }
  bool empty() const { return cells_.empty(); }
  void write(Output&) const;
  /// As HTML, each cell whole; colours are classes.
  void write_html(Output&) const;

 private:
  struct Cell {
    std::uint32_t bytes, width;
    Colour colour;
  };

  std::vector<std::size_t> fitting(std::optional<std::size_t> terminal) const;

  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::string text_;
  std::vector<Cell> cells_;
};

/// JSON without a tree in memory: values in the order in which they are written, objects of an array on lines of
/// their own.
class Json {
 public:
  explicit Json(Output& output) : output_(output) {}

  Json& begin_object();
  Json& end_object();
  Json& begin_array();
  Json& end_array();
  Json& key(std::string_view);    ///< plain text, none that needs escaping
  Json& value(std::string_view);
  Json& value(const char* text) { return value(std::string_view(text)); }
  Json& value(bool);
  Json& value(std::nullptr_t);
  template <std::integral T>
  Json& value(T number) {
    const fmt::format_int digits(number);
    return raw({digits.data(), digits.size()});
  }
  template <class Rep, class Period>
  Json& value(std::chrono::duration<Rep, Period> time) {
    return value(std::chrono::duration_cast<std::chrono::milliseconds>(time).count());
  }
  template <class T>
  Json& value(const std::optional<T>& maybe) {
    return maybe ? value(*maybe) : value(nullptr);
  }
  template <class T>
  Json& member(std::string_view name, const T& what) {
    return key(name).value(what);
  }

 private:
  Json& raw(std::string_view);
  void separate();

  Output& output_;
  bool comma_ = false;    // something precedes on this level
  int arrays_ = 0;        // how many are open
};

}    // namespace keyrack::command
