// How cost grows with the records, the processes, the names and the waiters. Too long for every round: keyrack_bench
// --growth runs these, and these only. Names: "growth, of what/whose/how many".
#include "cases/loops.hpp"
#include "harness/crowd.hpp"
#include "harness/own.hpp"
#include "rivals/known_address.hpp"

#include <semaphore.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <vector>

namespace keyrack::bench {

namespace {

/// The most processes at a time.
int crowd() { return scale().smoke ? 8 : 64; }

std::string case_name(const std::string& of, std::string_view whose, std::size_t count) {
  return "growth, " + of + "/" + std::string(whose) + "/" + std::to_string(count);
}

void keyed_records(benchmark::State& state, std::size_t records) {
  const KeyTexts keys(records);
  const auto locks = scratch_locks(slots_for(records));
  put_all(*locks, keys);
  walk(state, *locks, keys, Pace::at_once);
}

/// Bytes that the kernel could give away.
std::size_t available_memory() {
  std::ifstream info("/proc/meminfo");
  std::size_t kilobytes = 0;
  for (std::string word; info >> word;) {
    if (word == "MemAvailable:") info >> kilobytes;
  }
  return kilobytes * 1024;
}

/// Whether a table of so many records and its keys find room in memory.
bool have_room_for(std::size_t records) {
  const std::size_t table = records * 512, keys = records * 64;
  struct statvfs shared {};
  return ::statvfs("/dev/shm", &shared) == 0 && shared.f_bavail * shared.f_frsize > table &&
         available_memory() > table + keys;
}

void add_record_cases() {
  constexpr benchmark::IterationCount kPairs = 1'000'000;
  for (const std::size_t full : {1'000u, 10'000u, 100'000u, 1'000'000u, 10'000'000u}) {
    const std::size_t records = scale().many(full);
    if (!have_room_for(records)) {
      std::fprintf(stderr, "keyrack_bench: no room for %zu records: left out\n", records);
      continue;
    }
    const auto pairs = static_cast<benchmark::IterationCount>(scale().many(kPairs));
    add(case_name("records", "keyrack keyed", records), [=](benchmark::State& state) {
      keyed_records(state, records);
    })->Iterations(pairs);
    add(case_name("records", "robust mutexes", records), [=](benchmark::State& state) {
      walk_mutexes(state, records, Pace::at_once);
    })->Iterations(pairs);
  }
}

void add_names_cases() {
  for (const std::size_t held : {1u, 10u, 100u, 1'000u, 10'000u}) {
    add(case_name("names held", "keyrack names", held), [=](benchmark::State& state) {
      acquire_release(state, held, "");
    })->Iterations(static_cast<benchmark::IterationCount>(scale().many(100'000)));
  }
}

template <Contender T>
void add_process_cases() {
  for (const auto& [keys, of] : {std::pair(Keys::own, "processes, disjoint"), std::pair(Keys::one, "processes, hot")}) {
    for (int processes = 1; processes <= crowd(); processes *= 2) {
      add_round(case_name(of, T::kName, static_cast<std::size_t>(processes)),
                [=, keys = keys](benchmark::State& state) { return seconds_per_pair<T>(state, processes, keys, 0.5); });
    }
  }
}

/// One holds the lock, the others sleep for it; then they have it one after the other.
struct Queue {
  Queue() { ::sem_init(&gate, 1, 0); }
  sem_t gate;    // lets each waiter ask once
  std::atomic<int> ready{0};
  std::atomic<int> asking{0};    // how often anybody has come to ask
  std::atomic<int> served{0};    // how often anybody has had it
  std::atomic<std::int64_t> first_ns{0}, last_ns{0};
};

template <Contender T>
void wait_in_turn(T& contender, const Shared<Queue>& queue, int waiters, int rounds) {
  contender.lock(0);
  contender.unlock(0);
  queue->ready.fetch_add(1);
  for (int round = 1; round <= rounds; ++round) {
    while (::sem_wait(&queue->gate) != 0) {
    }
    queue->asking.fetch_add(1);
    contender.lock(0);
    const std::int64_t now = now_ns();
    const int before = queue->served.fetch_add(1);
    if (before == (round - 1) * waiters) queue->first_ns = now;
    if (before + 1 == round * waiters) queue->last_ns = now;
    contender.unlock(0);
  }
}

/// Seconds from the unlock to the first of the sleepers having it; and per sleeper until each has had it.
template <Contender T>
double hand_over_to_one_of(benchmark::State& state, int waiters) {
  T contender(1);
  const Shared<Queue> queue;
  const int rounds = static_cast<int>(scale().many(200));
  std::vector<Child> children;
  for (int i = 0; i < waiters; ++i) {
    children.emplace_back([&] {
      const Pin pin(1);
      wait_in_turn(contender, queue, waiters, rounds);
    });
  }
  await("the waiters", [&] { return queue->ready.load() == waiters; });
  const Pin pin(0);
  std::vector<std::int64_t> first, each;
  for (int round = 1; round <= rounds; ++round) {
    contender.lock(0);
    for (int i = 0; i < waiters; ++i) ::sem_post(&queue->gate);
    await("the waiters", [&] { return queue->asking.load() == round * waiters; });
    for (const Child& child : children) await_asleep(child.pid());
    const std::int64_t begin = now_ns();
    contender.unlock(0);
    await("the last waiter", [&] { return queue->served.load() == round * waiters && queue->last_ns > begin; });
    first.push_back(queue->first_ns - begin);
    each.push_back((queue->last_ns - begin) / waiters);
  }
  for (Child& child : children) child.join();
  std::sort(first.begin(), first.end());
  std::sort(each.begin(), each.end());
  state.counters["each_ns"] = static_cast<double>(each[each.size() / 2]);
  return static_cast<double>(first[first.size() / 2]) * 1e-9;
}

template <Contender T>
void add_waiter_cases() {
  for (int waiters = 1; waiters <= crowd(); waiters *= 2) {
    add_round(case_name("waiters", T::kName, static_cast<std::size_t>(waiters)),
              [=](benchmark::State& state) { return hand_over_to_one_of<T>(state, waiters); });
  }
}

}    // namespace

void add_growth_cases() {
  using Compared = Contenders<KeyedWaiting, Named, RobustMutex>;
  Compared::for_each([]<class T>() { add_process_cases<T>(); });
  Compared::for_each([]<class T>() { add_waiter_cases<T>(); });
  add_waiter_cases<RawFutex>();
  add_names_cases();
  add_record_cases();
}

}    // namespace keyrack::bench
