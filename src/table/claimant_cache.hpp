// The claimants that one thread has used lately in one session, pinned, so that a call needs none of its own.
#pragma once

#include "table/claimants.hpp"
#include "table/outline.hpp"

#include <array>
#include <optional>
#include <string>
#include <utility>

namespace keyrack::table {

class ClaimantCache {
 public:
  ClaimantCache() = default;
  ClaimantCache(const ClaimantCache&) = delete;
  ClaimantCache& operator=(const ClaimantCache&) = delete;

  /// A claimant for one call.
  struct Use {
    ClaimantIndex index;
    bool single;    // not cached: to be dropped when the call ends
  };

  /// What this thread is called where it is itself the signee. Named once; its claimant has a place of its own.
  const std::string& self() const { return self_; }
  void name_self(std::string signee) { self_ = std::move(signee); }

  /// A signee that is new is given a claimant of its own; one that comes again is remembered, and self() at once.
  std::optional<Use> use(Session& session, const Terms& terms, std::string_view signee, std::int32_t pid) {
    const bool is_self = signee.data() == self_.data();
    const Outline outline(signee);
    Entry& entry = is_self ? own_ : entries_[outline.hash() >> 61];
    if (entry.is(terms, outline, signee)) return Use{entry.index, false};
    const bool again = is_self || entry.missed == outline.hash();
    entry.missed = outline.hash();
    if (!again) return use_once(session, terms, outline, signee, pid);
    std::string remembered(signee);    // before a claimant is taken: it may throw
    const auto index = take_claimant(session, terms, signee, pid, false);
    if (!index) {
      drop_all(session.table);    // ours are in the way, too
      return use_once(session, terms, outline, signee, pid);
    }
    if (entry.used) drop_claimant(session.table, entry.index);
    entry = {true, *index, terms, outline, std::move(remembered), 0};
    if (is_self) own_is_plain_ = terms == Terms{Rank::of(0, signee.size(), true), 0, kNever};
    return Use{*index, false};
  }

  /// The claimant with these terms, if it is remembered; else null.
  [[gnu::always_inline]] const ClaimantIndex* find(const Terms& terms, std::string_view signee) {
    const Outline outline(signee);
    const Entry& entry = of(outline, signee);
    return entry.is(terms, outline, signee) ? &entry.index : nullptr;
  }
  /// The claimant of self(), bound to the process and without a lease, if it is remembered; else null.
  const ClaimantIndex* self_index() const { return own_is_plain_ ? &own_.index : nullptr; }

  /// The terms of a claimant that is remembered here as this signee's: its words need not be read.
  const Terms* terms_of(ClaimantIndex index, std::string_view signee) {
    const Outline outline(signee);
    const Entry& entry = of(outline, signee);
    return entry.index == index && entry.is(outline, signee) ? &entry.terms : nullptr;
  }
  /// The same of the one that was last taken for one call. It may have been freed since, and taken by others: then it
  /// has another state.
  const Terms* terms_of_single(const Descriptor& holder, std::string_view signee) const {
    if (holder.index != single_.index || holder.state != single_state_) return nullptr;
    return single_.is(Outline(signee), signee) ? &single_.terms : nullptr;
  }

  void drop_all(const Table& table) {
    for (Entry& entry : entries_) drop(table, entry);
    drop(table, own_);
    own_is_plain_ = false;
  }

 private:
  struct Entry {
    bool used = false;
    ClaimantIndex index = 0;
    Terms terms{};
    Outline outline = Outline::none();
    std::string signee{};
    std::uint64_t missed = 0;    // hash of the last signee that was not here

    bool is(const Outline& other, std::string_view whole) const {
      return used && outline == other && (other.is_whole() || signee == whole);
    }
    bool is(const Terms& other_terms, const Outline& other, std::string_view whole) const {
      return terms == other_terms && is(other, whole);
    }
  };

  std::optional<Use> use_once(Session& session, const Terms& terms, const Outline& outline, std::string_view signee,
                              std::int32_t pid) {
    single_.used = false;
    single_.signee.assign(outline.is_whole() ? std::string_view() : signee);    // it may throw
    const auto index = take_claimant(session, terms, signee, pid, true);
    if (!index) return {};
    single_.used = true;
    single_.index = *index;
    single_.terms = terms;
    single_.outline = outline;
    single_state_ = ClaimantState{session.table.claimant(*index).state.load(std::memory_order_relaxed)}.dropped();
    return Use{*index, true};
  }

  /// The place of a signee. The last one is tried first: that spares the way by the hash.
  const Entry& of(const Outline& outline, std::string_view signee) {
    if (!last_->is(outline, signee)) [[unlikely]]
      last_ = &entries_[outline.hash() >> 61];
    return *last_;
  }
  static void drop(const Table& table, Entry& entry) {
    if (entry.used) drop_claimant(table, entry.index);
    entry.used = false;
  }

  std::array<Entry, 8> entries_{};
  const Entry* last_ = entries_.data();
  Entry own_{};
  Entry single_{};
  ClaimantState single_state_{};    // after the call
  bool own_is_plain_ = false;
  std::string self_{};
};

}    // namespace keyrack::table
