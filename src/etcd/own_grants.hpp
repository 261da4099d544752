// What this process has been granted lately: so that an unlock need not read first, and that nobody believes in a grant
// for longer than etcd can have kept others from it.
#pragma once

#include "etcd/lock_seen.hpp"
#include "etcd/session.hpp"

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace keyrack::etcd {

/// Safe from many threads. All of it may be out of date: whoever uses it compares revisions, or asks.
class OwnGrants {
 public:
  /// `session`: that it is bound to, if any. What was granted before counts no more.
  void remember(std::string_view signature, LockSeen, const std::shared_ptr<Session>& session);
  void forget(std::string_view signature, std::uint64_t token);

  /// As it was granted.
  std::optional<LockSeen> find(std::string_view signature);

  /// Until when nobody else can have that grant, as far as can be told without asking; empty: it is none we know of.
  std::optional<steady_clock::time_point> believed_until(std::string_view signature, std::uint64_t token);

 private:
  struct Grant {
    LockSeen seen;
    std::weak_ptr<Session> session;
  };
  std::mutex mutex_;    // guards grants_
  std::map<std::string, Grant, std::less<>> grants_;
};

}    // namespace keyrack::etcd
