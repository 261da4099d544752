#include "harness/keys.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace keyrack::bench {

std::vector<std::uint32_t> shuffled(std::size_t count) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  std::mt19937_64 random(1);
  std::shuffle(order.begin(), order.end(), random);
  return order;
}

KeyTexts::KeyTexts(std::size_t count) : texts_(count * kKeyBytes) {
  constexpr std::string_view prefix = "orders/";
  const auto order = shuffled(count);
  for (std::size_t at = 0; at < count; ++at) {
    const std::string digits = std::to_string(order[at]);
    const std::string text = std::string(prefix) + std::string(kKeyBytes - prefix.size() - digits.size(), '0') + digits;
    std::copy(text.begin(), text.end(), texts_.begin() + static_cast<std::ptrdiff_t>(at * kKeyBytes));
  }
}

}    // namespace keyrack::bench
