// keyrack_bench_report: makes tables and charts of a run from its rounds. A round is what one keyrack_bench has
// written.
//
// Each ratio is taken within one round; what is shown is the median over the rounds, and the least and the greatest.
#include "contenders.hpp"
#include "plots.hpp"
#include "rounds.hpp"
#include "rows.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <optional>
#include <set>
#include <stdexcept>

namespace keyrack::bench {
namespace {

using nlohmann::ordered_json;

double in_row(const Row& row, const Round& round) {
  const double value = value_of(round, row.value);
  switch (row.form) {
    case Form::time_ratio:
      return value / value_of(round, row.base);
    case Form::speed_ratio:
      return value_of(round, row.base) / value;
    case Form::amount:
      break;
  }
  return value / row.scale;
}

struct Outcome {
  Row row;
  std::optional<Spread> measured;    // empty: the rival is not installed
  double ns = 0;

  bool judged() const { return measured && row.bound != Row::none; }
  bool met() const {
    return judged() && (row.bound == Row::at_most ? measured->median <= row.limit : measured->median >= row.limit);
  }
  std::string verdict() const {
    if (!judged()) return "–";
    return met() ? "met" : "**missed**";
  }
  std::string target() const {
    if (row.bound == Row::none) return "–";
    return fmt::format("{} {:g} {}", row.bound == Row::at_most ? "≤" : "≥", row.limit, row.unit);
  }
  std::string value() const {
    return measured ? fmt::format("{} {}", number(measured->median), row.unit) : "not installed";
  }
  std::string range() const {
    return !measured || measured->least == measured->greatest
               ? ""
               : fmt::format("{} – {}", number(measured->least), number(measured->greatest));
  }
};

std::vector<Outcome> judge(const std::vector<Round>& rounds) {
  std::vector<Outcome> outcomes;
  for (const Row& row : rows()) {
    Outcome outcome{row, {}};
    if (!rounds.front().lacks(row.base.benchmark)) {
      outcome.measured = over(rounds, [&](const Round& round) { return in_row(row, round); });
      outcome.ns = over(rounds, [&](const Round& round) { return value_of(round, {row.value.benchmark}); }).median;
    }
    outcomes.push_back(outcome);
  }
  return outcomes;
}

/// Everybody who takes part is in the table, and the other way round.
void check_contenders(const Round& round) {
  const std::string prefix = "one process/";
  std::set<std::string> taking_part, listed;
  for (const auto& [name, fields] : round.benchmarks) {
    if (name.starts_with(prefix)) taking_part.insert(name.substr(prefix.size()));
  }
  for (const ContenderFacts& contender : contenders()) {
    if (!round.lacks(contender.name)) listed.insert(contender.name);
  }
  if (taking_part != listed) throw std::runtime_error("report/contenders.cpp does not list exactly who takes part");
}

std::string contenders_table(const std::vector<Round>& rounds) {
  std::string text =
      "| | one process, ns a pair | × robust mutex | two processes, disjoint: × one | two, hot key: million pairs/s "
      "| hand-over, µs | death of the holder, µs | what it lacks |\n|---|---|---|---|---|---|---|---|\n";
  for (const auto& [name, lacks] : contenders()) {
    if (rounds.front().lacks(name)) {
      text += fmt::format("| {} | not installed | | | | | | {} |\n", name, lacks);
      continue;
    }
    const auto median = [&](auto&& of) { return number(over(rounds, of).median); };
    const auto ns = [&, &who = name](const Round& round, const std::string& form) {
      return value_of(round, {form + "/" + who});
    };
    const auto if_there = [&, &who = name](const std::string& form) -> std::string {
      if (!rounds.front().benchmarks.contains(form + "/" + who)) return "–";
      return median([&](const Round& round) { return ns(round, form) / 1e3; });
    };
    text += fmt::format(
        "| {} | {} | {} | {} | {} | {} | {} | {} |\n", name,
        median([&](const Round& round) { return ns(round, "one process"); }), median([&](const Round& round) {
          return ns(round, "one process") / value_of(round, {"one process/robust mutex"});
        }),
        median([&](const Round& round) { return ns(round, "one process") / ns(round, "two processes, disjoint"); }),
        median([&](const Round& round) { return 1e3 / ns(round, "two processes, hot"); }), if_there("hand-over"),
        if_there("death"), lacks);
  }
  return text;
}

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

Run run_here(const std::string& date, const std::string& commit, const std::string& load, std::vector<Round> rounds) {
  utsname system{};
  ::uname(&system);
  return {date,
          commit,
          load,
          processor(),
          std::string(system.sysname) + " " + system.release,
          BUILD_COMPILER,
          BUILD_TYPE,
          std::move(rounds)};
}

std::string heading(const Run& run) {
  return fmt::format("{}, commit {}; {} rounds; load before the run {}.\n{}, {}, {} ({}).\n", run.date, run.commit,
                     run.rounds.size(), run.load, run.cpu, run.kernel, run.compiler, run.build);
}

std::string table(const Run& run, const std::vector<Outcome>& outcomes) {
  std::size_t judged = 0, met = 0;
  std::string lines;
  for (const Outcome& outcome : outcomes) {
    judged += outcome.judged();
    met += outcome.met();
    lines += fmt::format("| {} | {} | {} | {} | {} | {} |\n", outcome.row.title, outcome.target(), outcome.value(),
                         outcome.range(), outcome.ns > 0 ? number(outcome.ns) : "", outcome.verdict());
  }
  return heading(run) +
         fmt::format(
             "\n{} of {} targets met. Ratios are to the robust-mutex pair of the same round, where nothing else is "
             "said.\n\n"
             "| case | target | measured | range over the rounds | ns | |\n|---|---|---|---|---|---|\n",
             met, judged) +
         lines + "\nWho takes part (medians):\n\n" + contenders_table(run.rounds);
}

ordered_json cases(const std::vector<Outcome>& outcomes) {
  ordered_json all;
  for (const Outcome& outcome : outcomes) {
    ordered_json row{{"case", outcome.row.title}, {"unit", outcome.row.unit}, {"ns", outcome.ns}};
    if (outcome.measured) {
      row["measured"] = outcome.measured->median;
      row["least"] = outcome.measured->least;
      row["greatest"] = outcome.measured->greatest;
    }
    if (outcome.row.bound != Row::none) {
      row[outcome.row.bound == Row::at_most ? "at_most" : "at_least"] = outcome.row.limit;
    }
    if (outcome.judged()) row["met"] = outcome.met();
    all.push_back(row);
  }
  return all;
}

/// What is kept of a run: all numbers, and the tables for people.
struct Kept {
  ordered_json json;
  std::string tables;
};

Kept keep(const Run& run) {
  Kept kept{to_json(run), heading(run)};
  if (run.growth()) {
    kept.tables += growth_tables(run);
    return kept;
  }
  for (const Round& round : run.rounds) check_contenders(round);
  const auto outcomes = judge(run.rounds);
  kept.json["cases"] = cases(outcomes);
  kept.tables = table(run, outcomes);
  return kept;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

constexpr const char* kUsage =
    "usage: keyrack_bench_report --check ROUND.json...    is everything there that the report needs?\n"
    "       keyrack_bench_report DATE COMMIT LOAD OUT.json OUT.md ROUND.json...    keeps a run\n"
    "       keyrack_bench_report --plots FOLDER KEPT.json    draws a kept run\n";

int report(const std::vector<std::string>& arguments) {
  const std::string form = arguments.empty() ? "" : arguments[0];
  if (form == "--plots" && arguments.size() == 3) {
    for (const Plot& plot : plots(read_run(arguments[2]))) write(arguments[1] + "/" + plot.name + ".svg", plot.svg);
    return 0;
  }
  const std::size_t first_round = form == "--check" ? 1 : 5;
  if (form == "--plots" || arguments.size() <= first_round) {
    std::cerr << kUsage;
    return 2;
  }
  std::vector<Round> rounds;
  for (std::size_t i = first_round; i < arguments.size(); ++i) rounds.push_back(read_round(arguments[i]));
  if (form == "--check") {
    const Run run = run_here("", "", "", std::move(rounds));
    (void)keep(run);
    (void)plots(run);
    return 0;
  }
  const Kept kept = keep(run_here(form, arguments[1], arguments[2], std::move(rounds)));
  write(arguments[3], kept.json.dump(1) + "\n");
  write(arguments[4], kept.tables);
  return 0;
}

}    // namespace
}    // namespace keyrack::bench

int main(int argc, char** argv) try {
  return keyrack::bench::report({argv + 1, argv + argc});
} catch (const std::exception& error) {
  std::cerr << "keyrack_bench_report: " << error.what() << '\n';
  return 1;
}
