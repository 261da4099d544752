// Keys and signees for the cases, as they are in real use: short texts of equal length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::bench {

constexpr std::size_t kKeyBytes = 24;
constexpr std::string_view kSignee = "worker-0007";
constexpr std::string_view kLongSignee = "build-host-12:python3:48213";    // too long for a small string

/// 0 … count - 1 in an order that no prefetcher guesses; the same in every run.
std::vector<std::uint32_t> shuffled(std::size_t count);

/// Texts like "orders/000000000000000017". Walking from the first to the last is walking through the keys at random:
/// the texts lie one behind the other, as a caller has his key at hand, but their numbers are shuffled.
class KeyTexts {
 public:
  explicit KeyTexts(std::size_t count);

  std::size_t size() const { return texts_.size() / kKeyBytes; }
  std::string_view operator[](std::size_t at) const { return {texts_.data() + at * kKeyBytes, kKeyBytes}; }

 private:
  std::vector<char> texts_;
};

/// A text with a number in it that is raised in place: always a new one, at the price of a digit or two.
class CountingText {
 public:
  explicit CountingText(std::string_view prefix) : text_(prefix) { text_.append(kDigits, '0'); }

  std::string_view next() {
    for (std::size_t at = text_.size(); at-- > text_.size() - kDigits;) {
      if (++text_[at] <= '9') break;
      text_[at] = '0';
    }
    return text_;
  }

 private:
  static constexpr std::size_t kDigits = 12;
  std::string text_;
};

}    // namespace keyrack::bench
