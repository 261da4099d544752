// Running CMD while something is held for it: signals are passed on, and CMD is told when what is held is lost.
#pragma once

#include <chrono>
#include <csignal>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

namespace keyrack::command {

/// The signals that ask a process to end (SIGINT, SIGTERM, SIGHUP, unless they were ignored from the start), SIGCHLD,
/// and what else is asked for (unless it was ignored). From here on they wait for next() instead of ending the process,
/// also in the threads that are started later: make it before a service is opened. They stay so until the process ends,
/// so that a late one cannot spoil the exit status.
class Signals {
 public:
  explicit Signals(std::initializer_list<int> more = {});
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// The next one; empty when `wait` ran out. No `wait`: no limit.
  std::optional<siginfo_t> next(std::optional<std::chrono::nanoseconds> wait) const;

  /// For a while in which the process may be ended: in this thread only.
  void let_through() const;
  void keep_back() const;

  const sigset_t& kept() const { return kept_; }

  /// As it was before, for what is run by exec.
  void restore() const;

 private:
  sigset_t kept_, before_;
  struct sigaction child_before_;
};

struct Child {
  std::vector<std::string> command;
  std::vector<std::string> environment;    ///< NAME=VALUE, besides what this process has
  bool end_when_lost = true;               ///< SIGTERM to CMD then, and also should this process die
};

class Lookout;

/// Runs it to its end. Its status as a shell has it: 128 and the signal that killed it, 127 not found, 126 not
/// executable. Call it from the main thread: with the thread that forked ends what CMD takes for its parent.
int run_child(const Signals&, const Child&, Lookout&);

}    // namespace keyrack::command
