// The commonest calls, in a fraction of the steps of locks.hpp: an unlocked record that nobody waits for is locked,
// what a remembered claimant holds is unlocked, and of what is held without a lease it is told who holds it. Everything
// else is left to the rules there, and nothing is done.
//
// Key and signee need not have been checked before: what is found in the table, or is remembered, has been.
#pragma once

#include "table/locks.hpp"

namespace keyrack::table {

inline bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

/// Drops a claimant that was taken for one call, at the call's end.
class ClaimantUse {
 public:
  ClaimantUse(const Caller& caller, const Terms& terms, std::string_view signee)
      : table_(caller.session.table), use_(caller.memory.claimants.use(caller.session, terms, signee, caller.pid)) {}
  ~ClaimantUse() {
    if (use_ && use_->single) drop_claimant(table_, use_->index);
  }
  ClaimantUse(const ClaimantUse&) = delete;
  ClaimantUse& operator=(const ClaimantUse&) = delete;

  explicit operator bool() const { return use_.has_value(); }
  const ClaimantIndex& index() const { return use_->index; }

 private:
  const Table& table_;
  std::optional<ClaimantCache::Use> use_;
};

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
inline bool grant_idle(ThreadMemory& mine, Hit& hit, ClaimantIndex claimant, Tick deadline, Tick since) {
  if (!change(hit, hit.head.next_token(), Owner::claimant(claimant, deadline))) return false;    // [G1]
  note_since(hit, hit.head, since);
  mine.tally.count_grant(hit.record, hit.head.token());
  return true;
}

/// False: somebody waits for it, or the cell has changed.
inline bool release_quiet(ThreadMemory& mine, Hit& hit) {
  const std::uint64_t token = hit.head.token();
  if (!is_quiet(hit) || !change(hit, hit.head.next_token(), Owner::idle())) return false;
  mine.tally.count_release(hit.record, token);
  return true;
}

/// Ours, held by a claimant that was taken for one call.
[[gnu::noinline]] inline bool release_single(const Table& table, ThreadMemory& mine, Hit& hit,
                                             std::string_view signee) {
  const Descriptor holder = describe(table, hit.owner.claimant_index());
  const Terms* terms = mine.claimants.terms_of_single(holder, signee);
  if (terms == nullptr || terms->gone_gap != kNever || !release_quiet(mine, hit)) return false;
  free_if_single(table, holder);
  return true;
}

/// Ours, and without a time to live, so that it may be released also when it is stale. False: not so, or as
/// release_quiet().
inline bool release_ours(const Table& table, ThreadMemory& mine, Hit& hit, std::string_view signee) {
  if (!hit.owner.is_claimant()) return false;
  const Terms* terms = mine.claimants.terms_of(hit.owner.claimant_index(), signee);
  if (terms == nullptr) return release_single(table, mine, hit, signee);
  return terms->gone_gap == kNever && release_quiet(mine, hit);
}

// By memory alone, without a look at the table.

/// The token; 0: not so.
inline std::uint64_t grant_again(ThreadMemory& mine, CellMemo& memo, const ClaimantIndex* claimant, Tick deadline,
                                 Tick since) {
  if (claimant == nullptr) return 0;
  if (memo.doubts != 0) {
    --memo.doubts;
    return 0;
  }
  if (grant_idle(mine, memo.hit, *claimant, deadline, since)) [[likely]]
    return memo.hit.head.token();
  memo.doubts = kDoubts;
  return 0;
}

/// `make_wish` is called only if the wish may be granted: it reads the clock.
template <class MakeWish>
[[gnu::always_inline]] inline std::uint64_t lock_remembered(ThreadMemory& mine, CellMemo& memo, MakeWish&& make_wish) {
  if (!is_idle(memo.hit)) return 0;
  const Wish wish = make_wish();
  return grant_again(mine, memo, mine.claimants.find(wish.terms, wish.signee), wish.deadline, wish.since);
}

/// The same by a signee that is not remembered.
template <class MakeWish>
std::uint64_t lock_remembered_anew(const Caller& caller, CellMemo& memo, MakeWish&& make_wish) {
  if (!is_idle(memo.hit)) return 0;
  const Wish wish = make_wish();
  if (has_nul(wish.signee)) return 0;
  const ClaimantUse claimant(caller, wish.terms, wish.signee);
  return claimant ? grant_again(caller.memory, memo, &claimant.index(), wish.deadline, wish.since) : 0;
}

inline bool unlock_remembered(const Table& table, ThreadMemory& mine, std::string_view signature,
                              std::string_view signee) {
  CellMemo* memo = mine.keys.find(signature);
  return memo != nullptr && release_ours(table, mine, memo->hit, signee);
}

/// Both for a mutex: the thread itself is the signee, bound to its process and without a lease. `number` stands for
/// the key.
inline std::uint64_t lock_remembered(ThreadMemory& mine, std::uint64_t number, Tick since) {
  CellMemo* memo = mine.mutexes.find(number);
  return memo != nullptr && is_idle(memo->hit) ? grant_again(mine, *memo, mine.claimants.self_index(), kNever, since)
                                               : 0;
}

inline bool unlock_remembered(ThreadMemory& mine, std::uint64_t number, std::uint64_t token) {
  CellMemo* memo = mine.mutexes.find(number);
  const ClaimantIndex* self = mine.claimants.self_index();
  return memo != nullptr && self != nullptr && memo->hit.head.token() == token &&
         memo->hit.owner == Owner::claimant(*self, kNever) && release_quiet(mine, memo->hit);
}

/// Another one holds it, who lives, without a lease, and not by less right. Fills in the refusal. False: not so.
inline bool is_plainly_refused(const Table& table, const Hit& hit, std::string_view signee, std::int32_t level,
                               Refusal& refusal) {
  if (!hit.owner.is_claimant() || hit.owner.deadline() != kNever) return false;
  const Descriptor holder = describe(table, hit.owner.claimant_index());
  if (holder.signed_by(signee) || holder.terms.rank.level() < level) return false;
  if (holder.terms.rank.process_bound() && !alive(table, holder.session())) return false;
  refusal.code = make_error_code(Errc::forbidden);
  holder.signee(refusal.holder);
  refusal.level = holder.terms.rank.level();
  refusal.pid = holder.pid;
  refusal.token = hit.head.token();
  return hit.still();
}

/// By the grant that was in the way the last time.
inline bool refused_remembered(const Caller& caller, const CellMemo& memo, std::string_view signee, std::int32_t level,
                               Refusal& refusal) {
  if (has_nul(signee) || !is_plainly_refused(caller.session.table, memo.hit, signee, level, refusal)) return false;
  caller.memory.tally.count(Counter::refusals);
  return true;
}

/// All but its end, to be believed only after still().
inline Descriptor tell_holder(const Table& table, const Hit& hit, CheckResponse& response) {
  const Descriptor holder = describe(table, hit.owner.claimant_index());
  holder.signee(response.signee);
  response.level = holder.terms.rank.level();
  response.token = hit.head.token();
  response.pid = holder.pid;
  return holder;
}

/// Held, and without a lease. Fills in the response. False: not so.
inline bool is_plainly_held(const Table& table, const Hit& hit, CheckResponse& response) {
  if (!hit.owner.is_claimant() || hit.owner.deadline() != kNever) return false;
  tell_holder(table, hit, response);
  return hit.still();
}

inline bool check_remembered(const Table& table, ThreadMemory& mine, std::string_view signature,
                             CheckResponse& response) {
  const CellMemo* memo = mine.keys.find(signature);
  return memo != nullptr && is_plainly_held(table, memo->hit, response);
}

inline Result<LockResponse, Refusal> granted(std::uint64_t token) { return LockResponse{LockStatus::ok, {}, token}; }

// By a quick look at the table; remembered from then on.

inline void remember(ThreadMemory& mine, const Key& key, const Hit& hit) {
  if (CellMemo* memo = mine.keys.of(key.bytes)) memo->hit = hit;
}

/// `met`: the key's record, if there was one.
inline std::uint64_t lock_idle(const Caller& caller, const Ask& ask, std::optional<Hit>& met) {
  const Table& table = caller.session.table;
  ThreadMemory& mine = caller.memory;
  Hit hit;
  if (!glance(table, ask.key, hit)) return 0;
  if (is_idle(hit)) {
    const Wish wish = wish_of(table, ask);
    const ClaimantIndex* claimant = mine.claimants.find(wish.terms, wish.signee);
    if (claimant != nullptr && grant_idle(mine, hit, *claimant, wish.deadline, wish.since)) {
      remember(mine, ask.key, hit);
      return hit.head.token();
    }
  }
  met = hit;
  return 0;
}

inline bool unlock_known(const Caller& caller, const Key& key, std::string_view signee) {
  ThreadMemory& mine = caller.memory;
  Hit hit;
  const Table& table = caller.session.table;
  if (!glance(table, key, hit) || !release_ours(table, mine, hit, signee)) return false;
  remember(mine, key, hit);
  return true;
}

inline void remember_mutex(const Table& table, ThreadMemory& mine, std::uint64_t number, const Key& key) {
  Hit hit;
  if (glance(table, key, hit)) mine.mutexes.note(number, hit);
}

}    // namespace keyrack::table
