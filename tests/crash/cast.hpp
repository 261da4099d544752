// The processes of a run. They are forked by a nursery that does nothing else, so that each is a copy of the same
// process: fresh runs go the same way, instruction for instruction, as far as clocks and other processes allow.
#pragma once

#include "scenarios.hpp"

#include "shared_object.hpp"

#include <keyrack/testing/child.hpp>

#include <cstdint>
#include <string>

namespace keyrack::crash {

enum class Role { victim, helper, rescuer };

class Cast {
 public:
  /// Makes the nursery. Segments are called `prefix` with a number.
  explicit Cast(std::string prefix);

  pid_t nursery() const { return nursery_.pid(); }
  Board& board() { return *board_; }
  std::string next_segment() { return prefix_ + std::to_string(++runs_); }

  /// Forks a process that plays that part. It says on its stage of the board how far it is; a rescuer's is the
  /// victim's.
  void enter(Role, std::size_t scenario, const std::string& segment, const std::string& options);

 private:
  std::string prefix_;
  std::uint64_t runs_ = 0;
  tests::SharedObject<Board> board_;
  testing::Child nursery_;
};

/// The call, as a function of its own: the sweep begins at its first instruction and ends where it returns.
[[gnu::noinline]] void perform(const Call&, Actor&, Stage&);

}    // namespace keyrack::crash
