// Stands between an etcd member and whoever asks it, and spoils answers, or lets nothing pass.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace keyrack::tests {

class Proxy {
 public:
  enum class Fault {
    none,
    cut,         // the answer is lost: etcd has done what it was asked to
    truncate,    // half of the answer comes
    corrupt,     // all of it comes, and some of it is not what it was
    garbage,     // something else comes in its place
    slow,        // it comes late, see delay_by()
    silent,      // nothing comes, and nobody hangs up
    apart,       // nothing passes: etcd hears nothing
    late,        // of transactions: the request itself is kept back until deliver(), and its sender cut off
  };

  /// Tells by the port of a connection whose it is: less than 32.
  using Whose = std::function<unsigned(int port)>;

  explicit Proxy(int member_port, Whose whose = {});
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  int port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

  /// Whatever those of the mask say, or are told, is swallowed; nobody hangs up. Those who are let through again have
  /// to connect anew.
  void swallow(std::uint32_t whose) { swallowed_ = whose; }

  /// What happens to the next `count` answers, after `spared` that come as they are; earlier orders are forgotten.
  void spoil(Fault fault, int count = 1, int spared = 0) {
    left_ = 0;
    fault_ = fault;
    spared_ = spared;
    left_ = count;
  }
  static constexpr int kAlways = 1 << 30;
  void spare() { left_ = 0; }
  int left() const { return left_; }

  /// How late what is slow comes.
  void delay_by(std::chrono::milliseconds span) { delay_ = span; }

  /// How many requests have come in, of that path alone where one is given.
  int asked(const std::string& path = {}) const;

  /// Called once, when the next answer is lost, before anybody learns of it. Set it while nothing is under way.
  void when_lost(std::function<void()> call) { when_lost_ = std::move(call); }

  /// Sends the requests that are late; they have been answered when this returns. How many there were.
  std::size_t deliver();

 private:
  struct Pair {
    int client = -1, member = -1;
    unsigned whose = 0;
    bool mute = false;
    bool swallowed = false;      // some of what was said
    std::string request = {};    // that is kept back
    std::string answer = {};     // that is due later
    std::chrono::steady_clock::time_point due = {};
  };
  void loop();
  bool forward_request(Pair&);
  bool is_spoiled();
  bool is_swallowed(const Pair& pair) const { return (swallowed_ >> pair.whose & 1) != 0; }
  bool swallow_from(int socket, Pair&) const;
  bool forward_answer(Pair&);    // false: the connection is over
  static bool forward_what_is_due(Pair&);
  int until_something_is_due() const;    // in milliseconds, for poll
  void count(const std::string& request);
  int connect_to_member() const;

  const int member_port_;
  const Whose whose_;
  std::atomic<std::uint32_t> swallowed_{0};
  int listener_ = -1, port_ = 0;
  int wake_[2] = {-1, -1};
  std::atomic<Fault> fault_{Fault::none};
  std::atomic<int> left_{0}, spared_{0};
  std::function<void()> when_lost_;
  std::atomic<std::chrono::milliseconds> delay_{std::chrono::seconds(1)};
  mutable std::mutex mutex_;    // guards the next two
  std::list<std::string> late_;
  std::map<std::string, int> asked_;    // by path
  std::list<Pair> pairs_;
  std::thread thread_;
};

}    // namespace keyrack::tests
