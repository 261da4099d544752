// etcd's calls: which endpoint is asked, as whom, and what its answer is worth.
#pragma once

#include "etcd/http.hpp"
#include "etcd/wire.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace keyrack::etcd {

/// Why there is no answer.
struct Trouble {
  Errc code = Errc::backend_unavailable;    // or permission_denied, table_full; lost: there is no such lease
  bool in_doubt = false;                    // what was asked for may have been done, or may be done yet
  std::string what = {};
};

template <class T>
using Answer = boost::system::result<T, Trouble>;

[[noreturn]] void throw_exception_from_error(const Trouble&, const boost::source_location&);

/// Each call takes until `until` at the longest, and asks one endpoint after the other, again and again until then, as
/// long as that does no harm. Safe from many threads; not in a forked child, see Http.
class Client {
 public:
  /// `prefix` begins the keys that are made for the client's own needs.
  explicit Client(const Access&, std::string prefix = {});

  const std::string& prefix() const { return prefix_; }

  /// One that only reads is never in doubt.
  Answer<TxnAnswer> commit(const Txn&, steady_clock::time_point until);

  /// The latest of the store that an answer has told of.
  Revision revision() const { return revision_.load(std::memory_order_relaxed); }

  /// Sleeps until something has happened to a key of the range since that revision, or may have.
  void await_change(const Range&, Revision since, steady_clock::time_point until);

  /// What happened to the keys of a range after that revision, in order; ends with the first that is the last, which
  /// must have happened.
  Answer<std::vector<Change>> changes(const Range&, Revision since, const std::function<bool(const KeyValue&)>& is_last,
                                      steady_clock::time_point until);

  /// Leases. Asking twice with one id makes one lease. The time it lives, as etcd has set it.
  Answer<std::chrono::seconds> grant(LeaseId, std::chrono::seconds ttl, steady_clock::time_point until);
  Answer<std::chrono::seconds> keep_alive(LeaseId, steady_clock::time_point until);    // 0: it has ended
  Answer<void> revoke(LeaseId, steady_clock::time_point until);
  Answer<std::vector<std::string>> keys_of(LeaseId, steady_clock::time_point until);

 private:
  enum class Repeat { harmless, harmful };
  enum class Verdict { refused, again, as_whom };    // for good; another may answer; authenticate first

  struct Request {
    std::string_view path;
    std::string body;
    Repeat repeat = Repeat::harmless;
    bool authenticated = true;
  };

  /// `parse` throws Garbage. Whether an answer was lost before the one that came.
  Answer<bool> ask(const Request&, steady_clock::time_point until, const std::function<void(std::string_view)>& parse);
  Answer<std::string> authorization(steady_clock::time_point until);
  HttpAnswer watch(const Range&, Revision since, steady_clock::time_point until,
                   const std::function<bool(std::string_view line)>& on_line);
  static Verdict judge(const EtcdError&, Trouble&);

  const std::string& endpoint(std::size_t number) const { return access_.endpoints[number % access_.endpoints.size()]; }

  const Access access_;
  const std::string prefix_;
  Http http_;
  std::atomic<std::size_t> preferred_{0};
  std::atomic<Revision> revision_{0};
  std::mutex mutex_;    // guards token_
  std::optional<std::string> token_;
};

}    // namespace keyrack::etcd
