#include "cases/loops.hpp"

#include "harness/own.hpp"
#include "harness/processes.hpp"
#include "rivals/known_address.hpp"

namespace keyrack::bench {

namespace {

void keep(Pace pace) {
  if (pace == Pace::one_by_one) __builtin_ia32_lfence();
}

struct Packed {
  pthread_mutex_t value;
};

}    // namespace

void put_all(LockService& locks, const KeyTexts& keys) {
  for (const std::uint32_t key : shuffled(keys.size())) {
    (void)expect(locks.lock({.signature = keys[key], .signee = kSignee}, kBound), "lock()");
    (void)expect(locks.unlock({.signature = keys[key], .signee = kSignee}), "unlock()");
  }
}

void walk(benchmark::State& state, LockService& locks, const KeyTexts& keys, Pace pace) {
  const Pin pin(0);
  std::size_t key = 0;
  for (auto _ : state) {
    require(locks.lock({.signature = keys[key], .signee = kSignee}, kBound).has_value(), "lock() was refused");
    require(locks.unlock({.signature = keys[key], .signee = kSignee}).has_value(), "unlock() was refused");
    if (++key == keys.size()) key = 0;
    keep(pace);
  }
}

void walk_mutexes(benchmark::State& state, std::size_t count, Pace pace) {
  Shared<Packed> mutexes(count);
  make_mutexes(mutexes, count, true);
  const auto order = shuffled(count);
  const Pin pin(0);
  std::size_t at = 0;
  for (auto _ : state) {
    pthread_mutex_t& mutex = mutexes[order[at]].value;
    lock_robust(mutex);
    ::pthread_mutex_unlock(&mutex);
    if (++at == order.size()) at = 0;
    keep(pace);
  }
}

}    // namespace keyrack::bench
