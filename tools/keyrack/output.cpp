// Escaping, tables, JSON and the writing itself.
#include "output.hpp"

#include "duration.hpp"
#include "failure.hpp"

#include <fmt/compile.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <boost/locale/utf.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <utility>

namespace keyrack::command {
namespace {

/// Hands on the pieces of the text: characters as they are with their code points, and single bytes that are to be
/// escaped, since no character begins with them.
template <class Keep, class Escape>
void walk(std::string_view text, Keep keep, Escape escape) {
  namespace utf = boost::locale::utf;
  for (const char *at = text.begin(), *const end = text.end(); at != end;) {
    const char* next = at;
    const utf::code_point point = utf::utf_traits<char>::decode(next, end);
    if (point == utf::illegal || point == utf::incomplete) {
      escape(static_cast<unsigned char>(*at++));
    } else {
      keep(std::string_view(at, static_cast<std::size_t>(next - at)), point);
      at = next;
    }
  }
}

/// Would move the cursor, break the line, turn the reading round, or not be seen, so that two keys look the same.
bool is_deceptive(boost::locale::utf::code_point point) {
  if (point < 0x7f) return point < 0x20;
  constexpr std::array<std::uint32_t, 34> kBounds = {
      0x7f,   0x9f,   0xad,   0xad,   0x34f,  0x34f,  0x61c,   0x61c,   0x115f,  0x1160, 0x17b4, 0x17b5,
      0x180b, 0x180f, 0x200b, 0x200f, 0x2028, 0x202e, 0x2060,  0x206f,  0x3164,  0x3164, 0xfe00, 0xfe0f,
      0xfeff, 0xfeff, 0xffa0, 0xffa0, 0xfff0, 0xfffb, 0x1d173, 0x1d17a, 0xe0000, 0xe0fff};    // first, last
  for (std::size_t i = 0; i < kBounds.size(); i += 2) {
    if (point >= kBounds[i] && point <= kBounds[i + 1]) return true;
  }
  return false;
}

void append_escaped(std::string& out, unsigned char byte) {
  fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
}

/// What neither JSON nor a terminal minds.
bool is_harmless(char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; }

/// What the buffer's own append() does, but inlined: a million records are some forty million pieces.
inline void append(fmt::memory_buffer& out, std::string_view text) {
  const std::size_t size = out.size();
  out.resize(size + text.size());
  std::memcpy(out.data() + size, text.data(), text.size());
}

/// Hands on each character with the columns it takes; two for some, none for marks on the character before.
template <class Visit>
void for_each_character(std::string_view text, Visit visit) {
  std::mbstate_t state{};
  for (std::size_t at = 0; at < text.size();) {
    wchar_t wide = 0;
    std::size_t bytes = std::mbrtowc(&wide, text.data() + at, text.size() - at, &state);
    if (bytes == 0 || bytes > text.size()) {    // not a character of this locale
      bytes = 1;
      state = {};
    }
    if (!visit(text.substr(at, bytes), static_cast<std::size_t>(std::max(::wcwidth(wide), 0)))) return;
    at += bytes;
  }
}

std::string_view start_of(Colour colour) {
  switch (colour) {
    case Colour::bold:
      return "\033[1m";
    case Colour::green:
      return "\033[32m";
    case Colour::yellow:
      return "\033[33m";
    case Colour::red:
      return "\033[31m";
    case Colour::plain:
      break;
  }
  return "";
}

}    // namespace

std::string utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  walk(
      text, [&](std::string_view character, auto) { out += character; },
      [&](unsigned char byte) { append_escaped(out, byte); });
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  walk(
      text,
      [&](std::string_view character, auto point) {
        if (is_deceptive(point)) {
          for (const char c : character) append_escaped(out, static_cast<unsigned char>(c));
        } else {
          out += character;
        }
      },
      [&](unsigned char byte) { append_escaped(out, byte); });
  return out;
}

std::string markup(std::string_view text) {
  std::string out;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::size_t width_of(std::string_view text) {
  if (std::all_of(text.begin(), text.end(), is_harmless)) return text.size();
  std::size_t width = 0;
  for_each_character(text, [&](std::string_view, std::size_t columns) {
    width += columns;
    return true;
  });
  return width;
}

std::string fit(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) return std::string(text);
  std::string cut;
  std::size_t used = 1;    // the mark
  for_each_character(text, [&](std::string_view character, std::size_t columns) {
    if (used + columns > width) return false;
    used += columns;
    cut += character;
    return true;
  });
  return width == 0 ? "" : cut + "\u2026";
}

std::string people(std::chrono::nanoseconds time) {
  using namespace std::chrono;
  const auto cut_to = [&](auto unit) { return format_duration(duration_cast<decltype(unit)>(time)); };
  if (time > -10s && time < 10s) return cut_to(milliseconds());
  if (time > -1h && time < 1h) return cut_to(seconds());
  return cut_to(minutes());
}

std::string iso_time(std::chrono::system_clock::time_point when) {
  using namespace std::chrono;
  const auto second = floor<seconds>(when);
  const auto day = floor<days>(second);
  const year_month_day date(day);
  const hh_mm_ss time(second - day);
  return fmt::format(FMT_COMPILE("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z"), static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count());
}

std::string iso_time_ms(std::chrono::system_clock::time_point when) {
  const auto ms = std::chrono::floor<std::chrono::milliseconds>(when.time_since_epoch()) % std::chrono::seconds(1);
  std::string text = iso_time(when);
  text.pop_back();
  return fmt::format("{}.{:03}Z", text, ms.count());
}

std::string people_bytes(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  auto amount = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; amount >= 1024 && unit + 1 < kUnits.size(); ++unit) amount /= 1024;
  return unit == 0 ? fmt::format("{} bytes", bytes) : fmt::format("{:.1f} {}", amount, kUnits[unit]);
}

Output::Output() : is_terminal_(::isatty(STDOUT_FILENO) == 1) {
  const char* no_color = std::getenv("NO_COLOR");
  colours_ = is_terminal_ && (no_color == nullptr || *no_color == '\0');
}

std::optional<std::size_t> Output::width() const {
  if (!is_terminal_) return std::nullopt;
  std::size_t columns = 0;
  if (const char* set = std::getenv("COLUMNS"); set != nullptr) {
    const auto [end, error] = std::from_chars(set, set + std::strlen(set), columns);
    if (error == std::errc() && *end == '\0' && columns > 0) return columns;
  }
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return std::nullopt;
  return size.ws_col;
}

void Output::paint(Colour colour, std::string_view text) {
  const std::string_view start = colours_ ? start_of(colour) : "";
  append(text_, start);
  append(text_, text);
  if (!start.empty()) append(text_, "\033[0m");
}

void Output::drain() {
  for (std::size_t done = 0; done < text_.size() && error_ == 0;) {
    const ssize_t written = ::write(STDOUT_FILENO, text_.data() + done, text_.size() - done);
    if (written >= 0) {
      done += static_cast<std::size_t>(written);
    } else if (errno != EINTR) {
      error_ = errno;
    }
  }
  text_.clear();
}

int Output::finish() {
  drain();
  if (error_ == 0) return kDone;
  return complain(kFailure, "cannot write to standard output: {}", std::strerror(error_));
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (const Column& column : columns_) widths_.push_back(column.title.size());
}

void Table::cell(std::string_view content, Colour colour) {
  const std::string shown = content.empty() ? "-" : printable(content);
  const std::size_t width = width_of(shown);
  std::size_t& widest = widths_[cells_.size() % columns_.size()];
  widest = std::max(widest, width);
  text_ += shown;
  cells_.push_back({static_cast<std::uint32_t>(shown.size()), static_cast<std::uint32_t>(width), colour});
}

/// Takes from the widest that may be cut, one by one, until all fit or none has anything to spare.
std::vector<std::size_t> Table::fitting(std::optional<std::size_t> terminal) const {
  constexpr std::size_t kLeast = 8, kGap = 2;
  std::vector<std::size_t> widths = widths_;
  std::size_t total = kGap * (widths.size() - 1);
  for (const std::size_t width : widths) total += width;
  while (terminal && total > *terminal) {
    std::size_t* widest = nullptr;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      const std::size_t least = std::max(kLeast, columns_[i].title.size());
      if (!columns_[i].may_cut || widths[i] <= least) continue;
      if (widest == nullptr || widths[i] > *widest) widest = &widths[i];
    }
    if (widest == nullptr) break;
    --*widest;
    --total;
  }
  return widths;
}

void Table::write(Output& output) const {
  const std::vector<std::size_t> widths = fitting(output.width());
  const auto write_cell = [&](std::size_t column, std::string_view text, std::size_t width, Colour colour) {
    std::string part;
    if (width > widths[column]) {
      part = fit(text, widths[column]);
      text = part;
      width = width_of(part);
    }
    const std::size_t padding = widths[column] - width;
    const bool last = column + 1 == columns_.size();
    if (columns_[column].right) output.print("{:{}}", "", padding);
    output.paint(colour, text);
    if (!columns_[column].right && !last) output.print("{:{}}", "", padding);
    output.print("{}", last ? "\n" : "  ");
  };
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    write_cell(i, columns_[i].title, columns_[i].title.size(), Colour::bold);
  }
  std::string_view rest = text_;
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    write_cell(i % columns_.size(), rest.substr(0, cells_[i].bytes), cells_[i].width, cells_[i].colour);
    rest.remove_prefix(cells_[i].bytes);
    output.drain_if_large();
  }
}

void Table::write_html(Output& output) const {
  const auto name = [](Colour colour) {
    switch (colour) {
      case Colour::green:
        return " green";
      case Colour::yellow:
        return " yellow";
      case Colour::red:
        return " red";
      case Colour::plain:
      case Colour::bold:
        break;
    }
    return "";
  };
  output.print("<table>\n<tr>");
  for (const Column& column : columns_) {
    output.print("<th{}>{}", column.right ? " class=right" : "", markup(column.title));
  }
  std::string_view rest = text_;
  for (std::size_t i = 0; i < cells_.size(); ++i) {
    const std::size_t column = i % columns_.size();
    const std::string_view text = rest.substr(0, cells_[i].bytes);
    if (column == 0) output.print("\n<tr>");
    output.print("<td class=\"{}{}\">{}", columns_[column].right ? "right" : "left", name(cells_[i].colour),
                 markup(text));
    rest.remove_prefix(text.size());
    output.drain_if_large();
  }
  output.print("\n</table>\n");
}

void Json::separate() {
  if (comma_) append(output_.text(), ",");
}

Json& Json::raw(std::string_view text) {
  separate();
  append(output_.text(), text);
  comma_ = true;
  return *this;
}

Json& Json::begin_object() {
  separate();
  append(output_.text(), arrays_ > 0 ? "\n  {" : "{");
  comma_ = false;
  return *this;
}

Json& Json::end_object() {
  append(output_.text(), "}");
  comma_ = true;
  output_.drain_if_large();
  return *this;
}

Json& Json::begin_array() {
  separate();
  append(output_.text(), "[");
  ++arrays_;
  comma_ = false;
  return *this;
}

Json& Json::end_array() {
  append(output_.text(), "]");
  --arrays_;
  comma_ = true;
  return *this;
}

Json& Json::key(std::string_view name) {
  append(output_.text(), comma_ ? ",\"" : "\"");
  append(output_.text(), name);
  append(output_.text(), "\":");
  comma_ = false;
  return *this;
}

Json& Json::value(std::string_view content) {
  separate();
  comma_ = true;
  fmt::memory_buffer& out = output_.text();
  out.push_back('"');
  if (std::all_of(content.begin(), content.end(), is_harmless)) {
    append(out, content);
  } else {
    walk(
        content,
        [&](std::string_view character, auto) {
          if (character.size() > 1 || is_harmless(character[0])) {
            append(out, character);
          } else if (character[0] == '"' || character[0] == '\\') {
            out.push_back('\\');
            out.push_back(character[0]);
          } else {
            fmt::format_to(fmt::appender(out), "\\u{:04x}", character[0]);
          }
        },
        [&](unsigned char byte) { fmt::format_to(fmt::appender(out), "\\\\x{:02x}", byte); });
  }
  out.push_back('"');
  return *this;
}

Json& Json::value(bool content) { return raw(content ? "true" : "false"); }

Json& Json::value(std::nullptr_t) { return raw("null"); }

}    // namespace keyrack::command
