// A forked process that plays a part in a test, talks with its parent in short messages, and can be killed or stopped.
//
//     Child child([&](Child::Link& parent) {
//       auto locks = open();
//       parent.say(outcome(locks->lock({"job", "anna"}, {.lifetime = Lifetime::process})));
//       parent.hear();                                   // holds it until told to go on
//     });
//     EXPECT_EQ(child.hear(), "ok");
//     child.kill();                                      // SIGKILL; dead and reaped when this returns
//
// The child leaves by _exit: nothing of its parent's is destroyed or flushed twice. It dies with its parent.
#pragma once

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace keyrack::testing {

class Child {
 public:
  /// The child's side of the conversation.
  class Link {
   public:
    explicit Link(int socket) : socket_(socket) {}

    void say(const std::string& message) const {
      if (!send_message(socket_, message)) ::_exit(kOrphan);
    }
    std::string hear() const {
      std::string message;
      if (!receive_message(socket_, &message)) ::_exit(kOrphan);
      return message;
    }

   private:
    int socket_;
  };

  /// Fork while no other thread of the test runs. What the body throws is said to the parent.
  explicit Child(const std::function<void(Link&)>& body) {
    int sockets[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0) fail("socketpair");
    std::fflush(nullptr);
    const pid_t parent = ::getpid();
    pid_ = ::fork();
    if (pid_ < 0) fail("fork");
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(kOrphan);
      ::close(sockets[0]);
      run(body, sockets[1]);
    }
    ::close(sockets[1]);
    socket_ = sockets[0];
  }

  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), socket_(std::exchange(other.socket_, -1)) {}
  Child& operator=(Child&&) = delete;

  ~Child() {
    kill();
    if (socket_ >= 0) ::close(socket_);
  }

  pid_t pid() const { return pid_; }

  /// The next message; "(silent)" when none comes within `patience`, "(gone)" when the child has ended instead.
  std::string hear(std::chrono::milliseconds patience = std::chrono::minutes(1)) const {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(patience.count())) != 1) return "(silent)";
    std::string message;
    return receive_message(socket_, &message) ? message : "(gone)";
  }

  void tell(const std::string& message) const { (void)send_message(socket_, message); }

  /// SIGKILL; dead and reaped when this returns. Of one that has ended: only reaps it.
  void kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    (void)join();
  }

  /// SIGSTOP; stopped when this returns.
  void stop() const {
    ::kill(pid_, SIGSTOP);
    int status = 0;
    while (::waitpid(pid_, &status, WUNTRACED) < 0 && errno == EINTR) {
    }
  }

  void resume() const { ::kill(pid_, SIGCONT); }

  /// Waits for its end: the exit status, or minus the signal that ended it.
  int join() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  static constexpr int kThrew = 1, kOrphan = 2;

  [[noreturn]] static void fail(const char* call) { throw std::system_error(errno, std::generic_category(), call); }

  [[noreturn]] static void run(const std::function<void(Link&)>& body, int socket) {
    Link link(socket);
    try {
      body(link);
    } catch (const std::exception& error) {
      link.say(std::string("threw ") + error.what());
      ::_exit(kThrew);
    }
    ::_exit(0);
  }

  // A leading byte tells an empty message from the end.
  static bool send_message(int socket, const std::string& message) {
    const std::string packet = "." + message;
    return ::send(socket, packet.data(), packet.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(packet.size());
  }

  static bool receive_message(int socket, std::string* message) {
    std::string packet(kMessageBytesMax, '\0');
    ssize_t got = 0;
    while ((got = ::recv(socket, packet.data(), packet.size(), 0)) < 0 && errno == EINTR) {
    }
    if (got < 1) return false;
    *message = packet.substr(1, static_cast<std::size_t>(got) - 1);
    return true;
  }

  static constexpr std::size_t kMessageBytesMax = 65536;

  pid_t pid_ = -1;
  int socket_ = -1;
};

}    // namespace keyrack::testing
