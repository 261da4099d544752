// A name for who locks a mutex.
#pragma once

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <random>
#include <string>

namespace keyrack {

/// A signee that nobody else on any host has, of at most 16 + 1 + 10 + 1 + 16 + 1 + 16 = 61 bytes.
inline std::string unique_signee() {
  static std::atomic<std::uint64_t> counter = 0;
  const auto hex = [](std::uint64_t number) {
    std::array<char, 16> digits;
    return std::string(digits.begin(), std::to_chars(digits.begin(), digits.end(), number, 16).ptr);
  };
  std::random_device random;
  const std::uint64_t noise = std::uint64_t{random()} << 32 | random();
  return std::string(program_invocation_short_name).substr(0, 16) + ":" + std::to_string(getpid()) + ":" + hex(noise) +
         "." + hex(++counter);
}

}    // namespace keyrack
