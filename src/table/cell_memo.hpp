// The cells that one thread has locked or unlocked last, as it left them.
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

/// A cell as it was left.
struct CellMemo {
  Hit hit;
  std::uint32_t doubts = 0;    // so many more times it is not believed
};

/// By key. Keys too long for it are not remembered.
class KeyMemo {
 public:
  KeyMemo() = default;
  KeyMemo(const KeyMemo&) = delete;
  KeyMemo& operator=(const KeyMemo&) = delete;

  /// The record that had the key, if it is remembered; else null.
  CellMemo* find(std::string_view key) {
    const Outline outline(key);
    if (last_->is(outline, key)) [[likely]]    // it spares the way by the hash, which every load behind it waits for
      return &last_->memo;
    Entry& entry = entries_[place(outline)];
    if (!entry.is(outline, key)) return nullptr;
    last_ = &entry;
    return &entry.memo;
  }

  void note(std::string_view key, const Hit& hit) {
    if (key.size() > kLongest) return;
    const Outline outline(key);
    Entry& entry = entries_[place(outline)];
    if (!entry.is(outline, key)) entry.memo.doubts = 0;
    entry.outline = outline;
    entry.memo.hit = hit;
    for (std::size_t at = 8; at + 8 < key.size(); at += 8) {
      entry.words[at / 8 - 1] = load_as<std::uint64_t>(key.data() + at);
    }
    last_ = &entry;
  }

 private:
  static constexpr std::size_t kLongest = 64;

  struct Entry {
    Outline outline = Outline::none();
    std::array<std::uint64_t, kLongest / 8 - 2> words{};    // between the first and the last eight bytes
    CellMemo memo;

    bool is(const Outline& other, std::string_view key) const {
      if (!(outline == other)) return false;
      for (std::size_t at = 8; at + 8 < key.size(); at += 8) {
        if (words[at / 8 - 1] != load_as<std::uint64_t>(key.data() + at)) return false;
      }
      return true;
    }
  };

  static std::size_t place(const Outline& outline) { return outline.hash() / (~std::uint64_t{0} / kMemos + 1); }
  std::array<Entry, kMemos> entries_{};
  Entry* last_ = entries_.data();
};

/// By a number that stands for the key.
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
