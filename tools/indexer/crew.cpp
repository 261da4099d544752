#include "crew.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

namespace indexer {
namespace {

void check(int error, const char* what) {
  if (error != 0) throw std::system_error(error, std::system_category(), what);
}

pid_t wait_for(pid_t pid, int* status, int flags) {
  pid_t answer = 0;
  do {
    answer = waitpid(pid, status, flags);
  } while (answer < 0 && errno == EINTR);
  return answer;
}

}    // namespace

Crew::Crew(std::vector<std::string> arguments) : arguments_(std::move(arguments)) {
  int voice[2];
  check(pipe2(voice, O_CLOEXEC) == 0 ? 0 : errno, "cannot make a pipe");
  ear_ = voice[0];
  mouth_ = voice[1];
  check(pipe2(leash_, O_CLOEXEC) == 0 ? 0 : errno, "cannot make a pipe");
}

Crew::~Crew() {
  for (const pid_t pid : members_) ::kill(pid, SIGKILL);
  for (const pid_t pid : members_) wait_for(pid, nullptr, 0);
  for (const int fd : {ear_, mouth_, leash_[0], leash_[1]}) {
    if (fd >= 0) close(fd);
  }
}

void Crew::hire() {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, leash_[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, mouth_, STDOUT_FILENO);
  sigset_t ignored;    // by the parent, and a program keeps ignoring what it was started with
  sigemptyset(&ignored);
  sigaddset(&ignored, SIGPIPE);
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setsigdefault(&attributes, &ignored);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> argv;
  for (std::string& argument : arguments_) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = 0;
  const std::string program = std::filesystem::read_symlink("/proc/self/exe");
  const int error = posix_spawn(&pid, program.c_str(), &files, &attributes, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attributes);
  check(error, "cannot start a worker");
  members_.push_back(pid);
}

std::vector<std::string> Crew::listen(std::chrono::milliseconds wait) {
  std::vector<std::string> lines;
  pollfd readable{.fd = ear_, .events = POLLIN, .revents = 0};
  for (int timeout = static_cast<int>(wait.count()); poll(&readable, 1, timeout) > 0; timeout = 0) {
    char piece[4096];
    const ssize_t got = read(ear_, piece, sizeof piece);
    if (got <= 0) break;
    heard_.append(piece, static_cast<std::size_t>(got));
  }
  std::size_t start = 0;
  for (std::size_t end; (end = heard_.find('\n', start)) != std::string::npos; start = end + 1) {
    lines.push_back(heard_.substr(start, end - start));
  }
  heard_.erase(0, start);
  return lines;
}

std::vector<Departure> Crew::departures() {
  std::vector<Departure> gone;
  for (const pid_t pid : members_) {
    int status = 0;
    if (wait_for(pid, &status, WNOHANG) == pid) gone.push_back({pid, status});
  }
  for (const Departure& one : gone) std::erase(members_, one.pid);
  return gone;
}

bool Crew::stop(pid_t pid) {
  ::kill(pid, SIGSTOP);
  // Looked at without reaping it, in case it has ended.
  siginfo_t info{};
  int answer = 0;
  do {
    answer = waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WEXITED | WNOWAIT);
  } while (answer < 0 && errno == EINTR);
  return answer == 0 && info.si_code == CLD_STOPPED;
}

void Crew::resume(pid_t pid) { ::kill(pid, SIGCONT); }

void Crew::kill(pid_t pid) { ::kill(pid, SIGKILL); }

std::vector<Departure> Crew::dismiss() {
  close(std::exchange(leash_[1], -1));
  std::vector<Departure> gone;
  for (const pid_t pid : std::exchange(members_, {})) {
    int status = 0;
    wait_for(pid, &status, 0);
    gone.push_back({pid, status});
  }
  return gone;
}

}    // namespace indexer
