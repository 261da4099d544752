#include "os/clock.hpp"

#include <ctime>

namespace keyrack::os {

namespace {
std::int64_t read(clockid_t clock) {
  timespec now{};
  ::clock_gettime(clock, &now);    // cannot fail: the clocks exist and the address is good
  return now.tv_sec * 1'000'000'000 + now.tv_nsec;
}
}    // namespace

std::int64_t monotonic_ns() { return read(CLOCK_MONOTONIC); }
std::int64_t monotonic_coarse_ns() { return read(CLOCK_MONOTONIC_COARSE); }
std::int64_t wall_ns() { return read(CLOCK_REALTIME); }

}    // namespace keyrack::os
