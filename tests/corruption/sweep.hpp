// Runs damage after damage in worker processes, and tells which of them a worker did not survive.
#pragma once

#include "image.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace keyrack::tests {

enum class How {
  newcomer,    // the damage is there when the segment is opened
  attached,    // it is done to a segment that is in use
  storm,       // the segment that is in use is damaged again and again while the calls are made
};

/// Something that can be done to the bytes, known by its number. What was done, for people.
using Damage = std::function<std::string(std::byte* bytes, std::uint64_t number)>;

struct Plan {
  How how = How::newcomer;
  std::vector<std::uint64_t> numbers;
  Damage damage;
  std::size_t faults_max = 20;    // then it ends early
  std::function<void(std::size_t done, std::size_t all)> progress = {};
};

struct Fault {
  std::uint64_t number;
  std::string damage, call, what;
};

struct Outcome {
  std::size_t done = 0;
  std::uint64_t calls = 0;
  std::map<std::string, std::uint64_t> answers;
  std::vector<Fault> faults;
};

Outcome sweep(const Image&, const Plan&);

}    // namespace keyrack::tests
