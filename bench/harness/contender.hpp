// What takes part in a comparison: keyrack's own ways to lock (own.hpp), and the rivals (rivals/).
#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>

namespace keyrack::bench {

/// Made once, with a number of keys, before the processes that use it are forked. lock() returns when the caller holds
/// the key, after however long; whatever fails throws. A process that is killed may hold a key: `kSurvivesDeath` says
/// that the next one gets it. `kSleeps`: lock() waits asleep, not spinning; where it asks a server several times before
/// it does, `kAsleepFor` is longer than any of those answers takes. One whose work is done by a server, which may not
/// be installed, is a `Served` contender, too.
template <class T>
concept Contender = std::constructible_from<T, std::size_t> && requires(T& contender, std::size_t key) {
  { T::kName } -> std::convertible_to<std::string_view>;
  { T::kSurvivesDeath } -> std::convertible_to<bool>;
  { T::kSleeps } -> std::convertible_to<bool>;
  contender.lock(key);
  contender.unlock(key);
};

/// See `installed()`; the time of a pair is that on the wall, as most of it is not the caller's.
template <class T>
concept Served = Contender<T> && requires {
  { T::installed() } -> std::same_as<bool>;
};

template <Contender T>
bool installed() {
  if constexpr (Served<T>) return T::installed();
  return true;
}

/// A list of contenders, to register a case for each.
template <Contender... Each>
struct Contenders {
  /// Those that are installed.
  template <class Visit>
  static void for_each(Visit&& visit) {
    (visit_if<Each>(installed<Each>(), visit), ...);
  }
  template <class Visit>
  static void for_each_absent(Visit&& visit) {
    (visit_if<Each>(!installed<Each>(), visit), ...);
  }

 private:
  template <class T, class Visit>
  static void visit_if(bool condition, Visit& visit) {
    if (condition) visit.template operator()<T>();
  }
};

}    // namespace keyrack::bench
