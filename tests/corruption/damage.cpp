#include "damage.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

namespace keyrack::tests {

namespace {

constexpr std::size_t kWord = 8;

std::uint64_t load(const std::byte* bytes, std::size_t at) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes + at, kWord);
  return word;
}

}    // namespace

void flip(std::byte* bytes, std::size_t bit) { bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8); }

/// Records, claimants and what leads to them are met more often than the rest, and low entries more often than high.
std::size_t Mutation::some_word() {
  struct Array {
    std::size_t at, stride, entries;
  };
  const table::Geometry& g = layout_.geometry;
  const Array records{layout_.records_at, layout_.record_stride, g.slots};
  const std::array<Array, 8> arrays{
      records,
      records,
      records,
      Array{layout_.buckets_at, sizeof(table::Bucket), layout_.buckets},
      Array{layout_.claimants_at, layout_.claimant_stride, layout_.claimants},
      Array{layout_.waiters_at, sizeof(table::Waiter), layout_.waiters},
      Array{layout_.lives_at, sizeof(table::LifeEntry), g.sessions},
      Array{0, sizeof(table::Header), 1},
  };
  const Array& array = arrays[below(arrays.size())];
  std::size_t entries = array.entries;
  if (below(2) == 0) entries = std::min<std::size_t>(entries, 8);
  const std::size_t start = array.at + array.stride * below(entries);
  // The first words of an entry are the ones that lead somewhere.
  const std::size_t words = array.stride / kWord;
  return start + kWord * below(below(2) == 0 ? std::min<std::size_t>(words, 4) : words);
}

std::uint64_t Mutation::some_value(const std::byte* bytes, std::uint64_t old) {
  const table::Geometry& g = layout_.geometry;
  const std::uint64_t index_mask = 0xff'ffff;
  switch (below(12)) {
    case 0:
      return 0;
    case 1:
      return ~std::uint64_t{0};
    case 2:
      return dice_();
    case 3:
      return below(64);
    case 4:
      return old + 1;
    case 5:
      return old - 1;
    case 6:
      return load(bytes, some_word());    // somebody else's
    case 7:
      return old ^ std::uint64_t{1} << below(64);
    case 8:    // another record
      return (old & ~index_mask) | below(std::uint64_t{g.slots} + 3);
    case 9:    // another claimant
      return (old & ~index_mask) | (table::Owner::kFirstClaimant + below(std::uint64_t{layout_.claimants} + 3));
    case 10:    // a state, known or not
      return (old & ~index_mask) | below(table::Owner::kFirstClaimant);
    default:    // a session's record in the making
      return table::Owner::alloc({static_cast<std::uint32_t>(below(std::uint64_t{g.sessions} + 2)), 1}).bits;
  }
}

std::string Mutation::apply_one(std::byte* bytes) {
  std::array<char, 160> text{};
  switch (below(16)) {
    case 0: {    // two words change places
      const std::size_t a = some_word(), b = some_word();
      const std::uint64_t first = load(bytes, a), second = load(bytes, b);
      std::memcpy(bytes + a, &second, kWord);
      std::memcpy(bytes + b, &first, kWord);
      std::snprintf(text.data(), text.size(), "%s and %s change places", place_of(layout_, a).c_str(),
                    place_of(layout_, b).c_str());
      break;
    }
    case 1: {    // a record becomes a copy of another
      const std::size_t from = below(layout_.geometry.slots), to = below(layout_.geometry.slots);
      std::memmove(bytes + layout_.records_at + to * layout_.record_stride,
                   bytes + layout_.records_at + from * layout_.record_stride, layout_.record_stride);
      std::snprintf(text.data(), text.size(), "record %zu is a copy of %zu", to, from);
      break;
    }
    case 2: {    // a piece is lost
      const std::size_t at = some_word(), length = std::min(layout_.bytes - at, kWord * (1 + below(64)));
      std::memset(bytes + at, below(2) == 0 ? 0 : 0xff, length);
      std::snprintf(text.data(), text.size(), "%zu bytes from %s on are lost", length, place_of(layout_, at).c_str());
      break;
    }
    default: {
      const std::size_t at = some_word();
      const std::uint64_t old = load(bytes, at), value = some_value(bytes, old);
      std::memcpy(bytes + at, &value, kWord);
      std::snprintf(text.data(), text.size(), "%s: %#llx becomes %#llx", place_of(layout_, at).c_str(),
                    static_cast<unsigned long long>(old), static_cast<unsigned long long>(value));
    }
  }
  return text.data();
}

std::string Mutation::apply(std::byte* bytes) {
  std::string done;
  for (std::uint64_t changes = 1 + below(4); changes > 0; --changes) {
    done += (done.empty() ? "" : "; ") + apply_one(bytes);
  }
  return done;
}

}    // namespace keyrack::tests
