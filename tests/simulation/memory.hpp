// Shared memory as the C++ memory model has it, and no stronger: a load may answer an old value wherever no
// happens-before forbids it. One simulated thread runs at a time; what it may see is worked out with vector clocks.
//
// What the model says of an access:
//   * the stores to a word have one order, and a thread never goes back in it, nor behind what happened before;
//   * a read-modify-write reads the last store;
//   * release and acquire, by access or by fence, carry all that happened before across;
//   * seq_cst: a full barrier on either side of a read-modify-write, as every locked instruction of x86 is one; of a
//     fence, likewise; a seq_cst load sees all that was before any earlier full barrier;
//   * the 16-byte compare-and-swap is a seq_cst read-modify-write of both words.
// Left out: stores that the hardware makes before an earlier load has its value ("out of thin air" and its milder kin).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace keyrack::simulation {

constexpr std::size_t kThreads = 8;    // the first is the one that sets up and audits

/// For each thread, up to which of its events one has heard.
struct Clock {
  std::array<std::uint32_t, kThreads> events{};

  void join(const Clock& other) {
    for (std::size_t i = 0; i < kThreads; ++i) {
      if (other.events[i] > events[i]) events[i] = other.events[i];
    }
  }
};

/// Decides what the model leaves open: which of the values that may be read is read.
class Choices {
 public:
  virtual ~Choices() = default;
  /// How far back to read, 0: the newest, up to `oldest`.
  virtual std::size_t how_stale(std::size_t oldest) = 0;
};

class Memory {
 public:
  /// Words lie in [base, base + bytes), zero at first. `choices` outlives this.
  Memory(const std::byte* base, std::size_t bytes, Choices& choices);

  std::uint64_t load(std::size_t thread, const void* word, std::memory_order);
  void store(std::size_t thread, const void* word, std::uint64_t value, std::memory_order);
  /// A read-modify-write whose store is made only if `change` returns true; it may change the value it is given.
  template <class Change>
  bool update(std::size_t thread, const void* word, std::memory_order order, std::memory_order failure,
              Change&& change) {
    Location& location = at(word);
    std::uint64_t value = location.newest().value;
    if (order == std::memory_order_seq_cst) barrier(thread);
    if (!change(value)) {
      read(thread, location, location.newest(), failure);
      return false;
    }
    const Clock inherited = location.newest().released;    // a release sequence goes on through it
    read(thread, location, location.newest(), order);
    write(thread, location, value, order).released.join(inherited);
    if (order == std::memory_order_seq_cst) barrier(thread);
    return true;
  }
  bool update_pair(std::size_t thread, const void* first, const void* second, std::array<std::uint64_t, 2> expected,
                   std::array<std::uint64_t, 2> desired);
  void fence(std::size_t thread, std::memory_order);

  std::uint64_t newest(const void* word);

  /// What the thread sees from here on includes all that any thread has announced.
  void hear_all(std::size_t thread) { threads_[thread].now.join(announced_); }
  /// What one thread has heard and done, another knows.
  void join(std::size_t thread, std::size_t other) { threads_[thread].now.join(threads_[other].now); }
  void announce_all(std::size_t thread) { announced_.join(threads_[thread].now); }

 private:
  struct Store {
    std::uint64_t value = 0;
    Clock released{};                              // what an acquiring reader gets to know
    std::array<std::uint32_t, kThreads> seen{};    // when each thread first saw it: its event, 0: never
  };
  static constexpr std::size_t kHistory = 8;
  struct Location {
    std::array<Store, kHistory> stores{};    // a ring
    std::size_t count = 1;                   // of all stores ever, the initial zero included

    Store& back(std::size_t by) { return stores[(count - 1 - by) % kHistory]; }
    Store& newest() { return back(0); }
    const Store& newest() const { return stores[(count - 1) % kHistory]; }
    std::size_t kept() const { return count < kHistory ? count : kHistory; }
  };
  struct Thread {
    Clock now, acquirable, released;    // heard; heard with the next acquire fence; as of the last release fence
  };

  Location& at(const void* word);
  std::uint64_t read(std::size_t thread, Location&, Store&, std::memory_order);
  Store& write(std::size_t thread, Location&, std::uint64_t value, std::memory_order);
  void barrier(std::size_t thread);
  bool has_heard_of(std::size_t thread, const Store&) const;

  const std::byte* base_;
  Choices& choices_;
  std::vector<std::uint32_t> places_;    // of each word: its location's index + 1; 0: never touched
  std::deque<Location> locations_;
  std::array<Thread, kThreads> threads_{};
  Clock total_;    // of the single order of full barriers
  Clock announced_;
};

}    // namespace keyrack::simulation
