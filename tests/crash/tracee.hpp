// One thread of another process under ptrace: run to an instruction, step by instruction, stop or kill the process
// there.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace keyrack::crash {

/// A process that is known by more than its number, which may be given to another one after its end.
class Process {
 public:
  explicit Process(pid_t);
  /// Kills it; dead when this returns.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int signal) const;
  void await_end() const;
  void kill() const;
  int fd() const { return fd_; }

 private:
  pid_t pid_;
  int fd_;
};

class Tracee {
 public:
  /// Takes hold of a thread of that process and stops it.
  Tracee(const Process& process, pid_t thread);
  /// Kills the process unless it was left stopped; dead when this returns.
  ~Tracee();
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;

  /// Called whenever the thread has gone to sleep in a system call, where `run_to` or `step` wait for it.
  void when_asleep(std::function<void()> act) { when_asleep_ = std::move(act); }
  const std::function<void()>& when_asleep() const { return when_asleep_; }

  /// The instruction that comes next.
  std::uintptr_t at() const;
  /// Where the function returns to whose first instruction comes next.
  std::uintptr_t return_address() const;

  /// Runs until the instruction at one of two addresses comes next. False: the process has ended.
  bool run_to(std::uintptr_t address, std::uintptr_t or_address = 0);
  /// Runs until the instruction at that address comes next, or a system call begins or has ended. False: the process
  /// has ended.
  bool run_to_or_system_call(std::uintptr_t address);
  /// Executes one instruction. False: the process has ended.
  bool step();
  /// Lets it run, and returns when it sleeps in a system call.
  void run_asleep();

  /// SIGKILL; the whole process is dead when this returns.
  void kill();
  /// Leaves the process as SIGSTOP does, all its threads where they are.
  void leave_stopped();

 private:
  void break_at(unsigned number, std::uintptr_t address);
  bool resume(int how);
  bool await_stop();
  bool is_asleep() const;

  const Process& process_;
  pid_t thread_;
  std::function<void()> when_asleep_;
  bool traced_ = false, running_ = false;
  int pending_signal_ = 0;
  std::uintptr_t breaks_[2] = {};
};

/// Keeps the kernel's breakpoints switched on: each first one otherwise costs some ten milliseconds.
void keep_breakpoints_ready();

}    // namespace keyrack::crash
