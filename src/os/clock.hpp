// The host's clocks. CLOCK_MONOTONIC decides (it never jumps); the wall clock is for people.
#pragma once

#include <cstdint>

namespace keyrack::os {

std::int64_t monotonic_ns();
/// The same clock as it stood at the last timer tick, up to 10 ms ago: four times cheaper.
std::int64_t monotonic_coarse_ns();
std::int64_t wall_ns();

}    // namespace keyrack::os
