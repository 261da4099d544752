#include "os/keeper.hpp"

#include "os/clock.hpp"
#include "os/futex.hpp"
#include "os/process.hpp"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <limits>
#include <system_error>

namespace keyrack::os {

namespace {
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

robust_list* node_of(LifeEntry& life) { return reinterpret_cast<robust_list*>(&life.node); }

/// The kernel reads the list after this thread may have died between any two stores: keep them in order.
void compiler_fence() { std::atomic_signal_fence(std::memory_order_seq_cst); }
}    // namespace

static_assert(sizeof(robust_list) == sizeof(Word));

Keeper::Keeper() : process_(&fork_cleared_pointer()) {
  robust_.list.next = &robust_.list;
  robust_.futex_offset = static_cast<long>(offsetof(LifeEntry, word)) - static_cast<long>(offsetof(LifeEntry, node));
}

Keeper& Keeper::of_this_process() {
  std::atomic<void*>& process = fork_cleared_pointer();
  void* keeper = process.load();
  if (keeper == nullptr) {
    // After a fork the parent's keeper is left alone: its mutexes may be locked by threads that are not here.
    static std::atomic<Keeper*> latest{nullptr};    // so that leak checkers can follow them all
    auto* fresh = new Keeper;
    if (process.compare_exchange_strong(keeper, fresh)) {
      fresh->inherited_ = latest.exchange(fresh);
      return *fresh;
    }
    delete fresh;
  }
  return *static_cast<Keeper*>(keeper);
}

bool Keeper::take(LifeEntry& life, std::uint64_t expected, std::uint32_t generation) {
  std::lock_guard guard(lives_mutex_);
  if (lives_.size() == ROBUST_LIST_LIMIT - 1) {    // the kernel looks no further
    throw std::system_error(EAGAIN, std::generic_category(), "one process is attached to too many segments");
  }
  lives_.reserve(lives_.size() + 1);
  if (lives_.empty()) start();

  // Killed from here on: the kernel frees the pending entry if our thread id is in its word, and else leaves it alone.
  robust_.list_op_pending = node_of(life);
  compiler_fence();
  const bool taken =
      life.word.compare_exchange_strong(expected, static_cast<std::uint64_t>(generation) << 32 | thread_id_);
  if (taken) {
    lives_.push_back(&life);
    relink();
  }
  compiler_fence();
  robust_.list_op_pending = nullptr;
  if (lives_.empty()) stop();
  return taken;
}

void Keeper::give_back(LifeEntry& life, bool unfinished) {
  std::lock_guard guard(lives_mutex_);
  robust_.list_op_pending = node_of(life);
  compiler_fence();
  std::erase(lives_, &life);
  relink();
  const std::uint64_t futex = unfinished ? FUTEX_OWNER_DIED : 0;
  // The generation is ours; others only mark that they wait, and are woken.
  life.word.exchange((life.word.load(std::memory_order_relaxed) & 0xffff'ffff'0000'0000) | futex);
  compiler_fence();
  robust_.list_op_pending = nullptr;
  futex_wake(low_half(life.word), INT_MAX);
  if (lives_.empty()) stop();
}

// Writes the whole list anew, last node first. At each store the kernel would find a list that ends at the head and
// holds every entry that was linked before and still is. Pointers that lie in shared memory are never read.
void Keeper::relink() {
  robust_list* next = &robust_.list;
  for (LifeEntry* life : lives_) {
    life->node.store(reinterpret_cast<std::uintptr_t>(next), std::memory_order_relaxed);
    compiler_fence();
    next = node_of(*life);
  }
  robust_.list.next = next;
}

void Keeper::start() {
  constexpr std::uint32_t starting = ~std::uint32_t{0};
  thread_id_ = starting;    // then 0: the kernel does not take the list, so it would tell of no death
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);    // the keeper takes no signals of the process
  try {
    stopping_ = false;
    thread_ = std::thread([this] {
      const bool listed = ::syscall(SYS_set_robust_list, &robust_, sizeof robust_) == 0;
      thread_id_ = listed ? static_cast<std::uint32_t>(::syscall(SYS_gettid)) : 0;
      thread_id_.notify_one();
      pthread_setname_np(pthread_self(), "keyrack");
      if (listed) loop();
    });
  } catch (...) {
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    throw;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  // It is on its way on another processor, or not: to sleep would cost more than it takes.
  for (int spin = 0; spin < 10 * kSpins && thread_id_ == starting; ++spin) pause();
  thread_id_.wait(starting);
  if (thread_id_ == 0) {
    thread_.join();
    throw std::system_error(ENOSYS, std::generic_category(), "set_robust_list");
  }
}

void Keeper::stop() {
  {
    std::lock_guard guard(tasks_mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void Keeper::loop() {
  std::unique_lock lock(tasks_mutex_);
  while (!stopping_) {
    std::int64_t until = kNever;
    const std::int64_t now = monotonic_ns();
    for (KeeperTask* task = tasks_; task != nullptr; task = task->next_) {
      if (task->due_ns_ <= now) {
        task->run();
        task->due_ns_ = now + task->interval_ns_;
      }
      until = std::min(until, task->due_ns_);
    }
    sleeps_until_ns_ = until;
    if (until == kNever) {
      wake_.wait(lock);
    } else {
      wake_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(until)));
    }
  }
}

void Keeper::add(KeeperTask& task, std::int64_t interval_ns) {
  bool early = false;
  {
    std::lock_guard guard(tasks_mutex_);
    task.interval_ns_ = interval_ns;
    task.due_ns_ = monotonic_coarse_ns() + interval_ns;
    task.next_ = tasks_;
    if (tasks_ != nullptr) tasks_->previous_ = &task;
    tasks_ = &task;
    if (task.due_ns_ < sleeps_until_ns_) {
      early = true;
      sleeps_until_ns_ = task.due_ns_;
    }
  }
  if (early) wake_.notify_one();
}

void Keeper::remove(KeeperTask& task) {
  std::lock_guard guard(tasks_mutex_);
  (task.previous_ != nullptr ? task.previous_->next_ : tasks_) = task.next_;
  if (task.next_ != nullptr) task.next_->previous_ = task.previous_;
  task.next_ = task.previous_ = nullptr;
}

}    // namespace keyrack::os
