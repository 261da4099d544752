// What the recorded processes write down, in memory that they share with the checker, so that it outlives them.
#pragma once

#include "reference/sequential_model.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace keyrack::history {

inline constexpr std::size_t kProcessesMax = 8, kThreadsMax = 4;    // threads: of a process
inline constexpr std::size_t kKeys = 64, kFamilies = 3;
inline constexpr std::size_t kAgingFamily = 2;    // its names are free again when they are not kept alive
inline constexpr std::size_t kLocksMax = 4096, kNamesMax = 1024;    // calls of a thread in one window

enum class Outcome : std::uint8_t {
  none,    // so far; for ever, if its process was killed
  answered,
  unavailable,    // it returned, but whether it takes effect, and when, is not known
};

template <class Call, class Answer>
struct Record {
  reference::Interval when;
  std::uint32_t key;    // or family
  Call call;
  Answer answer;
  std::atomic<Outcome> outcome;
};
using LockRecord = Record<reference::LockCall, reference::LockAnswer>;
using NameRecord = Record<reference::NamesCall, reference::NamesAnswer>;

template <class One, std::size_t size>
struct Log {
  std::atomic<std::uint32_t> count;    // of the records that were begun
  std::array<One, size> records;

  bool full() const { return count == size; }
  One& begin(std::uint32_t key, const decltype(One::call)& call) {
    One& record = records[count];
    record.outcome.store(Outcome::none, std::memory_order_relaxed);
    record.key = key;
    record.call = call;
    return record;
  }
};

/// One thread's share of a window.
struct Page {
  Log<LockRecord, kLocksMax> locks;
  Log<NameRecord, kNamesMax> names;
};

struct Death {
  reference::Process process;    // 0: it lives
  reference::Interval when;      // from the signal to the news that it is gone
};

/// A window is recorded on one page while the one before it is checked on the other.
struct Board {
  std::atomic<std::uint32_t> window;    // the one that is recorded, from 1 on
  std::atomic<bool> stop;
  std::array<std::array<std::atomic<std::uint32_t>, kThreadsMax>, kProcessesMax> finished;    // with that window
  std::array<std::array<std::array<Page, kThreadsMax>, kProcessesMax>, 2> pages;
  std::array<std::array<Death, kProcessesMax>, 2> deaths;
  std::array<reference::Instant, 2> over;    // when all had finished
};

}    // namespace keyrack::history
