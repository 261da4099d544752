// What was called in a run and what was answered, written down as it happens, and held against the reference rules.
#pragma once

#include "world.hpp"

#include "../reference/linearizer.hpp"

#include <cstdint>
#include <deque>
#include <set>
#include <string>
#include <vector>

namespace keyrack::simulation {

struct LockEvent : reference::LockRules::Op {
  std::uint32_t key = 0;
};
using NamesEvent = reference::NameRules::Op;

/// A process has died, or has closed what it had.
struct EndEvent {
  reference::Process process = 0;
  bool dead = false, answered = false;
  reference::Interval when = {};
  reference::Places place = 0, not_after = 0;
};

class History {
 public:
  explicit History(World& world) : world_(world), origin_(world.now_ns()) {}

  /// A thread begins a call. Threads are told apart by their numbers, up to kThreadsMax.
  LockEvent& begin(std::uint32_t thread, std::uint32_t key, const reference::LockCall&);
  NamesEvent& begin(std::uint32_t thread, const reference::NamesCall&);
  EndEvent& begin_closing(std::uint32_t thread, reference::Process);
  template <class Event>
  void finish(Event& event) {
    event.when.to = world_.instant();
    event.answered = true;
  }

  /// Whatever the process was at may have been done, or not.
  void note_death(reference::Process);

  /// What cannot have been answered so, in words. `scarce`: any call may be answered table_full.
  std::vector<std::string> judge(bool scarce) const;

  std::uint64_t calls() const { return locks_.size() + names_.size() + ends_.size(); }

 private:
  static constexpr unsigned kThreadsMax = 32;

  template <class Event>
  void start(Event& event, std::uint32_t thread);
  std::vector<reference::LockRules::Op> ops_of(std::uint32_t key, bool scarce) const;
  std::vector<reference::NameRules::Op> ops_of_names(bool scarce) const;
  std::set<reference::Number> names_bound_to(reference::Process) const;
  template <class Op>
  void add_end(std::vector<Op>&, const EndEvent&) const;
  template <class Op>
  std::string text_of(std::vector<Op>) const;

  World& world_;
  const reference::Instant origin_;
  std::deque<LockEvent> locks_{};
  std::deque<NamesEvent> names_{};
  std::deque<EndEvent> ends_{};
};

}    // namespace keyrack::simulation
