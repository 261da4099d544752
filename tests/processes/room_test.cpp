// A table promises `slots` records whatever their keys, and makes room from those that nobody holds, in order.
#include "segment_fixture.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace keyrack::tests {
namespace {

using std::chrono::nanoseconds;

class RoomTest : public SegmentFixture {
 protected:
  static constexpr int kSlots = 64;

  std::unique_ptr<LockService> small() const { return open_locks("slots=64&sessions=8"); }

  /// How many further keys can be locked before the table is full, each by a signee of its own.
  static int fill(LockService& locks, const std::string& prefix) {
    for (int taken = 0;; ++taken) {
      const std::string key = prefix + std::to_string(taken);
      const std::string came_to = outcome(locks.lock({key, "signee of " + key}));
      if (came_to != "ok") {
        EXPECT_EQ(came_to, "table_full");
        EXPECT_EQ(outcome(locks.check(key)), "not_found");
        return taken;
      }
    }
  }
};

TEST_F(RoomTest, ExactlyAsManyRecordsAsSlots) {
  const auto locks = small();
  EXPECT_EQ(fill(*locks, "key/"), kSlots);
  for (int i = 0; i < kSlots; ++i) {
    const std::string key = "key/" + std::to_string(i);
    EXPECT_EQ(outcome(locks->check(key)), "signee of " + key);
  }
}

TEST_F(RoomTest, WhateverTheKeys) {
  // Chance would have to be kind to each of these sets of keys, were there anything but the number that counts.
  for (int set = 0; set < 50; ++set) {
    const ScratchSegment segment;
    const auto locks = open_lock_service(segment.url("slots=64&sessions=8")).value();
    ASSERT_EQ(fill(*locks, std::string(static_cast<std::size_t>(set), 'k') + std::to_string(set) + "/"), kSlots);
    EXPECT_EQ(findings_of(segment.name()), "");
  }
}

TEST_F(RoomTest, TheSmallestTable) {
  const auto locks = open_locks("slots=1&sessions=1&max_signature=1&max_signee=1");
  EXPECT_EQ(outcome(locks->lock({"a", "x"})), "ok");
  EXPECT_EQ(outcome(locks->lock({"b", "x"})), "table_full");
  EXPECT_EQ(outcome(locks->lock({"a", "y"})), "forbidden");
  EXPECT_EQ(outcome(locks->lock({"ab", "x"})), "bad_request");
  EXPECT_EQ(outcome(locks->unlock({"a", "x"})), "ok");
  EXPECT_EQ(outcome(locks->lock({"b", "y"})), "ok");
  EXPECT_EQ(outcome(locks->check("a")), "not_found");
}

TEST_F(RoomTest, AFullTableChangesNothing) {
  const auto locks = small();
  std::map<std::string, std::uint64_t> tokens;
  for (int i = 0; i < kSlots; ++i) {
    const std::string key = "key/" + std::to_string(i);
    tokens[key] = locks->lock({key, "anna", i}).value().token;
  }
  const auto names = open_names();
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(outcome(locks->lock({"one more", "anna"})), "table_full");
    EXPECT_EQ(outcome(locks->lock({"one more", "anna"}, {.force = true})), "table_full");
    EXPECT_EQ(outcome(locks->lock_for({"one more", "anna"}, kPatience)), "table_full");
    EXPECT_EQ(outcome(names->acquire("stack")), "table_full");
    EXPECT_EQ(outcome(names->hold("stack")), "table_full");
    EXPECT_EQ(outcome(names->list()), "0 names");
    EXPECT_EQ(outcome(locks->check("one more")), "not_found");
  }
  for (const auto& [key, token] : tokens) EXPECT_EQ(outcome(locks->confirm(key, token)), "ok") << key;
}

TEST_F(RoomTest, WhatIsThereCanBeUsedThoughTheTableIsFull) {
  const auto locks = small();
  ASSERT_EQ(fill(*locks, "key/"), kSlots);
  EXPECT_EQ(outcome(locks->lock({"key/5", "signee of key/5", 3}, {.duration = std::chrono::hours(1)})), "renewed");
  EXPECT_EQ(outcome(locks->lock({"key/5", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->lock({"key/5", "ben", 4})), "transferred from signee of key/5");
  EXPECT_EQ(outcome(locks->unlock({"key/5", "ben"})), "ok");
  EXPECT_EQ(fill(*locks, "more/"), 1);
  EXPECT_EQ(outcome(locks->lock({"key/5", "ben"})), "table_full");
}

TEST_F(RoomTest, ManyProcessesFillItTogether) {
  const auto locks = small();
  std::vector<Child> children;
  for (int i = 0; i < 7; ++i) {
    children.emplace_back([&, i](Child::Link& parent) {
      const auto mine = small();
      parent.say("ready");
      parent.hear();
      parent.say(std::to_string(fill(*mine, "child " + std::to_string(i) + "/")));
      parent.hear();
    });
  }
  for (const Child& child : children) ASSERT_EQ(child.hear(), "ready");
  for (const Child& child : children) child.tell("go");
  int taken = 0;
  for (const Child& child : children) taken += std::stoi(child.hear());
  EXPECT_EQ(taken, kSlots);
  for (Child& child : children) child.kill();
  EXPECT_EQ(fill(*locks, "parent/"), 0) << "their locks are not bound to them";
}

TEST_F(RoomTest, RegisteredNamesAreRecordsUntilAReset) {
  const auto locks = small();
  const auto names = open_names();
  for (int i = 0; i < kSlots / 2; ++i) ASSERT_EQ(outcome(names->acquire("stack")), std::to_string(i));
  EXPECT_EQ(fill(*locks, "key/"), kSlots / 2);
  EXPECT_EQ(outcome(names->acquire("stack")), "table_full");
  EXPECT_EQ(outcome(names->release("stack", "7")), "ok");
  EXPECT_EQ(fill(*locks, "more/"), 0) << "a name that is free is still registered";
  EXPECT_EQ(outcome(names->acquire("stack")), "7");
  EXPECT_EQ(outcome(names->list()), std::to_string(kSlots / 2) + " names");
  EXPECT_EQ(outcome(names->reset()), "ok");
  EXPECT_EQ(fill(*locks, "more/"), kSlots / 2);
}

// The four kinds of records that nobody holds, a few of each, in between those that are held.
class RoomOrderTest : public RoomTest {
 protected:
  static constexpr int kOfEachKind = 4;

  void SetUp() override {
    locks_ = small();
    dead_ = std::make_unique<Child>([this](Child::Link& parent) {
      const auto mine = small();
      for (int i = 0; i < kOfEachKind; ++i) {
        parent.hear();
        parent.say(outcome(mine->lock({"abandoned/" + std::to_string(i), "anna"}, kBound)));
      }
      parent.hear();
    });
    int held = 0;
    const auto hold_some = [&](int more) {
      for (; more > 0; --more, ++held) {
        ASSERT_EQ(outcome(locks_->lock({"held/" + std::to_string(held), "anna"})), "ok");
      }
    };
    // In an order that is none of the expected ones.
    for (int i = 0; i < kOfEachKind; ++i) {
      const std::string number = std::to_string(i);
      hold_some(5);
      ASSERT_EQ(outcome(locks_->lock({"stale/" + number, "anna"}, {.duration = nanoseconds(-1)})), "ok");
      hold_some(3);
      dead_->tell("one more");
      ASSERT_EQ(dead_->hear(), "ok");
      ASSERT_EQ(outcome(locks_->lock({"gone/" + number, "anna"}, {.time_to_live = nanoseconds(1)})), "ok");
      ASSERT_EQ(outcome(locks_->lock({"unlocked/" + number, "anna"})), "ok");
      hold_some(4);
    }
    ASSERT_EQ(held + 4 * kOfEachKind, kSlots);
    for (int i = 0; i < kOfEachKind; ++i) {
      ASSERT_EQ(outcome(locks_->unlock({"unlocked/" + std::to_string(i), "anna"})), "ok");
      ASSERT_TRUE(eventually([&] { return outcome(locks_->check("gone/" + std::to_string(i))) == "not_found"; }));
    }
    dead_->kill();
  }

  /// How many records of each kind are still in the table.
  std::map<std::string, int> left() const {
    std::map<std::string, int> count{{"held", 0},      {"unlocked", 0}, {"gone", 0},
                                     {"abandoned", 0}, {"stale", 0},    {"new", 0}};
    for (const LockPicture& lock : snapshot().locks) ++count[lock.signature.substr(0, lock.signature.find('/'))];
    return count;
  }

  void TearDown() override {
    locks_.reset();
    RoomTest::TearDown();
  }

  std::unique_ptr<LockService> locks_;
  std::unique_ptr<Child> dead_;
};

TEST_F(RoomOrderTest, UnlockedThenGoneThenAbandonedThenStale) {
  int added = 0;
  std::map<std::string, int> expected = left();
  ASSERT_EQ(expected["held"], kSlots - 4 * kOfEachKind);
  for (const char* kind : {"unlocked", "gone", "abandoned", "stale"}) {
    ASSERT_EQ(expected[kind], kOfEachKind) << kind;
    for (int i = 0; i < kOfEachKind; ++i, ++added) {
      ASSERT_EQ(outcome(locks_->lock({"new/" + std::to_string(added), "ben"})), "ok") << kind;
      --expected[kind];
      ++expected["new"];
      ASSERT_EQ(left(), expected) << "room was made from others than " << kind;
    }
  }
  EXPECT_EQ(outcome(locks_->lock({"new/" + std::to_string(added), "ben"})), "table_full");
  for (int i = 0; i < expected["held"]; ++i) EXPECT_EQ(outcome(locks_->check("held/" + std::to_string(i))), "anna");
  for (int i = 0; i < kOfEachKind; ++i) {
    EXPECT_EQ(outcome(locks_->check("stale/" + std::to_string(i))), "not_found");
    EXPECT_EQ(outcome(locks_->check("abandoned/" + std::to_string(i))), "not_found");
  }
}

TEST_F(RoomOrderTest, NamesMakeRoomInTheSameWay) {
  const auto names = open_names();
  for (int i = 0; i < 4 * kOfEachKind; ++i) ASSERT_EQ(outcome(names->acquire("stack")), std::to_string(i));
  EXPECT_EQ(outcome(names->acquire("stack")), "table_full");
  EXPECT_EQ(left()["held"], kSlots - 4 * kOfEachKind);
}

TEST_F(RoomTest, TokensRiseAcrossEviction) {
  const auto locks = open_locks("slots=4&sessions=4");
  std::map<std::string, std::uint64_t> last;
  std::uint32_t dice = 12345;
  int evicted = 0;
  for (int round = 0; round < 5000; ++round) {
    dice = dice * 1664525 + 1013904223;
    const std::string key = "key/" + std::to_string((dice >> 16) % 13);
    evicted += last.contains(key);
    const auto grant = locks->lock({key, "anna"});
    ASSERT_EQ(outcome(grant), "ok");
    ASSERT_GT(grant->token, last[key]) << key << " in round " << round;
    last[key] = grant->token;
    ASSERT_EQ(outcome(locks->unlock({key, "anna"})), "ok");
    ASSERT_EQ(outcome(locks->confirm(key, grant->token)), "lost");
  }
  EXPECT_GT(snapshot().counters.evictions, 1000u);
  EXPECT_GT(evicted, 1000);
}

TEST_F(RoomTest, TokensRiseAcrossEvictionOfTheStaleAndTheDead) {
  const auto locks = open_locks("slots=2&sessions=4");
  std::uint64_t last = 0;
  for (int round = 0; round < 30; ++round) {
    Child child([&](Child::Link& parent) {
      const auto mine = open_locks();
      const auto grant = mine->lock({"job", "anna"}, kBound);
      parent.say(grant ? std::to_string(grant->token) : outcome(grant));
      parent.hear();
    });
    const std::uint64_t token = std::stoull(child.hear());
    EXPECT_GT(token, last);
    last = token;
    child.kill();
    for (const char* key : {"a", "b"}) {    // push it out
      ASSERT_EQ(outcome(locks->lock({key, "ben"})), "ok");
    }
    EXPECT_EQ(outcome(locks->check("job")), "not_found");
    EXPECT_EQ(outcome(locks->confirm("job", token)), "lost");
    for (const char* key : {"a", "b"}) ASSERT_EQ(outcome(locks->unlock({key, "ben"})), "ok");
  }
}

TEST_F(RoomTest, EvictionGoesOnForever) {
  const auto locks = small();
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = "key/" + std::to_string(i), signee = "signee/" + std::to_string(i);
    ASSERT_EQ(outcome(locks->lock({key, signee})), "ok") << i;
    ASSERT_EQ(outcome(locks->unlock({key, signee})), "ok") << i;
  }
  EXPECT_EQ(fill(*locks, "at the end/"), kSlots) << "nothing was lost on the way";
}

TEST_F(RoomTest, EvictionAmongManyThreads) {
  const auto locks = open_locks("slots=16&sessions=8");
  std::vector<std::thread> threads;
  std::array<int, 4> grants{};
  for (std::size_t me = 0; me < grants.size(); ++me) {
    threads.emplace_back([&, me] {
      std::map<std::string, std::uint64_t> last;
      const std::string signee = "thread " + std::to_string(me);
      for (int turn = 0; turn < 5000; ++turn) {
        const std::string key = "key/" + std::to_string((turn * 7 + static_cast<int>(me) * 5) % 40);
        const auto grant = locks->lock({key, signee});
        if (!grant) {
          ASSERT_EQ(outcome(grant), "forbidden") << "four threads hold four of sixteen records at most";
          continue;
        }
        ASSERT_GT(grant->token, last[key]);
        last[key] = grant->token;
        ++grants[me];
        ASSERT_EQ(outcome(locks->unlock({key, signee})), "ok");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : grants) EXPECT_GT(count, 100);
  EXPECT_EQ(fill(*locks, "at the end/"), 16);
}

}    // namespace
}    // namespace keyrack::tests
