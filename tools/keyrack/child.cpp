// fork, exec and the wait between the two ends.
#include "child.hpp"

#include "failure.hpp"
#include "lookout.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string_view>
#include <utility>

namespace keyrack::command {
namespace {

using std::chrono::nanoseconds;

/// The environment with some variables replaced, and the array of pointers that exec wants.
class Environment {
 public:
  explicit Environment(std::vector<std::string> more) : more_(std::move(more)) {
    const auto name_of = [](std::string_view variable) { return variable.substr(0, variable.find('=')); };
    for (char** variable = environ; *variable != nullptr; ++variable) {
      const auto replaces = [&](const std::string& other) { return name_of(other) == name_of(*variable); };
      if (std::none_of(more_.begin(), more_.end(), replaces)) pointers_.push_back(*variable);
    }
    for (std::string& variable : more_) pointers_.push_back(variable.data());
    pointers_.push_back(nullptr);
  }
  char** get() { return pointers_.data(); }

 private:
  std::vector<std::string> more_;
  std::vector<char*> pointers_;
};

/// In the child: nothing that allocates or locks, since another thread may have been in the middle of it at the fork.
[[noreturn]] void become(const Signals& signals, char** arguments, char** environment, bool end_with_parent,
                         pid_t parent, int report) {
  if (end_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(128 + SIGTERM);    // it died before the line above
  }
  signals.restore();
  ::execvpe(arguments[0], arguments, environment);
  const int error = errno;
  [[maybe_unused]] const ssize_t written = ::write(report, &error, sizeof error);
  ::_exit(error == ENOENT ? 127 : 126);
}

int shell_status(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

/// The status of the child if it has ended.
std::optional<int> reap(pid_t pid, int flags) {
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(pid, &status, flags);
  } while (reaped < 0 && errno == EINTR);
  return reaped == pid ? std::optional(shell_status(status)) : std::nullopt;
}

/// Ctrl-C at a terminal reaches the whole foreground job, CMD included; what somebody sent to this process alone does
/// not.
bool is_for_child(const siginfo_t& signal) { return !(signal.si_signo == SIGINT && signal.si_code == SI_KERNEL); }

int attend(const Child& child, pid_t pid, Lookout& lookout) {
  bool told = false;
  while (true) {
    const std::optional<siginfo_t> signal = lookout.next();
    if (signal && signal->si_signo == SIGCHLD) {
      if (const std::optional<int> status = reap(pid, WNOHANG)) return *status;
    } else if (signal && is_for_child(*signal)) {
      ::kill(pid, signal->si_signo);
    }
    if (lookout.lost() && !std::exchange(told, true) && child.end_when_lost) ::kill(pid, SIGTERM);
  }
}

}    // namespace

Signals::Signals(std::initializer_list<int> more) {
  sigemptyset(&kept_);
  std::vector<int> wanted = {SIGINT, SIGTERM, SIGHUP};
  wanted.insert(wanted.end(), more);
  for (const int signal : wanted) {
    struct sigaction action;
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) sigaddset(&kept_, signal);
  }
  // Whoever started us may ignore SIGCHLD, and then no status of a child could be had.
  struct sigaction usual = {};
  usual.sa_handler = SIG_DFL;
  ::sigaction(SIGCHLD, &usual, &child_before_);
  sigaddset(&kept_, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &kept_, &before_);
}

std::optional<siginfo_t> Signals::next(std::optional<nanoseconds> wait) const {
  siginfo_t signal = {};
  timespec limit = {};
  if (wait) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(*wait);
    limit = {.tv_sec = seconds.count(), .tv_nsec = (*wait - seconds).count()};
  }
  const int number = wait ? ::sigtimedwait(&kept_, &signal, &limit) : ::sigwaitinfo(&kept_, &signal);
  return number > 0 ? std::optional(signal) : std::nullopt;
}

void Signals::let_through() const { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void Signals::keep_back() const { ::pthread_sigmask(SIG_BLOCK, &kept_, nullptr); }

void Signals::restore() const {
  ::sigaction(SIGCHLD, &child_before_, nullptr);
  ::pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

int run_child(const Signals& signals, const Child& child, Lookout& lookout) {
  std::vector<std::string> words = child.command;
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  Environment environment(child.environment);

  std::array<int, 2> report{};    // closed by exec; else it tells why there was none
  if (::pipe2(report.data(), O_CLOEXEC) != 0) return complain(kFailure, "cannot make a pipe: {}", std::strerror(errno));
  const pid_t self = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) become(signals, arguments.data(), environment.get(), child.end_when_lost, self, report[1]);
  const int fork_error = errno;
  ::close(report[1]);
  int error = 0;
  ssize_t got = 0;
  if (pid > 0) {
    do {
      got = ::read(report[0], &error, sizeof error);
    } while (got < 0 && errno == EINTR);
  }
  ::close(report[0]);
  if (pid < 0) return complain(kFailure, "cannot start {}: {}", words[0], std::strerror(fork_error));
  if (got > 0) return complain(reap(pid, 0).value_or(kFailure), "cannot run {}: {}", words[0], std::strerror(error));
  return attend(child, pid, lookout);
}

}    // namespace keyrack::command
