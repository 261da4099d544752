#include "harness/processes.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <csignal>
#include <string>
#include <string_view>

namespace keyrack::bench {

pid_t Child::begin() {
  const pid_t parent = ::getpid();
  std::fflush(nullptr);
  const pid_t pid = ::fork();
  if (pid < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    ++process_generation;
  }
  return pid;
}

Child::~Child() { kill(); }

void Child::kill() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

void Child::join() {
  int status = 0;
  ::waitpid(std::exchange(pid_, 0), &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) throw std::runtime_error("a forked process failed");
}

void Child::require_alive() const {
  siginfo_t info{};
  ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT);
  if (info.si_pid != 0) throw std::runtime_error("a forked process ended too soon");
}

Pin::Pin(unsigned nth) {
  ::sched_getaffinity(0, sizeof before_, &before_);
  nth %= static_cast<unsigned>(CPU_COUNT(&before_));
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &before_) || nth-- != 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

Pin::~Pin() { ::sched_setaffinity(0, sizeof before_, &before_); }

namespace {

std::string read_about(pid_t pid, const char* file_name) {
  const std::string path = "/proc/" + std::to_string(pid) + "/" + file_name;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  char text[4096];
  const ssize_t got = file < 0 ? -1 : ::read(file, text, sizeof text);
  if (file >= 0) ::close(file);
  if (got <= 0) throw std::runtime_error("a process that was to fall asleep is gone");
  return {text, static_cast<std::size_t>(got)};
}

bool sleeps(pid_t pid) {
  const std::string stat = read_about(pid, "stat");
  const auto state = stat.rfind(')') + 2;    // "4711 (name) S …"
  if (stat.at(state) == 'Z' || stat.at(state) == 'X') throw std::runtime_error("a process ended too soon");
  return stat.at(state) == 'S';
}

/// How often it has gone to sleep, or was made to wait; as text.
std::string switches(pid_t pid) {
  const std::string status = read_about(pid, "status");
  return status.substr(status.find("voluntary_ctxt_switches:"));
}

}    // namespace

void await_asleep(pid_t pid, std::chrono::nanoseconds for_so_long) {
  await("a process to fall asleep", [&] {
    if (!sleeps(pid)) return false;
    if (for_so_long.count() == 0) return true;
    const std::string before = switches(pid);
    ::usleep(static_cast<useconds_t>(for_so_long.count() / 1'000));
    return sleeps(pid) && switches(pid) == before;
  });
}

}    // namespace keyrack::bench
