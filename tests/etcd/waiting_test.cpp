// Who is let in when, and what it costs: queues of waiters, by the places that stand in etcd.
#include "faults.hpp"

#include "etcd/client.hpp"

#include <cstdio>
#include <limits>
#include <mutex>
#include <thread>
#include <vector>

namespace keyrack {
namespace {

class EtcdWaiting : public EtcdFaults {
 protected:
  /// No watch ends by itself, and nothing is kept alive meanwhile.
  std::string patient_url(const std::string& endpoint) const { return url(endpoint, "timeout=20s&session_ttl=300s"); }
  std::string url(const std::string& endpoint, const std::string& options) const {
    return "etcd://" + endpoint + "/" + prefix_ + "?" + options;
  }

  /// How many places there are in the queue for "job".
  std::size_t waiting(const tests::Cluster& where = cluster()) const {
    const auto queue = etcd::Keys(prefix_ + "/").ahead_of_newcomer("job", std::numeric_limits<std::int32_t>::min());
    const auto read = etcd::Client(where.access()).commit({.then = {etcd::read(queue)}}, steady_clock::now() + 20s);
    return read.value().read.at(0).size();
  }

  /// Requests of waiters during a few hand-overs, while so many wait.
  int requests_of_hand_overs(int waiters) {
    constexpr int kHandOvers = 3;
    int requests = 0;
    const auto holder = open_lock_service(patient_url(cluster().endpoint(0))).value();
    const auto locks = open_lock_service(patient_url(proxy_.endpoint())).value();
    EXPECT_EQ(outcome(holder->lock({"job", "anna"})), "ok");
    const auto watches = [&, before = proxy_.asked("/v3/watch")] { return proxy_.asked("/v3/watch") - before; };
    std::vector<std::thread> threads;
    for (int i = 0; i < waiters; ++i) {
      threads.emplace_back([&, i] { EXPECT_EQ(outcome(locks->lock_for({"job", std::to_string(i)}, 1h)), "ok"); });
      EXPECT_TRUE(eventually([&] { return waiting() == threads.size() && watches() == i + 1; }));
    }
    const int before = proxy_.asked();
    std::string last = "anna";
    for (int i = 0; i < waiters; ++i) {
      EXPECT_EQ(outcome(holder->unlock({"job", last})), "ok");
      last = std::to_string(i);
      // Granted, and the next one watches who has it now.
      EXPECT_TRUE(eventually(
          [&] { return outcome(holder->check("job")) == last && (i == waiters - 1 || watches() >= waiters + i + 1); }));
      if (i == kHandOvers - 1) requests = proxy_.asked() - before;
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(outcome(holder->unlock({"job", last})), "ok");
    std::printf("%d waiters: %d requests in %d hand-overs\n", waiters, requests, kHandOvers);
    return requests;
  }
};

TEST_F(EtcdWaiting, TheHighestLevelFirstThenByArrival) {
  const auto holder = locks(cluster().endpoint(0));
  const auto others = locks(proxy_.endpoint());    // with a session of their own
  ASSERT_EQ(outcome(holder->lock({"job", "anna", 9})), "ok");
  std::mutex mutex;
  std::string order;
  std::vector<std::thread> waiters;
  for (const std::int32_t level : {0, 0, 2, 1, 2, 0, 0, 0}) {
    const std::string signee = std::to_string(waiters.size());
    LockService& service = waiters.size() % 2 == 0 ? *holder : *others;
    waiters.emplace_back([&, level, signee] {
      EXPECT_EQ(outcome(service.lock_for({"job", signee, level}, 60s)), "ok");
      {
        const std::lock_guard guard(mutex);
        order += signee;
      }
      EXPECT_EQ(outcome(service.unlock({"job", signee})), "ok");
    });
    EXPECT_TRUE(eventually([&] { return waiting() == waiters.size(); }));
  }
  EXPECT_EQ(outcome(holder->unlock({"job", "anna"})), "ok");
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(order, "24301567");
}

TEST_F(EtcdWaiting, AHandOverCostsTheSameHoweverManyWait) {
  const int few = requests_of_hand_overs(4), many = requests_of_hand_overs(12);
  EXPECT_LE(many, few + 3) << "one more each, for a machine that is busy";
}

TEST_F(EtcdWaiting, AMemberThatIsKilledForgetsNothing) {
  tests::Cluster own;
  const std::string url = this->url(own.endpoint(0), "timeout=30s&session_ttl=300s");
  const auto locks = open_lock_service(url).value();
  const auto names = open_name_manager(url).value();
  const auto granted = locks->lock({"job", "anna"}, kBound);
  ASSERT_EQ(outcome(granted), "ok");
  const auto held = names->hold("stack").value();
  Result<LockResponse, Refusal> waited = LockResponse{};
  std::thread waiter([&] { waited = locks->lock_for({"job", "ben"}, 100s, kBound); });
  EXPECT_TRUE(eventually([&] { return waiting(own) == 1; }));
  for (int i = 0; i < 2; ++i) {
    own.kill(0);
    own.start(0);
    own.await_health();
    EXPECT_EQ(outcome(locks->confirm("job", granted->token)), "ok");
    EXPECT_EQ(outcome(held.status()), "ok");
    EXPECT_EQ(outcome(names->try_acquire("stack", held.name())), "in_use");
    EXPECT_EQ(outcome(locks->lock({"job", "carl"})), "forbidden");
  }
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  EXPECT_TRUE(eventually([&] { return outcome(locks->check("job")) == "ben"; })) << "long before it looks by itself";
  waiter.join();
  ASSERT_EQ(outcome(waited), "ok");
  EXPECT_GT(waited->token, granted->token);
  EXPECT_EQ(outcome(locks->confirm("job", waited->token)), "ok");
}

}    // namespace
}    // namespace keyrack
