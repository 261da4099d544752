#include "tracer.hpp"

#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <map>
#include <system_error>

namespace keyrack::tests {

namespace {

constexpr unsigned long kMark = 0x6b72'6b72, kBegin = 1, kEnd = 2;    // a prctl() that there is not

struct Call {
  const char* name;
  std::vector<int> errors;
};

const std::map<long, Call>& table() {
  static const std::map<long, Call> calls{
      {SYS_openat, {"openat", {EACCES, EMFILE, ENFILE, ENOMEM, EINTR}}},
      {SYS_newfstatat, {"newfstatat", {EACCES, ENOMEM}}},
      {SYS_fstat, {"fstat", {EIO}}},
      {SYS_statfs, {"statfs", {EIO}}},
      {SYS_fstatfs, {"fstatfs", {EIO}}},
      {SYS_read, {"read", {EIO, EINTR}}},
      {SYS_pread64, {"pread64", {EIO}}},
      {SYS_write, {"write", {ENOSPC, EPIPE, EINTR}}},
      {SYS_mmap, {"mmap", {ENOMEM, EAGAIN, EPERM}}},
      {SYS_mprotect, {"mprotect", {ENOMEM, EACCES}}},
      {SYS_madvise, {"madvise", {EINVAL, ENOMEM, EAGAIN}}},
      {SYS_ftruncate, {"ftruncate", {ENOSPC, EINTR, EFBIG, EDQUOT, EIO}}},
      {SYS_fallocate, {"fallocate", {ENOSPC, EINTR, EFBIG, EDQUOT, ENOMEM, EOPNOTSUPP}}},
      {SYS_linkat, {"linkat", {EEXIST, ENOSPC, EACCES, EPERM, EDQUOT, ENOENT}}},
      {SYS_unlink, {"unlink", {EACCES, EPERM, EBUSY}}},
      {SYS_fchmod, {"fchmod", {EPERM, EROFS}}},
      {SYS_flock, {"flock", {EINTR, ENOLCK, EWOULDBLOCK}}},
      {SYS_getdents64, {"getdents64", {EIO, ENOMEM}}},
      {SYS_clone3, {"clone3", {EAGAIN, ENOMEM, EPERM}}},
      {SYS_clone, {"clone", {EAGAIN, ENOMEM}}},
      {SYS_fork, {"fork", {EAGAIN, ENOMEM}}},
      {SYS_vfork, {"vfork", {EAGAIN, ENOMEM}}},
      {SYS_set_robust_list, {"set_robust_list", {EINVAL, ENOSYS}}},
      {SYS_futex, {"futex", {EINTR, EAGAIN}}},
      {SYS_futex_waitv, {"futex_waitv", {EINTR, EAGAIN, ENOSYS, ENOMEM}}},
      {SYS_rt_sigtimedwait, {"rt_sigtimedwait", {EINTR, EAGAIN}}},
      {SYS_wait4, {"wait4", {EINTR}}},
      {SYS_clock_nanosleep, {"clock_nanosleep", {EINTR}}},
      {SYS_ioctl, {"ioctl", {ENOTTY}}},
      {SYS_prctl, {"prctl", {EINVAL}}},
  };
  return calls;
}

bool is_wait(unsigned long futex_operation) {
  const unsigned long operation = futex_operation & FUTEX_CMD_MASK;
  return operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;
}

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// One traced thread: what is to be answered when the call that it is in ends.
struct Thread {
  int error = 0;
};

class Tracing {
 public:
  Tracing(pid_t process, std::size_t call, std::size_t error) : process_(process), call_(call), error_(error) {}

  Traced run() {
    for (;;) {
      int status = 0;
      const pid_t thread = ::waitpid(-1, &status, __WALL);
      if (thread < 0) {
        if (errno == EINTR) continue;
        fail("waitpid");
      }
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        threads_.erase(thread);
        if (thread == process_) {
          traced_.status = status;
          return traced_;
        }
        continue;
      }
      if (WIFSTOPPED(status)) proceed(thread, status);
    }
  }

 private:
  void proceed(pid_t thread, int status) {
    const int signal = WSTOPSIG(status);
    const bool fresh = threads_.try_emplace(thread).second;
    if (signal == (SIGTRAP | 0x80)) {
      call_stop(thread, threads_[thread]);
      resume(thread, 0);
    } else if (status >> 16 != 0 || (fresh && signal == SIGSTOP)) {    // a clone, or the new thread's first stop
      resume(thread, 0);
    } else {
      resume(thread, signal);
    }
  }

  /// It may have been killed meanwhile.
  static void resume(pid_t thread, int signal) { ::ptrace(PTRACE_SYSCALL, thread, nullptr, signal); }

  void call_stop(pid_t thread, Thread& state) {
    __ptrace_syscall_info info{};
    if (::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) < 0) return;
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && state.error != 0) {
      ::ptrace(PTRACE_POKEUSER, thread, offsetof(user_regs_struct, rax), static_cast<long>(-state.error));
      state.error = 0;
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return;
    const auto number = static_cast<long>(info.entry.nr);
    const unsigned long first = info.entry.args[0], second = info.entry.args[1];
    if (number == SYS_prctl && first == kMark) {
      counting_ = second == kBegin;
      return;
    }
    const std::vector<int>& errors = plausible_errors(number, first, second);
    if (!counting_ || errors.empty() || ++traced_.calls != call_) return;
    if (error_ >= errors.size()) {
      traced_.exhausted = true;
      return;
    }
    state.error = errors[error_];
    traced_.must_be_told = must_be_told(number, state.error);
    traced_.failed = call_name(number) + ": " + std::strerror(state.error);
    ::ptrace(PTRACE_POKEUSER, thread, offsetof(user_regs_struct, orig_rax), -1L);    // there is no such call
  }

  const pid_t process_;
  const std::size_t call_, error_;
  std::map<pid_t, Thread> threads_;
  bool counting_ = false;
  Traced traced_;
};

}    // namespace

const std::vector<int>& plausible_errors(long call, unsigned long first_argument, unsigned long second_argument) {
  static const std::vector<int> none;
  if (call == SYS_futex && !is_wait(second_argument)) return none;
  if (call == SYS_write && first_argument == STDERR_FILENO) return none;    // nobody is left to tell
  const auto known = table().find(call);
  return known == table().end() ? none : known->second.errors;
}

bool must_be_told(long call, int error) {
  switch (call) {
    case SYS_ftruncate:
    case SYS_unlink:
    case SYS_fchmod:
      return error != EINTR;
    case SYS_fallocate:
      return error != EINTR && error != EOPNOTSUPP;
    case SYS_linkat:
      return error != EEXIST && error != ENOENT;
    default:
      return false;
  }
}

std::string call_name(long call) {
  const auto known = table().find(call);
  return known == table().end() ? std::to_string(call) : known->second.name;
}

void mark_begin() { ::prctl(static_cast<int>(kMark), kBegin, 0, 0, 0); }
void mark_end() { ::prctl(static_cast<int>(kMark), kEnd, 0, 0, 0); }

Traced run_traced(const std::function<void()>& body, std::size_t call, std::size_t error) {
  std::fflush(nullptr);
  const pid_t process = ::fork();
  if (process < 0) fail("fork");
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    std::raise(SIGSTOP);
    body();
    ::_exit(0);
  }
  int status = 0;
  if (::waitpid(process, &status, 0) != process || !WIFSTOPPED(status)) fail("waiting for the traced process");
  const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
  if (::ptrace(PTRACE_SETOPTIONS, process, nullptr, options) != 0) fail("ptrace");
  if (::ptrace(PTRACE_SYSCALL, process, nullptr, 0) != 0) fail("ptrace");
  return Tracing(process, call, error).run();
}

}    // namespace keyrack::tests
