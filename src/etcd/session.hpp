// A process's etcd lease, the thread that keeps it alive, and what else must be done again and again.
#pragma once

#include "etcd/client.hpp"
#include "etcd/records.hpp"

#include <condition_variable>
#include <memory>
#include <thread>

namespace keyrack::etcd {

/// Something the session's thread does again and again until it is stopped.
class Beat {
 public:
  Beat(nanoseconds interval, std::function<void(steady_clock::time_point until)> run)
      : interval_(interval), run_(std::move(run)) {}

  /// When this returns, it does not run and will not run again.
  void stop() {
    const std::lock_guard guard(mutex_);
    stopped_ = true;
  }

 private:
  friend class Session;
  const nanoseconds interval_;
  const std::function<void(steady_clock::time_point)> run_;
  std::mutex mutex_;    // held while it runs
  bool stopped_ = false;
  steady_clock::time_point due_ = steady_clock::now() + interval_;    // the session's thread's alone
};

class Session {
 public:
  /// A new one. Errors: the client's; backend_unavailable where no thread can be had.
  static Answer<std::shared_ptr<Session>> begin(Client&, nanoseconds ttl, steady_clock::time_point until);

  /// Ends the thread, and nothing else: see Place.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  LeaseId lease() const { return lease_; }
  nanoseconds ttl() const { return ttl_; }

  /// etcd has ended the lease.
  bool lost() const { return lost_.load(); }
  /// Asks etcd whether it has; that keeps it alive, too. False where there is no answer.
  bool look(steady_clock::time_point until);

  /// Until then nobody can have seen us die, even if etcd has not been heard of since.
  steady_clock::time_point good_until() const {
    return steady_clock::time_point(steady_clock::duration(good_until_.load()));
  }

  void add(std::shared_ptr<Beat>);

  /// Deletes keys of a place that was left, as soon as etcd can be reached, and for as long as a request to make it may
  /// still be under way.
  void sweep(Range first, Range second);

 private:
  struct Litter {
    std::vector<Range> ranges;
    steady_clock::time_point until;
  };

  Session(Client& client, LeaseId lease, nanoseconds ttl, steady_clock::time_point asked_at);
  void loop();
  steady_clock::time_point keep_alive();    // when it is due again
  void run_beat(Beat&, steady_clock::time_point until);
  void sweep_all();

  Client& client_;
  const LeaseId lease_;
  const nanoseconds ttl_;
  std::atomic<bool> lost_{false};
  std::atomic<steady_clock::rep> good_until_;

  std::mutex mutex_;    // guards the rest; never held during a request
  std::condition_variable wake_;
  std::vector<std::shared_ptr<Beat>> beats_;
  std::vector<Litter> litter_;
  bool stopping_ = false;
  steady_clock::time_point due_;    // the thread's
  std::thread thread_;
};

}    // namespace keyrack::etcd
