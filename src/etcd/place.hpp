// What the services of one process share at one prefix of one etcd: the connections, who the process is, its session.
#pragma once

#include "etcd/own_grants.hpp"

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace keyrack::etcd {

class Place {
 public:
  /// This process's; a new one if it has none. Asks etcd nothing.
  static std::shared_ptr<Place> of(const Options&);

  /// Releases what is bound to the session, and ends it. In a forked child: nothing, it is the parent's.
  ~Place();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  Client& client() { return client_; }
  const Keys& keys() const { return keys_; }
  std::uint64_t process() const { return process_; }
  std::int32_t pid() const { return pid_; }

  OwnGrants& grants() { return grants_; }

  /// A session that is not lost, as far as is known. Errors: the client's.
  Answer<std::shared_ptr<Session>> session(steady_clock::time_point until);

  /// Has the session's thread, if there is one, try it until it is true: what could not be done in time, but must be.
  void owe(std::function<bool(steady_clock::time_point until)> done);
  /// The same for what undoes a write that may come late: tried for as long as that can be.
  void owe_while_under_way(std::function<bool(steady_clock::time_point until)> undone);

  /// How long closing may take; what the last service says counts.
  void close_within(nanoseconds timeout) { timeout_ = timeout; }

  /// False in a forked child of the process it was made in.
  bool mine() const;

 private:
  struct Registry;
  explicit Place(const Options&, Registry&);
  void close();

  Registry& registry_;
  Client client_;
  const Keys keys_;
  const std::uint64_t process_ = random_number();
  const std::int32_t pid_;
  std::atomic<nanoseconds> timeout_;
  const nanoseconds session_ttl_;
  OwnGrants grants_;

  std::mutex mutex_;    // guards the rest; never held during a request
  std::condition_variable begun_;
  bool beginning_ = false;    // a session, in some thread
  std::shared_ptr<Session> session_;
  std::vector<std::shared_ptr<Session>> lost_;    // whose threads may still be in a request
};

/// A service's way to its place, which in a forked child is a new one.
class Connection {
 public:
  explicit Connection(const Options& options)
      : options_(options), current_(new std::shared_ptr<Place>(Place::of(options))) {}
  ~Connection() {
    std::shared_ptr<Place>* held = current_.load();
    if (!(*held)->mine()) return;    // the parent's connections must not be closed by a child
    (*held)->close_within(options_.timeout);
    delete held;
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const std::shared_ptr<Place>& place() {
    std::shared_ptr<Place>* seen = current_.load();
    while (!(*seen)->mine()) {
      auto fresh = std::make_unique<std::shared_ptr<Place>>(Place::of(options_));
      if (current_.compare_exchange_strong(seen, fresh.get())) return *fresh.release();
    }
    return *seen;
  }

  /// Null in a forked child that has not called yet.
  std::shared_ptr<Place> place_if_mine() const {
    const std::shared_ptr<Place>& seen = *current_.load();
    return seen->mine() ? seen : nullptr;
  }

  const Options& options() const { return options_; }
  /// Until when a call that begins now may take.
  steady_clock::time_point deadline() const { return steady_clock::now() + options_.timeout; }

 private:
  const Options options_;
  std::atomic<std::shared_ptr<Place>*> current_;
};

}    // namespace keyrack::etcd
