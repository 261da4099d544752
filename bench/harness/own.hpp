// keyrack's own ways to lock a key, as contenders.
#pragma once

#include "harness/contender.hpp"
#include "harness/keys.hpp"
#include "harness/scratch.hpp"

#include <deque>
#include <optional>

namespace keyrack::bench {

inline constexpr LockOptions kBound{.lifetime = Lifetime::process};

/// lock() and unlock() by key, as one process after another: what is held by somebody else is a failure.
class Keyed {
 public:
  static constexpr std::string_view kName = "keyrack keyed";
  static constexpr bool kSurvivesDeath = true, kSleeps = false;

  explicit Keyed(std::size_t keys, LockOptions options = kBound, const std::string& query = "")
      : locks_(scratch_locks(query)), keys_(keys), options_(options) {}

  void lock(std::size_t key) {
    require(locks_->lock({.signature = keys_[key], .signee = kSignee}, options_).has_value(), "lock() was refused");
  }
  void unlock(std::size_t key) {
    require(locks_->unlock({.signature = keys_[key], .signee = kSignee}).has_value(), "unlock() was refused");
  }

 private:
  std::unique_ptr<LockService> locks_;
  KeyTexts keys_;
  LockOptions options_;
};

/// The same by lock_for() without limit: who finds the key held waits.
class KeyedWaiting {
 public:
  static constexpr std::string_view kName = "keyrack keyed, waiting";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;

  explicit KeyedWaiting(std::size_t keys) : locks_(scratch_locks()), keys_(keys) {}

  void lock(std::size_t key) {
    const auto granted = locks_->lock_until({.signature = keys_[key], .signee = kSignee},
                                            std::chrono::steady_clock::time_point::max(), kBound);
    require(granted.has_value(), "lock_until() was refused");
  }
  void unlock(std::size_t key) {
    require(locks_->unlock({.signature = keys_[key], .signee = kSignee}).has_value(), "unlock() was refused");
  }

 private:
  std::unique_ptr<LockService> locks_;
  KeyTexts keys_;
};

class Named {
 public:
  static constexpr std::string_view kName = "keyrack NamedMutex";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;

  explicit Named(std::size_t keys) : locks_(scratch_locks()) {
    const KeyTexts texts(keys);
    for (std::size_t key = 0; key < keys; ++key) mutexes_.emplace_back(*locks_, texts[key]);
  }

  void lock(std::size_t key) { mutexes_[key].lock(); }
  void unlock(std::size_t key) { mutexes_[key].unlock(); }

 private:
  std::unique_ptr<LockService> locks_;
  std::deque<NamedMutex> mutexes_;
};

using OwnWaiting = Contenders<KeyedWaiting, Named>;

}    // namespace keyrack::bench
