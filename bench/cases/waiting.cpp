// One process waits asleep, the other lets it in: by an unlock, or by its death. How long until the waiter has it?
#include "harness/own.hpp"
#include "harness/processes.hpp"
#include "rivals/rivals.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <vector>

namespace keyrack::bench {

namespace {

struct Meeting {
  std::atomic<int> held{0}, taken{0};    // in which round the holder has it, and the waiter has had it
  std::atomic<std::int64_t> taken_ns{0};
};

/// The waiter's part: asks when it is held, tells when it has it.
template <Contender T>
void wait_in_each_round(T& contender, const Shared<Meeting>& meeting, int rounds) {
  for (int round = 1; round <= rounds; ++round) {
    await("the holder", [&] { return meeting->held.load() == round; });
    contender.lock(0);
    meeting->taken_ns = now_ns();
    contender.unlock(0);
    meeting->taken = round;
  }
}

/// The middle one, in seconds; which so many in a hundred do not exceed are counters.
double median(benchmark::State& state, std::vector<std::int64_t> samples) {
  std::sort(samples.begin(), samples.end());
  for (const std::size_t percent : {10u, 90u, 99u}) {
    state.counters["p" + std::to_string(percent) + "_ns"] =
        static_cast<double>(samples[samples.size() * percent / 100]);
  }
  state.counters["max_ns"] = static_cast<double>(samples.back());
  return static_cast<double>(samples[samples.size() / 2]) * 1e-9;
}

/// From the unlock to the sleeper having the lock, on another processor.
template <Contender T>
double hand_over(benchmark::State& state) {
  T contender(1);
  const Shared<Meeting> meeting;
  const int rounds = static_cast<int>(scale().many(1'000));
  std::vector<std::int64_t> samples;
  Child waiter([&] {
    contender.lock(0);
    contender.unlock(0);
    const Pin pin(1);
    wait_in_each_round(contender, meeting, rounds);
  });
  const Pin pin(0);
  for (int round = 1; round <= rounds; ++round) {
    contender.lock(0);
    meeting->held = round;
    await_asleep(waiter.pid());
    const std::int64_t begin = now_ns();
    contender.unlock(0);
    await("the waiter", [&] { return meeting->taken.load() == round; });
    samples.push_back(meeting->taken_ns - begin);
  }
  waiter.join();
  return median(state, std::move(samples));
}

/// From the SIGKILL of the holder to its waiter having the lock.
template <Contender T>
double death(benchmark::State& state, std::size_t deaths) {
  T contender(1);
  const Shared<Meeting> meeting;
  const int rounds = static_cast<int>(scale().many(deaths));
  std::vector<std::int64_t> samples;
  Child waiter([&] {
    contender.lock(0);
    contender.unlock(0);
    const Pin pin(1);
    wait_in_each_round(contender, meeting, rounds);
  });
  const Pin pin(0);
  for (int round = 1; round <= rounds; ++round) {
    Child holder([&] {
      contender.lock(0);
      meeting->held = round;
      for (;;) ::pause();
    });
    await("the holder", [&] { return meeting->held.load() == round; });
    await_asleep(waiter.pid());
    await_asleep(holder.pid());
    const std::int64_t begin = now_ns();
    holder.kill();
    await("the waiter", [&] { return meeting->taken.load() == round; });
    samples.push_back(meeting->taken_ns - begin);
  }
  waiter.join();
  return median(state, std::move(samples));
}

template <Contender T>
void add_cases(std::size_t deaths) {
  if constexpr (T::kSleeps) {
    add_round("hand-over/" + std::string(T::kName), hand_over<T>);
    if constexpr (T::kSurvivesDeath) {
      add_round("death/" + std::string(T::kName), [=](benchmark::State& state) { return death<T>(state, deaths); });
    }
  }
}

}    // namespace

void add_waiting_cases() {
  constexpr std::size_t kMany = 300, kFew = 100;    // few where no target depends on them
  Rivals::for_each([]<class T>() { add_cases<T>(std::same_as<T, RobustMutex> ? kMany : kFew); });
  OwnWaiting::for_each([]<class T>() { add_cases<T>(kMany); });
}

}    // namespace keyrack::bench
