#include "os/futex.hpp"

#include "os/clock.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

namespace keyrack::os {

namespace {

timespec to_timespec(std::int64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

futex_waitv waiter(Sleep sleep) {
  futex_waitv entry{};
  entry.val = sleep.expected;
  entry.uaddr = reinterpret_cast<std::uintptr_t>(sleep.word);
  entry.flags = FUTEX_32;
  return entry;
}

}    // namespace

void futex_sleep(Sleep first, const Sleep* second, std::int64_t until_ns, std::int64_t blind_ns) {
  until_ns = std::max<std::int64_t>(until_ns, 0);
  if (second != nullptr) {
    futex_waitv both[2] = {waiter(first), waiter(*second)};
    timespec until = to_timespec(until_ns);
    if (::syscall(SYS_futex_waitv, both, 2, 0, &until, CLOCK_MONOTONIC) >= 0 || errno != ENOSYS) return;
    until_ns = std::min(until_ns, monotonic_ns() + blind_ns);
  }
  timespec until = to_timespec(until_ns);
  ::syscall(SYS_futex, first.word, FUTEX_WAIT_BITSET, first.expected, &until, nullptr, FUTEX_BITSET_MATCH_ANY);
}

void futex_wake(FutexWord& word, int count) { ::syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0); }

}    // namespace keyrack::os
