// Ways to damage a segment: one bit, or some words at random, chosen so that they look like something.
#pragma once

#include "image.hpp"

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace keyrack::tests {

/// Random damage of one kind: the same seed does the same to the same bytes.
class Mutation {
 public:
  Mutation(const table::Layout& layout, std::uint64_t seed) : layout_(layout), dice_(seed) {}

  /// Some changes at once, in words that some array uses. What was done, for people.
  std::string apply(std::byte* bytes);

  /// One change.
  std::string apply_one(std::byte* bytes);

 private:
  std::uint64_t below(std::uint64_t end) { return std::uniform_int_distribution<std::uint64_t>(0, end - 1)(dice_); }
  std::size_t some_word();
  std::uint64_t some_value(const std::byte* bytes, std::uint64_t old);

  table::Layout layout_;
  std::mt19937_64 dice_;
};

void flip(std::byte* bytes, std::size_t bit);

}    // namespace keyrack::tests
