// Rivals that are found by a name in shared memory: no owners to ask for, no leases, and locked for ever when the
// holder dies.
#pragma once

#include "harness/scratch.hpp"

#include <boost/interprocess/sync/named_mutex.hpp>

#include <fcntl.h>
#include <semaphore.h>

#include <cerrno>
#include <deque>
#include <memory>
#include <system_error>
#include <vector>

namespace keyrack::bench {

class NamedMutexKeptOpen {
 public:
  static constexpr std::string_view kName = "Boost named_mutex, kept open";
  static constexpr bool kSurvivesDeath = false, kSleeps = true;

  explicit NamedMutexKeptOpen(std::size_t keys) {
    for (std::size_t key = 0; key < keys; ++key) {
      const std::string name = scratch_name();
      mutexes_.emplace_back(boost::interprocess::create_only, name.c_str());
      boost::interprocess::named_mutex::remove(name.c_str());
    }
  }

  void lock(std::size_t key) { mutexes_[key].lock(); }
  void unlock(std::size_t key) { mutexes_[key].unlock(); }

 private:
  std::deque<boost::interprocess::named_mutex> mutexes_;
};

/// By one who knows no more than the key.
class NamedMutexOpenedPerUse {
 public:
  static constexpr std::string_view kName = "Boost named_mutex, opened per use";
  static constexpr bool kSurvivesDeath = false, kSleeps = true;

  explicit NamedMutexOpenedPerUse(std::size_t keys) {
    for (std::size_t key = 0; key < keys; ++key) {
      names_.push_back(scratch_name());
      boost::interprocess::named_mutex(boost::interprocess::create_only, names_[key].c_str());
    }
  }
  ~NamedMutexOpenedPerUse() {
    for (const std::string& name : names_) boost::interprocess::named_mutex::remove(name.c_str());
  }
  NamedMutexOpenedPerUse(const NamedMutexOpenedPerUse&) = delete;
  NamedMutexOpenedPerUse& operator=(const NamedMutexOpenedPerUse&) = delete;

  void lock(std::size_t key) {
    held_ = std::make_unique<boost::interprocess::named_mutex>(boost::interprocess::open_only, names_[key].c_str());
    held_->lock();
  }
  void unlock(std::size_t) {
    held_->unlock();
    held_.reset();
  }

 private:
  std::vector<std::string> names_;
  std::unique_ptr<boost::interprocess::named_mutex> held_;
};

class NamedSemaphore {
 public:
  static constexpr std::string_view kName = "POSIX named semaphore";
  static constexpr bool kSurvivesDeath = false, kSleeps = true;

  explicit NamedSemaphore(std::size_t keys) {
    for (std::size_t key = 0; key < keys; ++key) {
      const std::string name = "/" + scratch_name();
      sem_t* opened = ::sem_open(name.c_str(), O_CREAT | O_EXCL, 0600, 1);
      if (opened == SEM_FAILED) throw std::system_error(errno, std::generic_category(), "sem_open");
      ::sem_unlink(name.c_str());
      semaphores_.push_back(opened);
    }
  }
  ~NamedSemaphore() {
    for (sem_t* semaphore : semaphores_) ::sem_close(semaphore);
  }
  NamedSemaphore(const NamedSemaphore&) = delete;
  NamedSemaphore& operator=(const NamedSemaphore&) = delete;

  void lock(std::size_t key) { require(::sem_wait(semaphores_[key]) == 0, "sem_wait() failed"); }
  void unlock(std::size_t key) { ::sem_post(semaphores_[key]); }

 private:
  std::vector<sem_t*> semaphores_;
};

}    // namespace keyrack::bench
