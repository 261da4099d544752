// The atomic words that processes share, and the one 16-byte compare-and-swap.
//
// A 64-bit std::atomic is lock-free and address-free here, so processes may share it at different addresses.
// A cell is two such words that are exchanged together by `lock cmpxchg16b` and read one by one: the C++ standard knows
// no such mix of sizes, the hardware does (on x86-64 an aligned 16-byte locked instruction is one step for every 8-byte
// load). This file is the only place that relies on it.
#pragma once

#include <atomic>
#include <cstdint>

#if !defined(__x86_64__)
#error "keyrack is written for x86-64: another processor needs its 16-byte compare-and-swap in os/word.hpp"
#endif

#if defined(__SANITIZE_THREAD__)
#define KEYRACK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KEYRACK_TSAN 1
#endif
#endif

#if defined(KEYRACK_TSAN)
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#endif

namespace keyrack::os {

using Word = std::atomic<std::uint64_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == 8);

/// Two words that change together.
struct alignas(16) WordPair {
  Word first, second;
};

/// Both words equal to what is expected: exchanged, true. Else false, and nothing else. Acquire and release, and a full
/// barrier as every locked instruction.
inline bool compare_exchange(WordPair& pair, std::uint64_t expected_first, std::uint64_t expected_second,
                             std::uint64_t first, std::uint64_t second) {
#if defined(KEYRACK_TSAN)
  __tsan_release(&pair.first);    // the sanitizer does not see into the instruction
  __tsan_release(&pair.second);
#endif
  bool done;
  asm volatile("lock cmpxchg16b %1"
               : "=@ccz"(done), "+m"(pair), "+a"(expected_first), "+d"(expected_second)
               : "b"(first), "c"(second)
               : "memory");
#if defined(KEYRACK_TSAN)
  __tsan_acquire(&pair.first);
  __tsan_acquire(&pair.second);
#endif
  return done;
}

/// Orders the loads and stores of this thread, as std::atomic_thread_fence does.
inline void fence(std::memory_order order) { std::atomic_thread_fence(order); }

/// Tells the processor that this is a spin.
inline void pause() { __builtin_ia32_pause(); }

/// How often to look, with a pause between, before sleeping: some microseconds. A holder that is running is soon done,
/// and a sleep costs 50 of them.
constexpr int kSpins = 200;

}    // namespace keyrack::os
