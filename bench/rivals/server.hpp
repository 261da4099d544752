// Servers of rivals: started for the cases, on a socket in a folder of their own, and ended with them.
#pragma once

#include "harness/processes.hpp"
#include "harness/scratch.hpp"

#include <csignal>
#include <initializer_list>
#include <string>
#include <vector>

namespace keyrack::bench {

/// The first of these paths, which may be patterns, that is a program; empty if none is.
std::string find_program(std::initializer_list<const char*> patterns);

class Server {
 public:
  /// As another user than root: some servers do not run as root. Without effect for others than root.
  enum class As { caller, nobody };

  explicit Server(As as);

  const ScratchFolder& folder() const { return folder_; }

  /// Runs a program to its end. The first argument is its name.
  void run(const std::string& program, const std::vector<std::string>& arguments);
  /// Starts the program that serves. `stop` is the signal that ends it at once, but tidily.
  void start(const std::string& program, const std::vector<std::string>& arguments, int stop = SIGKILL);

  /// Calls `connected` until it answers true.
  template <class Connected>
  void await_ready(const char* what, Connected&& connected) {
    await(what, [&] {
      child_->require_alive();
      if (connected()) return true;
      ::usleep(1'000);
      return false;
    });
  }

  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  void become(const std::string& program, const std::vector<std::string>& arguments, int stop);

  ScratchFolder folder_;
  As as_;
  pid_t owner_ = ::getpid();
  std::unique_ptr<Child> child_;
  int stop_ = SIGKILL;
};

}    // namespace keyrack::bench
