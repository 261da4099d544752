// Is there an order of overlapping calls that the rules allow? Depth first, with what was tried remembered.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace keyrack::simulation {

/// One call of a history: when it began and ended, and where it may lead. `after` of a call that nobody heard the
/// answer of may name several states, its not having happened among them.
template <class State>
struct Event {
  std::uint64_t begun, ended;
  std::function<std::vector<State>(const State&)> after;
};

template <class State>
class Linearizer {
 public:
  explicit Linearizer(const std::vector<Event<State>>& events) : events_(events), taken_(events.size()) {}

  bool accepts(const State& first) { return go_on(first, 0); }

 private:
  bool go_on(const State& state, std::size_t count) {
    if (count == events_.size()) return true;
    if (!tried_.emplace(taken_, state).second) return false;
    std::uint64_t first_end = std::numeric_limits<std::uint64_t>::max();
    for (std::size_t i = 0; i < events_.size(); ++i) {
      if (!taken_[i] && events_[i].ended < first_end) first_end = events_[i].ended;
    }
    for (std::size_t i = 0; i < events_.size(); ++i) {
      if (taken_[i] || events_[i].begun > first_end) continue;
      taken_[i] = true;
      for (const State& next : events_[i].after(state)) {
        if (go_on(next, count + 1)) return true;
      }
      taken_[i] = false;
    }
    return false;
  }

  const std::vector<Event<State>>& events_;
  std::vector<bool> taken_;
  std::set<std::pair<std::vector<bool>, State>> tried_{};
};

}    // namespace keyrack::simulation
