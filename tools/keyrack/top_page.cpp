// Lines that fit: widths of characters, columns that give way, room shared out between lists.
#include "top_page.hpp"

#include <algorithm>
#include <climits>
#include <cwchar>
#include <limits>
#include <numeric>
#include <string_view>
#include <utility>

namespace keyrack::command {
namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
constexpr std::size_t kGap = 2;                 // between two columns
constexpr std::size_t kNarrowest = 9;           // a text column does not give way further
constexpr std::size_t kLinesWithKeys = 4;       // with fewer, the line about the keys is left out
constexpr std::size_t kLinesWithBlanks = 16;    // with fewer, there are none between the lists

void clip(Line& line, std::size_t width) {
  for (Span& span : line) {
    span.text = fit(std::move(span.text), width);
    width -= std::min(width, width_of(span.text));
  }
}

/// The items one after the other, on as many lines as it takes.
void append_items(std::vector<Line>& lines, const std::vector<std::string>& items, std::size_t width) {
  std::string line;
  for (const std::string& item : items) {
    if (line.empty()) {
      line = item;
    } else if (width_of(line) + 2 + width_of(item) <= width) {
      line += ", " + item;
    } else {
      lines.push_back({{std::move(line)}});
      line = "  " + item;
    }
  }
  lines.push_back({{std::move(line)}});
}

std::vector<Line> heading_of(const TopPicture& picture, std::size_t width) {
  std::vector<Line> lines;
  for (const std::vector<std::string>& items : figures_of(picture)) append_items(lines, items, width);
  for (Line& line : lines) clip(line, width);
  return lines;
}

/// Takes from the widest text columns what there is no room for.
void narrow(std::vector<std::size_t>& widths, const std::vector<Column>& columns, std::size_t room) {
  std::size_t total = std::accumulate(widths.begin(), widths.end(), kGap * (widths.size() - 1));
  for (; total > room; --total) {
    std::size_t widest = 0;
    for (std::size_t i = 1; i < widths.size(); ++i) {
      if (!columns[i].right && (columns[widest].right || widths[i] > widths[widest])) widest = i;
    }
    if (columns[widest].right || widths[widest] <= kNarrowest) return;
    --widths[widest];
  }
}

/// The column titles and that many rows.
void append_list(std::vector<Line>& lines, const List& list, std::size_t rows, std::size_t width) {
  std::vector<std::vector<List::Cell>> cells(1);
  for (const Column& column : list.columns) cells[0].push_back({std::string(column.title), Colour::bold});
  for (std::size_t row = 0; row < std::min(rows, list.rows.size()); ++row) {
    cells.push_back(list.rows[row]);
    for (List::Cell& cell : cells.back()) cell.text = cell.text.empty() ? "-" : printable(cell.text);
  }
  std::vector<std::size_t> widths(list.columns.size());
  for (const auto& row : cells) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i].text));
  }
  narrow(widths, list.columns, width);
  for (auto& row : cells) {
    Line line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool last = i + 1 == row.size();
      std::string text = fit(std::move(row[i].text), widths[i]);
      const std::string padding(widths[i] - width_of(text), ' ');
      if (list.columns[i].right) line.push_back({padding});
      line.push_back({std::move(text), row[i].colour});
      if (!list.columns[i].right && !last) line.push_back({padding});
      if (!last) line.push_back({std::string(kGap, ' ')});
    }
    clip(line, width);
    lines.push_back(std::move(line));
  }
}

/// Deals out the lines one by one, so that a short list leaves the others what it does not need.
std::vector<std::size_t> share(std::size_t lines, const std::vector<std::size_t>& wanted) {
  std::vector<std::size_t> given(wanted.size());
  for (bool more = true; more && lines > 0;) {
    more = false;
    for (std::size_t i = 0; i < wanted.size() && lines > 0; ++i) {
      if (given[i] == wanted[i]) continue;
      ++given[i];
      --lines;
      more = true;
    }
  }
  return given;
}

std::string about_keys(const View& view) {
  const std::string filter = view.filter ? printable(*view.filter) : "none";
  return fmt::format("q quit  s sort: {}  / filter: {}  p {}  arrows scroll", to_string(view.order), filter,
                     view.is_paused ? "go on (paused)" : "pause");
}

void remove_last_character(std::string& text) {
  while (!text.empty() && (text.back() & 0xc0) == 0x80) text.pop_back();
  if (!text.empty()) text.pop_back();
}

void append_utf8(std::string& text, Key key) {
  std::mbstate_t state{};
  std::string bytes(MB_LEN_MAX, '\0');
  const std::size_t length = std::wcrtomb(bytes.data(), static_cast<wchar_t>(key), &state);
  if (length <= bytes.size()) text.append(bytes, 0, length);
}

void type(View& view, Key key) {
  std::string& typed = *view.typed;
  if (key == kEnter) {
    view.filter = typed.empty() ? std::nullopt : view.typed;
    view.first = 0;
    view.typed.reset();
  } else if (key == kEscape) {
    view.typed.reset();
  } else if (key == kBackspace) {
    remove_last_character(typed);
  } else if (key == kClearLine) {
    typed.clear();
  } else if (key >= 0x20 && key < 0x110000) {
    append_utf8(typed, key);
  }
}

}    // namespace

bool press(View& view, Key key, std::size_t step) {
  const auto back = [&](std::size_t rows) { view.first -= std::min(view.first, rows); };
  if (view.typed) {
    type(view, key);
    return true;
  }
  switch (key) {
    case U'q':
    case U'Q':
      return false;
    case U's':
      view.order = static_cast<Order>((static_cast<std::size_t>(view.order) + 1) % kOrders);
      view.first = 0;
      break;
    case U'/':
      view.typed = view.filter.value_or("");
      break;
    case U'p':
    case U' ':
      view.is_paused = !view.is_paused;
      break;
    case kUp:
      back(1);
      break;
    case kDown:
      ++view.first;
      break;
    case kPageUp:
      back(step);
      break;
    case kPageDown:
      view.first += step;
      break;
    case kHome:
      view.first = 0;
      break;
    default:
      break;
  }
  return true;
}

Page page_of(const TopPicture& picture, const View& view, Room room) {
  Page page;
  page.lines = heading_of(picture, room.width);
  page.lines.resize(std::min({page.lines.size(), std::max<std::size_t>(room.rows / 3, 1), room.rows}));
  const bool keys = room.rows >= kLinesWithKeys || (view.typed && room.rows > 0);
  if (keys && page.lines.size() == room.rows) page.lines.pop_back();

  std::size_t left = room.rows - page.lines.size() - (keys ? 1 : 0);
  const std::size_t blank = room.rows >= kLinesWithBlanks ? 1 : 0;
  const auto wanted = [&](const List& list) { return list.rows.empty() ? 0 : blank + 1 + list.rows.size(); };
  const List waiters = waiters_of(picture, view.filter, left);
  const List dead = dead_sessions_of(picture, left);
  const std::vector<std::size_t> given = share(left, {left, wanted(waiters), wanted(dead)});
  const auto add = [&](const List& list, std::size_t lines) {
    if (lines < blank + 1) return;
    if (blank > 0) page.lines.emplace_back();
    append_list(page.lines, list, lines - blank - 1, room.width);
  };
  page.shown = given[0] - std::min(given[0], blank + 1);
  const List locks = locks_of(picture, view.order, view.filter, view.first, page.shown);
  page.first = locks.first;
  add(locks, given[0]);
  add(waiters, given[1]);
  add(dead, given[2]);

  if (keys) {
    page.lines.resize(room.rows - 1);
    Line line = view.typed ? Line{{"filter: " + printable(*view.typed)}} : Line{{about_keys(view)}};
    clip(line, room.width);
    if (view.typed && room.width > 0) page.cursor_at = std::min(width_of(line[0].text), room.width - 1);
    page.lines.push_back(std::move(line));
  }
  return page;
}

std::vector<Line> block_of(const TopPicture& picture, const Filter& filter) {
  constexpr std::size_t kRows = 10;
  std::vector<Line> lines = heading_of(picture, kUnlimited);
  const auto add = [&](const List& list) {
    lines.emplace_back();
    append_list(lines, list, kRows, kUnlimited);
  };
  for (const Order order : {Order::held, Order::hottest, Order::waiters}) {
    add(locks_of(picture, order, filter, 0, kRows));
  }
  add(waiters_of(picture, filter, kRows));
  add(dead_sessions_of(picture, kRows));
  return lines;
}

}    // namespace keyrack::command
