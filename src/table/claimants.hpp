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

/// A claimant's words, to be believed only after still() of the hit that named it.
struct Descriptor {
  const Claimant* claimant;
  ClaimantIndex index;
  ClaimantState state;
  Terms terms;
  std::int32_t pid;

  SessionId session() const { return state.session(); }
  bool signed_by(std::string_view signee) const {
    return terms.rank.signee_length() == signee.size() && words_equal(claimant->signee, signee);
  }
  std::string signee() const { return read_words(claimant->signee, terms.rank.signee_length()); }
};

Descriptor describe(const Table&, ClaimantIndex);

/// A claimant of this session with these terms, pinned: it may be put into cells until it is dropped. `single`: into
/// one cell, once; then whoever takes it out of the cell frees it. Empty when there is none left.
std::optional<ClaimantIndex> take_claimant(Session&, const Terms&, std::string_view signee, std::int32_t pid,
                                           bool single);

/// From here on the session does not put it into a cell any more.
void drop_claimant(const Table&, ClaimantIndex);

/// The claimant of a grant that has just been taken out of its cell: frees it if nothing else can name it.
void free_if_single(const Table&, const Descriptor&);

}    // namespace keyrack::table
