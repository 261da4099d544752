// Stands between a client and one etcd member, and spoils answers.
#pragma once

#include <atomic>
#include <list>
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
    slow,        // it comes after a second
    silent,      // nothing comes, and nobody hangs up
  };

  explicit Proxy(int member_port);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }

  /// What happens to the next `count` answers; earlier orders are forgotten.
  void spoil(Fault fault, int count = 1) {
    left_ = 0;
    fault_ = fault;
    left_ = count;
  }
  static constexpr int kAlways = 1 << 30;
  void spare() { left_ = 0; }

 private:
  struct Pair {
    int client = -1, member = -1;
    bool mute = false;
  };
  void loop();
  bool forward_answer(Pair&);    // false: the connection is over
  int connect_to_member() const;

  const int member_port_;
  int listener_ = -1, port_ = 0;
  int wake_[2] = {-1, -1};
  std::atomic<Fault> fault_{Fault::none};
  std::atomic<int> left_{0};
  std::list<Pair> pairs_;
  std::thread thread_;
};

}    // namespace keyrack::tests
