// What keyrack_bench has measured: one round of cases, or several.
#pragma once

#include "rows.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace keyrack::bench {

struct Round {
  std::map<std::string, std::map<std::string, double>> benchmarks;    // by name, then by field
  std::vector<std::string> not_installed;    // how the names of rivals begin that were not there

  bool has(const std::string& benchmark) const { return benchmarks.contains(benchmark); }
  /// Whether a case, or a contender, is missing because something is not installed.
  bool lacks(const std::string& benchmark) const;
};

/// As keyrack_bench writes it.
Round read_round(const std::string& path);

/// Throws if there is no such case or no such number of it.
double value_of(const Round& round, const Measure& measure);

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

/// Three digits that count; no more decimals than that.
std::string number(double value);

/// The rounds of one run, and where and when it was.
struct Run {
  std::string date, commit, load, cpu, kernel, compiler, build;
  std::vector<Round> rounds;

  /// Whether these are the cases of growth.cpp.
  bool growth() const;
};

/// A kept run is this, and what else is of interest to people.
nlohmann::ordered_json to_json(const Run&);
Run read_run(const std::string& path);

}    // namespace keyrack::bench
