// Some worker processes on one segment, and the state in which everything is by the reference rules.
#pragma once

#include "processes/scratch_segment.hpp"
#include "steps.hpp"
#include "worker.hpp"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace keyrack::tests {

inline constexpr std::size_t kWorkers = 3, kKeys = 6, kFamilies = 2;

/// The processes, which outlive a story unless they are killed in it.
class Workers {
 public:
  Workers();
  const Child& operator[](std::size_t worker) const { return *children_[worker]; }
  /// SIGKILL, and another in its place.
  void replace(std::size_t worker);

 private:
  void start(std::size_t worker);
  std::array<std::unique_ptr<Child>, kWorkers> children_;
};

class World {
 public:
  World(Workers&, const Story&);

  /// Plays the story to its end, or to the first answer that the rules do not allow: what is wrong then, and all that
  /// came before it. Empty: all is well.
  std::string play();

 private:
  struct Held {
    reference::Loan loan;
    std::size_t family;
    reference::Number number;
  };
  struct Actor {
    reference::Process process = 0;
    std::vector<Held> held = {};
  };
  struct Lock {
    reference::LockState state = {};
    std::vector<reference::Token> tokens = {};    // that were told
  };

  bool play(const Step& step);
  bool play_lock(const Step& step);
  bool play_name(const Step& step);
  bool close(const Step& step);
  bool kill(const Step& step);
  bool pass(const Step& step);

  bool tell(const Step& step, Order& order, Reply& reply);
  bool open(std::size_t worker);
  void end(reference::Process process, bool dies);
  bool there_was_room(const reference::Interval& when);
  bool nothing_fits(const reference::Interval& when) const;
  std::size_t names() const;
  bool skip();
  bool wrong(const std::string& text);

  Workers& workers_;
  const Story& story_;
  const ScratchSegment segment_;
  const std::size_t slots_;
  const std::optional<reference::Instant> age_;
  std::array<Actor, kWorkers> actors_;
  std::array<Lock, kKeys> locks_;
  std::array<reference::NamesState, kFamilies> families_;
  std::map<reference::Process, pid_t> pids_;
  reference::Process last_process_ = 0;
  reference::Loan last_loan_ = 0;
  std::string trace_;
};

}    // namespace keyrack::tests
