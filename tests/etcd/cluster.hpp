// A real etcd for a test: one or more members on loopback, in a throw-away folder.
#pragma once

#include "proxy.hpp"

#include "etcd/options.hpp"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

namespace keyrack::tests {

/// Whether there is an etcd to start.
bool have_etcd();

class Cluster {
 public:
  enum class Security { none, certificates };    // of the members, and of whoever asks them

  enum class Peers { direct, proxied };    // how members reach each other

  /// All members run when this returns. They die with this process, however it ends. Throws std::runtime_error.
  explicit Cluster(std::size_t members = 1, Security = Security::none, Peers = Peers::direct);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  std::size_t size() const { return members_.size(); }
  int client_port(std::size_t member) const { return members_[member].client_port; }
  std::string endpoint(std::size_t member) const { return "127.0.0.1:" + std::to_string(client_port(member)); }
  std::string endpoints() const;    // with commas between
  /// How all of them are reached, as whoever they trust.
  etcd::Access access() const;
  /// A file of the throw-away folder.
  std::string file(const std::string& name) const { return folder_ / name; }

  /// What that path of the gateway answers to a request that is an object in JSON. Throws std::runtime_error.
  std::string ask(const std::string& path, const std::string& body, const std::string& authorization = "") const;
  /// How many leases live.
  std::size_t leases() const;

  void start(std::size_t member);
  void kill(std::size_t member);          // SIGKILL; dead and reaped when this returns
  void stop(std::size_t member) const;    // SIGSTOP; stopped when this returns
  void resume(std::size_t member) const;

  /// Where peers are proxied: no other member hears of that one, nor it of them, until all are joined again. Whoever
  /// asks them can do so.
  void cut_off(std::size_t member);
  void join_all();

  /// Returns when a write goes through again at each member that runs. Throws std::runtime_error when none does.
  void await_health() const;

  /// The member that leads; size() while none does.
  std::size_t leader() const;

 private:
  struct Member {
    int client_port = 0, peer_port = 0;
    std::atomic<pid_t> pid{-1};
    std::unique_ptr<Proxy> peer_proxy = {};    // what others know as its port
  };

  int advertised_port(std::size_t member) const;
  unsigned whose(int port) const;

  void make_certificates() const;

  const Security security_;
  std::filesystem::path folder_;
  std::vector<Member> members_;
  bool new_ = true;
};

/// For all tests of a program. Started on first use, which decides how many members it has.
Cluster& shared_cluster(std::size_t members = 1);

}    // namespace keyrack::tests
