#include "report.hpp"

#include <fmt/core.h>

#include <unistd.h>

#include <cstdio>

namespace keyrack::crash {

namespace {
constexpr std::size_t kBar = 40;
bool on_terminal() { return ::isatty(STDERR_FILENO) != 0; }
}    // namespace

Progress::~Progress() {
  if (on_terminal()) fmt::print(stderr, "\r\033[K");
}

void Progress::show(std::size_t done, std::size_t violations) const {
  if (!on_terminal()) return;
  const std::size_t full = all_ == 0 ? kBar : done * kBar / all_;
  fmt::print(stderr, "\r[{}{}] {} of {}, {} violations ", std::string(full, '#'), std::string(kBar - full, '.'), done,
             all_, violations);
  std::fflush(stderr);
}

Table::Table(Kind kind, bool markdown) : kind_(kind), markdown_(markdown) {
  std::vector<std::string> cells{kKinds.at(static_cast<std::size_t>(kind))};
  if (kind_ == Kind::rescuer) cells.emplace_back("wrecks");
  cells.insert(cells.end(), {"instructions", "points", "runs", "diverged", "violations"});
  if (!markdown_) fmt::print("\n");
  line(cells);
  if (markdown_) {
    for (std::size_t i = 0; i < cells.size(); ++i) fmt::print("{}", i == 0 ? "|---|" : "--:|");
    fmt::print("\n");
  }
}

void Table::add(const std::string& scenario, const Tally& tally) {
  std::vector<std::string> cells{scenario};
  const auto add_cell = [&](const std::atomic<std::uint64_t>& count, std::atomic<std::uint64_t>& sum) {
    cells.push_back(std::to_string(count));
    sum += count;
  };
  if (kind_ == Kind::rescuer) add_cell(tally.wrecks, sum_.wrecks);
  add_cell(tally.instructions, sum_.instructions);
  add_cell(tally.points, sum_.points);
  add_cell(tally.runs, sum_.runs);
  add_cell(tally.diverged, sum_.diverged);
  add_cell(tally.violations, sum_.violations);
  line(cells);
}

void Table::finish() {
  const Tally sum{sum_.instructions.load(), sum_.points.load(),   sum_.wrecks.load(),
                  sum_.runs.load(),         sum_.diverged.load(), sum_.violations.load()};
  add("all", sum);
  fmt::print("\n");
}

void Table::line(const std::vector<std::string>& cells) const {
  if (markdown_) fmt::print("|");
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (markdown_) {
      fmt::print(" {} |", cells[i]);
    } else if (i == 0) {
      fmt::print("{:36}", cells[i]);
    } else {
      fmt::print("{:>13}", cells[i]);
    }
  }
  fmt::print("\n");
}

}    // namespace keyrack::crash
