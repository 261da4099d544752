// Rivals that are words or mutexes at known addresses in shared memory: no keys, no owners to ask for, no leases.
#pragma once

#include "harness/processes.hpp"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#include <atomic>
#include <cstdint>
#include <string_view>

namespace keyrack::bench {

/// So far apart that processes at neighbouring ones do not disturb each other.
template <class T>
struct alignas(256) Apart {
  T value{};
};

/// The floor: one compare-and-swap to take it, one to give it back. Who finds it held spins.
class RawCas {
 public:
  static constexpr std::string_view kName = "raw CAS + CAS";
  static constexpr bool kSurvivesDeath = false, kSleeps = false;

  explicit RawCas(std::size_t keys) : words_(keys) {}

  void lock(std::size_t key) {
    std::uint64_t free = 0;
    while (!words_[key].value.compare_exchange_strong(free, 1, std::memory_order_acquire)) {
      __builtin_ia32_pause();
      free = 0;
    }
  }
  void unlock(std::size_t key) {
    std::uint64_t held = 1;
    words_[key].value.compare_exchange_strong(held, 0, std::memory_order_release);
  }

 private:
  Shared<Apart<std::atomic<std::uint64_t>>> words_;
};

/// The least that can sleep: a futex word that says free, held, or held and waited for.
class RawFutex {
 public:
  static constexpr std::string_view kName = "raw futex";
  static constexpr bool kSurvivesDeath = false, kSleeps = true;

  explicit RawFutex(std::size_t keys) : words_(keys) {}

  void lock(std::size_t key) {
    auto& word = words_[key].value;
    std::uint32_t seen = kFree;
    if (word.compare_exchange_strong(seen, kHeld, std::memory_order_acquire)) return;
    for (int spin = 0; spin < 200; ++spin) {    // as long as keyrack does
      __builtin_ia32_pause();
      seen = kFree;
      if (word.load(std::memory_order_relaxed) == kFree &&
          word.compare_exchange_strong(seen, kHeld, std::memory_order_acquire)) {
        return;
      }
    }
    while (word.exchange(kWaitedFor, std::memory_order_acquire) != kFree) {
      ::syscall(SYS_futex, &word, FUTEX_WAIT, kWaitedFor, nullptr, nullptr, 0);
    }
  }
  void unlock(std::size_t key) {
    auto& word = words_[key].value;
    if (word.exchange(kFree, std::memory_order_release) == kWaitedFor) {
      ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kWaitedFor = 2;
  Shared<Apart<std::atomic<std::uint32_t>>> words_;
};

/// A process-shared mutex of the C library at each place.
template <class Place>
void make_mutexes(Shared<Place>& places, std::size_t count, bool robust) {
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  if (robust) ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  for (std::size_t i = 0; i < count; ++i) ::pthread_mutex_init(&places[i].value, &attributes);
  ::pthread_mutexattr_destroy(&attributes);
}

inline void lock_robust(pthread_mutex_t& mutex) {
  const int error = ::pthread_mutex_lock(&mutex);
  if (error == EOWNERDEAD) {
    ::pthread_mutex_consistent(&mutex);
  } else if (error != 0) {
    throw std::system_error(error, std::generic_category(), "pthread_mutex_lock");
  }
}

/// The unit of the tables: what a user would take who knows the address and wants to survive a crash.
class RobustMutex {
 public:
  static constexpr std::string_view kName = "robust mutex";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;

  explicit RobustMutex(std::size_t keys) : mutexes_(keys) { make_mutexes(mutexes_, keys, true); }

  void lock(std::size_t key) { lock_robust(mutexes_[key].value); }
  void unlock(std::size_t key) { ::pthread_mutex_unlock(&mutexes_[key].value); }

 private:
  Shared<Apart<pthread_mutex_t>> mutexes_;
};

class PlainMutex {
 public:
  static constexpr std::string_view kName = "plain mutex";
  static constexpr bool kSurvivesDeath = false, kSleeps = true;

  explicit PlainMutex(std::size_t keys) : mutexes_(keys) { make_mutexes(mutexes_, keys, false); }

  void lock(std::size_t key) { ::pthread_mutex_lock(&mutexes_[key].value); }
  void unlock(std::size_t key) { ::pthread_mutex_unlock(&mutexes_[key].value); }

 private:
  Shared<Apart<pthread_mutex_t>> mutexes_;
};

}    // namespace keyrack::bench
