// keyrack_bench: one round of every case, as Google Benchmark runs and writes it. bench/run makes tables of rounds.
//
// Beside Google Benchmark's options: --growth, for the cases of cases/growth.cpp in the place of the others; --smoke,
// to see that everything works, with small tables and short times.
#include "harness/suite.hpp"
#include "rivals/rivals.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace {

/// Names of rivals, or how the names of several begin; the report says of them that they were not there.
std::string not_installed() {
  std::string names = NOT_BUILT;
  keyrack::bench::Rivals::for_each_absent(
      [&names]<class T>() { names += (names.empty() ? "" : "|") + std::string(T::kName); });
  return names;
}

void add_cases_of_a_round() {
  using namespace keyrack::bench;
  // The largest tables last: their keys are memory that every forked process would have to copy the map of.
  add_pair_cases();
  add_two_process_cases();
  add_waiting_cases();
  add_room_cases();
  add_name_cases();
  add_counting_cases();
  add_etcd_cases();
  add_scale_cases();
}

}    // namespace

int main(int argc, char** argv) {
  using namespace keyrack::bench;
  static char min_time[] = "--benchmark_min_time=0.0001";
  bool growth = false;
  std::vector<char*> arguments;
  for (int i = 0; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--smoke") {
      scale().smoke = true;
      arguments.push_back(min_time);
    } else if (std::string_view(argv[i]) == "--growth") {
      growth = true;
    } else {
      arguments.push_back(argv[i]);
    }
  }
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  benchmark::AddCustomContext("not_installed", not_installed());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;

  if (growth) {
    add_growth_cases();
  } else {
    add_cases_of_a_round();
  }
  if (benchmark::RunSpecifiedBenchmarks() == 0) return 2;
  benchmark::Shutdown();
  return any_failed() ? 1 : 0;
}
