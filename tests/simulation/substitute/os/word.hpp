// Stands in for src/os/word.hpp in the simulator: the same names, but every access is a step of the simulated world.
#pragma once

#include "../../world.hpp"

namespace keyrack::os {

using Word = simulation::Word;
using WordPair = simulation::WordPair;

inline bool compare_exchange(WordPair& pair, std::uint64_t expected_first, std::uint64_t expected_second,
                             std::uint64_t first, std::uint64_t second) {
  return pair.compare_exchange({expected_first, expected_second}, {first, second});
}

inline void fence(std::memory_order order) { simulation::World::current().fence(order); }

inline void pause() { simulation::World::current().pause(); }

constexpr int kSpins = 2;

}    // namespace keyrack::os
