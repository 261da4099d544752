// What every case is written with: registration, failures, and the difference between a measurement and a smoke test.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace keyrack::bench {

/// How much of everything. In a smoke test little, to see that it works.
struct Scale {
  bool smoke = false;

  std::size_t many(std::size_t count) const { return smoke ? count / 100 : count; }
  double seconds(double full) const { return smoke ? 0.005 : full; }
};

/// Set by main() before anything is registered.
Scale& scale();

/// Whether a case has failed so far.
bool any_failed();
void report_failure(benchmark::State&, const std::string& why);

/// A case that calls something which must not fail says so with this.
inline void require(bool done, const char* what) {
  if (!done) [[unlikely]]
    throw std::runtime_error(what);
}

/// The value of a call that must not fail.
template <class Result>
auto expect(Result&& result, const char* what) {
  if (!result) throw std::runtime_error(std::string(what) + ": " + result.error().message());
  return std::forward<Result>(result).value();
}

/// Registers a case; what it throws is its failure.
template <class Body>
benchmark::internal::Benchmark* add(const std::string& name, Body body) {
  return benchmark::RegisterBenchmark(name.c_str(), [body = std::move(body)](benchmark::State& state) mutable {
    try {
      body(state);
    } catch (const std::exception& error) {
      report_failure(state, error.what());
    }
  });
}

/// Registers a case that takes its time itself: body() answers seconds per operation, and may set counters.
template <class Body>
void add_round(const std::string& name, Body body) {
  add(name,
      [body = std::move(body)](benchmark::State& state) mutable {
        for (auto _ : state) state.SetIterationTime(body(state));
      })
      ->UseManualTime()
      ->Iterations(1)
      ->Unit(benchmark::kNanosecond);
}

// Each file in cases/ registers its own.
void add_pair_cases();
void add_room_cases();
void add_name_cases();
void add_two_process_cases();
void add_waiting_cases();
void add_scale_cases();
void add_counting_cases();
void add_etcd_cases();
void add_growth_cases();

}    // namespace keyrack::bench
