// A process's etcd lease, the thread that keeps it alive, and what else must be done again and again.
#pragma once

#include "etcd/client.hpp"
#include "etcd/clock.hpp"
#include "etcd/records.hpp"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <thread>

namespace keyrack::etcd {

/// Something the session's thread does again and again until it is stopped, or says that it is done.
class Beat {
 public:
  /// `run` answers whether it is to be done again.
  Beat(nanoseconds interval, std::function<bool(steady_clock::time_point until)> run)
      : interval_(interval), run_(std::move(run)) {}

  /// It does not begin again; what has begun goes on.
  void stop() { stopped_.store(true); }

 private:
  friend class Session;
  const nanoseconds interval_;
  const std::function<bool(steady_clock::time_point)> run_;
  std::atomic<bool> stopped_{false};
  steady_clock::time_point due_ = steady_clock::now() + interval_;    // the session's thread's alone
};

class Session {
 public:
  /// A new one. Errors: the client's; backend_unavailable where no thread can be had.
  /// No request of its thread takes longer than `timeout`.
  static Answer<std::shared_ptr<Session>> begin(Client&, nanoseconds ttl, nanoseconds timeout,
                                                steady_clock::time_point until);

  /// Waits for the thread's end, and does nothing else: see Place.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  /// The thread begins no other request, and ends.
  void stop();
  /// It has ended: nobody who lets go of the session last has to wait.
  bool ended() const { return ended_.load(); }

  LeaseId lease() const { return lease_; }
  nanoseconds ttl() const { return ttl_; }

  /// etcd has ended the lease.
  bool lost() const { return lost_.load(); }
  /// Asks etcd whether it has; that keeps it alive, too. False where there is no answer.
  bool look(steady_clock::time_point until);

  /// Until then nobody can have seen us die, even if etcd has not been heard of since.
  steady_clock::time_point good_until() const { return steady_clock::now() + (good_until_.load() - since_boot()); }

  void add(std::shared_ptr<Beat>);

  /// Has `done` tried soon, and again until it is true: what a caller could not do in its time, but must be done.
  void owe(std::function<bool(steady_clock::time_point until)> done);

 private:
  Session(Client& client, LeaseId lease, nanoseconds ttl, nanoseconds timeout, nanoseconds asked_at);
  void loop();
  steady_clock::time_point keep_alive();    // when it is due again
  void heard_of(nanoseconds asked_at);

  Client& client_;
  const LeaseId lease_;
  const nanoseconds ttl_, timeout_;
  std::atomic<bool> lost_{false};
  std::atomic<nanoseconds> good_until_;    // since boot

  std::mutex mutex_;    // guards the rest; never held during a request
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Beat>> beats_;
  std::atomic<bool> stopping_{false}, ended_{false};
  steady_clock::time_point due_;    // the thread's
  std::thread thread_;
};

/// Of one that may be gone.
inline steady_clock::time_point good_until(const std::weak_ptr<Session>& session) {
  const auto known = session.lock();
  return known && !known->lost() ? known->good_until() : steady_clock::time_point::min();
}

/// When to stop asking whether something is still ours: it counts as lost once we can believe it no longer, but for a
/// last question.
inline steady_clock::time_point no_longer_than(steady_clock::time_point believed, steady_clock::time_point until) {
  const auto now = steady_clock::now();
  return std::min(until, believed > now ? believed : now + std::chrono::seconds(1));
}

}    // namespace keyrack::etcd
