// Two processes at work at the same time, on keys of their own or on the same: pairs a second together.
#include "harness/own.hpp"
#include "harness/processes.hpp"
#include "rivals/rivals.hpp"

#include <algorithm>
#include <vector>

namespace keyrack::bench {

namespace {

constexpr int kMost = 2;

struct Arena {
  struct alignas(256) Tally {
    std::uint64_t pairs = 0;
    std::int64_t ns = 0;
    double rate() const { return static_cast<double>(pairs) / static_cast<double>(ns) * 1e9; }
  };
  std::atomic<int> ready{0};
  Tally of[kMost];
};

/// Each of the processes locks and unlocks its key for a while; they begin together.
template <Contender T, class KeyOf>
double seconds_per_pair(benchmark::State& state, int processes, KeyOf key_of) {
  T contender(kMost);
  const Shared<Arena> arena;
  const auto span = static_cast<std::int64_t>(scale().seconds(0.3) * 1e9);
  std::vector<Child> children;
  for (int self = 0; self < processes; ++self) {
    children.emplace_back([&, self] {
      const std::size_t key = key_of(self);
      contender.lock(key);
      contender.unlock(key);
      const Pin pin(static_cast<unsigned>(self));
      arena->ready.fetch_add(1);
      await("the other process", [&] { return arena->ready.load() == processes; });
      Arena::Tally tally;
      const std::int64_t begin = now_ns();
      do {
        for (int i = 0; i < 64; ++i) {
          contender.lock(key);
          contender.unlock(key);
        }
        tally.pairs += 64;
        tally.ns = now_ns() - begin;
      } while (tally.ns < span);
      arena->of[self] = tally;
    });
  }
  for (Child& child : children) child.join();
  double together = 0, least = arena->of[0].rate();
  for (int self = 0; self < processes; ++self) {
    together += arena->of[self].rate();
    least = std::min(least, arena->of[self].rate());
  }
  state.counters["share_of_slower"] = least / together;
  return 1 / together;
}

template <Contender T>
void add_cases() {
  const std::string name(T::kName);
  add_round("one process/" + name,
            [](benchmark::State& state) { return seconds_per_pair<T>(state, 1, [](int) { return 0; }); });
  add_round("two processes, disjoint/" + name,
            [](benchmark::State& state) { return seconds_per_pair<T>(state, 2, [](int self) { return self; }); });
  add_round("two processes, hot/" + name,
            [](benchmark::State& state) { return seconds_per_pair<T>(state, 2, [](int) { return 0; }); });
}

}    // namespace

void add_two_process_cases() {
  Rivals::for_each([]<class T>() { add_cases<T>(); });
  OwnWaiting::for_each([]<class T>() { add_cases<T>(); });
}

}    // namespace keyrack::bench
