// Stands in for src/os/keeper.hpp in the simulator: whoever runs is a simulated process, and the world is its kernel.
#pragma once

#include "os/futex.hpp"

namespace keyrack::os {

struct LifeEntry {
  Word word;
  Word node;
};

class Keeper {
 public:
  static Keeper of_this_process() { return {}; }

  bool take(LifeEntry& life, std::uint64_t expected, std::uint32_t generation) const {
    return simulation::World::current().take_life(life.word, expected, generation);
  }
  void give_back(LifeEntry& life, bool unfinished = false) const {
    simulation::World::current().give_back_life(life.word, unfinished);
  }
};

}    // namespace keyrack::os
