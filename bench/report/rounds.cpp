#include "rounds.hpp"

#include <fmt/format.h>

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

namespace keyrack::bench {

using nlohmann::ordered_json;

namespace {

ordered_json read_json(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + " cannot be read");
  return ordered_json::parse(file);
}

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) parts.push_back(part);
  return parts;
}

}    // namespace

bool Round::lacks(const std::string& benchmark) const {
  const std::string who = benchmark.substr(benchmark.find('/') + 1);
  return std::any_of(not_installed.begin(), not_installed.end(),
                     [&who](const std::string& absent) { return who.starts_with(absent); });
}

/// "dump/iterations:1/manual_time" is the benchmark "dump", and its time is the one that it took itself; that of
/// ".../real_time" is the one on the wall. Of the others the processor time counts, so that nobody else's work does.
Round read_round(const std::string& path) {
  const ordered_json json = read_json(path);
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
    fields["ns"] = run.at(full.ends_with("_time") ? "real_time" : "cpu_time");
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

std::string number(double value) {
  const double size = std::abs(value);
  if (size == 0 || size >= 100) return fmt::format("{:.0f}", value);
  return size >= 10 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

bool Run::growth() const {
  const auto& names = rounds.front().benchmarks;
  return !names.empty() && names.begin()->first.starts_with("growth, ");
}

ordered_json to_json(const Run& run) {
  ordered_json json{{"date", run.date},         {"commit", run.commit},
                    {"cpu", run.cpu},           {"kernel", run.kernel},
                    {"compiler", run.compiler}, {"build", run.build},
                    {"load_before", run.load},  {"not_installed", run.rounds.front().not_installed}};
  for (const Round& round : run.rounds) json["rounds"].push_back(round.benchmarks);
  return json;
}

Run read_run(const std::string& path) {
  const ordered_json json = read_json(path);
  Run run{json.at("date"),   json.at("commit"),   json.at("load_before"), json.at("cpu"),
          json.at("kernel"), json.at("compiler"), json.at("build"),       {}};
  for (const auto& benchmarks : json.at("rounds")) run.rounds.push_back({benchmarks, json.at("not_installed")});
  return run;
}

}    // namespace keyrack::bench
