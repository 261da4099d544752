#include "harness/scratch.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace keyrack::bench {

namespace {

constexpr const char* kMemory = "/dev/shm";

/// Removes what has a name that begins so, or is the semaphore of such a name; answers whether there was something.
bool remove_all(const std::string& prefix) {
  std::error_code ignored;
  bool any = false;
  for (const auto& entry : std::filesystem::directory_iterator(kMemory, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(prefix) && !name.starts_with("sem." + prefix)) continue;
    any = true;
    std::filesystem::remove_all(entry.path(), ignored);
  }
  return any;
}

/// A process of its own that outlives this one, and then removes what is left of it.
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
    // A server that ends with this process may still be writing.
    for (int attempt = 0; attempt < 50 && remove_all(prefix); ++attempt) ::usleep(100'000);
    ::_exit(0);
  }
  ::close(living[0]);    // the other end stays open for as long as this process lives
  ::waitpid(helper, nullptr, 0);
}

}    // namespace

std::string scratch_name() {
  static const std::string prefix = [] {
    std::string of_this_process = "keyrack-bench-" + std::to_string(::getpid()) + "-";
    hire_a_janitor(of_this_process);
    return of_this_process;
  }();
  static int counter = 0;
  return prefix + std::to_string(++counter);
}

ScratchName::ScratchName() : name_(scratch_name()) {}
ScratchName::~ScratchName() { (void)remove_segment(name_); }

ScratchFolder::ScratchFolder() : path_(std::string(kMemory) + "/" + scratch_name()) {
  if (::mkdir(path_.c_str(), 0700) != 0) throw std::system_error(errno, std::generic_category(), path_);
}
ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}    // namespace keyrack::bench
