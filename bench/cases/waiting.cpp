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

/// How long it must have been asleep to be sure that it sleeps until it is let in.
template <Contender T>
constexpr std::chrono::nanoseconds asleep_for() {
  if constexpr (requires { T::kAsleepFor; }) return T::kAsleepFor;
  return {};
}

/// Does not take a processor from a server that is at work.
template <Contender T>
void await_taken(const Shared<Meeting>& meeting, int round) {
  await("the waiter", [&] {
    if (meeting->taken.load() == round) return true;
    if (asleep_for<T>().count() != 0) ::usleep(100);
    return false;
  });
}

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

int rounds_of(std::size_t count) { return std::max(1, static_cast<int>(scale().many(count))); }

/// From the unlock to the sleeper having the lock, on another processor.
template <Contender T>
double hand_over(benchmark::State& state, std::size_t times) {
  T contender(1);
  const Shared<Meeting> meeting;
  const int rounds = rounds_of(times);
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
    await_asleep(waiter.pid(), asleep_for<T>());
    const std::int64_t begin = now_ns();
    contender.unlock(0);
    await_taken<T>(meeting, round);
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
  const int rounds = rounds_of(deaths);
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
    await_asleep(waiter.pid(), asleep_for<T>());
    await_asleep(holder.pid());
    const std::int64_t begin = now_ns();
    holder.kill();
    await_taken<T>(meeting, round);
    samples.push_back(meeting->taken_ns - begin);
  }
  waiter.join();
  return median(state, std::move(samples));
}

template <Contender T>
void add_cases(std::size_t hand_overs, std::size_t deaths) {
  if constexpr (T::kSleeps) {
    add_round("hand-over/" + std::string(T::kName),
              [=](benchmark::State& state) { return hand_over<T>(state, hand_overs); });
    if constexpr (T::kSurvivesDeath) {
      add_round("death/" + std::string(T::kName), [=](benchmark::State& state) { return death<T>(state, deaths); });
    }
  }
}

}    // namespace

void add_waiting_cases() {
  constexpr std::size_t kHandOvers = 1'000, kMany = 300, kFew = 100;    // few where no target depends on them
  Rivals::for_each([]<class T>() {
    if constexpr (asleep_for<T>().count() != 0) {
      add_cases<T>(15, 3);    // each takes as long as it must be asleep, or until its server notices
    } else {
      add_cases<T>(kHandOvers, std::same_as<T, RobustMutex> ? kMany : kFew);
    }
  });
  OwnWaiting::for_each([]<class T>() { add_cases<T>(kHandOvers, kMany); });
}

}    // namespace keyrack::bench
