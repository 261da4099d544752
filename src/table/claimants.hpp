// Claimants: who asks, as immutable words that cells name. Written before a cell names them, freed only when none does.
#pragma once

#include "table/table.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace keyrack::table {

/// What a grant is made of, apart from token and deadline.
struct Terms {
  Rank rank;    // level, length of the signee, lifetime
  Tick lease_gap = 0, gone_gap = kNever;
  friend bool operator==(const Terms&, const Terms&) = default;
};

/// A claimant's words, to be believed only after still() of the hit that named it; or nobody's.
struct Descriptor {
  const Claimant* claimant = nullptr;
  ClaimantIndex index = 0;
  ClaimantState state{};
  Terms terms{};
  std::int32_t pid = 0;

  explicit operator bool() const { return claimant != nullptr; }
  SessionId session() const { return state.session(); }
  bool signed_by(std::string_view signee) const {
    return terms.rank.signee_length() == signee.size() && words_equal(claimant->signee, signee);
  }
  std::string signee() const { return read_words(claimant->signee, terms.rank.signee_length()); }
  void signee(std::string& text) const { read_words(claimant->signee, terms.rank.signee_length(), text); }
};

inline Descriptor describe(const Table& table, ClaimantIndex index) {
  const Claimant& claimant = table.claimant(index);
  Descriptor seen{&claimant, index, {}, {}, 0};
  seen.state.bits = claimant.state.load(std::memory_order_relaxed);
  seen.terms.rank.bits = claimant.rank.load(std::memory_order_relaxed);
  seen.terms.lease_gap = claimant.lease_gap.load(std::memory_order_relaxed);
  seen.terms.gone_gap = claimant.gone_gap.load(std::memory_order_relaxed);
  seen.pid = static_cast<std::int32_t>(claimant.pid.load(std::memory_order_relaxed));
  if (seen.terms.rank.signee_length() > table.geometry().max_signee) {
    seen.terms.rank = Rank::of(seen.terms.rank.level(), 0, seen.terms.rank.process_bound());    // torn, or corrupt
  }
  return seen;
}

/// A claimant of this session with these terms, pinned: it may be put into cells until it is dropped. `single`: into
/// one cell, once; then whoever takes it out of the cell frees it. Empty when there is none left.
std::optional<ClaimantIndex> take_claimant(Session&, const Terms&, std::string_view signee, std::int32_t pid,
                                           bool single);

/// From here on the session does not put it into a cell any more.
void drop_claimant(const Table&, ClaimantIndex);

/// The claimant of a grant that has just been taken out of its cell: frees it if nothing else can name it.
void free_if_single(const Table&, const Descriptor&);

}    // namespace keyrack::table
