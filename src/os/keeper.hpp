// The one thread that a process keeps while it is attached to a segment. It does two things:
//
// 1. It proves that the process lives. Each session has a life word; the keeper's thread id stands in it, and the word
//    is on the keeper's robust list. However the process ends (exit, exec, any signal), the kernel walks that list and
//    puts FUTEX_OWNER_DIED into each word, before the memory of the process is torn down. The list is the keeper's own
//    and not glibc's: glibc would follow pointers that lie in shared memory, here only the kernel reads them.
// 2. It keeps alive the names that the process holds.
//
// A forked child has no keeper: it makes its own on first use, and what the parent's held is none of its business.
#pragma once

#include "os/word.hpp"

#include <linux/futex.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace keyrack::os {

/// A session's life in shared memory, with the node that puts it on a robust list.
/// Low half of the word: the keeper's thread id, FUTEX_WAITERS, FUTEX_OWNER_DIED. High half: the session's generation.
struct LifeEntry {
  Word word;
  Word node;    // written by its keeper, read by the kernel, by nobody else
};

/// Something the keeper does again and again until it is removed.
class KeeperTask {
 public:
  virtual ~KeeperTask() = default;
  virtual void run() noexcept = 0;

 private:
  friend class Keeper;
  KeeperTask *next_ = nullptr, *previous_ = nullptr;
  std::int64_t due_ns_ = 0, interval_ns_ = 0;
};

class Keeper {
 public:
  /// This process's. Throws std::bad_alloc.
  static Keeper& of_this_process();

  /// Still the process that it was made in?
  bool mine() const { return process_->load(std::memory_order_relaxed) == this; }

  /// Exchanges the life word from `expected` to {generation, thread id of the keeper} and puts it on the robust list.
  /// False, and nothing, when the word is another. Throws std::system_error when no thread can be had.
  bool take(LifeEntry&, std::uint64_t expected, std::uint32_t generation);

  /// Takes the entry off the list and frees the word (its generation stays). `unfinished`: leaves it as if the process
  /// had died, for others to clear up after.
  void give_back(LifeEntry&, bool unfinished = false);

  void add(KeeperTask&, std::int64_t interval_ns);
  /// When this returns, the task does not run and will not run again.
  void remove(KeeperTask&);

 private:
  Keeper();
  void start();
  void stop();
  void loop();
  void relink();

  std::atomic<void*>* process_;
  Keeper* inherited_ = nullptr;    // the copy of the parent's, never used

  std::mutex lives_mutex_;    // guards the next four; taken before tasks_mutex_
  std::thread thread_;
  std::atomic<std::uint32_t> thread_id_{0};
  std::vector<LifeEntry*> lives_;
  robust_list_head robust_{};    // read by the kernel when the keeper ends

  std::mutex tasks_mutex_;    // guards the rest
  std::condition_variable wake_;
  KeeperTask* tasks_ = nullptr;
  std::int64_t sleeps_until_ns_ = 0;
  bool stopping_ = false;
};

}    // namespace keyrack::os
