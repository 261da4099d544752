// One process, nobody else: what a lock and its unlock cost, and the calls around them.
#include "harness/own.hpp"
#include "harness/processes.hpp"
#include "rivals/rivals.hpp"

#include <unistd.h>

namespace keyrack::bench {

namespace {

using std::chrono::seconds;

constexpr std::size_t kManyKeys = 10'000;
constexpr LockOptions kLeased{.duration = seconds(10), .lifetime = Lifetime::process};

template <Contender T>
void run_pairs(benchmark::State& state, T& contender, std::size_t keys) {
  const Pin pin(0);
  for (const std::uint32_t key : shuffled(keys)) {    // so that the records do not lie in the order of the walk below
    contender.lock(key);
    contender.unlock(key);
  }
  std::size_t key = 0;
  for (auto _ : state) {
    contender.lock(key);
    contender.unlock(key);
    if (++key == keys) key = 0;
  }
}

template <Contender T>
void add_pairs(const std::string& name, std::size_t keys) {
  auto* added = add(name, [keys](benchmark::State& state) {
    T contender(keys);
    run_pairs(state, contender, keys);
  });
  if constexpr (Served<T>) added->UseRealTime();
}

void add_keyed(const std::string& name, std::size_t keys, const LockOptions& options) {
  add(name, [keys, options](benchmark::State& state) {
    Keyed contender(keys, options);
    run_pairs(state, contender, keys);
  });
}

/// The other keys are whole words; this one is not.
void odd_length(benchmark::State& state) {
  const auto locks = scratch_locks();
  const Pin pin(0);
  constexpr std::string_view key = "orders/2026/000000017";
  for (auto _ : state) {
    require(locks->lock({.signature = key, .signee = kSignee}, kBound).has_value(), "lock() was refused");
    require(locks->unlock({.signature = key, .signee = kSignee}).has_value(), "unlock() was refused");
  }
}

/// A signee that nobody has had before, in every pair.
void new_signee(benchmark::State& state) {
  const auto locks = scratch_locks();
  const Pin pin(0);
  const KeyTexts keys(1);
  CountingText signee("worker-");
  for (auto _ : state) {
    const std::string_view self = signee.next();
    require(locks->lock({.signature = keys[0], .signee = self}, kBound).has_value(), "lock() was refused");
    require(locks->unlock({.signature = keys[0], .signee = self}).has_value(), "unlock() was refused");
  }
}

void check(benchmark::State& state, std::string_view signee) {
  const auto locks = scratch_locks();
  const Pin pin(0);
  const KeyTexts keys(1);
  (void)expect(locks->lock({.signature = keys[0], .signee = signee}, kBound), "lock()");
  require(expect(locks->check(keys[0]), "check()").signee == signee, "check() does not tell the holder");
  for (auto _ : state) require(locks->check(keys[0]).has_value(), "check() failed");
}

/// Another process holds the key, and lives.
void refused(benchmark::State& state, std::string_view signee) {
  const auto locks = scratch_locks();
  const KeyTexts keys(1);
  Shared<std::atomic<bool>> held;
  const Child holder([&] {
    (void)expect(locks->lock({.signature = keys[0], .signee = signee}, kBound), "lock()");
    *held = true;
    for (;;) ::pause();
  });
  await("the holder", [&] { return held->load(); });
  const Pin pin(0);
  const LockRequest request{.signature = keys[0], .signee = "worker-0008"};
  const auto granted = locks->lock(request, kBound);
  require(!granted && granted.error().holder == signee, "the refusal does not tell the holder");
  for (auto _ : state) require(!locks->lock(request, kBound), "lock() was not refused");
}

}    // namespace

void add_pair_cases() {
  Rivals::for_each([]<class T>() { add_pairs<T>("pair/" + std::string(T::kName), 1); });
  add_pairs<Named>("pair/" + std::string(Named::kName), 1);
  add_keyed("pair/keyed", 1, kBound);
  add("pair/keyed, odd length", odd_length);
  add_keyed("pair/keyed, 10k keys", kManyKeys, kBound);
  add_keyed("pair/keyed, lease", 1, kLeased);
  add_keyed("pair/keyed, lease, 10k keys", kManyKeys, kLeased);
  add("pair/new signee", new_signee);
  add("check", [](benchmark::State& state) { check(state, kSignee); });
  add("check, long signee", [](benchmark::State& state) { check(state, kLongSignee); });
  add("refused", [](benchmark::State& state) { refused(state, kSignee); });
  add("refused, long signee", [](benchmark::State& state) { refused(state, kLongSignee); });
}

}    // namespace keyrack::bench
