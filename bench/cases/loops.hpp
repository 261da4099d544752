// Loops that more than one file of cases has.
#pragma once

#include "harness/keys.hpp"
#include "harness/scratch.hpp"

#include <string>

namespace keyrack::bench {

/// The option for a table with room for so many keys, and no more.
inline std::string slots_for(std::size_t keys) { return "slots=" + std::to_string(keys); }

/// Makes a record for each key, which nobody holds then; not in the order of any walk.
void put_all(LockService&, const KeyTexts&);

/// Whether the processor may begin with the next pair before it is done with the one before, as it does in a loop that
/// does nothing else: with mutexes it then waits for several far words at a time.
enum class Pace { at_once, one_by_one };

/// Lock and unlock, one key after the other.
void walk(benchmark::State&, LockService&, const KeyTexts&, Pace);
/// The same with as many robust mutexes in one array, at random.
void walk_mutexes(benchmark::State&, std::size_t count, Pace);

/// Names lent out and given back while others hold so many of the family.
void acquire_release(benchmark::State&, std::size_t held, const std::string& query);

}    // namespace keyrack::bench
