// keyrack_failures: plays every scenario again and again, with another system call or allocation failing each time.
#include "allocations.hpp"
#include "scenarios.hpp"
#include "tracer.hpp"

#include "../reference/canary.hpp"
#include "shared_object.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <map>
#include <random>

namespace keyrack::tests {

namespace {

constexpr unsigned kHangSeconds = 30;
constexpr unsigned kSlots = 16;

struct Options {
  std::string what = "all", scenario;
  unsigned percent = 100;
  std::uint64_t seed = std::random_device()();
  Expectation expectation;
  bool list = false;
};

/// What fails in one run.
struct Injection {
  std::size_t number = 0;    // of the call or allocation, from 1; 0: none
  std::size_t error = 0;     // of a call: which of its plausible ones; of an allocation: 1 for good
};

struct Run {
  Verdict verdict{};
  std::size_t calls = 0;
  bool exhausted = false, died = false;
  std::string failed;
};

struct Totals {
  std::size_t scenarios = 0, points = 0, runs = 0, faults = 0;
  std::map<std::string, std::size_t> answers;
};

/// What is wrong with the segment after its user has gone; `others` still use it.
std::string audit(const ScratchSegment& segment, std::size_t others) {
  const auto inspector = open_inspector(segment.name());
  if (!inspector) return inspector.error().code == Errc::no_segment ? "" : inspector.error().message();
  for (const Finding& finding : (*inspector)->verify()) return finding.place + ": " + finding.what;
  const auto picture = (*inspector)->snapshot();
  if (!picture) return picture.error().message();
  if (picture->segment.sessions != others) {
    return std::to_string(picture->segment.sessions) + " sessions live, but " + std::to_string(others) + " processes";
  }
  const auto locks = open_lock_service(segment.url());
  const auto names = open_name_manager(segment.url());
  if (!locks || !names) return "nobody can open it";
  (void)(*names)->reset();
  for (const LockPicture& lock : picture->locks) {
    if (!lock.process_bound) (void)(*locks)->unlock({lock.signature, lock.signee});
  }
  for (std::size_t i = others; i < kSlots; ++i) {
    const auto lock = (*locks)->lock({"room" + std::to_string(i), "auditor"});
    if (!lock) return "there is no room for lock " + std::to_string(i + 1) + ": " + lock.error().message();
  }
  return {};
}

/// Plays a scenario in a process of its own.
Run play(const Scenario& scenario, bool allocations, const Injection& injection, const Verdict* usual) {
  const ScratchSegment segment;
  Surroundings surroundings;
  if (scenario.before) scenario.before(segment, surroundings);
  const SharedObject<Verdict> verdict;
  const Failing failing = allocations ? Failing{[&] { fail_allocation(injection.number, injection.error == 1); },
                                                [&] { (*verdict).allocations = stop_failing_allocations(); }}
                                      : Failing{mark_begin, mark_end};
  const auto body = [&] {
    ::alarm(kHangSeconds);
    Stage stage(segment, failing, *verdict, usual);
    try {
      scenario.play(stage, surroundings);
    } catch (const std::exception& error) {
      stage.fault(std::string("afterwards: ") + error.what());
    }
  };
  Traced traced;
  if (allocations) {
    std::fflush(nullptr);
    const pid_t process = ::fork();
    if (process < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (process == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      body();
      ::_exit(0);
    }
    ::waitpid(process, &traced.status, 0);
    traced.calls = (*verdict).allocations;
    traced.failed = "allocation " + std::to_string(injection.number) + (injection.error == 1 ? " and all later" : "");
  } else {
    traced = run_traced(body, injection.number, injection.error);
  }

  Run run{*verdict, traced.calls, traced.exhausted, WIFSIGNALED(traced.status), traced.failed};
  const auto fault = [&](const std::string& text) {
    if (run.verdict.fault[0] == '\0') text.copy(run.verdict.fault.data(), run.verdict.fault.size() - 1);
  };
  if (run.died) {
    fault(WTERMSIG(traced.status) == SIGALRM ? "hangs"
                                             : std::string("dies of ") + ::strsignal(WTERMSIG(traced.status)));
  }
  if (traced.must_be_told && std::strcmp(run.verdict.answer.data(), "ok") == 0) fault("does not tell of it");
  surroundings.locks.reset();
  surroundings.names.reset();
  const auto is_alive = [](const testing::Child& child) { return child.pid() >= 0; };
  const auto living = std::count_if(surroundings.others.begin(), surroundings.others.end(), is_alive);
  if (const std::string wrong = audit(segment, static_cast<std::size_t>(living)); !wrong.empty()) fault(wrong);
  return run;
}

void show(const std::string& text) {
  if (::isatty(STDERR_FILENO) != 0) fmt::print(stderr, "\r{:100.100}", text);
}

class Sweep {
 public:
  explicit Sweep(const Options& options) : options_(options), dice_(options.seed) {}

  /// Everything that can fail in one scenario.
  void run(const Scenario& scenario, bool allocations) {
    const Run usual = play(scenario, allocations, {}, nullptr);
    report(scenario, "nothing", usual);
    ++totals.scenarios;
    std::size_t runs = 0;
    // What follows a failure may be more than what is usual: on until there are no more.
    bool more = true;
    std::size_t number = 1;
    for (; more; ++number) {
      for (std::size_t error = 0;; ++error) {
        if (allocations && error == 2) break;
        if (number <= usual.calls && dice_() % 100 >= options_.percent) {
          if (error >= 6) break;
          continue;
        }
        const Run one = play(scenario, allocations, {number, error}, &usual.verdict);
        more = one.calls >= number || one.died;
        if (one.exhausted || !more) break;
        ++runs;
        report(scenario, one.failed, one);
        ++totals.answers[one.verdict.answer.data()];
        show(fmt::format("{}: {} of {}, {} faults", scenario.name, number, usual.calls, totals.faults));
      }
    }
    totals.points += number - 2;
    totals.runs += runs;
    if (options_.list) fmt::print("{:40} {:5} points {:6} runs\n", scenario.name, number - 2, runs);
  }

  Totals totals;

 private:
  void report(const Scenario& scenario, const std::string& failed, const Run& run) {
    if (run.verdict.fault[0] == '\0') return;
    ++totals.faults;
    show("");
    fmt::print("FAULT {} ({} fails): {}\n", scenario.name, failed, run.verdict.fault.data());
    std::fflush(stdout);
  }

  const Options& options_;
  std::mt19937_64 dice_;
};

Totals run(const Options& options, bool allocations) {
  const auto start = std::chrono::steady_clock::now();
  Sweep sweep(options);
  for (const Scenario& scenario : scenarios()) {
    if (scenario.name.find(options.scenario) == std::string::npos) continue;
    if (allocations && !scenario.allocations) continue;
    sweep.run(scenario, allocations);
  }
  show("");
  const Totals& totals = sweep.totals;
  std::string answers;
  for (const auto& [answer, count] : totals.answers) answers += fmt::format(" {} {}", answer, count);
  fmt::print("\r{}: {} scenarios, {} that can fail, {} runs ({} %), {} faults, {:.1f} s; answers:{}\n",
             allocations ? "allocations" : "system calls", totals.scenarios, totals.points, totals.runs,
             options.percent, totals.faults,
             std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), answers);
  return totals;
}

int main(const Options& options) {
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  fmt::print("seed {}\n", options.seed);
  std::size_t faults = 0;
  // Which call is the n-th is up to the threads: one sweep may miss a call that a fault rests on, twenty do not.
  for (int sweeps = options.expectation.faults ? 20 : 1; sweeps > 0 && faults == 0; --sweeps) {
    if (options.what != "allocations") faults += run(options, false).faults;
    if (options.what != "calls") faults += run(options, true).faults;
  }
  return options.expectation.exit_code(faults);
}

}    // namespace
}    // namespace keyrack::tests

int main(int argc, char** argv) {
  keyrack::tests::Options options;
  CLI::App app("Makes every system call and every allocation of every call fail, one after the other.");
  app.add_option("what", options.what, "calls, allocations, all (default)")
      ->check(CLI::IsMember({"calls", "allocations", "all"}));
  app.add_option("--scenario", options.scenario, "only those whose name has this in it");
  app.add_option("--percent", options.percent, "of all runs, chosen at random")->check(CLI::Range(1, 100));
  app.add_option("--seed", options.seed, "else another one each time; it is printed");
  app.add_flag("--list", options.list, "tell the figures of each scenario");
  options.expectation.add_to(app);
  CLI11_PARSE(app, argc, argv);
  return keyrack::tests::main(options);
}
