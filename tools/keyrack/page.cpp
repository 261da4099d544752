#include "page.hpp"

#include "processes.hpp"
#include "wait_graph.hpp"
#include "words.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <utility>

namespace keyrack::command {
namespace {

// A browser can bear so many; what is left out is said.
constexpr std::size_t kMostNodes = 500, kMostFamilies = 200, kMostSquares = 512;

// Nothing may run or be loaded, whatever the keys say.
constexpr std::string_view kHead = R"(<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root { --ink: #1b1f24; --paper: #fff; --faint: #667; --line: #d5d9df; --shade: #f4f6f8;
  --held: #1a7f37; --stale: #b08800; --abandoned: #cf222e; --idle: #8c959f; --names: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --faint: #8b949e; --line: #30363d;
  --shade: #161b22; --held: #3fb950; --stale: #d29922; --abandoned: #f85149; --idle: #6e7681; --names: #58a6ff; } }
body { font: 14px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  padding: 1rem; max-width: 80rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h2::first-letter { text-transform: uppercase; }
p { margin: .3rem 0; color: var(--faint); } section > div { overflow-x: auto; }
table { border-collapse: collapse; min-width: 100%; } th, td { padding: .2rem .6rem; text-align: left;
  border-bottom: 1px solid var(--line); white-space: nowrap; } th { font-size: .75rem; color: var(--faint); }
td { font-family: ui-monospace, monospace; font-size: .85rem; } tr:hover td { background: var(--shade); }
.right { text-align: right; } .green { color: var(--held); } .yellow { color: var(--stale); }
.red { color: var(--abandoned); font-weight: 600; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem; } .figures div { background: var(--shade); padding: .4rem .8rem;
  border-radius: .4rem; color: var(--faint); } .figures b { display: block; font-size: 1.3rem; color: var(--ink); }
svg { display: block; } svg text { font: 12px ui-monospace, monospace; fill: var(--ink); }
svg .small { font-size: 10px; fill: var(--faint); } svg .edge { stroke: var(--faint); fill: none; }
svg .key { fill: var(--shade); stroke: var(--faint); } svg .who { fill: var(--paper); stroke: var(--names); }
svg .cycle { stroke: var(--abandoned); stroke-dasharray: 4 2; }
.fill-held { fill: var(--held); } .fill-stale { fill: var(--stale); } .fill-abandoned { fill: var(--abandoned); }
.fill-idle { fill: var(--idle); } .fill-names { fill: var(--names); } .fill-free { fill: var(--line); }
</style>
)";

void write(Output& output, std::string_view text) { output.print("{}", text); }

std::string thousands(std::uint64_t number) {
  std::string text = fmt::to_string(number);
  for (std::size_t at = text.size(); at > 3; at -= 3) text.insert(at - 3, "\u202f");
  return text;
}

void figure(Output& output, std::uint64_t number, std::string_view what) {
  output.print("<div><b>{}</b>{}</div>\n", thousands(number), what);
}

void write_occupancy(Output& output, const Snapshot& snapshot, const Occupancy& is) {
  write(output, "<section id=\"occupancy\"><h2>Occupancy</h2>\n<div class=\"figures\">\n");
  figure(output, is.held, "locks held");
  figure(output, is.stale, "stale");
  figure(output, is.abandoned, "abandoned");
  figure(output, snapshot.waiters.size(), "waiting");
  figure(output, is.names_held, "names held");
  figure(output, snapshot.segment.sessions, "sessions alive");
  figure(output, is.sessions_dead, "dead, to be cleared up");
  write(output, "</div>\n");

  struct Part {
    std::string_view style, what;
    std::size_t slots;
  };
  const std::array<Part, 6> parts = {{{"held", "locks held", is.held},
                                      {"stale", "stale", is.stale},
                                      {"abandoned", "abandoned", is.abandoned},
                                      {"names", "names", is.names_held + is.names_free},
                                      {"idle", "idle", is.idle},
                                      {"free", "never used or free", is.free}}};
  const double slots = std::max(1.0, static_cast<double>(snapshot.segment.slots));
  write(output, "<svg viewBox=\"0 0 1000 50\" width=\"100%\" role=\"img\" aria-label=\"what the slots hold\">\n");
  double x = 0;
  for (const Part& part : parts) {
    const double width = 1000 * static_cast<double>(part.slots) / slots;
    if (part.slots == 0) continue;
    output.print(
        "<rect class=\"fill-{}\" x=\"{:.2f}\" y=\"8\" width=\"{:.2f}\" height=\"22\"><title>{}: {}</title></rect>\n",
        part.style, x, width, part.what, thousands(part.slots));
    x += width;
  }
  const double high = 1000 * static_cast<double>(snapshot.segment.high_water) / slots;
  output.print(
      "<path class=\"edge\" d=\"M{0:.2f} 2V36\"/><text class=\"small\" x=\"{0:.2f}\" y=\"45\"{1}>ever used: "
      "{2}</text>\n",
      high, high > 800 ? " text-anchor=\"end\"" : "", thousands(snapshot.segment.high_water));
  write(output, "</svg>\n<p>Slots:");
  for (const Part& part : parts) {
    output.print(
        " <svg width=\"10\" height=\"10\" style=\"display:inline\"><rect class=\"fill-{}\" width=\"10\" "
        "height=\"10\"/></svg> {} {}",
        part.style, thousands(part.slots), part.what);
  }
  write(output, "</p></section>\n");
}

/// The lines of the tree from top to bottom, each as far to the right as it is deep.
class GraphDrawing {
 public:
  GraphDrawing(Output& output, const WaitGraph& graph, const WaitTree& tree, const Processes& processes)
      : output_(output), graph_(graph), tree_(tree), processes_(processes) {}

  void write() {
    const std::size_t rows = std::min(tree_.lines.size(), kMostNodes);
    std::size_t deepest = 0;
    for (std::size_t row = 0; row < rows; ++row) deepest = std::max(deepest, tree_.lines[row].depth);
    output_.print("<div><svg width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"who waits for whom\">\n",
                  deepest * kIndent + kWidth + 2, rows * kRow + 2);
    for (std::size_t row = 0; row < rows; ++row) node(row);
    output_.print("</svg></div>\n");
    if (rows < tree_.lines.size()) {
      output_.print("<p>And {} nodes more: keyrack waits shows all.</p>\n", tree_.lines.size() - rows);
    }
  }

 private:
  static constexpr std::size_t kRow = 44, kHeight = 34, kWidth = 460, kIndent = 60;

  void node(std::size_t row) {
    const TreeLine& line = tree_.lines[row];
    const std::size_t x = 1 + line.depth * kIndent, y = 1 + row * kRow;
    row_of_depth_.resize(line.depth);
    if (line.depth > 0) {
      const std::size_t above = 1 + row_of_depth_.back() * kRow + kHeight;
      output_.print("<path class=\"edge{}\" d=\"M{} {}V{}H{}\"/>\n", line.kind == TreeLine::Kind::cycle ? " cycle" : "",
                    x - kIndent + 20, above, y + kHeight / 2, x);
    }
    row_of_depth_.push_back(row);
    if (line.kind == TreeLine::Kind::waiter) {
      const WaiterPicture& waiter = graph_.waiters[line.index].picture;
      box(x, y, "who", kHeight / 2, waiter.signee, "waits " + people(waiter.waited) + of(waiter.pid, waiter.session));
      return;
    }
    const LockPicture& lock = graph_.locks[line.index].picture;
    if (line.kind == TreeLine::Kind::cycle) {
      box(x, y, "key cycle", 4, lock.signature, "a cycle: a deadlock while it lasts");
    } else if (line.kind == TreeLine::Kind::above) {
      box(x, y, "key", 4, lock.signature, "shown above");
    } else if (lock.state == LockState::idle) {
      box(x, y, "key", 4, lock.signature, "nobody holds it");
    } else {
      box(x, y, "key", 4, lock.signature,
          std::string(to_string(lock.state)) + " by " + lock.signee +
              (lock.held_for ? " for " + people(*lock.held_for) : "") + of(lock.pid, lock.session));
    }
  }

  std::string of(std::int32_t pid, std::optional<std::uint32_t> session) const {
    return fmt::format(", pid {} {}", pid, processes_.command_of(session));
  }

  void box(std::size_t x, std::size_t y, std::string_view style, std::size_t round, std::string_view name,
           const std::string& more) {
    constexpr std::size_t kLetters = 60, kSmallLetters = 72;
    output_.print(
        "<g><title>{0}: {1}</title><rect class=\"{2}\" x=\"{3}\" y=\"{4}\" width=\"{5}\" height=\"{6}\" rx=\"{7}\"/>",
        markup(name), markup(more), style, x, y, kWidth, kHeight, round);
    output_.print("<text x=\"{0}\" y=\"{1}\">{2}</text><text class=\"small\" x=\"{0}\" y=\"{3}\">{4}</text></g>\n",
                  x + 12, y + 15, markup(fit(printable(name), kLetters)), y + 28,
                  markup(fit(printable(more), kSmallLetters)));
    output_.drain_if_large();
  }

  Output& output_;
  const WaitGraph& graph_;
  const WaitTree& tree_;
  const Processes& processes_;
  std::vector<std::size_t> row_of_depth_;    // of what the next line may hang on
};

void write_waits(Output& output, const Snapshot& snapshot) {
  write(output, "<section id=\"waits\"><h2>Who waits for whom</h2>\n");
  const WaitGraph graph = wait_graph(snapshot);
  const WaitTree tree = tree_of(graph);
  if (tree.lines.empty()) {
    write(output, "<p>Nobody waits.</p>\n");
  } else {
    for (const auto& cycle : tree.cycles) {
      write(output, "<p class=\"red\">Cycle:");
      for (const std::size_t waiter : cycle)
        output.print(" {} waits for", markup(graph.waiters[waiter].picture.signee));
      output.print(" {}</p>\n", markup(graph.waiters[cycle.front()].picture.signee));
    }
    const Processes processes(snapshot);
    GraphDrawing(output, graph, tree, processes).write();
  }
  write(output, "</section>\n");
}

void write_families(Output& output, const Snapshot& snapshot) {
  write(output, "<section id=\"families\"><h2>Name families</h2>\n");
  std::map<std::string_view, std::vector<const NamePicture*>> families;
  for (const NamePicture& name : snapshot.names) families[name.family].push_back(&name);
  if (families.empty()) write(output, "<p>No names.</p>\n");
  std::size_t written = 0;
  for (const auto& [family, names] : families) {
    if (++written > kMostFamilies) {
      output.print("<p>And {} families more: keyrack list shows each.</p>\n", families.size() - kMostFamilies);
      break;
    }
    const auto held = std::count_if(names.begin(), names.end(), [](const NamePicture* name) { return !name->free; });
    const std::size_t squares = std::min(names.size(), kMostSquares), rows = (squares + 63) / 64;
    output.print(
        "<p><b>{}</b>: {} of {} held{}</p>\n<div><svg width=\"768\" height=\"{}\" role=\"img\" "
        "aria-label=\"names\">\n",
        markup(family), held, names.size(), squares < names.size() ? fmt::format("; the first {} names", squares) : "",
        rows * 12);
    for (std::size_t i = 0; i < squares; ++i) {
      const NamePicture& name = *names[i];
      output.print(
          "<rect class=\"fill-{}\" x=\"{}\" y=\"{}\" width=\"10\" height=\"10\"><title>{}: {}</title></rect>\n",
          name.free ? "free" : "names", i % 64 * 12, i / 64 * 12, markup(name.name),
          name.free ? "free" : fmt::format("held, pid {}", name.pid));
    }
    write(output, "</svg></div>\n");
    output.drain_if_large();
  }
  write(output, "</section>\n");
}

void write_histogram(Output& output, const TimesName& times, const Histogram& histogram) {
  const std::uint64_t all = std::accumulate(histogram.counts.begin(), histogram.counts.end(), std::uint64_t{0});
  output.print("<p>{} {} in all{}</p>\n", times.help, thousands(all),
               all == 0 ? std::string(".")
                        : fmt::format("; half of them below {}, 99 of 100 below {}.",
                                      people(std::chrono::microseconds(percentile_us(histogram, 50))),
                                      people(std::chrono::microseconds(percentile_us(histogram, 99)))));
  if (all == 0) return;
  const std::uint64_t most = *std::max_element(histogram.counts.begin(), histogram.counts.end());
  output.print("<div><svg width=\"{}\" height=\"100\" role=\"img\" aria-label=\"{}\">\n", histogram.counts.size() * 28,
               times.name);
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    const double height = 80 * static_cast<double>(histogram.counts[i]) / static_cast<double>(most);
    const bool last = i + 1 == histogram.counts.size();
    const auto limit = std::chrono::microseconds(std::int64_t{1} << (last ? i - 1 : i));
    output.print(
        "<rect class=\"fill-names\" x=\"{}\" y=\"{:.1f}\" width=\"24\" height=\"{:.1f}\"><title>{} {}: "
        "{}</title></rect>",
        i * 28, 82 - height, height, last ? "from" : "below", people(limit), thousands(histogram.counts[i]));
    if (i % 3 == 0) output.print("<text class=\"small\" x=\"{}\" y=\"96\">{}</text>\n", i * 28, people(limit));
  }
  write(output, "</svg></div>\n");
}

void write_counters(Output& output, const Snapshot& snapshot) {
  output.print("<section id=\"counters\"><h2>Since {}</h2>\n<div><table>\n", iso_time(snapshot.segment.created_at));
  for (const Counter& counter : kCounters) {
    output.print("<tr><td>{}<td class=\"right\">{}<td>{}\n", counter.name, thousands(snapshot.counters.*counter.value),
                 counter.help);
  }
  write(output, "</table></div>\n");
  for (const TimesName& times : kTimes) write_histogram(output, times, snapshot.*times.times);
  write(output, "</section>\n");
}

void write_records(Output& output, const PageTable& records) {
  output.print("<section id=\"{0}\"><h2>{0}</h2>\n", records.title);
  if (records.shown == 0) {
    write(output, "<p>None.</p>\n");
  } else {
    write(output, "<div>");
    records.table.write_html(output);
    write(output, "</div>\n");
  }
  if (records.shown < records.all) {
    output.print("<p>And {} more: --filter chooses, --format csv has all.</p>\n",
                 thousands(records.all - records.shown));
  }
  write(output, "</section>\n");
}

}    // namespace

Occupancy::Occupancy(const Snapshot& snapshot) {
  for (const LockPicture& lock : snapshot.locks) {
    switch (lock.state) {
      case LockState::held:
        ++held;
        break;
      case LockState::stale:
        ++stale;
        break;
      case LockState::abandoned:
        ++abandoned;
        break;
      case LockState::idle:
        ++idle;
        break;
    }
  }
  for (const NamePicture& name : snapshot.names) ++(name.free ? names_free : names_held);
  const std::size_t used = snapshot.locks.size() + snapshot.names.size();
  free = snapshot.segment.slots - std::min<std::size_t>(used, snapshot.segment.slots);
  sessions_dead = static_cast<std::size_t>(std::count_if(snapshot.sessions.begin(), snapshot.sessions.end(),
                                                         [](const SessionPicture& session) { return !session.alive; }));
}

void write_page(Output& output, const Snapshot& snapshot, const Occupancy& occupancy,
                const std::vector<PageTable>& tables, bool is_copy) {
  const SegmentPicture& segment = snapshot.segment;
  write(output, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n");
  write(output, kHead);
  output.print("<title>keyrack: {0}</title>\n</head>\n<body>\n<h1>{0}</h1>\n<p>{1}</p>\n", markup(segment.name),
               markup(describe(segment)));
  output.print("<p>Created {}. Seen from {} to {}.{}</p>\n", iso_time(segment.created_at),
               iso_time_ms(snapshot.taken_from), iso_time_ms(snapshot.taken_until),
               is_copy ? " <b>A copy: times and who was alive are as of then.</b>" : "");
  write_occupancy(output, snapshot, occupancy);
  write_waits(output, snapshot);
  write_families(output, snapshot);
  for (const PageTable& records : tables) write_records(output, records);
  write_counters(output, snapshot);
  write(output, "</body>\n</html>\n");
}

}    // namespace keyrack::command
