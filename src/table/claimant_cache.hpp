// The claimants that one thread has used lately in one session, pinned, so that a call needs none of its own.
#pragma once

#include "table/claimants.hpp"

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

namespace keyrack::table {

class ClaimantCache {
 public:
  /// A claimant for one call.
  struct Use {
    ClaimantIndex index;
    bool single;    // not cached: to be dropped when the call ends
  };

  /// A signee that is new is given a claimant of its own; one that comes again is remembered.
  std::optional<Use> use(Session& session, const Terms& terms, std::string_view signee, std::int32_t pid) {
    const std::uint64_t hash = hash_of(signee);
    Entry& entry = entries_[hash >> 61];
    if (const auto known = find(terms, signee)) return Use{*known, false};
    const bool again = entry.missed == hash;
    entry.missed = hash;
    std::string remembered(again ? signee : std::string_view());    // before a claimant is taken: it may throw
    const auto index = take_claimant(session, terms, signee, pid, !again);
    if (!index) {
      drop_all(session.table);    // ours are in the way, too
      const auto other = take_claimant(session, terms, signee, pid, true);
      if (!other) return {};
      return Use{*other, true};
    }
    if (!again) return Use{*index, true};
    if (entry.used) drop_claimant(session.table, entry.index);
    entry = {true, *index, terms, std::move(remembered), 0};
    return Use{*index, false};
  }

  /// The claimant with these terms, if it is remembered.
  std::optional<ClaimantIndex> find(const Terms& terms, std::string_view signee) const {
    const Entry& entry = entries_[hash_of(signee) >> 61];
    if (!entry.used || !(entry.terms == terms) || entry.signee != signee) return {};
    return entry.index;
  }

  /// The terms of a claimant that is remembered here as this signee's: its words need not be read, and it is not
  /// single.
  const Terms* terms_of(ClaimantIndex index, std::string_view signee) const {
    const Entry& entry = entries_[hash_of(signee) >> 61];
    return entry.used && entry.index == index && entry.signee == signee ? &entry.terms : nullptr;
  }

  void drop_all(const Table& table) {
    for (Entry& entry : entries_) {
      if (entry.used) drop_claimant(table, entry.index);
      entry.used = false;
    }
  }

 private:
  struct Entry {
    bool used = false;
    ClaimantIndex index = 0;
    Terms terms{};
    std::string signee{};
    std::uint64_t missed = 0;    // hash of the last signee that was not here
  };

  static std::uint64_t hash_of(std::string_view signee) {
    std::uint64_t head = 0, tail = 0;
    if (signee.size() >= 8) {
      std::memcpy(&head, signee.data(), 8);
      std::memcpy(&tail, signee.data() + signee.size() - 8, 8);
    } else if (!signee.empty()) {
      std::memcpy(&head, signee.data(), signee.size());
    }
    return ((head ^ signee.size()) * 0x9e37'79b9'7f4a'7c15 ^ tail) * 0xc2b2'ae3d'27d4'eb4f;
  }

  std::array<Entry, 8> entries_{};
};

}    // namespace keyrack::table
