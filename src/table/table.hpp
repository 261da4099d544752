// A mapped segment as typed arrays, and this process's place in it. Indexes that come out of shared memory are checked
// here, every time: the bytes of a segment are input.
#pragma once

#include "os/clock.hpp"
#include "table/counts.hpp"
#include "table/layout.hpp"

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

namespace keyrack::table {

/// The bytes make no sense. Thrown by whoever finds it, and turned into Errc::corrupt_segment where calls end.
struct Corruption {
  const char* what;
};

[[noreturn]] inline void corrupt(const char* what) { throw Corruption{what}; }

/// Raises a word to at least `value`.
inline void raise(Word& word, std::uint64_t value) {
  std::uint64_t seen = word.load(std::memory_order_relaxed);
  while (seen < value && !word.compare_exchange_weak(seen, value)) {
  }
}

/// A number of a text's bytes.
template <class T>
T load_as(const char* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}
/// The up to eight bytes from `at` on, zero padded. Whole loads where there is room, which may overlap: a word that is
/// put together from bytes in memory stalls the load that follows.
inline std::uint64_t word_at(std::string_view bytes, std::size_t at) {
  const char* const end = bytes.data() + bytes.size();
  const std::size_t left = bytes.size() - at;
  if (left >= 8) return load_as<std::uint64_t>(bytes.data() + at);
  if (bytes.size() >= 8) return load_as<std::uint64_t>(end - 8) >> 8 * (8 - left);
  if (left >= 4) {
    return load_as<std::uint32_t>(end - left) | std::uint64_t{load_as<std::uint32_t>(end - 4)} << 8 * (left - 4);
  }
  if (left == 0) return 0;
  const auto byte = [&](std::size_t i) { return std::uint64_t{load_as<std::uint8_t>(end - left + i)} << 8 * i; };
  return byte(0) | byte(left / 2) | byte(left - 1);
}
/// Bytes as relaxed words: they are read while others may write them, and believed only after a cell says so.
inline bool words_equal(const Word* words, std::string_view bytes) {
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    if (words[at / 8].load(std::memory_order_relaxed) != load_as<std::uint64_t>(bytes.data() + at)) return false;
  }
  return at == bytes.size() || words[at / 8].load(std::memory_order_relaxed) == word_at(bytes, at);
}
void write_words(Word* words, std::string_view bytes);
void read_words(const Word* words, std::size_t bytes, std::string& text);
std::string read_words(const Word* words, std::size_t bytes);

class Table {
 public:
  Table(std::byte* base, const Layout& layout)
      : base_(base),
        layout_(layout),
        buckets_(reinterpret_cast<Bucket*>(base + layout.buckets_at)),
        records_(base + layout.records_at),
        claimants_(base + layout.claimants_at),
        epoch_ns_(header().epoch_ns) {}

  const Layout& layout() const { return layout_; }
  const Geometry& geometry() const { return layout_.geometry; }

  Header& header() const { return *reinterpret_cast<Header*>(base_); }
  Bucket& bucket(std::uint64_t hash) const { return buckets_[hash & (layout_.buckets - 1)]; }
  Record& record(RecordIndex index) const {
    if (index >= layout_.geometry.slots) corrupt("a record's index is out of range");
    return *reinterpret_cast<Record*>(records_ + layout_.record_stride * index);
  }
  NamePart& name_part(Record& record) const {
    return *reinterpret_cast<NamePart*>(reinterpret_cast<std::byte*>(&record) + layout_.name_offset);
  }
  Claimant& claimant(ClaimantIndex index) const {
    if (index >= layout_.claimants) corrupt("a claimant's index is out of range");
    return *reinterpret_cast<Claimant*>(claimants_ + layout_.claimant_stride * index);
  }
  LifeEntry& life(std::uint32_t slot) const {
    if (slot >= layout_.geometry.sessions) corrupt("a session's index is out of range");
    return at<LifeEntry>(layout_.lives_at, sizeof(LifeEntry), slot);
  }
  SessionInfo& info(std::uint32_t slot) const {
    if (slot >= layout_.geometry.sessions) corrupt("a session's index is out of range");
    return at<SessionInfo>(layout_.infos_at, sizeof(SessionInfo), slot);
  }
  SessionCounts& counts(std::uint32_t slot) const {
    if (slot >= layout_.geometry.sessions) corrupt("a session's index is out of range");
    return at<SessionCounts>(layout_.counts_at, sizeof(SessionCounts), slot);
  }
  Waiter& waiter(std::uint32_t index) const {
    if (index >= layout_.waiters) corrupt("a waiter's index is out of range");
    return at<Waiter>(layout_.waiters_at, sizeof(Waiter), index);
  }

  /// Arrays are walked up to these; what was never used is not touched.
  std::uint32_t records_used() const { return bounded(header().records_high_water, geometry().slots); }
  std::uint32_t sessions_used() const { return bounded(header().sessions_high_water, geometry().sessions); }
  std::uint32_t waiters_used() const { return bounded(header().waiters_high_water, layout_.waiters); }
  std::uint32_t names_epoch() const {
    return static_cast<std::uint32_t>(header().names_epoch.load(std::memory_order_relaxed));
  }

  /// Monotonic time as ticks, which are never negative and never kNever.
  Tick tick(std::int64_t monotonic_ns) const { return clamp((monotonic_ns - epoch_ns_) >> kTickShift); }
  Tick tick_after(std::int64_t monotonic_ns) const {
    return clamp((monotonic_ns - epoch_ns_ + (1 << kTickShift) - 1) >> kTickShift);
  }
  /// The same for people: what does not fit is wrong, and does no harm.
  Tick rough_tick(std::int64_t monotonic_ns) const { return static_cast<Tick>(monotonic_ns - epoch_ns_) >> kTickShift; }
  std::int64_t tick_ns(Tick tick) const {    // monotonic
    return static_cast<std::int64_t>(tick << kTickShift) + epoch_ns_;
  }

 private:
  template <class T>
  T& at(std::size_t array, std::size_t stride, std::size_t index) const {
    return *reinterpret_cast<T*>(base_ + array + stride * index);
  }
  static std::uint32_t bounded(const Word& word, std::uint32_t limit) {
    const std::uint64_t value = word.load(std::memory_order_relaxed);
    return value < limit ? static_cast<std::uint32_t>(value) : limit;
  }
  static Tick clamp(std::int64_t ticks) {
    if (ticks < 0) return 0;
    return static_cast<Tick>(ticks) < kNever ? static_cast<Tick>(ticks) : kNever - 1;
  }

  std::byte* base_;
  Layout layout_;
  Bucket* buckets_;    // the three that every call goes through
  std::byte* records_;
  std::byte* claimants_;
  std::int64_t epoch_ns_;    // a copy: it is sound, and stays so
};

/// This process's place in a table: everything that its threads do there, they do as this session.
struct Session {
  Table table;
  SessionId id;
  std::atomic<std::uint32_t> record_cursor{0};    // where to look for room next
  std::atomic<std::uint32_t> claimant_cursor{0};
  std::atomic<bool> binds{false};            // has had claimants that are bound to it
  std::atomic<std::uint32_t> counting{0};    // a bit for each of its ThreadCounts that a thread has

  explicit Session(const Table& t) : table(t) {}

  ThreadCounts& shared_thread_counts() const { return table.counts(id.slot).threads[kThreadCounts - 1]; }
  /// To count in, for one more thread, until given back; if all are taken, those that are shared.
  ThreadCounts& take_thread_counts() {
    ThreadCounts* const all = table.counts(id.slot).threads;
    for (unsigned i = 0; i + 1 < kThreadCounts; ++i) {
      if ((counting.fetch_or(1u << i) & 1u << i) == 0) return all[i];
    }
    return shared_thread_counts();
  }
  void give_back(const ThreadCounts& counts) {
    const auto i = static_cast<unsigned>(&counts - table.counts(id.slot).threads);
    if (i + 1 < kThreadCounts) counting.fetch_and(~(1u << i));
  }

  void count(Counter counter) const { table::count(table.counts(id.slot), counter); }
};

}    // namespace keyrack::table
