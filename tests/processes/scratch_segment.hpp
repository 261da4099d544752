// A segment of a test's own, which leaves nothing behind: not when the test fails, and not when it is killed.
#pragma once

#include <keyrack/keyrack.hpp>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace keyrack::tests {

/// What this process' segments begin with.
inline std::string scratch_prefix() { return "keyrack-test-" + std::to_string(::getpid()) + "-"; }

inline void remove_all_with(const std::string& prefix) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", ignored)) {
    if (entry.path().filename().string().starts_with(prefix)) std::filesystem::remove(entry.path(), ignored);
  }
}

/// A process of its own that outlives this one and all its children, and then cleans up what they left.
class Janitor {
 public:
  static void hire() { static const Janitor janitor; }

 private:
  Janitor() {
    const std::string prefix = scratch_prefix();
    int living[2];
    if (::pipe2(living, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    const pid_t helper = ::fork();
    if (helper < 0) throw std::system_error(errno, std::generic_category(), "fork");
    if (helper == 0) {
      // Twice, so that nobody who kills this process and its children finds the janitor.
      ::setsid();
      if (::fork() != 0) ::_exit(0);
      ::close(STDOUT_FILENO);
      ::close(STDERR_FILENO);
      ::close(living[1]);
      char nothing = 0;
      while (::read(living[0], &nothing, 1) < 0 && errno == EINTR) {
      }
      remove_all_with(prefix);
      ::_exit(0);
    }
    ::close(living[0]);    // the other end stays open for as long as this process and its children live
    ::waitpid(helper, nullptr, 0);
  }
};

class ScratchSegment {
 public:
  ScratchSegment() : name_(next_name()) { Janitor::hire(); }
  ~ScratchSegment() { (void)remove_segment(name_); }
  ScratchSegment(const ScratchSegment&) = delete;
  ScratchSegment& operator=(const ScratchSegment&) = delete;

  const std::string& name() const { return name_; }
  std::string path() const { return "/dev/shm/" + name_; }

  /// `query` without the question mark.
  std::string url(std::string_view query = "") const {
    return "shm://" + name_ + (query.empty() ? "" : "?" + std::string(query));
  }

 private:
  static std::string next_name() {
    static int counter = 0;
    return scratch_prefix() + std::to_string(++counter);
  }

  std::string name_;
};

/// All that verify() finds wrong, one per line; nothing when all is well.
inline std::string findings_of(const std::string& segment) {
  const auto inspector = open_inspector(segment);
  if (!inspector) return inspector.error().message();
  std::string all;
  for (const Finding& finding : (*inspector)->verify()) all += finding.place + ": " + finding.what + "\n";
  return all;
}

}    // namespace keyrack::tests
