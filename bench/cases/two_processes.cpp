// Two processes at work at the same time, on keys of their own or on the same: pairs a second together.
#include "harness/crowd.hpp"
#include "harness/own.hpp"
#include "rivals/rivals.hpp"

namespace keyrack::bench {

namespace {

constexpr double kSeconds = 0.3;

template <Contender T>
void add_cases() {
  const std::string name(T::kName);
  add_round("one process/" + name,
            [](benchmark::State& state) { return seconds_per_pair<T>(state, 1, Keys::one, kSeconds); });
  add_round("two processes, disjoint/" + name,
            [](benchmark::State& state) { return seconds_per_pair<T>(state, 2, Keys::own, kSeconds); });
  add_round("two processes, hot/" + name,
            [](benchmark::State& state) { return seconds_per_pair<T>(state, 2, Keys::one, kSeconds); });
}

}    // namespace

void add_two_process_cases() {
  Rivals::for_each([]<class T>() { add_cases<T>(); });
  OwnWaiting::for_each([]<class T>() { add_cases<T>(); });
}

}    // namespace keyrack::bench
