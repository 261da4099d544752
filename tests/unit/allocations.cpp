// The operators new and delete of these tests: see allocations.hpp.
#include "allocations.hpp"

#include <cstdlib>
#include <new>
#include <thread>
#include <utility>

namespace keyrack::tests {

thread_local int allocations_left = -1;
thread_local std::atomic<int>* meets_at_allocation = nullptr;

void meet(std::atomic<int>& here) {
  here.fetch_add(1);
  for (int spins = 0; here.load() < 2; ++spins) {
    if (spins % 1024 == 1023) std::this_thread::yield();    // the other one may need this processor
  }
}

}    // namespace keyrack::tests

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  using namespace keyrack::tests;
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  if (auto* here = std::exchange(meets_at_allocation, nullptr)) meet(*here);
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
