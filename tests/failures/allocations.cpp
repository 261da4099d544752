#include "allocations.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<bool> counting{false};
std::atomic<bool> failing_for_good{false};
std::atomic<std::size_t> made{0}, failing{0};

bool fails() {
  if (!counting.load()) return false;
  const std::size_t n = made.fetch_add(1) + 1;
  return failing != 0 && (n == failing || (failing_for_good && n > failing));
}

void* allocate(std::size_t bytes) {
  void* memory = fails() ? nullptr : std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}    // namespace

// These take the place of the standard library's.
void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace keyrack::tests {

void fail_allocation(std::size_t n, bool for_good) {
  made = 0;
  failing = n;
  failing_for_good = for_good;
  counting = true;
}

std::size_t stop_failing_allocations() {
  counting = false;
  return made;
}

}    // namespace keyrack::tests
