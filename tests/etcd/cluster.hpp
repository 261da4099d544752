// A real etcd for a test: one or more members on loopback, in a throw-away folder.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/types.h>

namespace keyrack::tests {

/// Whether there is an etcd to start.
bool have_etcd();

class Cluster {
 public:
  /// All members run when this returns. They die with this process, however it ends. Throws std::runtime_error.
  explicit Cluster(std::size_t members = 1);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  std::size_t size() const { return members_.size(); }
  std::string endpoint(std::size_t member) const { return "127.0.0.1:" + std::to_string(members_[member].client_port); }
  std::string endpoints() const;    // with commas between

  void start(std::size_t member);
  void kill(std::size_t member);    // SIGKILL; dead and reaped when this returns
  void stop(std::size_t member) const;
  void resume(std::size_t member) const;

  /// Returns when a write goes through again. Throws std::runtime_error when none does.
  void await_health() const;

  /// The member that leads; size() while none does.
  std::size_t leader() const;

 private:
  struct Member {
    int client_port = 0, peer_port = 0;
    pid_t pid = -1;
  };

  std::filesystem::path folder_;
  std::vector<Member> members_;
  bool new_ = true;
};

}    // namespace keyrack::tests
