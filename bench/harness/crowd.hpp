// Processes at work at the same time, on keys of their own or on the same.
#pragma once

#include "harness/contender.hpp"
#include "harness/processes.hpp"
#include "harness/suite.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

namespace keyrack::bench {

enum class Keys { own, one };    // a key for each process, or the same for all

struct Crowd {
  std::atomic<int> ready{0};
  std::atomic<std::int64_t> begin_ns{0};    // set by the last one to be ready
};
struct alignas(256) Tally {
  std::uint64_t pairs = 0;
};

/// Each of the processes locks and unlocks its key; all begin together and end at the same time. The answer is that of
/// all together.
template <Contender T>
double seconds_per_pair(benchmark::State& state, int processes, Keys keys, double seconds) {
  T contender(keys == Keys::own ? static_cast<std::size_t>(processes) : 1);
  const Shared<Crowd> crowd;
  const Shared<Tally> tallies(static_cast<std::size_t>(processes));
  const auto span = static_cast<std::int64_t>(scale().seconds(seconds) * 1e9);
  const int batch = processes <= 2 ? 64 : 16;    // pairs from one look at the clock to the next
  std::vector<Child> children;
  for (unsigned self = 0; self < static_cast<unsigned>(processes); ++self) {
    children.emplace_back([&, self] {
      const std::size_t key = keys == Keys::own ? self : 0;
      contender.lock(key);
      contender.unlock(key);
      const Pin pin(self);
      if (crowd->ready.fetch_add(1) + 1 == processes) crowd->begin_ns = now_ns();
      await("the other processes", [&] { return crowd->begin_ns.load() != 0; });
      const std::int64_t end = crowd->begin_ns + span;
      std::uint64_t pairs = 0;
      do {
        for (int i = 0; i < batch; ++i) {
          contender.lock(key);
          contender.unlock(key);
        }
        pairs += static_cast<std::uint64_t>(batch);
      } while (now_ns() < end);
      tallies[self].pairs = pairs;
    });
  }
  for (Child& child : children) child.join();
  std::uint64_t together = 0, least = tallies[0].pairs;
  for (unsigned self = 0; self < static_cast<unsigned>(processes); ++self) {
    together += tallies[self].pairs;
    least = std::min(least, tallies[self].pairs);
  }
  state.counters["share_of_slowest"] = static_cast<double>(least) / static_cast<double>(together);
  return static_cast<double>(span) * 1e-9 / static_cast<double>(together);
}

}    // namespace keyrack::bench
