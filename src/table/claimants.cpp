#include "table/claimants.hpp"

#include "table/sessions.hpp"

#include <vector>

namespace keyrack::table {

namespace {

constexpr std::uint32_t kProbes = 64;

/// Frees every claimant that no cell names and nobody can put into one. The order is everything: first judge that it is
/// not pinned by a living session, then look at the cells. The other way round it could be put into a cell in between.
/// Killed here: nothing is half done. Several at once: each frees with a compare-and-swap from what it judged.
void sweep(const Table& table) {
  const std::uint32_t count = table.layout().claimants;
  std::vector<ClaimantState> judged(count);
  for (ClaimantIndex index = 0; index < count; ++index) {
    const ClaimantState state{table.claimant(index).state.load(std::memory_order_relaxed)};
    if (state.used() && (!state.pinned() || !alive(table, state.session()))) judged[index] = state;
  }
  os::fence(std::memory_order_acquire);    // [K3] pairs with [K2]
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    const Owner owner{table.record(index).cell.second.load(std::memory_order_relaxed)};
    if (owner.is_claimant() && owner.claimant_index() < count) judged[owner.claimant_index()] = {};
  }
  for (ClaimantIndex index = 0; index < count; ++index) {
    if (!judged[index].used()) continue;
    table.claimant(index).state.compare_exchange_strong(judged[index].bits, judged[index].freed().bits);
  }
}

std::optional<ClaimantIndex> take_free(Session& session, std::uint32_t probes, bool single) {
  const Table& table = session.table;
  const std::uint32_t count = table.layout().claimants;
  for (; probes > 0; --probes) {
    const ClaimantIndex index = session.claimant_cursor.fetch_add(1, std::memory_order_relaxed) % count;
    Word& word = table.claimant(index).state;
    ClaimantState state{word.load(std::memory_order_relaxed)};
    if (!state.used() && word.compare_exchange_strong(state.bits, state.taken(session.id, single).bits)) {
      return index;
    }
  }
  return {};
}

}    // namespace

std::optional<ClaimantIndex> take_claimant(Session& session, const Terms& terms, std::string_view signee,
                                           std::int32_t pid, bool single) {
  const Table& table = session.table;
  if (terms.rank.process_bound() && !session.binds) session.binds = true;
  auto index = take_free(session, kProbes, single);
  if (!index) {
    sweep(table);
    index = take_free(session, table.layout().claimants, single);
    if (!index) return {};
  }
  // Killed from here on: pinned by a dead session, named by nobody; a sweep frees it.
  Claimant& claimant = table.claimant(*index);
  // [K1] The exchange was a full barrier: USED before the words; pairs with [C2].
  claimant.rank.store(terms.rank.bits, std::memory_order_relaxed);
  claimant.pid.store(static_cast<std::uint32_t>(pid), std::memory_order_relaxed);
  claimant.lease_gap.store(terms.lease_gap, std::memory_order_relaxed);
  claimant.gone_gap.store(terms.gone_gap, std::memory_order_relaxed);
  write_words(claimant.signee, signee);
  return index;    // the compare-and-swap that puts it into a cell publishes the words
}

void drop_claimant(const Table& table, ClaimantIndex index) {
  Word& word = table.claimant(index).state;
  const ClaimantState state{word.load(std::memory_order_relaxed)};    // ours: nobody else changes it while it is pinned
  // [K2] After the last cell it was put into: that exchange was a full barrier.
  word.store(state.dropped().bits, std::memory_order_relaxed);
}

void free_if_single(const Table& table, const Descriptor& seen) {
  if (!seen.state.used() || !seen.state.single()) return;
  std::uint64_t expected =
      seen.state.dropped().bits;    // while it is pinned its session is still at it: left to a sweep
  table.claimant(seen.index).state.compare_exchange_strong(expected, seen.state.freed().bits);
}

}    // namespace keyrack::table
