// Three members, of which the leader is killed and restarted, or one is cut off from the others, again and again, while
// many processes lock and unlock.
#include "cluster.hpp"

#include "etcd/records.hpp"

#include <keyrack/etcd.hpp>
#include <keyrack/testing/child.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/mman.h>

namespace keyrack {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::Child;
using testing::outcome;

/// What the lock guards, in memory that the processes share.
struct Guarded {
  std::atomic<int> inside, violations, grants, unavailable, confirmed, lost;
  std::atomic<std::uint64_t> last_token;
  std::atomic<std::uint64_t> bound_by;                   // the grant of the bound lock that was confirmed last
  std::array<std::atomic<std::uint64_t>, 64> held_by;    // the same of each name
  std::atomic<bool> over, awake;
};

/// All zero is where it begins.
Guarded& new_guarded() {
  void* place = ::mmap(nullptr, sizeof(Guarded), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  return *static_cast<Guarded*>(place);
}

/// In the end: the machine may be busy.
template <class Open>
auto opened(Open open, const std::string& url) {
  auto service = open(url);
  for (int i = 0; i < 20 && !service; ++i) service = open(url);
  return std::move(service).value();
}

/// Whoever may lose what it holds. It asks before what it does and after it, and while it is told that it holds it, no
/// other is.
class Confirmation {
 public:
  /// `last`: whose question was the last to be answered so; `mine` is like no other.
  Confirmation(std::atomic<std::uint64_t>& last, std::uint64_t mine, Guarded& guarded)
      : last_(last), mine_(mine), guarded_(guarded) {}

  template <class Confirm>
  void ask(Confirm&& confirm) {
    std::uint64_t seen = last_;
    const std::string came_to = outcome(confirm());
    guarded_.lost += came_to == "lost";
    guarded_.unavailable += came_to == "backend_unavailable";
    // Only where no other answer came meanwhile: else nobody can tell which of them is the older.
    if (came_to != "ok" || !last_.compare_exchange_strong(seen, mine_)) return;
    ++guarded_.confirmed;
    guarded_.violations += confirmed_ && seen != mine_;
    confirmed_ = true;
  }

 private:
  std::atomic<std::uint64_t>& last_;
  const std::uint64_t mine_;
  Guarded& guarded_;
  bool confirmed_ = false;
};

template <class Got>
bool counted(const Got& got, Guarded& guarded) {
  if (got) return true;
  ++guarded.unavailable;
  guarded.violations += outcome(got) != "backend_unavailable";
  return false;
}

template <class Unlock>
void unlock(Guarded& guarded, Unlock&& unlock) {
  while (outcome(unlock()) == "backend_unavailable") ++guarded.unavailable;
}

/// Without a lease: nothing but its own unlock ends a grant, so exclusion is to hold whatever happens to etcd.
void take_a_turn(LockService& locks, const std::string& signee, Guarded& guarded) {
  if (const auto grant = locks.lock_for({"job", signee}, 60s); counted(grant, guarded)) {
    guarded.violations += ++guarded.inside != 1;
    const std::uint64_t last = guarded.last_token.exchange(grant->token);
    // A renewal: of a grant whose answer was lost for good.
    guarded.violations += grant->status == LockStatus::renewed ? grant->token < last : grant->token <= last;
    ++guarded.grants;
    --guarded.inside;
  }
  unlock(guarded, [&] { return locks.unlock({"job", signee}); });
}

/// Bound to the process: lost with its session.
void take_a_bound_turn(LockService& locks, const std::string& signee, Guarded& guarded) {
  const auto grant = locks.lock_for({"bound", signee}, 60s, {.lifetime = Lifetime::process});
  if (counted(grant, guarded)) {
    Confirmation mine(guarded.bound_by, grant->token, guarded);
    for (int i = 0; i < 2; ++i) mine.ask([&] { return locks.confirm("bound", grant->token); });
  }
  unlock(guarded, [&] { return locks.unlock({"bound", signee}); });
}

template <class Meanwhile>
void hold_a_name(NameManager& names, Guarded& guarded, Meanwhile&& meanwhile) {
  auto held = names.hold("stack");
  if (!counted(held, guarded)) return;
  Confirmation mine(guarded.held_by.at(std::stoul(held->name())), etcd::random_number(), guarded);
  mine.ask([&] { return held->status(); });
  meanwhile();
  mine.ask([&] { return held->status(); });
  guarded.unavailable += outcome(held->release()) == "backend_unavailable";
}

void take_turns(const std::string& url, const std::string& signee, Guarded& guarded) {
  const auto locks = opened(open_lock_service, url);
  const auto names = opened(open_name_manager, url);
  while (!guarded.over) {
    hold_a_name(*names, guarded, [&] {
      for (int i = 0; i < 3; ++i) take_a_turn(*locks, signee, guarded);
      take_a_bound_turn(*locks, signee, guarded);
    });
  }
}

/// Stops while it holds a lock and a name, for so long that its session ends and others get them.
void oversleep(const std::string& url, Guarded& guarded) {
  const auto locks = opened(open_lock_service, url);
  const auto names = opened(open_name_manager, url);
  while (!guarded.over) {
    const auto grant = locks->lock_for({"bound", "sleeper"}, 60s, {.lifetime = Lifetime::process});
    const auto held = names->hold("stack");
    if (counted(grant, guarded) && counted(held, guarded)) {
      Confirmation lock(guarded.bound_by, grant->token, guarded);
      Confirmation name(guarded.held_by.at(std::stoul(held->name())), etcd::random_number(), guarded);
      const auto ask = [&] {
        lock.ask([&] { return locks->confirm("bound", grant->token); });
        name.ask([&] { return held->status(); });
      };
      ask();
      if (!guarded.over) (void)::raise(SIGSTOP);
      ask();
    }
    unlock(guarded, [&] { return locks->unlock({"bound", "sleeper"}); });
  }
  guarded.awake = true;
}

/// Processes that take turns at one lock, and what came of it.
class EtcdLeader : public ::testing::Test {
 protected:
  /// They are forked before a cluster has threads, and wait until they are told which it is.
  void SetUp() override {
    for (int i = 0; i <= kSleeper; ++i) {
      children_.emplace_back([this, i](Child::Link& parent) {
        const std::string url = "etcd://" + parent.hear() + "/leader?timeout=5s&session_ttl=2s";
        if (i == kSleeper) {
          oversleep(url, guarded_);
        } else {
          take_turns(url, "process " + std::to_string(i), guarded_);
        }
        parent.say("done");
      });
    }
  }

  void begin(const tests::Cluster& cluster) const {
    for (const Child& child : children_) child.tell(cluster.endpoints());
  }

  /// There is nothing more to find.
  bool failed() const { return HasFailure() || guarded_.violations > 0; }

  /// Returns when they have gone on for a while.
  void expect_grants() const {
    const int before = guarded_.grants;
    EXPECT_TRUE(eventually([&] { return guarded_.grants >= before + 20; })) << "nobody gets the lock";
    children_[kSleeper].resume();
  }

  /// `what` was done so many times meanwhile.
  void end(int times, const char* what) {
    guarded_.over = true;
    EXPECT_TRUE(eventually([&] {
      children_[kSleeper].resume();
      return guarded_.awake.load();
    }));
    for (Child& child : children_) {
      EXPECT_EQ(child.hear(), "done");
      EXPECT_EQ(child.join(), 0);
    }
    EXPECT_EQ(guarded_.violations, 0);
    EXPECT_GT(guarded_.confirmed, 0);
    EXPECT_GT(guarded_.lost, 0);
    std::printf("%d %s, %d grants, %d confirmed, %d lost, %d calls without an answer\n", times, what,
                guarded_.grants.load(), guarded_.confirmed.load(), guarded_.lost.load(), guarded_.unavailable.load());
    ::munmap(&guarded_, sizeof guarded_);
  }

  template <class Done>
  static bool eventually(Done done) {
    const auto give_up = steady_clock::now() + 60s;
    while (!done()) {
      if (steady_clock::now() >= give_up) return false;
      std::this_thread::sleep_for(10ms);
    }
    return true;
  }

  /// Longer, where asked for by the environment.
  static steady_clock::time_point enough() {
    const char* seconds = std::getenv("KEYRACK_ETCD_SECONDS");
    return steady_clock::now() + std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 8);
  }

  static constexpr int kSleeper = 4;    // the others take turns
  Guarded& guarded_ = new_guarded();
  std::vector<Child> children_;
};

TEST_F(EtcdLeader, ExclusionAndTokensOutliveLeaders) {
  tests::Cluster cluster(3);
  begin(cluster);
  int deposed = 0;
  const auto until = enough();
  do {
    const std::size_t leader = cluster.leader();
    if (leader == cluster.size()) continue;
    cluster.kill(leader);
    ++deposed;
    expect_grants();
    cluster.start(leader);
    cluster.await_health();
  } while ((deposed < 3 || steady_clock::now() < until) && !failed());
  end(deposed, "leaders killed");
}

TEST_F(EtcdLeader, ExclusionAndTokensOutlivePartitions) {
  using tests::Cluster;
  Cluster cluster(3, Cluster::Security::none, Cluster::Peers::proxied);
  begin(cluster);
  const std::string options = "/partition?timeout=2s&session_ttl=2s";
  const LockOptions bound{.lifetime = Lifetime::process};
  int cut = 0;
  const auto until = enough();
  do {
    const std::size_t leader = cluster.leader();
    if (leader == cluster.size()) continue;
    // The leader, and one that follows it, in turn.
    const std::size_t alone = cut % 2 == 0 ? leader : (leader + 1) % 3;
    const auto minority = opened(open_lock_service, "etcd://" + cluster.endpoint(alone) + options);
    const auto majority = opened(open_lock_service, "etcd://" + cluster.endpoint((alone + 1) % 3) + "," +
                                                        cluster.endpoint((alone + 2) % 3) + options);
    const auto granted = minority->lock({"bound", "anna"}, bound);
    if (!granted) continue;

    cluster.cut_off(alone);
    ++cut;
    expect_grants();
    const auto asked = [](auto&& call) {
      const auto asked_at = steady_clock::now();
      const std::string came_to = outcome(call());
      EXPECT_LT(steady_clock::now() - asked_at, 6s) << "more than its timeout, and what a busy machine takes";
      return came_to;
    };
    EXPECT_EQ(asked([&] { return minority->lock({"free", "anna"}); }), "backend_unavailable");
    EXPECT_EQ(asked([&] { return minority->lock_for({"job", "anna"}, 1h); }), "backend_unavailable");
    EXPECT_NE(asked([&] { return minority->confirm("bound", granted->token); }), "ok");
    EXPECT_TRUE(eventually([&] { return outcome(majority->lock({"bound", "ben"})) == "transferred from anna"; }));
    EXPECT_EQ(outcome(minority->confirm("bound", granted->token)), "lost");

    cluster.join_all();
    EXPECT_TRUE(eventually([&] { return outcome(minority->check("bound")) == "ben"; }));
    EXPECT_TRUE(eventually([&] { return outcome(majority->unlock({"bound", "ben"})) != "backend_unavailable"; }));
    cluster.await_health();
  } while ((cut < 2 || steady_clock::now() < until) && !failed());
  end(cut, "times a member cut off");
}

}    // namespace
}    // namespace keyrack
