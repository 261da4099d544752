#include "table/waiting.hpp"

#include "os/futex.hpp"
#include "os/probe.hpp"

#include <algorithm>
#include <climits>
#include <limits>
#include <vector>

namespace keyrack::table {

namespace {

bool older(const WaiterSight& a, const WaiterSight& b) {
  return a.since_ns != b.since_ns ? a.since_ns < b.since_ns : a.index < b.index;
}

template <class Visit>
void for_each_waiter(const Table& table, Visit&& visit) {
  for (std::uint32_t index = 0, end = table.waiters_used(); index < end; ++index) {
    if (const auto sight = see_waiter(table, index)) visit(*sight);
  }
}

void wake(const Table& table, std::uint32_t index) {
  KEYRACK_PROBE(wake, table.waiter(index).record.load(std::memory_order_relaxed));
  os::FutexWord& word = os::low_half(table.waiter(index).wake);
  word.fetch_add(1);
  os::futex_wake(word, 1);    // killed before this: the slice ends the sleep
}

/// Whom a grant belongs to, as far as waiting goes.
struct Identity {
  std::string signee;
  SessionId session;
  bool process_bound = false;
};

struct Node {
  WaiterSight sight;
  Identity who;
  Hit wants;                         // its record as it was seen
  std::optional<Identity> holder;    // empty: nobody, it can go on
};

/// To be believed only if the cell is the same later.
Node look_at(const Table& table, const WaiterSight& sight) {
  const Hit wants = read_record(table, sight.record);
  const Descriptor self = describe(table, sight.claimant);
  Node node;
  node.sight = sight;
  node.wants = wants;
  node.who = {self.signee(), sight.state.session(), self.terms.rank.process_bound()};
  if (wants.owner.is_claimant()) {
    const Descriptor seen = describe(table, wants.owner.claimant_index());
    node.holder = Identity{seen.signee(), seen.session(), seen.terms.rank.process_bound()};
  }
  return node;
}

bool is_held_by(const Node& node, const Identity& who) {
  return node.holder && node.holder->signee == who.signee &&
         (!node.holder->process_bound || node.holder->session == who.session);
}

}    // namespace

std::optional<WaiterSight> see_waiter(const Table& table, std::uint32_t index) {
  const Waiter& waiter = table.waiter(index);
  const WaiterState state{waiter.state.load(std::memory_order_acquire)};    // [W2] pairs with [W1]
  if (!state.ready()) return {};
  const WaiterSight sight{index, state, static_cast<RecordIndex>(waiter.record.load(std::memory_order_relaxed)),
                          static_cast<ClaimantIndex>(waiter.claimant.load(std::memory_order_relaxed)),
                          // whatever the bytes are, not negative: times are subtracted
                          static_cast<std::int64_t>(waiter.since_ns.load(std::memory_order_relaxed) &
                                                    std::numeric_limits<std::int64_t>::max())};
  os::fence(std::memory_order_acquire);
  const WaiterState again{waiter.state.load(std::memory_order_relaxed)};
  if (again.passed_over() != state.passed_over() || !alive(table, state.session())) return {};
  return sight;
}

void wake_first_waiter(const Table& table, RecordIndex record) {
  std::optional<WaiterSight> first;
  for_each_waiter(table, [&](const WaiterSight& sight) {
    if (sight.record != record) return;
    const bool better =
        !first || (first->state.passed() != sight.state.passed() ? first->state.passed() : older(sight, *first));
    if (better) first = sight;
  });
  if (first) wake(table, first->index);
}

void wake_all_waiters(const Table& table, RecordIndex record) {
  for_each_waiter(table, [&](const WaiterSight& sight) {
    if (sight.record == record) wake(table, sight.index);
  });
}

WaiterPlace::WaiterPlace(Session& session, ClaimantIndex claimant, std::int64_t now_ns)
    : session_(session), since_ns_(now_ns) {
  const Table& table = session.table;
  for (std::uint32_t index = 0; index < table.layout().waiters; ++index) {
    Waiter& waiter = table.waiter(index);
    WaiterState state{waiter.state.load(std::memory_order_relaxed)};
    if (state.used() && alive(table, state.session())) continue;
    const WaiterState mine = state.taken(session.id);
    if (!waiter.state.compare_exchange_strong(state.bits, mine.bits)) continue;
    // Killed from here on: a dead session's place; nobody waits for it, and it is taken again.
    raise(table.header().waiters_high_water, index + 1);
    waiter.claimant.store(claimant, std::memory_order_relaxed);
    waiter.since_ns.store(static_cast<std::uint64_t>(now_ns), std::memory_order_relaxed);
    slot_ = &waiter;
    index_ = index;
    state_ = mine;
    return;
  }
}

WaiterPlace::~WaiterPlace() {
  if (slot_ != nullptr) slot_->state.store(state_.freed().bits);
}

void WaiterPlace::aim(RecordIndex record) {
  if (slot_ == nullptr) return;
  slot_->record.store(record, std::memory_order_relaxed);
  state_ = state_.made_ready();
  slot_->state.exchange(state_.bits);    // [W1] a full barrier: visible before the cell is read
}

WaiterPlace::Line WaiterPlace::line(std::int64_t now_ns) const {
  Line line;
  const RecordIndex record =
      slot_ == nullptr ? 0 : static_cast<RecordIndex>(slot_->record.load(std::memory_order_relaxed));
  if (slot_ == nullptr) return {.older = false, .others = true, .urgent = false};
  const WaiterSight self{index_, state_, record, 0, since_ns_};
  for_each_waiter(session_.table, [&](const WaiterSight& sight) {
    if (sight.record != record || sight.index == index_) return;
    line.others = true;
    if (now_ns - sight.since_ns >= kUrgentAfter) line.urgent = true;
    if (!sight.state.passed() && older(sight, self)) line.older = true;
  });
  return line;
}

void WaiterPlace::pass_over_the_older() const {
  if (slot_ == nullptr) return;
  const auto record = static_cast<RecordIndex>(slot_->record.load(std::memory_order_relaxed));
  const WaiterSight self{index_, state_, record, 0, since_ns_};
  for_each_waiter(session_.table, [&](const WaiterSight& sight) {
    if (sight.record != record || sight.index == index_ || !older(sight, self)) return;
    std::uint64_t expected = sight.state.bits;
    session_.table.waiter(sight.index).state.compare_exchange_strong(expected, sight.state.passed_over().bits);
  });
}

std::uint32_t WaiterPlace::wake_count() const {
  return slot_ == nullptr ? 0 : os::low_half(slot_->wake).load(std::memory_order_relaxed);
}

void WaiterPlace::sleep(std::uint32_t wake_count, std::int64_t until_ns, std::int64_t now_ns,
                        std::optional<SessionId> holder) const {
  static os::FutexWord nobody_wakes{0};
  os::Sleep mine{slot_ == nullptr ? &nobody_wakes : &os::low_half(slot_->wake), wake_count};
  until_ns = std::min(until_ns, now_ns + (slot_ == nullptr ? kBlindSlice : kSlice));
  if (!holder) {
    os::futex_sleep(mine, nullptr, until_ns, kBlindSlice);
    return;
  }
  Word& life_word = session_.table.life(holder->slot).word;
  Life life{life_word.load(std::memory_order_relaxed)};
  if (!life.has_waiters() && life.alive() && life.generation() == holder->generation) {
    // If it fails another waiter has marked it, or it has died: the futex call sees which, and sleeps or does not.
    const Life marked = life.with_waiters();
    life_word.compare_exchange_strong(life.bits, marked.bits);
    life = marked;
  }
  if (!life.alive() || life.generation() != holder->generation) return;
  const os::Sleep death{&os::low_half(life_word), life.futex()};
  os::futex_sleep(mine, &death, until_ns, kBlindSlice);
  // The kernel wakes one waiter at a death. The others may wait for other locks of the dead: pass the word on.
  if (!alive(session_.table, *holder)) os::futex_wake(os::low_half(life_word), INT_MAX);
}

bool WaiterPlace::closes_a_cycle() const {
  if (slot_ == nullptr) return false;
  const Table& table = session_.table;
  std::vector<Node> nodes;
  for_each_waiter(table, [&](const WaiterSight& sight) { nodes.push_back(look_at(table, sight)); });
  const auto self =
      std::find_if(nodes.begin(), nodes.end(), [&](const Node& node) { return node.sight.index == index_; });
  if (self == nodes.end()) return false;

  // Breadth first from us along "is held by"; `came_from` gives the way back.
  const auto self_at = static_cast<std::size_t>(self - nodes.begin());
  std::vector<std::size_t> came_from(nodes.size(), nodes.size()), queue{self_at};
  std::optional<std::size_t> last;
  for (std::size_t next = 0; next < queue.size() && !last; ++next) {
    const Node& node = nodes[queue[next]];
    if (is_held_by(node, nodes[self_at].who)) {
      last = queue[next];
      break;
    }
    for (std::size_t other = 0; other < nodes.size(); ++other) {
      if (other == self_at || came_from[other] != nodes.size() || !is_held_by(node, nodes[other].who)) continue;
      came_from[other] = queue[next];
      queue.push_back(other);
    }
  }
  if (!last) return false;

  std::vector<std::size_t> cycle{*last};
  while (cycle.back() != self_at) cycle.push_back(came_from[cycle.back()]);
  // Seen one after the other; true together only if nothing of it has changed since.
  for (std::size_t at : cycle) {
    const Node& node = nodes[at];
    const auto again = see_waiter(table, node.sight.index);
    if (!again || again->state.made_ready() != node.sight.state.made_ready() || again->record != node.sight.record ||
        read_record(table, node.sight.record).owner != node.wants.owner ||
        read_record(table, node.sight.record).head.token() != node.wants.head.token()) {
      return false;
    }
  }
  const std::size_t youngest = *std::max_element(
      cycle.begin(), cycle.end(), [&](std::size_t a, std::size_t b) { return older(nodes[a].sight, nodes[b].sight); });
  if (youngest == self_at) return true;
  wake(table, nodes[youngest].sight.index);
  return false;
}

}    // namespace keyrack::table
