// A key that the table does not have: into a record never used, or into one that is taken from another key.
#include "harness/own.hpp"
#include "harness/processes.hpp"

namespace keyrack::bench {

namespace {

constexpr std::string_view kNewKey = "orders/new-0";    // and twelve digits, as long as the other keys

std::size_t slots() { return scale().many(65'536); }

std::unique_ptr<LockService> table() { return scratch_locks("slots=" + std::to_string(slots())); }

void lock_all(LockService& locks, const KeyTexts& keys) {
  for (std::size_t key = 0; key < keys.size(); ++key) {
    (void)expect(locks.lock({.signature = keys[key], .signee = kSignee}, kBound), "filling the table");
  }
}

/// Locks and unlocks keys that are new, each once.
double seconds_per_new_key(LockService& locks, CountingText& key, std::size_t count) {
  const Pin pin(0);
  const std::int64_t begin = cpu_ns();
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view signature = key.next();
    require(locks.lock({.signature = signature, .signee = kSignee}, kBound).has_value(), "lock() was refused");
    require(locks.unlock({.signature = signature, .signee = kSignee}).has_value(), "unlock() was refused");
  }
  return static_cast<double>(cpu_ns() - begin) / static_cast<double>(count) * 1e-9;
}

/// Nine of ten records are held, the others were never used.
double insert(benchmark::State&) {
  const auto locks = table();
  const KeyTexts keys(slots() * 9 / 10);
  lock_all(*locks, keys);
  CountingText key(kNewKey);
  return seconds_per_new_key(*locks, key, slots() / 10 - 10);
}

enum class Unlocked { scattered, side_by_side };

/// Nine of ten records are held, the others have keys that nobody holds: each new key takes the place of one.
double evict(benchmark::State&, Unlocked where) {
  const auto locks = table();
  const KeyTexts keys(slots());
  lock_all(*locks, keys);
  const auto order = shuffled(slots());
  for (std::size_t i = 0; i < slots() / 10; ++i) {
    const std::size_t key = where == Unlocked::scattered ? order[i] : i;
    (void)expect(locks->unlock({.signature = keys[key], .signee = kSignee}), "unlock()");
  }
  CountingText key(kNewKey);
  (void)seconds_per_new_key(*locks, key, slots() / 10);    // until every unlocked record has a key of the new ones
  return seconds_per_new_key(*locks, key, scale().many(20'000));
}

}    // namespace

void add_room_cases() {
  add_round("insert", insert);
  add_round("evict", [](benchmark::State& state) { return evict(state, Unlocked::scattered); });
  add_round("evict, side by side", [](benchmark::State& state) { return evict(state, Unlocked::side_by_side); });
}

}    // namespace keyrack::bench
