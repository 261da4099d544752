// Sleeping on words of shared memory, and being woken. Always the shared kind: std::atomic::wait would sleep on a
// process-private futex and never hear of another process.
#pragma once

#include "os/word.hpp"

#include <cstdint>

namespace keyrack::os {

using FutexWord = std::atomic<std::uint32_t>;

/// The futex in the low half of a 64-bit word.
inline FutexWord& low_half(Word& word) { return reinterpret_cast<FutexWord&>(word); }

struct Sleep {
  FutexWord* word;
  std::uint32_t expected;
};

/// Sleeps until woken on either word, one of them differs from what is expected, or the monotonic time `until_ns` has
/// come; may also return for no reason. `second` may be null. On kernels before 5.16 only the first word is slept on,
/// for at most `blind_ns`.
void futex_sleep(Sleep first, const Sleep* second, std::int64_t until_ns, std::int64_t blind_ns);

/// Wakes up to `count` sleepers.
void futex_wake(FutexWord& word, int count);

}    // namespace keyrack::os
