#include "plots.hpp"

#include "chart.hpp"
#include "contenders.hpp"

#include <fmt/format.h>

#include <set>
#include <stdexcept>

namespace keyrack::bench {

namespace {

bool is_own(const std::string& name) { return name.starts_with("keyrack"); }

std::string about(const Run& run, const std::string& what) {
  return fmt::format("{}; {}, {}, commit {}", what, run.cpu, run.date, run.commit);
}

double median(const Run& run, const Measure& measure) {
  return over(run.rounds, [&](const Round& round) { return value_of(round, measure); }).median;
}

/// Everybody who is there, the quickest first.
BarChart pairs(const Run& run) {
  BarChart chart{"A lock and its unlock, one process, nobody else", about(run, "logarithmic"), Axis::ns, {}};
  for (const ContenderFacts& contender : contenders()) {
    if (run.rounds.front().lacks(contender.name)) continue;
    chart.bars.push_back({contender.name, median(run, {"one process/" + contender.name}), is_own(contender.name)});
  }
  std::stable_sort(chart.bars.begin(), chart.bars.end(),
                   [](const auto& a, const auto& b) { return a.value < b.value; });
  return chart;
}

/// How long it takes, and how long at worst.
LineChart latencies(const Run& run, const std::string& title, const std::string& form,
                    const std::vector<std::string>& whose) {
  LineChart chart{title, about(run, "logarithmic"), Axis::ns, "share of the times that were no longer than that", {},
                  {}};
  chart.steps = {"10 %", "50 %", "90 %", "99 %", "all"};
  for (const std::string& who : whose) {
    if (run.rounds.front().lacks(who)) continue;
    LineChart::Series series{who, {}, is_own(who)};
    for (const char* field : {"p10_ns", "ns", "p90_ns", "p99_ns", "max_ns"}) {
      series.values.push_back(median(run, {form + "/" + who, field}));
    }
    chart.series.push_back(series);
  }
  return chart;
}

/// A chart of how something grows: the cases are "growth, OF/WHOSE/HOW MANY".
struct Growth {
  std::string name, title, of, x_title;
  std::string field = "ns";
  enum { time, rate } shows = time;

  std::string unit() const { return shows == time ? "ns" : "million pairs a second"; }
};

const std::vector<Growth>& growths() {
  static const std::vector<Growth> all{
      {"growth-records", "A pair at random keys, by the records in the table", "records", "records"},
      {"growth-processes-disjoint", "Million pairs a second, each process with a key of its own", "processes, disjoint",
       "processes", "ns", Growth::rate},
      {"growth-processes-hot", "Million pairs a second, all processes at one key", "processes, hot", "processes", "ns",
       Growth::rate},
      {"growth-names", "A name lent out and given back, by how many others are held", "names held", "names held"},
      {"growth-waiters", "From the unlock to the first of the sleepers having the lock", "waiters", "waiters asleep"},
      {"growth-waiters-each", "The same, for each of the sleepers in turn", "waiters", "waiters asleep", "each_ns"},
  };
  return all;
}

std::string count(std::size_t number) {
  for (const auto& [unit, size] : {std::pair("M", 1'000'000u), std::pair("k", 1'000u)}) {
    if (number >= size && number % size == 0) return fmt::format("{}{}", number / size, unit);
  }
  return std::to_string(number);
}

LineChart grown(const Run& run, const Growth& growth) {
  const std::string prefix = "growth, " + growth.of + "/";
  std::set<std::size_t> counts;
  std::vector<std::string> whose;
  for (const auto& [name, fields] : run.rounds.front().benchmarks) {
    if (!name.starts_with(prefix)) continue;
    const std::size_t slash = name.rfind('/');
    counts.insert(std::stoul(name.substr(slash + 1)));
    const std::string who = name.substr(prefix.size(), slash - prefix.size());
    if (whose.empty() || whose.back() != who) whose.push_back(who);
  }
  if (whose.empty()) throw std::runtime_error("there is no case \"" + prefix + "\"");
  LineChart chart{growth.title,
                  about(run, "logarithmic"),
                  growth.shows == Growth::time ? Axis::ns : Axis::plain,
                  growth.x_title,
                  {},
                  {}};
  for (const std::size_t each : counts) chart.steps.push_back(count(each));
  for (const std::string& who : whose) {
    LineChart::Series series{who, {}, is_own(who)};
    for (const std::size_t each : counts) {
      const std::string name = prefix + who + "/" + std::to_string(each);
      const bool measured =
          std::all_of(run.rounds.begin(), run.rounds.end(), [&](const Round& round) { return round.has(name); });
      series.values.emplace_back();
      if (!measured) continue;
      const double ns = median(run, {name, growth.field});
      series.values.back() = growth.shows == Growth::time ? ns : 1e3 / ns;
    }
    chart.series.push_back(series);
  }
  return chart;
}

}    // namespace

std::vector<Plot> plots(const Run& run) {
  std::vector<Plot> all;
  if (run.growth()) {
    for (const Growth& growth : growths()) all.push_back({growth.name, svg(grown(run, growth))});
    return all;
  }
  all.push_back({"pairs", svg(pairs(run))});
  all.push_back({"hand-over", svg(latencies(run, "From the unlock to the sleeping waiter having the lock", "hand-over",
                                            {"keyrack NamedMutex", "keyrack keyed, waiting", "raw futex",
                                             "robust mutex", "Berkeley DB lock subsystem", "flock, files kept open",
                                             "PostgreSQL, advisory lock"}))});
  all.push_back({"death", svg(latencies(run, "From the holder's SIGKILL to its waiter having the lock", "death",
                                        {"keyrack NamedMutex", "keyrack keyed, waiting", "robust mutex",
                                         "flock, files kept open", "OFD range lock", "PostgreSQL, advisory lock"}))});
  return all;
}

std::string growth_tables(const Run& run) {
  std::string text;
  for (const Growth& growth : growths()) {
    const LineChart chart = grown(run, growth);
    text += fmt::format("\n{} ({}):\n\n| {} |", growth.title, growth.unit(), growth.x_title);
    std::string rule = "\n|---|";
    for (const std::string& step : chart.steps) {
      text += fmt::format(" {} |", step);
      rule += "---|";
    }
    text += rule + "\n";
    for (const auto& series : chart.series) {
      text += fmt::format("| {} |", series.name);
      for (const auto& value : series.values) text += fmt::format(" {} |", value ? number(*value) : "–");
      text += "\n";
    }
  }
  return text;
}

}    // namespace keyrack::bench
