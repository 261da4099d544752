#include "world.hpp"

#include "os/clock.hpp"
#include "table/table.hpp"

#include <algorithm>
#include <limits>
#include <new>
#include <stdexcept>

namespace keyrack::simulation {

namespace {

namespace context = boost::context;

constexpr std::uint64_t kStepsMax = 400'000;    // far more than any run needs: one that goes on has no end
constexpr std::size_t kStackBytes = 128 * 1024;
constexpr std::uint64_t kTid = 0x3fff'ffff, kOwnerDied = 0x4000'0000, kWaiters = 0x8000'0000;

/// Stacks that outlive their fibers: one who dies is never unwound, its stack is just used again.
class Stacks {
 public:
  context::stack_context allocate() {
    if (free_.empty()) {
      all_.push_back(std::make_unique<std::byte[]>(kStackBytes));
      free_.push_back(all_.back().get());
    }
    context::stack_context stack;
    stack.size = kStackBytes;
    stack.sp = free_.back() + kStackBytes;
    free_.pop_back();
    return stack;
  }
  void deallocate(context::stack_context& stack) { free_.push_back(static_cast<std::byte*>(stack.sp) - kStackBytes); }

  static Stacks& instance() {
    static Stacks stacks;
    return stacks;
  }

 private:
  std::vector<std::unique_ptr<std::byte[]>> all_;
  std::vector<std::byte*> free_;
};

struct PooledStack {
  context::stack_context stack;
  context::stack_context allocate() { return stack; }
  void deallocate(context::stack_context&) {}
};

}    // namespace

struct World::Thread {
  std::size_t index;
  std::uint32_t process;
  context::stack_context stack;
  // Never destroyed: the destructor would unwind, and the dead run no destructors.
  alignas(context::fiber) std::byte fiber_bytes[sizeof(context::fiber)];
  context::fiber scheduler{};
  bool done = false, asleep = false, lingers = false;
  std::int64_t until_ns = 0;
  std::vector<const LowHalf*> sleeps_on{};

  context::fiber& fiber() { return *std::launder(reinterpret_cast<context::fiber*>(fiber_bytes)); }
};

World* World::current_ = nullptr;

World::World(std::size_t bytes, Strategy& strategy, std::int64_t now_ns)
    : strategy_(strategy),
      size_(bytes),
      pages_(new Page[(bytes + sizeof(Page) - 1) / sizeof(Page)]{}),
      memory_(memory(), bytes, *this),
      now_ns_(now_ns) {
  current_ = this;
}

World::~World() {
  for (auto& thread : threads_) Stacks::instance().deallocate(thread->stack);
  current_ = nullptr;
}

void World::start(std::uint32_t process, std::function<void()> body) {
  if (threads_.size() + 1 >= kThreads) throw std::logic_error("too many simulated threads");
  if (processes_.size() <= process) processes_.resize(process + 1);
  threads_.push_back(std::make_unique<Thread>(threads_.size() + 1, process, Stacks::instance().allocate()));
  Thread* thread = threads_.back().get();
  new (thread->fiber_bytes)
      context::fiber(std::allocator_arg, context::preallocated(thread->stack.sp, thread->stack.size, thread->stack),
                     PooledStack{thread->stack}, [this, thread, body = std::move(body)](context::fiber&& scheduler) {
                       thread->scheduler = std::move(scheduler);
                       try {
                         memory_.hear_all(thread->index);
                         body();
                       } catch (const table::Corruption& corruption) {
                         report(std::string("corrupt: ") + corruption.what);
                       } catch (const std::exception& error) {
                         report(std::string("exception: ") + error.what());
                       }
                       thread->done = true;
                       return std::move(thread->scheduler);
                     });
}

void World::act_as(std::uint32_t process, const std::function<void()>& act) {
  if (processes_.size() <= process) processes_.resize(process + 1);
  process_ = process;
  act();
  process_ = 0;
}

bool World::dead(std::uint32_t process) const { return process < processes_.size() && processes_[process].dead; }

std::vector<World::Thread*> World::ready() {
  std::vector<Thread*> threads;
  for (auto& thread : threads_) {
    const Process& process = processes_[thread->process];
    if (thread->asleep && thread->until_ns <= now_ns_) thread->asleep = false;
    if (!thread->done && !process.dead && !process.stopped && !thread->asleep && !thread->lingers)
      threads.push_back(thread.get());
  }
  return threads;
}

/// All threads that live sleep, linger, or have been stopped. False: there are none.
bool World::let_time_pass() {
  constexpr std::int64_t kNobody = std::numeric_limits<std::int64_t>::max();
  std::int64_t until = kNobody;
  bool anyone_lingers = false, anyone_goes_on = false;
  for (auto& thread : threads_) {
    const Process& process = processes_[thread->process];
    if (thread->done || process.dead || process.stopped) continue;
    if (thread->lingers) {
      anyone_lingers = true;
    } else {
      until = std::min(until, thread->until_ns);
    }
  }
  if (until != kNobody && all_sleep_) all_sleep_(until);
  if (anyone_lingers) {
    for (auto& thread : threads_) thread->lingers = false;
    return true;
  }
  if (until != kNobody) {
    now_ns_ = std::max(now_ns_, until);
    return true;
  }
  for (Process& process : processes_) {
    if (process.stopped && !process.dead) {    // the others are done: it may go on
      process.stopped = false;
      anyone_goes_on = true;
    }
  }
  return anyone_goes_on;
}

void World::linger() {
  running_->lingers = true;
  yield();
}

void World::run() {
  memory_.announce_all(0);
  Thread* last = nullptr;
  while (fault_.empty()) {
    std::vector<Thread*> threads = ready();
    if (threads.empty()) {
      if (!let_time_pass()) break;
      continue;
    }
    if (threads.size() > 1) std::erase(threads, last);    // it has just been asked
    const auto count = static_cast<std::uint32_t>(threads.size());
    running_ = last = threads[count > 1 ? strategy_.choose(Choice::successor, count) : 0];
    index_ = running_->index;
    process_ = running_->process;
    running_->fiber() = std::move(running_->fiber()).resume();
    running_ = nullptr;
    index_ = process_ = 0;
  }
  for (std::size_t i = 0; i < kThreads; ++i) memory_.announce_all(i);
  memory_.hear_all(0);
}

void World::yield() { running_->scheduler = std::move(running_->scheduler).resume(); }

void World::step() {
  if (running_ == nullptr) return;
  if (++steps_ > kStepsMax) {
    report("it does not come to an end");
    yield();    // for ever
  }
  now_ns_ += 40;
  Process& process = processes_[process_];
  if (strategy_.choose(Choice::death, 2) != 0) die();
  if (strategy_.choose(Choice::stop, 2) != 0) {
    process.stopped = true;
    ++stops_;
    return yield();
  }
  if (strategy_.choose(Choice::leap, 2) != 0) now_ns_ += 3'000'000;
  if (strategy_.choose(Choice::preempt, 2) != 0) yield();
}

void World::die() {
  Process& process = processes_[process_];
  process.dead = true;
  ++deaths_;
  if (dying_) dying_(process_);
  meet_siblings();
  mark_deaths(process);
  memory_.announce_all(index());
  yield();    // for ever
}

void World::meet_siblings() {
  for (auto& thread : threads_) {
    if (thread->process == process_) memory_.join(index(), thread->index);
  }
}

/// What the kernel does with a robust list.
void World::mark_deaths(Process& process) {
  for (Word* life : process.lives) {
    bool wakes = false;
    memory_.update(index(), life, std::memory_order_seq_cst, std::memory_order_seq_cst, [&](std::uint64_t& value) {
      wakes = (value & kWaiters) != 0;
      value = (value & ~kTid) | kOwnerDied;
      return true;
    });
    if (wakes) wake(reinterpret_cast<const LowHalf*>(life), 1);
  }
}

std::size_t World::how_stale(std::size_t oldest) {
  if (running_ == nullptr) return 0;
  return strategy_.choose(Choice::stale, static_cast<std::uint32_t>(oldest + 1));
}

std::uint64_t World::load(const void* word, std::memory_order order) {
  step();
  return running_ == nullptr ? memory_.newest(word) : memory_.load(index(), word, order);
}

void World::store(const void* word, std::uint64_t value, std::memory_order order) {
  step();
  memory_.store(index(), word, value, order);
}

bool World::update_pair(const WordPair& pair, std::array<std::uint64_t, 2> expected,
                        std::array<std::uint64_t, 2> desired) {
  step();
  return memory_.update_pair(index(), &pair.first, &pair.second, expected, desired);
}

bool World::inside(const void* word) const {
  const auto* at = static_cast<const std::byte*>(word);
  return at >= memory() && at < memory() + size_;
}

void World::sleep(const Wait* waits, std::size_t count, std::int64_t until_ns) {
  step();
  if (running_ == nullptr) throw std::logic_error("whoever sets up and audits does not sleep");
  running_->sleeps_on.clear();
  for (std::size_t i = 0; i < count; ++i) {
    if (!inside(waits[i].word)) continue;
    if (static_cast<std::uint32_t>(memory_.newest(waits[i].word)) != waits[i].expected) return;
    running_->sleeps_on.push_back(waits[i].word);
  }
  if (until_ns <= now_ns_ || strategy_.choose(Choice::early_wake, 2) != 0) return;
  running_->asleep = true;
  running_->until_ns = until_ns;
  yield();
}

void World::wake(const LowHalf* word, int count) {
  for (auto& thread : threads_) {
    if (count == 0) return;
    if (!thread->asleep || processes_[thread->process].dead) continue;
    if (std::find(thread->sleeps_on.begin(), thread->sleeps_on.end(), word) == thread->sleeps_on.end()) continue;
    thread->asleep = false;
    --count;
  }
}

bool World::take_life(Word& life, std::uint64_t expected, std::uint32_t generation) {
  step();
  const std::uint64_t mine = std::uint64_t{generation} << 32 | (100 + process());
  const bool taken =
      memory_.update(index(), &life, std::memory_order_acq_rel, std::memory_order_acquire, [&](std::uint64_t& value) {
        if (value != expected) return false;
        value = mine;
        return true;
      });
  if (taken) processes_[process()].lives.push_back(&life);
  return taken;
}

void World::give_back_life(Word& life, bool unfinished) {
  step();
  memory_.update(index(), &life, std::memory_order_acq_rel, std::memory_order_acquire, [&](std::uint64_t& value) {
    value = (value & 0xffff'ffff'0000'0000) | (unfinished ? kOwnerDied : 0);
    return true;
  });
  std::erase(processes_[process()].lives, &life);
  wake(reinterpret_cast<const LowHalf*>(&life), std::numeric_limits<int>::max());
}

std::uint64_t Word::load(std::memory_order order) const { return World::current().load(this, order); }

void Word::store(std::uint64_t value, std::memory_order order) { World::current().store(this, value, order); }

std::uint64_t Word::exchange(std::uint64_t desired, std::memory_order order) {
  std::uint64_t before = 0;
  World::current().update(this, order, [&](std::uint64_t& value) {
    before = value;
    value = desired;
    return true;
  });
  return before;
}

bool Word::compare_exchange_strong(std::uint64_t& expected, std::uint64_t desired, std::memory_order order) {
  return World::current().update(this, order, [&](std::uint64_t& value) {
    if (value != expected) {
      expected = value;
      return false;
    }
    value = desired;
    return true;
  });
}

std::uint64_t Word::fetch_add(std::uint64_t by, std::memory_order order) {
  std::uint64_t before = 0;
  World::current().update(this, order, [&](std::uint64_t& value) {
    before = value;
    value += by;
    return true;
  });
  return before;
}

std::uint64_t Word::fetch_and(std::uint64_t mask, std::memory_order order) {
  std::uint64_t before = 0;
  World::current().update(this, order, [&](std::uint64_t& value) {
    before = value;
    value &= mask;
    return true;
  });
  return before;
}

std::uint32_t LowHalf::load(std::memory_order order) const {
  return static_cast<std::uint32_t>(World::current().load(this, order));
}

std::uint32_t LowHalf::fetch_add(std::uint32_t by, std::memory_order order) {
  std::uint32_t before = 0;
  World::current().update(this, order, [&](std::uint64_t& value) {
    before = static_cast<std::uint32_t>(value);
    value = (value & 0xffff'ffff'0000'0000) | static_cast<std::uint32_t>(before + by);
    return true;
  });
  return before;
}

bool WordPair::compare_exchange(std::array<std::uint64_t, 2> expected, std::array<std::uint64_t, 2> desired) {
  return World::current().update_pair(*this, expected, desired);
}

}    // namespace keyrack::simulation

namespace keyrack::os {

std::int64_t monotonic_ns() { return simulation::World::current().now_ns(); }
std::int64_t monotonic_coarse_ns() { return monotonic_ns() - 1'000'000; }
std::int64_t wall_ns() { return monotonic_ns(); }

}    // namespace keyrack::os
