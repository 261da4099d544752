// The commonest calls, in a fraction of the steps of locks.hpp: an unlocked record that nobody waits for is locked, and
// what a remembered claimant holds is unlocked. Everything else is left to the rules there, and nothing is done.
//
// Key and signee need not have been checked before: what is found in the table, or is remembered, has been.
#pragma once

#include "table/locks.hpp"

namespace keyrack::table {

/// Exchanges the cell and says so in the hit. False, and nothing: the cell has changed.
inline bool change(Hit& hit, Head head, Owner owner) {
  if (!hit.replace(head, owner)) return false;
  hit.head = head;
  hit.owner = owner;
  return true;
}

/// Nobody waits for it.
inline bool is_quiet(const Hit& hit) { return !hit.head.waiters() && !hit.head.urgent(); }

/// Nobody holds it or waits for it.
inline bool is_idle(const Hit& hit) { return hit.owner == Owner::idle() && is_quiet(hit); }

/// For people, after a grant.
inline void note_since(const Hit& hit, Head granted, Tick tick) {
  hit.record->since.store(Since::at(tick, granted.token()).bits, std::memory_order_relaxed);
}

/// False: the cell has changed. `since`: for people.
inline bool grant_idle(Hit& hit, ClaimantIndex claimant, Tick deadline, Tick since) {
  if (!change(hit, hit.head.next_token(), Owner::claimant(claimant, deadline))) return false;    // [G1]
  note_since(hit, hit.head, since);
  return true;
}

/// False: somebody waits for it, or the cell has changed.
inline bool release_quiet(Hit& hit) { return is_quiet(hit) && change(hit, hit.head.next_token(), Owner::idle()); }

/// Ours, and without a time to live, so that it may be released also when it is stale.
inline bool is_ours(ThreadMemory& mine, const Hit& hit, std::string_view signee) {
  if (!hit.owner.is_claimant()) return false;
  const Terms* known = mine.claimants.terms_of(hit.owner.claimant_index(), signee);
  return known != nullptr && known->gone_gap == kNever;
}

// By memory alone, without a look at the table.

/// The token; 0: not so.
inline std::uint64_t grant_again(CellMemo* memo, const ClaimantIndex* claimant, Tick deadline, Tick since) {
  if (memo == nullptr || claimant == nullptr || !is_idle(memo->hit)) return 0;
  if (memo->doubts != 0) {
    --memo->doubts;
    return 0;
  }
  if (grant_idle(memo->hit, *claimant, deadline, since)) [[likely]]
    return memo->hit.head.token();
  memo->doubts = kDoubts;
  return 0;
}

[[gnu::always_inline]] inline std::uint64_t lock_remembered(ThreadMemory& mine, std::string_view signature,
                                                            const Wish& wish) {
  return grant_again(mine.keys.find(signature), mine.claimants.find(wish.terms, wish.signee), wish.deadline,
                     wish.since);
}

inline bool unlock_remembered(ThreadMemory& mine, std::string_view signature, std::string_view signee) {
  CellMemo* memo = mine.keys.find(signature);
  return memo != nullptr && is_ours(mine, memo->hit, signee) && release_quiet(memo->hit);
}

/// The same for a mutex: the thread itself is the signee, bound to its process and without a lease. `number` stands for
/// the key.
inline std::uint64_t lock_remembered(ThreadMemory& mine, std::uint64_t number, Tick since) {
  return grant_again(mine.mutexes.find(number), mine.claimants.self_index(), kNever, since);
}

inline bool unlock_remembered(ThreadMemory& mine, std::uint64_t number, std::uint64_t token) {
  CellMemo* memo = mine.mutexes.find(number);
  const ClaimantIndex* self = mine.claimants.self_index();
  return memo != nullptr && self != nullptr && memo->hit.head.token() == token &&
         memo->hit.owner == Owner::claimant(*self, kNever) && release_quiet(memo->hit);
}

inline Result<LockResponse, Refusal> granted(std::uint64_t token) { return LockResponse{LockStatus::ok, {}, token}; }

// By a quick look at the table; remembered from then on.

inline void remember(ThreadMemory& mine, const Key& key, const Hit& hit) {
  if (CellMemo* memo = mine.keys.of(key.bytes)) memo->hit = hit;
}

/// `met`: the key's record, if there was one.
inline std::uint64_t lock_idle(const Caller& caller, const Key& key, const Wish& wish, std::optional<Hit>& met) {
  ThreadMemory& mine = caller.memory;
  Hit hit;
  if (!glance(caller.session.table, key, hit)) return 0;
  const ClaimantIndex* claimant = mine.claimants.find(wish.terms, wish.signee);
  if (claimant != nullptr && is_idle(hit) && grant_idle(hit, *claimant, wish.deadline, wish.since)) {
    remember(mine, key, hit);
    return hit.head.token();
  }
  met = hit;
  return 0;
}

/// Another one holds it, who lives, without a lease, and not by less right. Fills in the refusal. False: not so.
inline bool is_plainly_refused(const Table& table, const Hit& hit, const Wish& wish, Refusal& refusal) {
  if (!hit.owner.is_claimant() || hit.owner.deadline() != kNever) return false;
  const Descriptor holder = describe(table, hit.owner.claimant_index());
  if (holder.signed_by(wish.signee) || holder.terms.rank.level() < wish.terms.rank.level()) return false;
  if (holder.terms.rank.process_bound() && !alive(table, holder.session())) return false;
  refusal.code = make_error_code(Errc::forbidden);
  holder.signee(refusal.holder);
  refusal.level = holder.terms.rank.level();
  refusal.pid = holder.pid;
  refusal.token = hit.head.token();
  return hit.still();
}

inline bool unlock_known(const Caller& caller, const Key& key, std::string_view signee) {
  ThreadMemory& mine = caller.memory;
  Hit hit;
  if (!glance(caller.session.table, key, hit) || !is_ours(mine, hit, signee) || !release_quiet(hit)) return false;
  remember(mine, key, hit);
  return true;
}

inline void remember_mutex(const Table& table, ThreadMemory& mine, std::uint64_t number, const Key& key) {
  Hit hit;
  if (glance(table, key, hit)) mine.mutexes.note(number, hit);
}

}    // namespace keyrack::table
