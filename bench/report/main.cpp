// keyrack_bench_report: makes the table of a run from its rounds. A round is what one keyrack_bench has written.
//
// Each ratio is taken within one round; what is shown is the median over the rounds, and the least and the greatest.
#include "contenders.hpp"
#include "rows.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>

namespace keyrack::bench {
namespace {

using nlohmann::ordered_json;

struct Round {
  std::map<std::string, std::map<std::string, double>> benchmarks;    // by name, then by field
  std::vector<std::string> not_installed;    // how the names of rivals begin that were not there

  bool lacks(const std::string& benchmark) const {
    const std::string who = benchmark.substr(benchmark.find('/') + 1);
    return std::any_of(not_installed.begin(), not_installed.end(),
                       [&who](const std::string& absent) { return who.starts_with(absent); });
  }
};

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) parts.push_back(part);
  return parts;
}

/// "dump/iterations:1/manual_time" is the benchmark "dump", and its time is the one that it took itself; that of
/// ".../real_time" is the one on the wall. Of the others the processor time counts, so that nobody else's work does.
Round read_round(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read");
  const auto json = ordered_json::parse(file);
  Round round{{}, split(json.at("context").value("not_installed", ""), '|')};
  for (const auto& run : json.at("benchmarks")) {
    const std::string full = run.at("name");
    const std::string name = full.substr(0, std::min(full.find("/iterations:"), full.find("/real_time")));
    if (run.value("error_occurred", false)) {
      throw std::runtime_error(fmt::format("{}: {} failed: {}", path, name, run.value("error_message", "")));
    }
    if (run.at("time_unit") != "ns") throw std::runtime_error(path + ": " + name + " is not in ns");
    auto& fields = round.benchmarks[name];
    static const std::set<std::string> not_counters{"family_index", "per_family_instance_index",
                                                    "repetitions",  "repetition_index",
                                                    "threads",      "iterations",
                                                    "real_time",    "cpu_time"};
    for (const auto& [key, value] : run.items()) {
      if (value.is_number() && !not_counters.contains(key)) fields[key] = value;
    }
    fields["ns"] = run.at(full == name ? "cpu_time" : "real_time");
  }
  return round;
}

double value_of(const Round& round, const Measure& measure) {
  const auto benchmark = round.benchmarks.find(measure.benchmark);
  if (benchmark == round.benchmarks.end()) throw std::runtime_error("there is no case \"" + measure.benchmark + "\"");
  const auto field = benchmark->second.find(measure.field);
  if (field == benchmark->second.end()) {
    throw std::runtime_error(fmt::format("case \"{}\" has no {}", measure.benchmark, measure.field));
  }
  return field->second;
}

struct Spread {
  double median, least, greatest;
};

template <class Of>
Spread over(const std::vector<Round>& rounds, Of&& of) {
  std::vector<double> values;
  for (const Round& round : rounds) values.push_back(of(round));
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  return {median, values.front(), values.back()};
}

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

/// Three digits that count; no more decimals than that.
std::string number(double value) {
  const double size = std::abs(value);
  if (size == 0 || size >= 100) return fmt::format("{:.0f}", value);
  return size >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
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

struct Machine {
  std::string cpu = processor(), kernel, compiler = BUILD_COMPILER, build = BUILD_TYPE;

  Machine() {
    utsname system{};
    ::uname(&system);
    kernel = std::string(system.sysname) + " " + system.release;
  }
};

struct Run {
  std::string date, commit, load;
  Machine machine;
  std::size_t rounds;
};

std::string table(const Run& run, const std::vector<Outcome>& outcomes, const std::vector<Round>& rounds) {
  std::size_t judged = 0, met = 0;
  std::string lines;
  for (const Outcome& outcome : outcomes) {
    judged += outcome.judged();
    met += outcome.met();
    lines += fmt::format("| {} | {} | {} | {} | {} | {} |\n", outcome.row.title, outcome.target(), outcome.value(),
                         outcome.range(), outcome.ns > 0 ? number(outcome.ns) : "", outcome.verdict());
  }
  return fmt::format(
             "{}, commit {}; {} rounds; load before the run {}.\n{}, {}, {} ({}).\n\n"
             "{} of {} targets met. Ratios are to the robust-mutex pair of the same round, where nothing else is "
             "said.\n\n"
             "| case | target | measured | range over the rounds | ns | |\n|---|---|---|---|---|---|\n",
             run.date, run.commit, run.rounds, run.load, run.machine.cpu, run.machine.kernel, run.machine.compiler,
             run.machine.build, met, judged) +
         lines + "\nWho takes part (medians):\n\n" + contenders_table(rounds);
}

ordered_json json(const Run& run, const std::vector<Outcome>& outcomes, const std::vector<Round>& rounds) {
  ordered_json all{{"date", run.date},
                   {"commit", run.commit},
                   {"cpu", run.machine.cpu},
                   {"kernel", run.machine.kernel},
                   {"compiler", run.machine.compiler},
                   {"build", run.machine.build},
                   {"load_before", run.load}};
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
    all["cases"].push_back(row);
  }
  all["not_installed"] = rounds.front().not_installed;
  for (const Round& round : rounds) all["rounds"].push_back(round.benchmarks);
  return all;
}

void write(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  if (!file.flush()) throw std::runtime_error(path + " cannot be written");
}

constexpr const char* kUsage =
    "usage: keyrack_bench_report --check ROUND.json...\n"
    "       keyrack_bench_report DATE COMMIT LOAD OUT.json OUT.md ROUND.json...\n";

int report(const std::vector<std::string>& arguments) {
  const bool check = !arguments.empty() && arguments[0] == "--check";
  const std::size_t first_round = check ? 1 : 5;
  if (arguments.size() <= first_round) {
    std::cerr << kUsage;
    return 2;
  }
  std::vector<Round> rounds;
  for (std::size_t i = first_round; i < arguments.size(); ++i) rounds.push_back(read_round(arguments[i]));
  for (const Round& round : rounds) check_contenders(round);
  const auto outcomes = judge(rounds);
  if (check) return 0;
  const Run run{arguments[0], arguments[1], arguments[2], {}, rounds.size()};
  write(arguments[3], json(run, outcomes, rounds).dump(1) + "\n");
  write(arguments[4], table(run, outcomes, rounds));
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
