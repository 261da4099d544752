// A host in one thread: processes, their threads as fibers, a kernel that knows sleeping, waking and dying, a clock,
// and a memory (memory.hpp). Every access to a shared word is a step; between two steps anything may happen that a
// strategy chooses: another thread runs, the process dies or is stopped, time passes, a load reads an old value.
#pragma once

#include "memory.hpp"

#include <boost/context/fiber.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace keyrack::simulation {

/// What is chosen. 0 is what happens on a quiet day: go on, read the newest, live, do not stop, no time passes.
enum class Choice { preempt, successor, stale, death, stop, early_wake, leap };
constexpr std::size_t kChoices = 7;

class Strategy {
 public:
  virtual ~Strategy() = default;
  /// 0 to options - 1.
  virtual std::uint32_t choose(Choice, std::uint32_t options) = 0;
};

/// Eight bytes of simulated memory: their address is their name, their values are the world's.
class Word {
 public:
  std::uint64_t load(std::memory_order order = std::memory_order_seq_cst) const;
  void store(std::uint64_t value, std::memory_order order = std::memory_order_seq_cst);
  std::uint64_t exchange(std::uint64_t value, std::memory_order order = std::memory_order_seq_cst);
  bool compare_exchange_strong(std::uint64_t& expected, std::uint64_t desired,
                               std::memory_order order = std::memory_order_seq_cst);
  bool compare_exchange_weak(std::uint64_t& expected, std::uint64_t desired,
                             std::memory_order order = std::memory_order_seq_cst) {
    return compare_exchange_strong(expected, desired, order);
  }
  std::uint64_t fetch_add(std::uint64_t value, std::memory_order order = std::memory_order_seq_cst);
  std::uint64_t fetch_and(std::uint64_t value, std::memory_order order = std::memory_order_seq_cst);

 private:
  std::uint64_t name_;
};

/// The futex in a word's low half.
class LowHalf {
 public:
  explicit constexpr LowHalf(std::uint32_t value) : name_(value) {}
  std::uint32_t load(std::memory_order order) const;
  std::uint32_t fetch_add(std::uint32_t value, std::memory_order order = std::memory_order_seq_cst);

 private:
  std::uint32_t name_;
};

struct alignas(16) WordPair {
  bool compare_exchange(std::array<std::uint64_t, 2> expected, std::array<std::uint64_t, 2> desired);
  Word first, second;
};

struct Wait {
  const LowHalf* word;
  std::uint32_t expected;
};

class World : Choices {
 public:
  /// `bytes` of shared memory, zero. The clock begins at `now_ns`.
  World(std::size_t bytes, Strategy&, std::int64_t now_ns);
  ~World() override;
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  /// The only one there is.
  static World& current() { return *current_; }

  std::byte* memory() const { return pages_[0].bytes; }

  /// A thread of a process; it runs in run(). At most kThreads - 1 threads. Processes count from 1.
  void start(std::uint32_t process, std::function<void()> body);

  /// Does something as a process, before or after run(), uninterrupted.
  void act_as(std::uint32_t process, const std::function<void()>& act);

  /// Until all threads have ended or died. Whoever sets up and audits before and after is thread 0, never interrupted.
  void run();

  /// Lets all others run until none of them can go on without the clock.
  void linger();

  /// The process that runs is killed, here.
  void die();

  /// What went wrong, in words; the first thing counts. Empty: nothing.
  const std::string& fault() const { return fault_; }
  void report(const std::string& fault) {
    if (fault_.empty()) fault_ = fault;
  }

  /// Called when all sleep and nobody can wake them but the clock, with the time at which the first will wake.
  void when_all_sleep(std::function<void(std::int64_t until_ns)> look) { all_sleep_ = std::move(look); }

  std::int64_t now_ns() const { return now_ns_; }
  /// The next one, at which nothing else happens.
  std::int64_t instant() { return ++now_ns_; }
  std::uint64_t newest(const Word& word) { return memory_.newest(&word); }
  void let_pass(std::int64_t ns) {
    now_ns_ += ns;
    step();
  }
  std::uint64_t steps() const { return steps_; }
  std::uint32_t process() const { return process_; }
  bool dead(std::uint32_t process) const;
  /// Told when a process dies, before anybody else can know.
  void when_dying(std::function<void(std::uint32_t process)> tell) { dying_ = std::move(tell); }
  bool anyone_died() const { return deaths_ != 0; }
  bool anyone_stopped() const { return stops_ != 0; }

  /// Calls that do not overlap know of each other, as when the callers talk.
  void call_begins() { memory_.hear_all(index()); }
  void call_ends() { memory_.announce_all(index()); }

  /// What the other threads of the process did before is known to the one that runs, as after joining them.
  void meet_siblings();

  // The kernel and the processor, for the words and for what stands in for os/.
  std::uint64_t load(const void* word, std::memory_order);
  void store(const void* word, std::uint64_t value, std::memory_order);
  template <class Change>
  bool update(const void* word, std::memory_order order, Change&& change) {
    step();
    return memory_.update(index(), word, order, order == std::memory_order_release ? std::memory_order_relaxed : order,
                          std::forward<Change>(change));
  }
  bool update_pair(const WordPair&, std::array<std::uint64_t, 2> expected, std::array<std::uint64_t, 2> desired);
  void fence(std::memory_order order) { memory_.fence(index(), order); }
  void pause() { step(); }
  void sleep(const Wait* waits, std::size_t count, std::int64_t until_ns);
  void wake(const LowHalf* word, int count);
  bool take_life(Word& life, std::uint64_t expected, std::uint32_t generation);
  void give_back_life(Word& life, bool unfinished);

 private:
  struct Thread;
  struct alignas(4096) Page {
    std::byte bytes[4096];
  };
  struct Process {
    bool dead = false, stopped = false;
    std::vector<Word*> lives;
  };

  std::size_t how_stale(std::size_t oldest) override;
  std::size_t index() const { return index_; }
  void step();
  void yield();
  void mark_deaths(Process&);
  bool inside(const void* word) const;
  std::vector<Thread*> ready();
  bool let_time_pass();

  static World* current_;

  Strategy& strategy_;
  std::size_t size_;
  std::unique_ptr<Page[]> pages_;
  Memory memory_;
  std::int64_t now_ns_;
  std::uint64_t steps_ = 0;
  unsigned deaths_ = 0, stops_ = 0;
  std::vector<Process> processes_;
  std::vector<std::unique_ptr<Thread>> threads_;
  Thread* running_ = nullptr;    // null: outside of run()
  std::size_t index_ = 0;
  std::uint32_t process_ = 0;
  std::string fault_;
  std::function<void(std::int64_t)> all_sleep_;
  std::function<void(std::uint32_t)> dying_;
};

}    // namespace keyrack::simulation
