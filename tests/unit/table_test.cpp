// The protocol of the table, step by step, on memory of our own.
#include "allocations.hpp"
#include "table/quick.hpp"
#include "table/room.hpp"
#include "table_fixture.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace keyrack::table {
namespace {

constexpr Geometry kSmall{.slots = 8, .sessions = 4, .max_signature = 32, .max_signee = 16};

std::string numbered(std::string_view stem, int number) { return std::string(stem) + std::to_string(number); }

TEST(Table, HoldsExactlyAsManyKeysAsItHasSlots) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  for (int i = 0; i < 8; ++i) EXPECT_NE(self.lock(numbered("key", i), numbered("signee", i)), 0u);
  const auto refused = lock(self.caller(), {.key = Key::lock("one more"), .signee = "me"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::table_full);
  for (int i = 0; i < 8; ++i) EXPECT_TRUE(is_locked(self.table(), numbered("key", i)));

  EXPECT_TRUE(self.unlock("key3", "signee3"));
  EXPECT_NE(self.lock("one more", "me"), 0u);
  EXPECT_FALSE(is_locked(self.table(), "key3"));
}

TEST(Table, TokensRiseAlthoughRecordsAreUsedForOtherKeys) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  std::vector<std::uint64_t> last(40, 0);
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 40; ++i) {    // five times as many keys as slots: every use evicts
      const std::uint64_t token = self.lock(numbered("key", i), "me");
      ASSERT_GT(token, last[i]) << "key" << i << " in round " << round;
      last[i] = token;
      ASSERT_TRUE(self.unlock(numbered("key", i), "me"));
    }
  }
}

/// What is remembered of a key is true, or the exchange fails.
class MemoTest : public testing::Test {
 protected:
  std::uint64_t lock_again(std::string_view key, std::string_view signee = "me") {
    const Ask ask{.key = Key::lock(key), .signee = signee};
    ThreadMemory& mine = self_.caller().memory;
    CellMemo* memo = mine.keys.find(key);
    return memo == nullptr ? 0 : lock_remembered(mine, *memo, [&] { return wish_of(self_.table(), ask); });
  }
  bool unlock_again(std::string_view key, std::string_view signee = "me") {
    return unlock_remembered(self_.table(), self_.caller().memory, key, signee);
  }
  bool refused_again(std::string_view key, std::string_view signee = "me", std::int32_t level = 0) {
    refusal_ = {};
    const CellMemo* memo = self_.caller().memory.keys.find(key);
    return memo != nullptr && refused_remembered(self_.caller(), *memo, signee, level, refusal_);
  }
  bool held_still(std::string_view key) {
    seen_ = {};
    return check_remembered(self_.table(), self_.caller().memory, key, seen_);
  }
  /// So that key and signee are remembered.
  void use(std::string_view key) {
    for (int i = 0; i < 3; ++i) {
      ASSERT_NE(self_.lock(key, "me"), 0u);
      ASSERT_TRUE(self_.unlock(key, "me"));
    }
  }

  MemoryTable memory_{kSmall};
  TestSession self_{memory_}, other_{memory_};
  Refusal refusal_;
  CheckResponse seen_;
};

TEST_F(MemoTest, RefusesByTheGrantThatIsInTheWay) {
  EXPECT_FALSE(refused_again("key"));    // nothing is known of it
  const auto granted = lock(other_.caller(), {.key = Key::lock("key"), .signee = "other", .level = 2});
  ASSERT_TRUE(granted);
  ASSERT_EQ(self_.lock("key", "me"), 0u);
  EXPECT_TRUE(refused_again("key", "another", 2));
  EXPECT_EQ(refusal_.code, Errc::forbidden);
  EXPECT_EQ(refusal_.holder, "other");
  EXPECT_EQ(refusal_.level, 2);
  EXPECT_EQ(refusal_.token, granted->token);
  EXPECT_EQ(refusal_.pid, other_.caller().pid);
  EXPECT_FALSE(refused_again("key", "me", 3));
  EXPECT_FALSE(refused_again("key", "other"));
  EXPECT_FALSE(refused_again("key", std::string_view("m\0", 2)));
  ASSERT_TRUE(other_.unlock("key", "other"));
  EXPECT_FALSE(refused_again("key"));
  ASSERT_NE(other_.lock("key", "other"), 0u);
  EXPECT_FALSE(refused_again("key"));    // by another grant
}

TEST_F(MemoTest, RefusesNothingForTheSakeOfALease) {
  const Ask ask{.key = Key::lock("key"), .signee = "other", .duration = std::chrono::hours(1)};
  ASSERT_TRUE(lock(other_.caller(), ask));
  ASSERT_EQ(self_.lock("key", "me"), 0u);
  EXPECT_FALSE(refused_again("key"));    // its end has to be looked at
}

TEST_F(MemoTest, TellsWhoHoldsItStill) {
  EXPECT_FALSE(held_still("key"));    // nothing is known of it
  ASSERT_NE(other_.lock("key", "other"), 0u);
  ASSERT_TRUE(check(self_.table(), Key::lock("key"), seen_, &self_.caller().memory));
  const std::uint64_t token = seen_.token;
  EXPECT_TRUE(held_still("key"));
  EXPECT_EQ(seen_.signee, "other");
  EXPECT_EQ(seen_.token, token);
  EXPECT_EQ(seen_.expires_in, std::nullopt);
  ASSERT_TRUE(other_.unlock("key", "other"));
  EXPECT_FALSE(held_still("key"));
  ASSERT_NE(other_.lock("key", "another"), 0u);
  EXPECT_FALSE(held_still("key"));    // by another grant
}

TEST_F(MemoTest, LocksAndUnlocksWhatWasLeftSo) {
  EXPECT_EQ(lock_again("key"), 0u);    // nothing is known of it
  use("key");
  const std::uint64_t token = lock_again("key");
  EXPECT_NE(token, 0u);
  EXPECT_TRUE(is_locked(self_.table(), "key"));
  EXPECT_EQ(lock_again("key"), 0u);
  EXPECT_EQ(other_.lock("key", "other"), 0u);
  EXPECT_FALSE(unlock_again("key", "other"));
  EXPECT_TRUE(unlock_again("key"));
  EXPECT_FALSE(unlock_again("key"));
  EXPECT_FALSE(is_locked(self_.table(), "key"));
  EXPECT_GT(other_.lock("key", "other"), token);
}

TEST_F(MemoTest, OfARecordThatHasAnotherKeyByNow) {
  use("key");
  for (int i = 0; i < 8; ++i) ASSERT_NE(other_.lock(numbered("other", i), "other"), 0u);
  ASSERT_FALSE(find(self_.table(), Key::lock("key")).hit);
  EXPECT_EQ(lock_again("key"), 0u);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(other_.unlock(numbered("other", i), "other"));
  EXPECT_EQ(lock_again("key"), 0u);    // the same record, unlocked, and another key's
  EXPECT_NE(self_.lock("key", "me"), 0u);
}

TEST_F(MemoTest, OfALockThatSomebodyElseHasHadSince) {
  use("key");
  ASSERT_NE(other_.lock("key", "other"), 0u);
  EXPECT_EQ(lock_again("key"), 0u);
  ASSERT_TRUE(other_.unlock("key", "other"));
  EXPECT_EQ(lock_again("key"), 0u);
  EXPECT_NE(self_.lock("key", "me"), 0u);
}

TEST_F(MemoTest, OfALockThatWasTakenAway) {
  use("key");
  ASSERT_NE(lock_again("key"), 0u);
  ASSERT_TRUE(lock(other_.caller(), {.key = Key::lock("key"), .signee = "robber", .force = true}));
  EXPECT_FALSE(unlock_again("key"));
  EXPECT_TRUE(is_locked(self_.table(), "key"));
}

TEST_F(MemoTest, UnlocksNothingThatMayBeGoneByNow) {
  const Ask ask{.key = Key::lock("key"), .signee = "me", .time_to_live = std::chrono::hours(1)};
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(lock(self_.caller(), ask));
    EXPECT_FALSE(unlock_again("key"));    // its end has to be looked at
    ASSERT_TRUE(self_.unlock("key", "me"));
  }
}

TEST_F(MemoTest, OfAClaimantThatIsAnothersByNow) {
  ASSERT_NE(self_.lock("key", "signee"), 0u);    // the first time: a claimant for this call
  const auto claimant_of_key = [&] { return find(self_.table(), Key::lock("key")).hit->owner.claimant_index(); };
  const ClaimantIndex once = claimant_of_key();
  Ask ask{.key = Key::lock("key"), .signee = "signee", .force = true, .time_to_live = std::chrono::hours(1)};
  int tries = 0;
  do {    // until it is the same claimant, with other terms
    ASSERT_LT(tries++, 1000);
    ask.level = tries;
    ASSERT_TRUE(lock(other_.caller(), {.key = ask.key, .signee = "other", .level = tries, .force = true}));
    if (tries % 2 == 0) {    // an odd number of claimants, now and then
      ASSERT_TRUE(lock(other_.caller(), {.key = ask.key, .signee = "other", .level = -tries}));
    }
    ASSERT_TRUE(lock(other_.caller(), ask));
  } while (claimant_of_key() != once);
  ASSERT_TRUE(check(self_.table(), ask.key, seen_, &self_.caller().memory));
  EXPECT_FALSE(unlock_again("key", "signee"));
  EXPECT_FALSE(unlock_known(self_.caller(), ask.key, "signee"));
}

TEST_F(MemoTest, TellsKeysOfAllLengthsApart) {
  for (const std::size_t length : {1u, 2u, 3u, 4u, 7u, 8u, 9u, 15u, 16u, 17u, 23u, 24u, 25u, 31u, 32u}) {
    const std::string key(length, 'k');
    use(key);
    for (std::size_t at = 0; at < length; ++at) {
      std::string other = key;
      other[at] = 'x';
      EXPECT_EQ(lock_again(other), 0u) << length << ", " << at;
    }
    EXPECT_EQ(lock_again(key + "k"), 0u);
    EXPECT_NE(lock_again(key), 0u) << length;
    EXPECT_TRUE(unlock_again(key)) << length;
  }
}

TEST(Table, NoClaimantIsLostHoweverManySigneesCome) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_NE(self.lock("key", numbered("s", i)), 0u) << i;
    ASSERT_TRUE(self.unlock("key", numbered("s", i)));
  }
  EXPECT_LE(count_used_claimants(self.table()), 8u);    // what the thread remembers
}

TEST(Table, ClaimantsOfSigneesThatStillHoldAreNotFreed) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  for (int i = 0; i < 8; ++i) ASSERT_NE(self.lock(numbered("key", i), numbered("holder", i)), 0u);
  // Renewals with ever new levels take a claimant each; a sweep has to find the dropped ones, and only those.
  for (int level = 1; level < 1000; ++level) {
    const auto renewed = lock(self.caller(), {.key = Key::lock("key0"), .signee = "holder0", .level = level});
    ASSERT_TRUE(renewed && renewed->status == LockStatus::renewed) << level;
  }
  for (int i = 0; i < 8; ++i) {
    CheckResponse seen;
    ASSERT_TRUE(check(self.table(), Key::lock(numbered("key", i)), seen));
    EXPECT_EQ(seen.signee, numbered("holder", i));
  }
}

/// Runs `work` in a child that is killed when it returns; its session is left behind.
template <class Work>
void in_a_process_that_dies(const MemoryTable& memory, Work&& work) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto* session = new TestSession(memory);
    work(*session);
    ::raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the child ended otherwise";
}

TEST(Table, WhatADeadProcessWasMakingIsTakenBack) {
  const MemoryTable memory(kSmall);
  for (int i = 0; i < 8; ++i) {
    in_a_process_that_dies(memory, [&](TestSession& child) {
      if (!take_free_record(child.session(), 0)) _exit(1);    // ALLOC, in no chain
    });
  }
  EXPECT_EQ(count_free_records(memory.table()), 7u);    // each next one cleared up after those before
  TestSession self(memory);
  EXPECT_EQ(count_free_records(memory.table()), 8u);
  for (int i = 0; i < 8; ++i) EXPECT_NE(self.lock(numbered("key", i), "me"), 0u);
}

TEST(Table, ARecordThatWasCondemnedByADeadProcessIsFinished) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  ASSERT_NE(self.lock("key", "me"), 0u);
  ASSERT_TRUE(self.unlock("key", "me"));
  const Search search = find(self.table(), Key::lock("key"));
  ASSERT_TRUE(search.hit && search.hit->owner.is_idle());
  // As a process leaves it that was killed after the first step.
  ASSERT_TRUE(search.hit->replace(search.hit->head.next_token(), Owner::dead()));
  const std::uint64_t dead_token = search.hit->head.token() + 1;
  EXPECT_FALSE(find(self.table(), Key::lock("key")).hit);    // unlinks it
  EXPECT_GT(self.lock("key", "me"), dead_token);
  for (int i = 0; i < 7; ++i) EXPECT_NE(self.lock(numbered("other", i), "me"), 0u);    // its record is of use again
}

TEST(Table, SlotsOfTheDeadAreUsedAgain) {
  const MemoryTable memory(kSmall);
  std::set<std::uint32_t> generations;
  for (int i = 0; i < 20; ++i) {
    in_a_process_that_dies(memory, [&](TestSession& child) {
      if (child.lock("key", "child") == 0 && i == 0) _exit(1);
    });
  }
  TestSession self(memory);
  EXPECT_EQ(self.session().id.slot, 0u);
  EXPECT_EQ(self.session().id.generation, 21u);
}

TEST(Table, SessionsBeyondTheLastSlotAreRefused) {
  const MemoryTable memory(kSmall);
  TestSession a(memory), b(memory), c(memory), d(memory);
  EXPECT_FALSE(attach(memory.table(), os::identify()));
}

TEST(Table, GenerationsTellSessionsOfOneSlotApart) {
  const MemoryTable memory(kSmall);
  SessionId first;
  {
    TestSession session(memory);
    first = session.session().id;
    EXPECT_TRUE(alive(memory.table(), first));
  }
  EXPECT_FALSE(alive(memory.table(), first));
  TestSession again(memory);
  EXPECT_EQ(again.session().id.slot, first.slot);
  EXPECT_FALSE(alive(memory.table(), first));
  EXPECT_TRUE(alive(memory.table(), again.session().id));
}

TEST(Table, ManyThreadsWithMoreKeysThanSlotsNeverShareAGrant) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  constexpr int kKeys = 24, kThreads = 4, kRounds = 20'000;
  std::array<std::atomic<int>, kKeys> inside{};
  std::atomic<int> grants{0}, shared{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      ThreadMemory mine;
      const Caller caller{self.session(), mine, 1};
      const std::string me = numbered("thread", thread);
      unsigned random = 12'345u + static_cast<unsigned>(thread);
      for (int round = 0; round < kRounds; ++round) {
        random = random * 1'664'525u + 1'013'904'223u;
        const int key = static_cast<int>(random >> 16) % kKeys;
        const std::string name = numbered("key", key);
        if (!lock(caller, {.key = Key::lock(name), .signee = me})) continue;
        if (inside[key].fetch_add(1) != 0) ++shared;
        ++grants;
        inside[key].fetch_sub(1);
        if (const auto done = unlock(caller, Key::lock(name), me); !done || done->status != UnlockStatus::ok) {
          ++shared;
        }
      }
      mine.claimants.drop_all(self.table());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(shared, 0);
  EXPECT_GT(grants, kRounds);
  std::set<std::string> keys;
  for (RecordIndex index = 0; index < kSmall.slots; ++index) {
    const Hit hit = read_record(self.table(), index);
    ASSERT_TRUE(hit.owner.is_free() || hit.owner.is_idle());
    if (hit.owner.is_free()) continue;
    EXPECT_TRUE(keys.insert(read_key(self.table(), *hit.record)->bytes).second) << "a key is there twice";
  }
}

TEST(Table, IndexesOutOfRangeAreCorruption) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  ASSERT_NE(self.lock("key", "me"), 0u);
  Bucket& bucket = memory.table().bucket(Key::lock("key").tag.hash());
  const std::uint64_t link = bucket.link.load();
  bucket.link.store(link | 0xff'ffff);
  EXPECT_THROW(find(self.table(), Key::lock("key")), Corruption);
  bucket.link.store(link);
  Record& record = *find(self.table(), Key::lock("key")).hit->record;
  const std::uint64_t next = record.next.load();
  record.next.store(Link{next}.pointing_as(Link{link}).bits);    // a circle
  std::string other = "a";
  while ((Key::lock(other).tag.hash() & 7) != (Key::lock("key").tag.hash() & 7) || other == "key") other += "a";
  EXPECT_THROW(find(self.table(), Key::lock(other)), Corruption);
  record.next.store(next);
  record.cell.second.store(7);    // no such owner
  EXPECT_THROW((void)lock(self.caller(), {.key = Key::lock("key"), .signee = "you"}), Corruption);
}

TEST(NameHints, TheLowestFreeNumberComesFirstWhateverWasGivenBack) {
  const MemoryTable memory({.slots = 3000, .sessions = 4, .max_signature = 32, .max_signee = 16});
  TestSession self(memory);
  const Family family{"f", {}};
  for (std::uint32_t i = 0; i < 2500; ++i) {
    const auto grant = acquire_name(self.caller(), family, false);
    ASSERT_TRUE(grant);
    ASSERT_EQ(grant->number, i);
  }
  std::set<std::uint32_t> free;
  unsigned random = 7;
  for (int step = 0; step < 20'000; ++step) {
    random = random * 1'664'525u + 1'013'904'223u;
    const std::uint32_t number = (random >> 8) % 2500;
    if ((random >> 4 & 1) != 0 || free.empty()) {
      ASSERT_TRUE(release_name(self.table(), nullptr, family, number));
      free.insert(number);
    } else {
      const auto grant = acquire_name(self.caller(), family, false);
      ASSERT_TRUE(grant);
      ASSERT_EQ(grant->number, *free.begin()) << "at step " << step;
      free.erase(free.begin());
    }
  }
}

TEST(NameHints, AFreeNameThatWasNotAnnouncedIsFoundAfterTheDeath) {
  const MemoryTable memory({.slots = 100, .sessions = 4, .max_signature = 32, .max_signee = 16});
  TestSession self(memory);
  const Family family{"f", {}};
  for (std::uint32_t i = 0; i < 40; ++i) ASSERT_TRUE(acquire_name(self.caller(), family, false));
  in_a_process_that_dies(memory, [&](TestSession& child) {
    // As one leaves it who is killed after he has freed the cell: no hint tells of it.
    const Search search = find(child.table(), Key::name(0, "f", 35));
    if (!search.hit || !search.hit->replace(search.hit->head.next_token(), Owner::idle())) _exit(1);
  });
  EXPECT_EQ(acquire_name(self.caller(), family, false)->number, 35u);
  EXPECT_EQ(acquire_name(self.caller(), family, false)->number, 40u);
}

TEST(NameHints, NamesThatADeadProcessHeldAreFreeAtOnce) {
  const MemoryTable memory({.slots = 100, .sessions = 4, .max_signature = 32, .max_signee = 16});
  TestSession self(memory);
  const Family family{"f", {}};
  ASSERT_EQ(acquire_name(self.caller(), family, false)->number, 0u);
  in_a_process_that_dies(memory, [&](TestSession& child) {
    const auto held = acquire_name(child.caller(), family, true);
    const auto acquired = acquire_name(child.caller(), family, false);
    if (!held || held->number != 1 || !acquired || acquired->number != 2) _exit(1);
  });
  EXPECT_EQ(acquire_name(self.caller(), family, false)->number, 1u);
  EXPECT_EQ(acquire_name(self.caller(), family, false)->number, 3u);    // 2 outlives its process
}

TEST(NameHints, ANumberThatWasRegisteredButNotCountedIsCounted) {
  const MemoryTable memory({.slots = 100, .sessions = 4, .max_signature = 32, .max_signee = 16});
  TestSession self(memory);
  const Family family{"f", {}};
  ASSERT_EQ(acquire_name(self.caller(), family, false)->number, 0u);
  in_a_process_that_dies(memory, [&](TestSession& child) {
    const Key key = Key::name(0, "f", 1);
    if (!insert(child.session(), key, find(child.table(), key))) _exit(1);
  });
  EXPECT_EQ(acquire_name(self.caller(), family, false)->number, 1u);
  EXPECT_EQ(acquire_name(self.caller(), family, false)->number, 2u);
}

TEST(Names, ClosingASessionReleasesWhatIsKeptAliveMeanwhile) {
  const MemoryTable memory({.slots = 16, .sessions = 4, .max_signature = 32, .max_signee = 16});
  const Family family{"f", std::chrono::hours(1)};
  TestSession self(memory), other(memory);
  for (int round = 0; round < 60; ++round) {
    const auto grant = acquire_name(self.caller(), family, true);
    ASSERT_TRUE(grant);
    ASSERT_EQ(grant->number, 0u);
    std::atomic<bool> kept{false};
    std::thread keeper([&] {
      while (keep_alive_grant(self.table(), family, *grant)) kept = true;
    });
    while (!kept) std::this_thread::yield();
    release_all_of(self.table(), self.session().id);
    EXPECT_FALSE(is_in_force(self.table(), family, *grant));
    const auto next = acquire_name(other.caller(), family, false);
    keeper.join();    // it has been told that it is lost
    ASSERT_TRUE(next);
    EXPECT_EQ(next->number, 0u);
    EXPECT_TRUE(release_name(other.table(), nullptr, family, 0));
  }
}

/// Claimants that their session may still put into cells.
std::uint32_t count_pinned_claimants(const Table& table) {
  std::uint32_t count = 0;
  for (ClaimantIndex index = 0; index < table.layout().claimants; ++index) {
    if (ClaimantState{table.claimant(index).state.load()}.pinned()) ++count;
  }
  return count;
}

TEST(Table, AnAllocationThatFailsLosesNoClaimant) {
  for (int allowed = 0, failed = 1; failed != 0; ++allowed) {
    const MemoryTable memory({.slots = 8, .sessions = 4, .max_signature = 32, .max_signee = 64});
    TestSession self(memory);
    const std::string signee(60, 's');
    failed = 0;
    tests::allocations_left = allowed;
    // The second time that a level is new it is remembered, and the other one forgotten.
    for (const int level : {0, 1, 0, 1, 0, 1}) {
      try {
        (void)lock(self.caller(), {.key = Key::lock("key"), .signee = signee, .level = level});
      } catch (const std::bad_alloc&) {
        ++failed;
      }
    }
    tests::allocations_left = -1;
    for (const int level : {1, 0}) {
      (void)self.unlock("key", signee);    // else a renewal need not name a claimant anew
      ASSERT_TRUE(lock(self.caller(), {.key = Key::lock("key"), .signee = signee, .level = level}));
      const ClaimantIndex named = find(self.table(), Key::lock("key")).hit->owner.claimant_index();
      const ClaimantState state{self.table().claimant(named).state.load()};
      EXPECT_TRUE(state.used() && (state.pinned() || state.single())) << allowed;
    }
    self.caller().memory.claimants.drop_all(self.table());
    EXPECT_EQ(count_pinned_claimants(self.table()), 0u) << allowed;
  }
}

TEST(Table, WhatASigneeThatIsNotRememberedHadIsFreedAtOnce) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  const auto used = [&] { return count_used_claimants(self.table()); };
  const Caller caller = self.caller();
  ASSERT_NE(self.lock("unlocked", "a"), 0u);
  EXPECT_EQ(used(), 1u);
  ASSERT_TRUE(self.unlock("unlocked", "a"));
  EXPECT_EQ(used(), 0u);
  ASSERT_NE(self.lock("taken", "b"), 0u);
  ASSERT_TRUE(lock(caller, {.key = Key::lock("taken"), .signee = "c", .level = 1}));
  EXPECT_EQ(used(), 1u);
  ASSERT_TRUE(lock(caller, {.key = Key::lock("taken"), .signee = "c", .level = 2}));    // renewed with other terms
  EXPECT_LE(used(), 2u);
  ASSERT_TRUE(self.unlock("taken", "c"));
  EXPECT_LE(used(), 1u);
}

TEST(Table, WhatAnEvictedKeyHadIsFreedAtOnce) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  const auto stale = [&](int number) {
    return lock(self.caller(), {.key = Key::lock(numbered("key", number)),
                                .signee = numbered("signee", number),
                                .duration = std::chrono::nanoseconds(-1)});
  };
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(stale(i));
  const std::uint32_t before = count_used_claimants(self.table());
  for (int i = 8; i < 16; ++i) ASSERT_TRUE(stale(i));
  EXPECT_LE(count_used_claimants(self.table()), before);
}

TEST(Table, SigneesThatBeginAlikeAreTwo) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  ASSERT_NE(self.lock("longer", "12345678 and on"), 0u);
  ASSERT_NE(self.lock("shorter", "12345678"), 0u);    // a word of memory, no more
  EXPECT_EQ(self.lock("longer", "12345678"), 0u);
  EXPECT_EQ(self.lock("shorter", "12345678 and on"), 0u);
  EXPECT_FALSE(self.unlock("longer", "12345678"));
  EXPECT_FALSE(self.unlock("shorter", "12345678 and on"));
}

TEST(Table, WhoIsAttachedIsToldToPeople) {
  const MemoryTable memory(kSmall);
  os::Identity self = os::identify();
  self.command = "a longer name than there is room for";
  self.uid = 4711;
  const std::int64_t before = os::wall_ns();
  const auto id = attach(memory.table(), self);
  ASSERT_TRUE(id);
  const SessionInfo& info = memory.table().info(id->slot);
  EXPECT_EQ(info.generation, id->generation);
  EXPECT_EQ(info.pid, static_cast<std::uint64_t>(self.pid));
  EXPECT_EQ(info.uid, self.uid);
  EXPECT_EQ(info.pid_namespace, self.pid_namespace);
  EXPECT_GE(static_cast<std::int64_t>(info.attached_ns.load()), before);
  EXPECT_EQ(read_words(info.command, 16), "a longer name th");
  detach(memory.table(), *id);
}

TEST(Table, RecoveryFinishesWhatTheDeadCondemned) {
  const MemoryTable memory(kSmall);
  TestSession self(memory);
  in_a_process_that_dies(memory, [&](TestSession& child) {
    if (child.lock("key", "me") == 0 || !child.unlock("key", "me")) _exit(1);
    const Search search = find(child.table(), Key::lock("key"));
    if (!search.hit || !search.hit->replace(search.hit->head.next_token(), Owner::dead())) _exit(1);
  });
  EXPECT_EQ(count_free_records(memory.table()), 7u);
  EXPECT_TRUE(recover_the_dead(memory.table()));
  EXPECT_EQ(count_free_records(memory.table()), 8u);
  EXPECT_FALSE(recover_the_dead(memory.table()));
}

TEST(NameHints, OldNamesAreNotLookedForAtEachCall) {
  const MemoryTable memory(kSmall);    // its epoch, tick 0, is a second ago
  TestSession self(memory);
  const Family family{"f", std::chrono::milliseconds(100)};
  ASSERT_TRUE(acquire_name(self.caller(), family, false));
  const NamePart& root = memory.table().name_part(*find(memory.table(), Key::name(0, "f", 0)).hit->record);
  EXPECT_EQ(BornTick{root.oldest.load()}.tick(), 0u);
  ASSERT_TRUE(acquire_name(self.caller(), family, false));
  EXPECT_GT(BornTick{root.oldest.load()}.tick(), 0u);
}

}    // namespace
}    // namespace keyrack::table
