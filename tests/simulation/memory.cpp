#include "memory.hpp"

namespace keyrack::simulation {

namespace {

bool acquires(std::memory_order order) {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst || order == std::memory_order_consume;
}
bool releases(std::memory_order order) {
  return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}

}    // namespace

Memory::Memory(const std::byte* base, std::size_t bytes, Choices& choices)
    : base_(base), choices_(choices), places_(bytes / 8) {}

Memory::Location& Memory::at(const void* word) {
  const std::ptrdiff_t offset = static_cast<const std::byte*>(word) - base_;
  std::uint32_t& place = places_.at(static_cast<std::size_t>(offset) / 8);
  if (place == 0) {
    locations_.emplace_back();
    place = static_cast<std::uint32_t>(locations_.size());
  }
  return locations_[place - 1];
}

std::uint64_t Memory::newest(const void* word) { return at(word).newest().value; }

bool Memory::has_heard_of(std::size_t thread, const Store& store) const {
  const Clock& now = threads_[thread].now;
  for (std::size_t other = 0; other < kThreads; ++other) {
    if (store.seen[other] != 0 && store.seen[other] <= now.events[other]) return true;
  }
  return false;
}

std::uint64_t Memory::read(std::size_t thread, Location&, Store& store, std::memory_order order) {
  Thread& self = threads_[thread];
  const std::uint32_t event = ++self.now.events[thread];
  if (store.seen[thread] == 0) store.seen[thread] = event;
  self.acquirable.join(store.released);
  if (acquires(order)) self.now.join(store.released);
  return store.value;
}

Memory::Store& Memory::write(std::size_t thread, Location& location, std::uint64_t value, std::memory_order order) {
  Thread& self = threads_[thread];
  const std::uint32_t event = ++self.now.events[thread];
  ++location.count;
  Store& store = location.newest();
  store.value = value;
  store.seen.fill(0);
  store.seen[thread] = event;
  store.released = releases(order) ? self.now : self.released;
  return store;
}

void Memory::barrier(std::size_t thread) {
  Thread& self = threads_[thread];
  self.now.join(self.acquirable);
  self.now.join(total_);
  total_ = self.now;
  self.released = self.now;
}

std::uint64_t Memory::load(std::size_t thread, const void* word, std::memory_order order) {
  Location& location = at(word);
  if (order == std::memory_order_seq_cst) threads_[thread].now.join(total_);
  std::size_t oldest = 0;
  while (oldest + 1 < location.kept() && !has_heard_of(thread, location.back(oldest))) ++oldest;
  const std::size_t stale = oldest == 0 ? 0 : choices_.how_stale(oldest);
  return read(thread, location, location.back(stale), order);
}

void Memory::store(std::size_t thread, const void* word, std::uint64_t value, std::memory_order order) {
  if (order == std::memory_order_seq_cst) barrier(thread);
  write(thread, at(word), value, order);
  if (order == std::memory_order_seq_cst) barrier(thread);
}

bool Memory::update_pair(std::size_t thread, const void* first, const void* second,
                         std::array<std::uint64_t, 2> expected, std::array<std::uint64_t, 2> desired) {
  Location& one = at(first);
  Location& two = at(second);
  barrier(thread);
  const Clock inherited_one = one.newest().released, inherited_two = two.newest().released;
  const bool same = one.newest().value == expected[0] && two.newest().value == expected[1];
  read(thread, one, one.newest(), std::memory_order_acq_rel);
  read(thread, two, two.newest(), std::memory_order_acq_rel);
  if (same) {
    Store& first_store = write(thread, one, desired[0], std::memory_order_acq_rel);
    Store& second_store = write(thread, two, desired[1], std::memory_order_acq_rel);
    // One step: who hears of one of the two stores hears of both.
    first_store.released = second_store.released;
    first_store.released.join(inherited_one);
    second_store.released.join(inherited_two);
  }
  barrier(thread);
  return same;
}

void Memory::fence(std::size_t thread, std::memory_order order) {
  Thread& self = threads_[thread];
  if (order == std::memory_order_seq_cst) return barrier(thread);
  if (acquires(order)) self.now.join(self.acquirable);
  if (releases(order)) self.released = self.now;
}

}    // namespace keyrack::simulation
