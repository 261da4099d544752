// What is counted: all of it, whoever counts, and also after those who counted have died.
#include "segment_fixture.hpp"

#include <numeric>
#include <thread>
#include <vector>

namespace keyrack::tests {
namespace {

using namespace std::chrono_literals;

class CountingTest : public SegmentFixture {
 protected:
  Counters counters() const { return snapshot().counters; }

  static void lock_and_unlock(LockService& locks, const std::string& key, int pairs) {
    for (int i = 0; i < pairs; ++i) {
      if (outcome(locks.lock({key, "anna"}, kBound)) != "ok" || outcome(locks.unlock({key, "anna"})) != "ok") {
        throw std::runtime_error("a pair was refused");
      }
    }
  }

  static std::uint64_t sum(const Histogram& histogram) {
    return std::accumulate(histogram.counts.begin(), histogram.counts.end(), std::uint64_t{0});
  }
};

TEST_F(CountingTest, ManyThreadsOfOneProcess) {
  constexpr int kPairs = 2000;
  const auto locks = open_locks();
  for (int round = 1; round <= 2; ++round) {    // the second time with what the threads of the first gave back
    std::vector<std::thread> threads;
    for (int i = 0; i < 12; ++i) {    // more than can count in words of their own
      threads.emplace_back([&, i] { lock_and_unlock(*locks, "key/" + std::to_string(i), kPairs); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(counters().grants, 12u * kPairs * static_cast<unsigned>(round));
  }
  EXPECT_EQ(counters().inserts, 12u);
}

TEST_F(CountingTest, WhatACallComesTo) {
  const auto locks = open_locks();
  const auto names = open_names();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok");
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "renewed");
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, {.duration = 1h, .lifetime = Lifetime::process})), "renewed");
  ASSERT_EQ(outcome(locks->lock({"job", "ben"}, kBound)), "forbidden");
  ASSERT_EQ(outcome(locks->unlock({"job", "ben"})), "forbidden");
  ASSERT_EQ(outcome(locks->lock_for({"job", "ben"}, 1ms, kBound)), "timed_out");
  ASSERT_EQ(outcome(names->acquire("family")), "0");
  ASSERT_EQ(outcome(names->try_acquire("family", "0")), "in_use");
  const Counters counted = counters();
  EXPECT_EQ(counted.grants, 1u);
  EXPECT_EQ(counted.renewals, 2u);
  EXPECT_EQ(counted.refusals, 3u);
  EXPECT_EQ(counted.lendings, 1u);
  EXPECT_EQ(counted.waits, 1u);
}

TEST_F(CountingTest, TransfersByTheirCause) {
  const auto locks = open_locks();
  const auto taken = [&](const LockRequest& request, const LockOptions& options = {}) {
    EXPECT_TRUE(locks->lock(request, options).value().status == LockStatus::transferred) << request.signee;
    const Counters counted = counters();
    return std::vector{counted.transfers_expired, counted.transfers_abandoned, counted.transfers_outranked,
                       counted.transfers_forced};
  };
  using Counted = std::vector<std::uint64_t>;
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, {.duration = -1s})), "ok");
  EXPECT_EQ(taken({"job", "ben"}), (Counted{1, 0, 0, 0}));
  EXPECT_EQ(taken({"job", "carl", 1}), (Counted{1, 0, 1, 0}));
  EXPECT_EQ(taken({"job", "dora"}, {.force = true}), (Counted{1, 0, 1, 1}));
  ASSERT_EQ(outcome(locks->unlock({"job", "dora"})), "ok");
  Child holder([&](Child::Link& link) {
    const auto own = open_locks();
    (void)own->lock({"job", "emil"}, kBound);
    link.say("ready");
    (void)link.hear();
  });
  ASSERT_EQ(holder.hear(), "ready");
  holder.kill();
  EXPECT_EQ(taken({"job", "anna"}), (Counted{1, 1, 1, 1}));
  EXPECT_EQ(counters().transfers(), 4u);
  EXPECT_EQ(counters().grants, 6u);
}

TEST_F(CountingTest, WhatTheDeadHaveCountedStays) {
  const auto watcher = open_locks("sessions=2");
  for (unsigned round = 1; round <= 3; ++round) {    // in the slot of the one before
    Child child([&](Child::Link& link) {
      const auto locks = open_locks();
      lock_and_unlock(*locks, "job", 100);
      link.say("ready");
      (void)link.hear();
    });
    ASSERT_EQ(child.hear(), "ready");
    const Snapshot seen = snapshot();
    EXPECT_EQ(seen.counters.grants, 100 * round);
    ASSERT_EQ(seen.sessions.size(), 2u);
    EXPECT_EQ(seen.sessions[0].counters.grants, 0u);
    EXPECT_EQ(seen.sessions[1].counters.grants, 100u) << "since it is this one's";
    child.kill();
    EXPECT_EQ(counters().grants, 100 * round);
  }
}

TEST_F(CountingTest, HowLongTheyWaited) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok");
  ASSERT_EQ(sum(snapshot().waiting), 0u);
  std::thread waiter([&] { EXPECT_EQ(outcome(locks->lock_for({"job", "ben"}, kPatience, kBound)), "ok"); });
  EXPECT_TRUE(eventually([&] { return !snapshot().waiters.empty() && snapshot().waiters[0].waited > 2ms; }));
  ASSERT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  waiter.join();
  const Histogram waiting = snapshot().waiting;
  EXPECT_EQ(sum(waiting), 1u);
  for (unsigned i = 0; i <= 11; ++i) EXPECT_EQ(waiting.counts[i], 0u) << "less than 2048 microseconds: " << i;
  EXPECT_GE(waiting.sum, 2ms);
}

TEST_F(CountingTest, HowLongTheyHeld) {
  const auto locks = open_locks();
  const auto began = std::chrono::steady_clock::now();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok");    // a thread's first is always watched
  while (std::chrono::steady_clock::now() - began < 3ms) std::this_thread::yield();
  ASSERT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  Histogram holding = snapshot().holding;
  EXPECT_EQ(sum(holding), 1u);
  for (unsigned i = 0; i <= 11; ++i) EXPECT_EQ(holding.counts[i], 0u) << "less than 2048 microseconds: " << i;

  // One of 64 on the average, each once; by others not at all.
  lock_and_unlock(*locks, "job", 64'000);
  holding = snapshot().holding;
  EXPECT_GT(sum(holding), 700u);
  EXPECT_LT(sum(holding), 1400u);
  EXPECT_LE(holding.counts.back(), 0u);
}

}    // namespace
}    // namespace keyrack::tests
