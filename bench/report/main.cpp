// keyrack_bench_report: makes the table of a run from its rounds. A round is what one keyrack_bench has written.
//
// Each ratio is taken within one round; what is shown is the median over the rounds, and the least and the greatest.
#include "rows.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sys/utsname.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <stdexcept>

namespace keyrack::bench {
namespace {

using nlohmann::ordered_json;

/// By benchmark, then by field.
using Round = std::map<std::string, std::map<std::string, double>>;

/// "dump/iterations:1/manual_time" is the benchmark "dump", and its time is the one that it took itself; of the others
/// the processor time counts, so that nobody else's work does.
Round read_round(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read");
  const auto json = ordered_json::parse(file);
  Round round;
  for (const auto& run : json.at("benchmarks")) {
    const std::string full = run.at("name");
    const std::string name = full.substr(0, full.find("/iterations:"));
    if (run.value("error_occurred", false)) {
      throw std::runtime_error(fmt::format("{}: {} failed: {}", path, name, run.value("error_message", "")));
    }
    if (run.at("time_unit") != "ns") throw std::runtime_error(path + ": " + name + " is not in ns");
    auto& fields = round[name];
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
  const auto benchmark = round.find(measure.benchmark);
  if (benchmark == round.end()) throw std::runtime_error("there is no case \"" + measure.benchmark + "\"");
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
  Spread measured;
  double ns;

  const char* verdict() const {
    if (row.bound == Row::none) return "–";
    return (row.bound == Row::at_most ? measured.median <= row.limit : measured.median >= row.limit) ? "met"
                                                                                                     : "**missed**";
  }
  std::string target() const {
    if (row.bound == Row::none) return "–";
    return fmt::format("{} {:g} {}", row.bound == Row::at_most ? "≤" : "≥", row.limit, row.unit);
  }
  std::string range() const {
    return measured.least == measured.greatest
               ? ""
               : fmt::format("{} – {}", number(measured.least), number(measured.greatest));
  }
};

std::vector<Outcome> judge(const std::vector<Round>& rounds) {
  std::vector<Outcome> outcomes;
  for (const Row& row : rows()) {
    outcomes.push_back(
        {row, over(rounds, [&](const Round& round) { return in_row(row, round); }),
         over(rounds, [&](const Round& round) { return value_of(round, {row.value.benchmark}); }).median});
  }
  return outcomes;
}

/// What has a pair, in the order of the names; keyrack's own included.
std::set<std::string> contenders(const Round& round) {
  std::set<std::string> names;
  const std::string prefix = "one process/";
  for (const auto& [name, fields] : round) {
    if (name.starts_with(prefix)) names.insert(name.substr(prefix.size()));
  }
  return names;
}

std::string contenders_table(const std::vector<Round>& rounds) {
  std::string text =
      "| | one process, ns a pair | × robust mutex | two processes, disjoint: × one | two, hot key: million pairs/s "
      "| hand-over, µs | death of the holder, µs |\n|---|---|---|---|---|---|---|\n";
  for (const std::string& name : contenders(rounds.front())) {
    const auto median = [&](auto&& of) { return number(over(rounds, of).median); };
    const auto ns = [&](const Round& round, const std::string& form, const std::string& who) {
      return value_of(round, {form + "/" + who});
    };
    const auto if_there = [&](const std::string& form) -> std::string {
      if (!rounds.front().contains(form + "/" + name)) return "–";
      return median([&](const Round& round) { return ns(round, form, name) / 1e3; });
    };
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n", name,
                        median([&](const Round& round) { return ns(round, "one process", name); }),
                        median([&](const Round& round) {
                          return ns(round, "one process", name) / ns(round, "one process", "robust mutex");
                        }),
                        median([&](const Round& round) {
                          return ns(round, "one process", name) / ns(round, "two processes, disjoint", name);
                        }),
                        median([&](const Round& round) { return 1e3 / ns(round, "two processes, hot", name); }),
                        if_there("hand-over"), if_there("death"));
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
    judged += outcome.row.bound != Row::none;
    met += std::string_view(outcome.verdict()) == "met";
    lines += fmt::format("| {} | {} | {} {} | {} | {} | {} |\n", outcome.row.title, outcome.target(),
                         number(outcome.measured.median), outcome.row.unit, outcome.range(),
                         outcome.ns > 0 ? number(outcome.ns) : "", outcome.verdict());
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
    ordered_json row{{"case", outcome.row.title},       {"measured", outcome.measured.median},
                     {"least", outcome.measured.least}, {"greatest", outcome.measured.greatest},
                     {"unit", outcome.row.unit},        {"ns", outcome.ns}};
    if (outcome.row.bound != Row::none) {
      row[outcome.row.bound == Row::at_most ? "at_most" : "at_least"] = outcome.row.limit;
      row["met"] = std::string_view(outcome.verdict()) == "met";
    }
    all["cases"].push_back(row);
  }
  all["rounds"] = rounds;
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
