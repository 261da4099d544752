// Sessions: one per process and segment, proven dead by the kernel, and used again.
#include "sanitizers.hpp"
#include "segment_fixture.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <vector>

namespace keyrack::tests {
namespace {

class SessionTest : public SegmentFixture {
 protected:
  std::unique_ptr<LockService> small() const { return open_locks("slots=256&sessions=16"); }

  /// A process that locks a key and stays until told to go.
  Child holder_of(const std::string& key, const std::string& signee = "anna") const {
    return Child([=, this](Child::Link& parent) {
      const auto mine = open_locks();
      parent.say(outcome(mine->lock({key, signee}, kBound)));
      parent.hear();
    });
  }

  std::size_t sessions_alive() const {
    const Snapshot seen = snapshot();
    return static_cast<std::size_t>(
        std::count_if(seen.sessions.begin(), seen.sessions.end(), [](const auto& each) { return each.alive; }));
  }
};

TEST_F(SessionTest, AllServicesOfAProcessShareOne) {
  const auto locks = open_locks("slots=64&sessions=1");
  const auto more = open_locks();
  const auto names = open_names();
  EXPECT_EQ(sessions_alive(), 1u);
  EXPECT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok");
  EXPECT_EQ(outcome(more->lock({"job", "anna"}, kBound)), "renewed");
  EXPECT_EQ(outcome(names->hold("stack")), "0");
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] { EXPECT_EQ(outcome(open_locks()->lock({"job", "anna"}, kBound)), "renewed"); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sessions_alive(), 1u);
}

TEST_F(SessionTest, NoRoomForAnotherProcess) {
  const auto locks = open_locks("slots=64&sessions=3");
  Child first = holder_of("first"), second = holder_of("second");
  ASSERT_EQ(first.hear(), "ok");
  ASSERT_EQ(second.hear(), "ok");
  for (int round = 0; round < 3; ++round) {
    Child refused([&](Child::Link& parent) {
      parent.say(outcome(try_locks()));
      parent.say(outcome(open_name_manager(segment_.url())));
    });
    EXPECT_EQ(refused.hear(), "session_limit");
    EXPECT_EQ(refused.hear(), "session_limit");
    EXPECT_EQ(refused.join(), 0);
  }
  EXPECT_EQ(outcome(locks->lock({"first", "ben"})), "forbidden") << "nobody was pushed out";

  first.kill();
  Child after_a_death = holder_of("third");
  EXPECT_EQ(after_a_death.hear(), "ok");
  EXPECT_EQ(outcome(locks->lock({"second", "ben"})), "forbidden");
  second.tell("go");
  EXPECT_EQ(second.join(), 0);
  Child after_a_close = holder_of("fourth");
  EXPECT_EQ(after_a_close.hear(), "ok");
}

TEST_F(SessionTest, SlotsOfTheDeadAreUsedAgain) {
  const auto locks = open_locks("slots=64&sessions=3");
  for (int round = 0; round < 60; ++round) {
    Child child([&](Child::Link& parent) {
      const auto mine = open_locks();
      const auto names = open_names();
      const auto held = names->hold("stack");
      // Under a signee of its own, so that claimants have to be found again, too.
      parent.say(outcome(mine->lock({"job", "signee " + std::to_string(round)}, kBound)) + " " + outcome(held));
      parent.hear();
    });
    const std::string expected = round == 0 ? "ok 0" : "transferred from signee " + std::to_string(round - 1) + " 0";
    ASSERT_EQ(child.hear(), expected);
    child.kill();
  }
  EXPECT_EQ(sessions_alive(), 1u);
}

TEST_F(SessionTest, SlotsOfManyThatDieAtOnceAreUsedAgain) {
  const auto locks = open_locks("slots=256&sessions=9");
  for (int round = 0; round < 5; ++round) {
    std::vector<Child> children;
    for (int i = 0; i < 8; ++i) children.push_back(holder_of("key/" + std::to_string(i)));
    for (const Child& child : children) ASSERT_EQ(child.hear(), round == 0 ? "ok" : "transferred from anna");
    for (const Child& child : children) ::kill(child.pid(), SIGKILL);
    for (Child& child : children) EXPECT_EQ(child.join(), -SIGKILL);
  }
  EXPECT_EQ(sessions_alive(), 1u);
}

TEST_F(SessionTest, OpenedAndClosedAgainAndAgain) {
  for (int round = 0; round < 100; ++round) {
    const auto locks = open_locks("slots=64&sessions=1");
    ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok") << "the last close released it";
    const auto names = open_names();
    ASSERT_EQ(outcome(names->hold("stack")), "0");
  }
  EXPECT_EQ(sessions_alive(), 0u);
}

TEST_F(SessionTest, AProcessThatReplacesItsImageHasDied) {
  const auto locks = small();
  const auto names = open_names();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    const auto its_names = open_names();
    const auto held = its_names->hold("stack");
    parent.say(outcome(mine->lock({"job", "anna"}, kBound)) + " " + outcome(held));
    parent.hear();
    ::execl("/bin/sleep", "sleep", "1000", nullptr);
    parent.say("no exec");
  });
  ASSERT_EQ(child.hear(), "ok 0");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden");
  child.tell("exec");
  ASSERT_EQ(child.hear(), "(gone)") << "the image that held the other end";
  EXPECT_EQ(outcome(locks->check("job")), "anna");
  EXPECT_EQ(outcome(locks->confirm("job", locks->check("job").value().token)), "lost");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "transferred from anna");
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(::waitpid(child.pid(), nullptr, WNOHANG), 0) << "the process itself lives on";
}

TEST_F(SessionTest, EveryThreadsLocksDieWithTheProcess) {
  const auto locks = small();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    std::vector<std::thread> threads;
    std::atomic<int> locked{0};
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        locked += outcome(mine->lock({"key/" + std::to_string(i), "anna"}, kBound)) == "ok";
      });
    }
    for (std::thread& thread : threads) thread.join();
    parent.say(std::to_string(locked) + " locked");
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "4 locked");
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(outcome(locks->lock({"key/" + std::to_string(i), "ben"})), "forbidden") << "its thread ended, not it";
  }
  child.kill();
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(outcome(locks->lock({"key/" + std::to_string(i), "ben"})), "transferred from anna");
  }
}

// --- fork ---

TEST_F(SessionTest, AChildHasASessionOfItsOwn) {
  const auto locks = open_locks("slots=64&sessions=8");
  ASSERT_EQ(outcome(locks->lock({"parents", "anna"}, kBound)), "ok");
  Child idle([&](Child::Link& parent) {
    parent.say("forked");
    parent.hear();
  });
  ASSERT_EQ(idle.hear(), "forked");
  EXPECT_EQ(sessions_alive(), 1u) << "from its first use on, not from the fork";
  Child busy([&](Child::Link& parent) {
    parent.say(outcome(locks->lock({"childs", "anna"}, kBound)));
    parent.hear();
  });
  ASSERT_EQ(busy.hear(), "ok");
  EXPECT_EQ(sessions_alive(), 2u);
  idle.kill();
  EXPECT_EQ(sessions_alive(), 2u);
  EXPECT_EQ(outcome(locks->lock({"parents", "anna"}, kBound)), "renewed");
  busy.kill();
  EXPECT_EQ(sessions_alive(), 1u);
}

TEST_F(SessionTest, GrandchildrenStandForThemselves) {
  const auto locks = small();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say(outcome(mine->lock({"childs", "anna"}, kBound)));
    const pid_t grandchild = ::fork();    // one that outlives its parent
    if (grandchild == 0) {
      parent.say(outcome(mine->lock({"childs", "anna"}, kBound)) + " " +
                 outcome(mine->lock({"grandchilds", "anna"}, kBound)) + " " + std::to_string(::getpid()));
      parent.hear();
      ::_exit(0);
    }
    parent.hear();
    ::_exit(0);
  });
  ASSERT_EQ(child.hear(), "ok");
  const std::string words = child.hear();
  ASSERT_TRUE(words.starts_with("forbidden ok ")) << words;
  const pid_t grandchild = std::stoi(words.substr(std::strlen("forbidden ok ")));
  child.kill();
  EXPECT_EQ(outcome(locks->lock({"childs", "ben"})), "transferred from anna");
  EXPECT_EQ(outcome(locks->lock({"grandchilds", "ben"})), "forbidden");
  EXPECT_EQ(locks->check("grandchilds").value().pid, grandchild);
  ::kill(grandchild, SIGKILL);
  EXPECT_TRUE(eventually([&] { return outcome(locks->lock({"grandchilds", "ben"})) == "transferred from anna"; }));
}

TEST_F(SessionTest, TheParentsDeathIsNotTheChilds) {
  const auto locks = small();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    (void)mine->lock({"childs", "anna"}, kBound);
    if (::fork() == 0) {
      parent.say(outcome(mine->lock({"grandchilds", "anna"}, kBound)));
      parent.hear();
      parent.say(outcome(mine->lock({"grandchilds", "anna"}, kBound)));
      parent.say(outcome(mine->lock({"childs", "ben"}, kBound)));
      ::_exit(0);
    }
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "ok");
  child.kill();
  child.tell("go");    // to the grandchild, which has the same end of the line
  EXPECT_EQ(child.hear(), "renewed");
  EXPECT_EQ(child.hear(), "transferred from anna");
  EXPECT_EQ(child.hear(), "(gone)");
}

TEST_F(SessionTest, ForkedFromAThreadWhileOthersAreBusy) {
  if (kAddressSanitizer || kThreadSanitizer)
    GTEST_SKIP() << "a sanitizer's own allocator may be locked by another thread when the fork comes";
  const auto locks = small();
  const auto names = open_names("auto_release_after=10s");
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, signee = "thread " + std::to_string(i)] {
      while (!stop) {
        ASSERT_EQ(outcome(locks->lock_for({"busy", signee}, kPatience, kBound)), "ok");
        ASSERT_EQ(outcome(locks->unlock({"busy", signee})), "ok");
        ASSERT_TRUE(names->hold("busy"));
        ASSERT_TRUE(open_locks());
      }
    });
  }
  std::thread forker([&] {
    for (int round = 0; round < 30; ++round) {
      const std::string key = "child/" + std::to_string(round);
      ASSERT_EQ(outcome(locks->lock({"parents", "anna"}, kBound)), round == 0 ? "ok" : "renewed");
      Child child([&](Child::Link& parent) {
        parent.say(outcome(locks->lock({key, "anna"}, kBound)));
        parent.say(outcome(locks->lock({"parents", "anna"}, kBound)));
        parent.say(names->hold("childs") ? "held" : "not held");
        parent.say(outcome(locks->unlock({key, "anna"})));
      });
      ASSERT_EQ(child.hear(), "ok") << "round " << round;
      ASSERT_EQ(child.hear(), "forbidden");
      ASSERT_EQ(child.hear(), "held");
      ASSERT_EQ(child.hear(), "ok");
      ASSERT_EQ(child.join(), 0);
    }
  });
  forker.join();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(outcome(locks->check("parents")), "anna");
}

// --- Stopped processes ---

TEST_F(SessionTest, AProcessStoppedAnywhereHoldsNobodyUp) {
  const auto locks = open_locks("slots=64&sessions=8");
  const auto names = open_names();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    const auto its_names = open_names();
    parent.say("running");
    for (int turn = 0;; ++turn) {
      (void)mine->lock({"job/" + std::to_string(turn % 100), "child"});    // evicts as it goes
      (void)mine->unlock({"job/" + std::to_string(turn % 100), "child"});
      if (const auto name = its_names->acquire("stack")) (void)its_names->release("stack", *name);
    }
  });
  ASSERT_EQ(child.hear(), "running");
  for (int round = 0; round < 100; ++round) {
    child.stop();
    // Only what is truly held is refused; everything else is done while the other one stands still.
    int held = 0;
    for (int i = 0; i < 100; ++i) {
      const std::string key = "job/" + std::to_string(i);
      const std::string came_to = outcome(locks->lock({key, "anna"}));
      if (came_to == "forbidden") {
        ++held;
        continue;
      }
      ASSERT_EQ(came_to, "ok");
      ASSERT_EQ(outcome(locks->unlock({key, "anna"})), "ok");
    }
    ASSERT_LE(held, 1);
    const std::string name = outcome(names->acquire("stack"));
    ASSERT_TRUE(name == "0" || name == "1") << name;
    ASSERT_EQ(outcome(names->release("stack", name)), "ok");
    child.resume();
  }
  child.kill();
}

// --- PID namespaces ---

class NamespaceTest : public SessionTest {
 protected:
  /// The first process of a PID namespace of its own, pid 1 there, which holds `key`. Says "refused" where the
  /// system grants no namespaces.
  Child holder_in_namespace(const std::string& key) const {
    return Child([=, this](Child::Link& parent) {
      if (::unshare(CLONE_NEWPID) != 0) {
        parent.say(std::string("refused: ") + std::strerror(errno));
        return;
      }
      const pid_t first = ::fork();
      if (first == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        const auto mine = open_locks();
        const auto names = open_names();
        const auto held = names->hold("stack");
        parent.say(outcome(mine->lock({key, "anna"}, kBound)) + " as pid " + std::to_string(::getpid()) + " with " +
                   outcome(held));
        for (;;) ::pause();
      }
      parent.hear();
      ::kill(first, SIGKILL);
      ::waitpid(first, nullptr, 0);
      parent.say("killed");
      parent.hear();
    });
  }
};

TEST_F(NamespaceTest, DeathIsSeenAndLifeIsNotTakenForDeath) {
  const auto locks = small();
  const auto names = open_names();
  Child one = holder_in_namespace("one");
  const std::string words = one.hear();
  if (words.starts_with("refused")) GTEST_SKIP() << "no PID namespace to be had: " << words;
  ASSERT_EQ(words, "ok as pid 1 with 0");
  Child two = holder_in_namespace("two");
  ASSERT_EQ(two.hear(), "ok as pid 1 with 1");

  for (const char* key : {"one", "two"}) {
    EXPECT_EQ(locks->check(key).value().pid, 1) << "as the holder sees itself";
    EXPECT_EQ(outcome(locks->lock({key, "ben"})), "forbidden");
    EXPECT_EQ(outcome(locks->unlock({key, "anna"})), "forbidden");
  }
  one.tell("kill it");
  ASSERT_EQ(one.hear(), "killed");
  EXPECT_EQ(outcome(locks->lock({"one", "ben"})), "transferred from anna");
  EXPECT_EQ(outcome(locks->lock({"two", "ben"})), "forbidden") << "the other pid 1 lives";
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "in_use");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "ok");

  Child three = holder_in_namespace("three");
  ASSERT_EQ(three.hear(), "ok as pid 1 with 2");
  two.tell("kill it");
  ASSERT_EQ(two.hear(), "killed");
  EXPECT_EQ(outcome(locks->lock({"two", "ben"})), "transferred from anna");
  EXPECT_EQ(outcome(locks->lock({"three", "ben"})), "forbidden") << "pid 1 again, and another process";
}

TEST_F(NamespaceTest, AWaiterOutsideIsWokenByADeathInside) {
  const auto locks = small();
  Child child = holder_in_namespace("job");
  const std::string words = child.hear();
  if (words.starts_with("refused")) GTEST_SKIP() << "no PID namespace to be had: " << words;
  ASSERT_EQ(words, "ok as pid 1 with 0");
  std::optional<std::string> came_to;
  std::thread waiter([&] { came_to = outcome(locks->lock_for({"job", "ben"}, kPatience)); });
  child.tell("kill it");
  EXPECT_EQ(child.hear(), "killed");
  waiter.join();
  EXPECT_EQ(*came_to, "transferred from anna");
}

}    // namespace
}    // namespace keyrack::tests
