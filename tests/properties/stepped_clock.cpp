#include "stepped_clock.hpp"

#include "os/clock.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <ctime>
#include <system_error>

namespace keyrack::os {

namespace {

std::atomic<std::int64_t> not_shared{0};
std::atomic<std::int64_t>* offset = &not_shared;

constexpr std::int64_t kSecond = 1'000'000'000;

std::int64_t read(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);
  return now.tv_sec * kSecond + now.tv_nsec + *offset;
}

timespec as_the_kernel_has_it(const timespec& until) {
  const std::int64_t ns = std::max<std::int64_t>(until.tv_sec * kSecond + until.tv_nsec - *offset, 0);
  return {ns / kSecond, ns % kSecond};
}

}    // namespace

void share_clock() {
  void* page = ::mmap(nullptr, sizeof *offset, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  offset = static_cast<std::atomic<std::int64_t>*>(page);
}

void step_clock(std::int64_t ns) { *offset += ns; }

std::int64_t monotonic_ns() { return read(CLOCK_MONOTONIC); }
std::int64_t monotonic_coarse_ns() { return read(CLOCK_MONOTONIC_COARSE); }
std::int64_t wall_ns() { return read(CLOCK_REALTIME); }

}    // namespace keyrack::os

// The linker sends the library's calls of these here.
extern "C" {

long __real_syscall(long number, ...);
int __real_pthread_cond_clockwait(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);

long __wrap_syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  timespec until{};
  constexpr int at = 3;    // of both
  // Who wakes gives fewer arguments.
  const bool sleeps =
      number == SYS_futex_waitv || (number == SYS_futex && (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET);
  if (sleeps && arguments[at] != 0) {
    until = keyrack::os::as_the_kernel_has_it(*reinterpret_cast<const timespec*>(arguments[at]));
    arguments[at] = reinterpret_cast<long>(&until);
  }
  return __real_syscall(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
}

int __wrap_pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                  const timespec* when) {
  const timespec until = keyrack::os::as_the_kernel_has_it(*when);
  return __real_pthread_cond_clockwait(condition, mutex, clock, &until);
}
}
