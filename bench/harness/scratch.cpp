#include "harness/scratch.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace keyrack::bench {

namespace {

/// A process of its own that outlives this one, and then removes the segments that are left of it.
void hire_a_janitor(const std::string& prefix) {
  int living[2];
  if (::pipe2(living, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  const pid_t helper = ::fork();
  if (helper < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (helper == 0) {
    ::setsid();
    if (::fork() != 0) ::_exit(0);    // twice, so that nobody who kills this process and its children finds it
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, living[1]}) ::close(fd);
    char nothing = 0;
    while (::read(living[0], &nothing, 1) < 0 && errno == EINTR) {
    }
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored)) {
      if (entry.path().filename().string().starts_with(prefix)) std::filesystem::remove(entry.path(), ignored);
    }
    ::_exit(0);
  }
  ::close(living[0]);    // the other end stays open for as long as this process lives
  ::waitpid(helper, nullptr, 0);
}

std::string next_name() {
  static const std::string prefix = [] {
    std::string of_this_process = "keyrack-bench-" + std::to_string(::getpid()) + "-";
    hire_a_janitor(of_this_process);
    return of_this_process;
  }();
  static int counter = 0;
  return prefix + std::to_string(++counter);
}

}    // namespace

ScratchName::ScratchName() : name_(next_name()) {}
ScratchName::~ScratchName() { (void)remove_segment(name_); }

}    // namespace keyrack::bench
