// What is counted, and where: for people, so relaxed, and never looked at by the protocols.
#pragma once

#include "os/clock.hpp"
#include "table/layout.hpp"

#include <bit>

namespace keyrack::table {

/// In words that others count in, too.
inline void count(SessionCounts& counts, Counter counter) {
  const auto which = static_cast<unsigned>(counter);
  CountWord& word =
      which < kThreadCounters ? counts.threads[kThreadCounts - 1].counters[which] : counts.counters[which];
  word.fetch_add(1, std::memory_order_relaxed);
}

inline std::uint64_t total(const SessionCounts& counts, unsigned counter) {
  std::uint64_t sum = counts.counters[counter].load(std::memory_order_relaxed);
  if (counter >= kThreadCounters) return sum;
  for (const ThreadCounts& thread : counts.threads) sum += thread.counters[counter].load(std::memory_order_relaxed);
  return sum;
}

inline void count_time(TimesHistogram& histogram, std::int64_t ns) {
  const std::uint64_t us = ns > 0 ? static_cast<std::uint64_t>(ns) / 1000 : 0;
  const auto place = std::min<unsigned>(static_cast<unsigned>(std::bit_width(us)), kTimes - 1);
  histogram.times[place].fetch_add(1, std::memory_order_relaxed);
  histogram.sum_us.fetch_add(us, std::memory_order_relaxed);
}

/// A thread's way to count. It has words to itself as long as there are any left in its session; so what the commonest
/// calls count takes no exchange.
class Tally {
 public:
  Tally() : Tally(nowhere_, nowhere_.threads[0]) {}
  /// `own` is nobody else's, unless it is the last of `session`.
  Tally(SessionCounts& session, ThreadCounts& own)
      : session_(&session), own_(&own), shared_(&own == &session.threads[kThreadCounts - 1]) {}

  const ThreadCounts& own() const { return *own_; }

  void count(Counter counter) {
    CountWord& word = own_->counters[static_cast<unsigned>(counter)];
    if (shared_) [[unlikely]] {
      word.fetch_add(1, std::memory_order_relaxed);
    } else {
      word.store(word.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
  }

  /// A grant. One of 64 is watched until this thread gives it back.
  void count_grant(const Record* record, std::uint64_t token) {
    count(Counter::grants);
    if (--until_watched_ == 0) [[unlikely]]
      watch(record, token);
  }
  /// Of any release; it may have been somebody else's grant.
  void count_release(const Record* record, std::uint64_t token) {
    if (record == watched_) [[unlikely]]
      count_held(token);
  }

 private:
  /// The next one at random: a program may take its locks in turns.
  [[gnu::noinline]] void watch(const Record* record, std::uint64_t token) {
    dice_ = dice_ * 6364136223846793005 + 1442695040888963407;    // Knuth, MMIX
    until_watched_ = 1 + static_cast<std::uint32_t>(dice_ >> 57);
    watched_ = record;
    watched_token_ = token;
    since_ns_ = os::monotonic_ns();
  }
  [[gnu::noinline]] void count_held(std::uint64_t token) {
    if (token == watched_token_) count_time(session_->holding, os::monotonic_ns() - since_ns_);
    watched_ = nullptr;
  }

  static inline SessionCounts nowhere_{};    // of who belongs to no session

  SessionCounts* session_;
  ThreadCounts* own_;
  bool shared_;
  std::uint32_t until_watched_ = 1;
  std::uint64_t dice_ = 0;
  const Record* watched_ = nullptr;
  std::uint64_t watched_token_ = 0;
  std::int64_t since_ns_ = 0;
};

}    // namespace keyrack::table
