// keyrack_simulation: runs the real algorithm in simulated worlds, by chance or exhaustively, and reports what broke.
#include "strategies.hpp"
#include "trial.hpp"

#include "../reference/canary.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <unistd.h>

#include <chrono>
#include <random>

namespace {

using namespace keyrack::simulation;
using Clock = std::chrono::steady_clock;

struct Totals {
  std::uint64_t runs = 0, steps = 0, calls = 0, faults = 0;

  void add(const Verdict& verdict) {
    ++runs;
    steps += verdict.steps;
    calls += verdict.calls;
    if (!verdict.fault.empty()) ++faults;
  }
};

void show_progress(const std::string& what, const Totals& totals) {
  if (::isatty(STDERR_FILENO) == 0 || totals.runs % 1024 != 0) return;
  fmt::print(stderr, "\r{}: {} schedules, {} faults ", what, totals.runs, totals.faults);
}

void sum_up(const std::string& what, const Totals& totals, Clock::time_point since) {
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r\x1b[K");
  fmt::print("{}: {} schedules, {} steps, {} calls, {} faults, {:.1f} s\n", what, totals.runs, totals.steps,
             totals.calls, totals.faults, std::chrono::duration<double>(Clock::now() - since).count());
}

/// One schedule after the other, each with the next seed.
Totals run_by_chance(std::uint64_t seed, std::uint64_t count, double seconds, std::uint64_t faults_max) {
  Totals totals;
  const auto since = Clock::now();
  for (std::uint64_t i = 0; i < count && totals.faults < faults_max; ++i) {
    if (seconds > 0 && std::chrono::duration<double>(Clock::now() - since).count() > seconds) break;
    Chance chance(seed + i);
    const Plan plan = random_plan(seed + i);
    const Verdict verdict = run(plan, chance);
    totals.add(verdict);
    if (!verdict.fault.empty()) fmt::print("seed {}: {}\n{}\n", seed + i, verdict.fault, to_text(plan));
    show_progress("by chance", totals);
  }
  sum_up("by chance", totals, since);
  return totals;
}

/// Every schedule of each drill within the bounds.
Totals run_all(const Bounds& bounds, const std::string& only, std::uint64_t count_max, std::uint64_t faults_max) {
  Totals all;
  for (const Drill& drill : drills()) {
    if (!only.empty() && drill.name != only) continue;
    Exhaustion exhaustion(bounds);
    Totals totals;
    const auto since = Clock::now();
    bool complete = true;
    while (exhaustion.next()) {
      if (totals.runs == count_max) {
        complete = false;
        break;
      }
      const Verdict verdict = run(drill.plan, exhaustion);
      totals.add(verdict);
      if (!verdict.fault.empty()) fmt::print("{}, schedule {}: {}\n", drill.name, totals.runs, verdict.fault);
      if (totals.faults >= faults_max) break;
      show_progress(drill.name, totals);
    }
    sum_up(drill.name + (complete ? "" : " (cut short)"), totals, since);
    all.runs += totals.runs;
    all.steps += totals.steps;
    all.calls += totals.calls;
    all.faults += totals.faults;
    if (all.faults >= faults_max) break;
  }
  return all;
}

}    // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Runs keyrack's table in simulated worlds: other threads, deaths, stops, the clock and stale loads come "
      "in at every access to a shared word."};
  std::uint64_t seed = 0, count = ~std::uint64_t{0}, faults_max = 1;
  double seconds = 0;
  bool exhaustive = false;
  keyrack::tests::Expectation expectation;
  std::string drill;
  Bounds bounds{2, 0, 0, 0};
  app.add_option("--seed", seed, "of the first schedule; 0: by the clock")->capture_default_str();
  app.add_option("--count", count, "schedules to run at most; with --exhaustive: of each drill");
  app.add_option("--seconds", seconds, "time to run schedules by chance; 0: no limit");
  app.add_option("--faults", faults_max, "stop after so many")->capture_default_str();
  app.add_flag("--exhaustive", exhaustive, "every schedule of small drills, within these bounds:");
  app.add_option("--preemptions", bounds.preempt, "threads change in mid-course")->capture_default_str();
  app.add_option("--stale-loads", bounds.stale, "loads answer an old value")->capture_default_str();
  app.add_option("--deaths", bounds.death, "processes die")->capture_default_str();
  app.add_option("--stops", bounds.stop, "processes are stopped until all others are done")->capture_default_str();
  app.add_option("--drill", drill, "this one alone");
  expectation.add_to(app);
  CLI11_PARSE(app, argc, argv);

  Totals totals;
  if (exhaustive) {
    totals = run_all(bounds, drill, count, faults_max);
    fmt::print("all drills: {} schedules, {} faults\n", totals.runs, totals.faults);
  } else {
    if (seed == 0) seed = std::random_device{}() * std::uint64_t{1'000'000};
    fmt::print("seed {}\n", seed);
    totals = run_by_chance(seed, count, seconds, faults_max);
  }
  if (totals.runs == 0) return 2;
  return expectation.exit_code(totals.faults);
}
