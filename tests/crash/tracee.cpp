#include "tracee.hpp"

#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>
#include <utility>

namespace keyrack::crash {

namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// The letter that the kernel gives for what the thread does: R, S, T, t, Z, …
char state_of(pid_t process, const std::string& thread) {
  std::ifstream file("/proc/" + std::to_string(process) + "/task/" + thread + "/stat");
  std::string line;
  std::getline(file, line);
  const std::size_t name_end = line.rfind(')');
  return name_end == std::string::npos || name_end + 2 >= line.size() ? 'X' : line[name_end + 2];
}

bool every_thread_is_stopped(pid_t process) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
    if (state_of(process, task.path().filename()) != 'T') return false;
  }
  return true;
}

template <class T>
long request(int what, pid_t thread, std::size_t address, T data) {
  return ::ptrace(static_cast<__ptrace_request>(what), thread, address, data);
}

}    // namespace

Process::Process(pid_t pid) : pid_(pid), fd_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {
  if (fd_ < 0) fail("pidfd_open");
}

Process::~Process() {
  kill();
  ::close(fd_);
}

void Process::signal(int signal) const { ::syscall(SYS_pidfd_send_signal, fd_, signal, nullptr, 0); }

void Process::await_end() const {
  pollfd end{fd_, POLLIN, 0};
  while (::poll(&end, 1, -1) < 0 && errno == EINTR) {
  }
}

void Process::kill() const {
  signal(SIGKILL);
  await_end();
}

Tracee::Tracee(const Process& process, pid_t thread) : process_(process), thread_(thread) {
  if (request(PTRACE_SEIZE, thread_, 0, 0) != 0) fail("ptrace: seize");
  traced_ = true;
  if (request(PTRACE_INTERRUPT, thread_, 0, 0) != 0) fail("ptrace: interrupt");
  if (!await_stop()) fail("ptrace: the thread has ended");
}

Tracee::~Tracee() {
  if (traced_) kill();
}

std::uintptr_t Tracee::at() const {
  return static_cast<std::uintptr_t>(request(PTRACE_PEEKUSER, thread_, offsetof(user, regs.rip), 0));
}

std::uintptr_t Tracee::return_address() const {
  const auto stack = static_cast<std::size_t>(request(PTRACE_PEEKUSER, thread_, offsetof(user, regs.rsp), 0));
  return static_cast<std::uintptr_t>(request(PTRACE_PEEKDATA, thread_, stack, 0));
}

void Tracee::break_at(unsigned number, std::uintptr_t address) {
  if (breaks_[number] == address) return;
  const std::size_t control = offsetof(user, u_debugreg[7]);
  breaks_[number] = 0;
  const auto enabled = [&] { return (breaks_[0] != 0 ? 1ul : 0ul) | (breaks_[1] != 0 ? 4ul : 0ul); };
  if (request(PTRACE_POKEUSER, thread_, control, enabled()) != 0) fail("ptrace: breakpoint off");
  if (address == 0) return;
  const std::size_t place = offsetof(user, u_debugreg) + number * sizeof(user::u_debugreg[0]);
  if (request(PTRACE_POKEUSER, thread_, place, address) != 0) fail("ptrace: breakpoint address");
  breaks_[number] = address;
  if (request(PTRACE_POKEUSER, thread_, control, enabled()) != 0) fail("ptrace: breakpoint on");
}

bool Tracee::run_to(std::uintptr_t address, std::uintptr_t or_address) {
  break_at(0, address);
  break_at(1, or_address);
  for (;;) {
    if (!resume(PTRACE_CONT)) return false;
    const std::uintptr_t here = at();
    if (here == address || here == or_address) return true;
  }
}

bool Tracee::run_to_or_system_call(std::uintptr_t address) {
  break_at(0, address);
  break_at(1, 0);
  return resume(PTRACE_SYSCALL);
}

bool Tracee::step() {
  const std::uintptr_t before = at();
  for (;;) {
    if (!resume(PTRACE_SINGLESTEP)) return false;
    if (pending_signal_ == 0 || at() != before) return true;    // else a signal came instead of the step
  }
}

void Tracee::run_asleep() {
  break_at(0, 0);
  break_at(1, 0);
  if (request(PTRACE_CONT, thread_, 0, 0) != 0) fail("ptrace: continue");
  running_ = true;
  while (!is_asleep()) {
    const timespec moment{0, 200'000};
    ::nanosleep(&moment, nullptr);
  }
}

bool Tracee::resume(int how) {
  if (request(how, thread_, 0, std::exchange(pending_signal_, 0)) != 0) fail("ptrace: resume");
  return await_stop();
}

/// Until the thread stops, whatever for; signals that are not ours are passed on with the next step.
bool Tracee::await_stop() {
  int status = 0;
  while (when_asleep_) {
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);    // blocked; see main.cpp
    const timespec slice{0, 1'000'000};
    ::sigtimedwait(&child, nullptr, &slice);
    const pid_t got = ::waitpid(thread_, &status, __WALL | WNOHANG);
    if (got < 0 && errno != EINTR) fail("waitpid");
    if (got > 0) break;
    if (is_asleep()) when_asleep_();
  }
  while (!when_asleep_ && ::waitpid(thread_, &status, __WALL) < 0) {
    if (errno != EINTR) fail("waitpid");
  }
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    traced_ = false;
    process_.await_end();
    return false;
  }
  const int signal = WSTOPSIG(status);
  if (signal != SIGTRAP) pending_signal_ = signal;
  return true;
}

bool Tracee::is_asleep() const { return state_of(process_.pid(), std::to_string(thread_)) == 'S'; }

void Tracee::kill() {
  process_.signal(SIGKILL);
  int status = 0;
  while (::waitpid(thread_, &status, __WALL) >= 0 || errno == EINTR) {
    if (WIFEXITED(status) || WIFSIGNALED(status)) break;
  }
  traced_ = false;
  process_.await_end();    // after: a thread that nobody has waited for keeps the process from ending
}

void Tracee::leave_stopped() {
  if (running_) {
    process_.signal(SIGSTOP);
    running_ = false;
    if (!await_stop()) fail("ptrace: the thread has ended");
  }
  break_at(0, 0);
  break_at(1, 0);
  if (request(PTRACE_DETACH, thread_, 0, SIGSTOP) != 0) fail("ptrace: detach");
  traced_ = false;
  while (!every_thread_is_stopped(process_.pid())) ::sched_yield();
}

void keep_breakpoints_ready() {
  perf_event_attr breakpoint{};
  breakpoint.type = PERF_TYPE_BREAKPOINT;
  breakpoint.size = sizeof breakpoint;
  breakpoint.bp_type = HW_BREAKPOINT_X;
  breakpoint.bp_addr = 8;    // nothing runs there
  breakpoint.bp_len = sizeof(long);
  breakpoint.exclude_kernel = 1;
  (void)::syscall(SYS_perf_event_open, &breakpoint, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);    // only faster; open to the end
}

}    // namespace keyrack::crash
