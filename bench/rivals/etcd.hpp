// keyrack on etcd: the same calls by another URL, on a cluster of one member on this host. No rival, but what moving
// there costs.
#pragma once

#include "harness/keys.hpp"
#include "harness/scratch.hpp"
#include "rivals/server.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>

namespace keyrack::bench {

class EtcdServer {
 public:
  /// Started on first use, ended with this process.
  static EtcdServer& running() {
    static EtcdServer server;
    return server;
  }
  static std::string program() { return find_program({"/usr/bin/etcd", "/usr/local/bin/etcd"}); }

  std::string url() const { return "etcd://127.0.0.1:" + std::to_string(port_) + "/bench?timeout=1m&session_ttl=2s"; }

 private:
  EtcdServer() : server_(Server::As::caller) {
    const std::string client = "http://127.0.0.1:" + std::to_string(port_);
    const std::string peer = "http://127.0.0.1:" + std::to_string(free_port());
    server_.start(program(),
                  {"etcd", "--data-dir", server_.folder().path("data"), "--listen-client-urls", client,
                   "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                   "--initial-cluster", "default=" + peer, "--logger", "zap", "--log-level", "error"});
    server_.await_ready("etcd", [this] { return open_lock_service(url()).has_value(); });
  }

  /// One that was free a moment ago.
  static int free_port() {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    const bool bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0 &&
                       ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) == 0;
    ::close(socket);
    require(bound, "no free port");
    return ntohs(address.sin_port);
  }

  Server server_;
  const int port_ = free_port();
};

class KeyrackOnEtcd {
 public:
  static constexpr std::string_view kName = "keyrack on etcd";
  static constexpr bool kSurvivesDeath = true, kSleeps = true;
  // A wait makes several requests. Only the last one, which watches the key, takes long.
  static constexpr std::chrono::milliseconds kAsleepFor{300};
  static bool installed() { return !EtcdServer::program().empty(); }

  explicit KeyrackOnEtcd(std::size_t keys)
      : locks_(open_lock_service(EtcdServer::running().url()).value()), keys_(keys) {}

  void lock(std::size_t key) {
    const std::string self = std::string(kSignee) + "-" + std::to_string(::getpid());
    const auto granted =
        locks_->lock_until({.signature = keys_[key], .signee = self}, std::chrono::steady_clock::time_point::max(),
                           {.lifetime = Lifetime::process});
    require(granted.has_value(), "lock_until() was refused");
  }
  void unlock(std::size_t key) {
    const std::string self = std::string(kSignee) + "-" + std::to_string(::getpid());
    require(locks_->unlock({.signature = keys_[key], .signee = self}).has_value(), "unlock() was refused");
  }

 private:
  std::unique_ptr<LockService> locks_;
  KeyTexts keys_;
};

}    // namespace keyrack::bench
