// Stands in for src/os/futex.hpp in the simulator.
#pragma once

#include "os/word.hpp"

namespace keyrack::os {

using FutexWord = simulation::LowHalf;

inline FutexWord& low_half(Word& word) { return reinterpret_cast<FutexWord&>(word); }

struct Sleep {
  FutexWord* word;
  std::uint32_t expected;
};

inline void futex_sleep(Sleep first, const Sleep* second, std::int64_t until_ns, std::int64_t) {
  simulation::Wait waits[2] = {{first.word, first.expected}, {nullptr, 0}};
  if (second != nullptr) waits[1] = {second->word, second->expected};
  simulation::World::current().sleep(waits, second != nullptr ? 2 : 1, until_ns);
}

inline void futex_wake(FutexWord& word, int count) { simulation::World::current().wake(&word, count); }

}    // namespace keyrack::os
