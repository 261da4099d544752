// The cells that one thread has changed last, or was refused by, or has checked, as they stood then, and where they
// are.
//
// Two words never stand in a cell again with another meaning: every change takes the record's next token, or, while a
// grant lasts, changes its owner or edition. So an exchange from just the words that were left there succeeds only
// while the record still has the same key and nothing has happened to it; neither its bucket nor its key is looked at.
// Nothing here is shared. A memo that is out of date costs one failed exchange, which takes the record's line from
// whoever works there: after one the key is known to be others', too, and the next calls look at the table instead.
#pragma once

#include "table/chain.hpp"
#include "table/outline.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace keyrack::table {

constexpr std::size_t kMemos = 8;    // a power of two
constexpr std::uint32_t kDoubts = 32;

/// A cell as it was left, or seen.
struct CellMemo {
  Hit hit;
  std::uint32_t doubts = 0;    // so many more times it is not believed
};

/// The sets of hints that led to the lowest free number, from the level of names up, and what stood there: no hint of
/// these was doubted. While it still stands there they lead to the same number, and it is announced.
struct HintPath {
  std::uint32_t number = 0;
  bool known = false;
  std::array<const Word*, kHintLevels> words{};
  std::array<std::uint64_t, kHintLevels> seen{};

  /// Upwards, as they are announced: who takes a hint away doubts it first, and then looks at the set below. If that
  /// comes after our look at the hint, he finds what we found below.
  bool stands() const {
    if (!known) return false;
    for (unsigned level = 0; level < kHintLevels; ++level) {
      if (words[level]->load(std::memory_order_acquire) != seen[level]) return false;
    }
    return true;
  }
};

/// Where the names of a family were found, in one epoch: until its end none of their records is another's.
struct FamilyMemo {
  std::uint64_t hash = 0;    // of the family's name; 0: nothing is known
  std::uint32_t epoch = 0;
  std::uint32_t number = 0;    // of the name whose cell this is
  Hit hit;
  struct Place {
    std::uint32_t number = 0;
    Record* record = nullptr;
    std::uint64_t birth = 0;
  };
  std::array<Place, 4> places{};    // of names that have sets of hints
  HintPath path{};
};

/// What is known of a text, of a few texts. Long ones are not remembered.
template <class Memo>
class TextMemo {
 public:
  TextMemo() = default;
  TextMemo(const TextMemo&) = delete;
  TextMemo& operator=(const TextMemo&) = delete;

  /// Null if it is not remembered.
  Memo* find(std::string_view text) {
    const Outline outline(text);
    if (last_->is(outline, text)) [[likely]]    // it spares the way by the hash, which every load behind it waits for
      return &last_->memo;
    Entry& entry = entries_[place(outline)];
    if (!entry.is(outline, text)) return nullptr;
    last_ = &entry;
    return &entry.memo;
  }

  /// The same, but a text that was not remembered is from now on, if it is not too long.
  Memo* of(std::string_view text) {
    Memo* known = find(text);
    if (known != nullptr || text.size() > longest_) return known;
    const Outline outline(text);
    Entry& entry = entries_[place(outline)];
    entry.outline = outline;
    entry.memo = {};
    for (std::size_t at = 8; at + 8 < text.size(); at += 8) {
      entry.words[at / 8 - 1] = load_as<std::uint64_t>(text.data() + at);
    }
    last_ = &entry;
    return &entry.memo;
  }

  /// From now on nothing more is remembered.
  void close() { longest_ = 0; }

 private:
  static constexpr std::size_t kLongest = 64;

  struct Entry {
    Outline outline = Outline::none();
    std::array<std::uint64_t, kLongest / 8 - 2> words{};    // between the first and the last eight bytes
    Memo memo{};

    bool is(const Outline& other, std::string_view text) const {
      if (!(outline == other)) return false;
      for (std::size_t at = 8; at + 8 < text.size(); at += 8) {
        if (words[at / 8 - 1] != load_as<std::uint64_t>(text.data() + at)) return false;
      }
      return true;
    }
  };

  static std::size_t place(const Outline& outline) { return outline.hash() / (~std::uint64_t{0} / kMemos + 1); }

  std::array<Entry, kMemos> entries_{};
  Entry* last_ = entries_.data();
  std::size_t longest_ = kLongest;
};

/// By a number that stands for the text.
class NumberMemo {
 public:
  CellMemo* find(std::uint64_t number) {
    Entry& entry = entries_[number % kMemos];
    return entry.number == number ? &entry.memo : nullptr;
  }
  void note(std::uint64_t number, const Hit& hit) {
    Entry& entry = entries_[number % kMemos];
    if (entry.number != number) entry = {number, {}};
    entry.memo.hit = hit;
  }

 private:
  struct Entry {
    std::uint64_t number = 0;    // of nothing
    CellMemo memo;
  };

  std::array<Entry, kMemos> entries_{};
};

}    // namespace keyrack::table
