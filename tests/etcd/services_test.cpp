// What the rules do not say: how many requests a call takes, what is done later because it could not be done in time,
// and what calls of one process owe each other.
#include "faults.hpp"

#include "etcd/client.hpp"

#include <atomic>
#include <filesystem>
#include <functional>
#include <future>

#include <fcntl.h>
#include <sys/socket.h>

namespace keyrack {
namespace {

class EtcdServices : public EtcdFaults {
 protected:
  /// The session outlives what the test does.
  std::string url(const std::string& endpoint, const std::string& options = "timeout=20s") const {
    return "etcd://" + endpoint + "/" + prefix_ + "?clock_error=20ms&session_ttl=1m&" + options;
  }
  std::unique_ptr<LockService> direct_locks() const { return open_lock_service(url(cluster().endpoint(0))).value(); }

  /// How many answers a call takes, of which none is spoiled.
  template <class Call>
  int answers(Call&& call) {
    constexpr int kMany = 1000;
    proxy_.spoil(Fault::none, kMany);
    call();
    const int left = proxy_.left();
    proxy_.spare();
    return kMany - left;
  }
};

TEST_F(EtcdServices, CallsTakeOneRequestOrTwo) {
  const auto locks = open_lock_service(url(proxy_.endpoint())).value();
  const auto others = direct_locks();
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "ok"); }), 1);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->check("job")), "anna"); }), 1);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden"); }), 1);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->unlock({"job", "ben"})), "forbidden"); }), 1);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok"); }), 1);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "no_lock"); }), 1);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->lock_for({"job", "anna"}, 1h)), "ok"); }), 1);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "renewed"); }), 2);
  EXPECT_EQ(answers([&] { EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok"); }), 1);

  // What this process remembers is not so any more.
  EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(others->lock({"job", "ben", 1})), "transferred from anna");
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "forbidden");
  EXPECT_EQ(outcome(others->check("job")), "ben");
  EXPECT_EQ(outcome(others->unlock({"job", "ben"})), "ok");
  EXPECT_EQ(outcome(others->lock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok") << "a grant of the same signee's that others made";
}

TEST_F(EtcdServices, AnUnlockWithoutReadingIsMadeOnceWhenItsAnswerIsLost) {
  const auto locks = open_lock_service(url(proxy_.endpoint())).value();
  const auto others = direct_locks();
  for (const Fault fault : {Fault::cut, Fault::truncate, Fault::corrupt, Fault::garbage}) {
    ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
    proxy_.when_lost([&] {
      EXPECT_EQ(outcome(others->lock({"job", "anna"})), "ok") << "made anew, and not to be undone";
    });
    proxy_.spoil(fault);
    EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
    EXPECT_EQ(outcome(others->unlock({"job", "anna"})), "ok");
  }
}

TEST_F(EtcdServices, AGrantThatWasEndedBeforeItWasToldIsNotMadeAgain) {
  const auto locks = open_lock_service(url(proxy_.endpoint())).value();
  const auto others = direct_locks();
  std::uint64_t meanwhile = 0;
  proxy_.when_lost([&] {
    const auto granted = others->lock({"job", "ben", 1});
    ASSERT_EQ(outcome(granted), "transferred from anna");
    meanwhile = granted->token;
    ASSERT_EQ(outcome(others->unlock({"job", "ben"})), "ok");
  });
  proxy_.spoil(Fault::cut);
  const auto granted = locks->lock({"job", "anna"});
  ASSERT_EQ(outcome(granted), "ok");
  EXPECT_LT(granted->token, meanwhile) << "the grant that was made";
  EXPECT_EQ(outcome(locks->confirm("job", granted->token)), "lost");
  EXPECT_EQ(outcome(locks->check("job")), "not_found");
  // Of a try that could not be made nothing is told.
  ASSERT_EQ(outcome(others->lock({"job", "ben"})), "ok");
  proxy_.when_lost([&] { EXPECT_EQ(outcome(others->unlock({"job", "ben"})), "ok"); });
  proxy_.spoil(Fault::cut);
  EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(locks->check("job")), "anna");
}

TEST_F(EtcdServices, AnUnlockIsNotToldOfWhatAnotherHasTakenAndUnlocked) {
  const auto locks = open_lock_service(url(proxy_.endpoint())).value();
  const auto others = direct_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  ASSERT_EQ(outcome(others->lock({"job", "ben", 1})), "transferred from anna");
  ASSERT_EQ(outcome(others->unlock({"job", "ben"})), "ok");
  proxy_.spoil(Fault::cut);
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "no_lock");
}

TEST_F(EtcdServices, ANameThatCouldNotBeReleasedInTimeIsReleasedLater) {
  const auto names = open_name_manager(url(proxy_.endpoint(), "timeout=500ms")).value();
  const auto others = open_name_manager(url(cluster().endpoint(0))).value();
  {
    const auto held = names->hold("stack").value();
    proxy_.spoil(Fault::apart, Proxy::kAlways);
  }
  EXPECT_EQ(outcome(others->try_acquire("stack", "0")), "in_use");
  proxy_.spare();
  EXPECT_TRUE(eventually([&] { return outcome(others->try_acquire("stack", "0")) == "ok"; }));
}

TEST_F(EtcdServices, AHoldThatMayHaveBeenMadeIsUndone) {
  const auto names = open_name_manager(url(proxy_.endpoint(), "timeout=500ms")).value();
  const auto others = open_name_manager(url(cluster().endpoint(0))).value();
  const auto first = names->hold("stack").value();    // there is a session
  proxy_.spoil(Fault::cut, Proxy::kAlways, 1);        // after the reading
  EXPECT_EQ(outcome(names->hold("stack")), "backend_unavailable");
  EXPECT_EQ(outcome(others->list()), "2 names") << "it was made";
  proxy_.spare();
  EXPECT_TRUE(eventually([&] { return outcome(others->try_acquire("stack", "1")) == "ok"; }));
  EXPECT_EQ(outcome(first.status()), "ok");
}

TEST_F(EtcdServices, AMutexThatCouldNotBeUnlockedInTimeIsUnlockedLater) {
  const auto locks = open_lock_service(url(proxy_.endpoint(), "timeout=500ms")).value();
  const auto others = direct_locks();
  {
    NamedMutex ledger(*locks, "ledger");
    ledger.lock();
    proxy_.spoil(Fault::apart, Proxy::kAlways);
  }
  EXPECT_EQ(outcome(others->lock({"ledger", "anna"})), "forbidden");
  proxy_.spare();
  EXPECT_EQ(outcome(others->lock_for({"ledger", "anna"}, 60s)), "ok");
  EXPECT_EQ(outcome(others->unlock({"ledger", "anna"})), "ok");

  NamedMutex ledger(*locks, "ledger");
  proxy_.when_lost([&] { EXPECT_EQ(outcome(others->lock({"ledger", "anna"})), "forbidden") << "it was locked"; });
  proxy_.spoil(Fault::cut, Proxy::kAlways);
  EXPECT_THROW(ledger.lock(), std::system_error);
  proxy_.spare();
  EXPECT_EQ(outcome(others->lock_for({"ledger", "anna"}, 60s)), "ok");
}

TEST_F(EtcdServices, ACycleOfMutexesIsFound) {
  const auto one = direct_locks(), two = direct_locks();
  NamedMutex ours(*one, "a"), theirs(*two, "b");
  std::atomic<int> victims{0};
  const auto lock_both = [&](NamedMutex& first, NamedMutex& second, const std::function<void()>& meet) {
    const std::lock_guard hold(first);
    meet();
    try {
      const std::lock_guard other(second);
    } catch (const std::system_error& error) {
      EXPECT_EQ(outcome(error.code()), "would_deadlock");
      ++victims;
    }
  };
  std::promise<void> first_locked, second_locked;
  NamedMutex ours_too(*two, "a"), theirs_too(*one, "b");
  std::thread other([&] {
    lock_both(theirs, ours_too, [&] {
      second_locked.set_value();
      first_locked.get_future().wait();
    });
  });
  lock_both(ours, theirs_too, [&] {
    first_locked.set_value();
    second_locked.get_future().wait();
  });
  other.join();
  EXPECT_EQ(victims, 1);
}

TEST_F(EtcdServices, WhoseCycleIsFoundIsToldOfNobody) {
  const auto locks = direct_locks();
  ASSERT_EQ(outcome(locks->lock({"a", "anna"})), "ok");
  ASSERT_EQ(outcome(locks->lock({"b", "ben"})), "ok");
  std::atomic<int> victims{0};
  const auto ask_for = [&](const char* wanted, const char* signee, const char* held) {
    const auto came_to = locks->lock_for({wanted, signee}, 60s);
    if (!came_to) {
      ++victims;
      EXPECT_EQ(outcome(came_to), "would_deadlock");
      EXPECT_EQ(came_to.error().holder, "");
      EXPECT_EQ(came_to.error().token, 0u);
    }
    EXPECT_EQ(outcome(locks->unlock({held, signee})), "ok");
  };
  std::thread anna([&] { ask_for("b", "anna", "a"); });
  ask_for("a", "ben", "b");
  anna.join();
  EXPECT_EQ(victims, 1);
}

TEST_F(EtcdServices, WhoOnlyWaitsForATurnIsInNoCycle) {
  const auto locks = direct_locks();
  ASSERT_EQ(outcome(locks->lock({"mine", "boss", 5})), "ok");
  ASSERT_EQ(outcome(locks->lock({"job", "anna", 7})), "ok");
  // Of a process that died: a place in front, whose turn it seems to be for as long as its session lives.
  etcd::Client client(cluster().access());
  const etcd::Keys keys(prefix_ + "/");
  const auto in_a_minute = steady_clock::now() + 60s;
  ASSERT_TRUE(client.grant(4711, 6s, in_a_minute));
  ASSERT_TRUE(client.commit({.then = {etcd::put(keys.place("job", 5, 1, 1), "dora", 4711)}}, in_a_minute));
  ASSERT_EQ(outcome(locks->lock({"job", "anna", 7})), "renewed");
  // Anna waits for the boss, and is of a level that the boss could take the lock from, but for the turn.
  auto anna = std::async(std::launch::async, [&] { return locks->lock_for({"mine", "anna"}, 60s); });
  ASSERT_TRUE(eventually([&] {
    const auto seen = client.commit({.then = {etcd::read(keys.waiters("anna"))}}, in_a_minute);
    return seen && !seen->read.at(0).empty();
  }));
  ASSERT_EQ(outcome(locks->lock({"job", "anna", 1})), "renewed");
  EXPECT_EQ(outcome(locks->lock_for({"job", "boss", 5}, 60s)), "transferred from anna");
  EXPECT_EQ(outcome(locks->unlock({"mine", "boss"})), "ok");
  EXPECT_EQ(outcome(anna.get()), "ok");
}

TEST_F(EtcdServices, WhoBeginsASessionHoldsNobodyUp) {
  const auto patient = open_lock_service(url(proxy_.endpoint(), "timeout=20s")).value();
  const auto hasty = open_lock_service(url(proxy_.endpoint(), "timeout=500ms")).value();
  proxy_.spoil(Fault::silent, Proxy::kAlways);
  auto waiting = std::async(std::launch::async, [&] { return patient->lock({"job", "anna"}, kBound); });
  EXPECT_TRUE(eventually([&] { return proxy_.left() < Proxy::kAlways; }));
  const auto asked_at = steady_clock::now();
  EXPECT_EQ(outcome(hasty->lock({"other", "ben"}, kBound)), "backend_unavailable");
  EXPECT_LT(steady_clock::now() - asked_at, 8s)
      << "the other one's is 20s, of which half is spent on a silent endpoint";
  proxy_.spare();
  EXPECT_EQ(outcome(waiting.get()), "ok");
}

TEST_F(EtcdServices, ConnectionsAreNotInherited) {
  const auto locks = direct_locks();
  EXPECT_EQ(outcome(locks->check("job")), "not_found");
  int connections = 0;
  for (const auto& file : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(file.path().filename());
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0 || peer.ss_family != AF_INET) continue;
    ++connections;
    EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  }
  EXPECT_GE(connections, 1);
}

}    // namespace
}    // namespace keyrack
