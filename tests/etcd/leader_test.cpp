// Three members, of which the leader is killed and restarted, or one is cut off from the others, again and again, while
// many processes lock and unlock.
#include "cluster.hpp"

#include "etcd/records.hpp"

#include <keyrack/etcd.hpp>
#include <keyrack/testing/child.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
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
  std::atomic<int> inside, violations, grants, unavailable;
  std::atomic<std::uint64_t> last_token;
  std::atomic<bool> over;
};

/// All zero is where it begins.
Guarded& new_guarded() {
  void* place = ::mmap(nullptr, sizeof(Guarded), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (place == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
  return *static_cast<Guarded*>(place);
}

void take_turns(LockService& locks, const std::string& signee, Guarded& guarded) {
  while (!guarded.over) {
    // Without a lease: nothing but its own unlock ends a grant, so exclusion is to hold whatever happens to etcd.
    const auto grant = locks.lock_for({"job", signee}, 60s);
    if (grant) {
      guarded.violations += ++guarded.inside != 1;
      const std::uint64_t last = guarded.last_token.exchange(grant->token);
      // A renewal: of a grant whose answer was lost for good.
      guarded.violations += grant->status == LockStatus::renewed ? grant->token < last : grant->token <= last;
      ++guarded.grants;
      --guarded.inside;
    } else {
      ++guarded.unavailable;
      guarded.violations += outcome(grant) != "backend_unavailable";
    }
    while (outcome(locks.unlock({"job", signee})) == "backend_unavailable") ++guarded.unavailable;
  }
}

/// Processes that take turns at one lock, and what came of it.
class EtcdLeader : public ::testing::Test {
 protected:
  /// They are forked before a cluster has threads, and wait until they are told which it is.
  void SetUp() override {
    for (int i = 0; i < 4; ++i) {
      children_.emplace_back([this, i](Child::Link& parent) {
        const auto locks = opened("etcd://" + parent.hear() + "/leader?timeout=5s&session_ttl=5s");
        take_turns(*locks, "process " + std::to_string(i), guarded_);
        parent.say("done");
      });
    }
  }

  void begin(const tests::Cluster& cluster) const {
    for (const Child& child : children_) child.tell(cluster.endpoints());
  }

  /// Returns when they have gone on for a while.
  void expect_grants() const {
    const int before = guarded_.grants;
    EXPECT_TRUE(eventually([&] { return guarded_.grants >= before + 20; })) << "nobody gets the lock";
  }

  /// `what` was done so many times meanwhile.
  void end(int times, const char* what) {
    guarded_.over = true;
    for (Child& child : children_) {
      EXPECT_EQ(child.hear(), "done");
      EXPECT_EQ(child.join(), 0);
    }
    EXPECT_EQ(guarded_.violations, 0);
    std::printf("%d %s, %d grants, %d calls without an answer\n", times, what, guarded_.grants.load(),
                guarded_.unavailable.load());
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

  /// In the end: the machine may be busy.
  static std::unique_ptr<LockService> opened(const std::string& url) {
    auto service = open_lock_service(url);
    for (int i = 0; i < 20 && !service; ++i) service = open_lock_service(url);
    return std::move(service).value();
  }

  /// Longer, where asked for by the environment.
  static steady_clock::time_point enough() {
    const char* seconds = std::getenv("KEYRACK_ETCD_SECONDS");
    return steady_clock::now() + std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 8);
  }

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
  } while (steady_clock::now() < until && !HasFailure());
  end(deposed, "leaders killed");
  EXPECT_GE(deposed, 1);
}

TEST_F(EtcdLeader, ExclusionAndTokensOutlivePartitions) {
  using tests::Cluster;
  Cluster cluster(3, Cluster::Security::none, Cluster::Peers::proxied);
  begin(cluster);
  const std::string options = "/partition?timeout=1s&session_ttl=2s";
  const LockOptions bound{.lifetime = Lifetime::process};
  int cut = 0;
  const auto until = enough();
  do {
    const std::size_t leader = cluster.leader();
    if (leader == cluster.size()) continue;
    // The leader, and one that follows it, in turn.
    const std::size_t alone = cut % 2 == 0 ? leader : (leader + 1) % 3;
    const auto minority = opened("etcd://" + cluster.endpoint(alone) + options);
    const auto majority =
        opened("etcd://" + cluster.endpoint((alone + 1) % 3) + "," + cluster.endpoint((alone + 2) % 3) + options);
    const auto granted = minority->lock({"bound", "anna"}, bound);
    if (!granted) continue;

    cluster.cut_off(alone);
    ++cut;
    expect_grants();
    const auto asked_at = steady_clock::now();
    EXPECT_EQ(outcome(minority->lock({"free", "anna"})), "backend_unavailable");
    EXPECT_EQ(outcome(minority->lock_for({"job", "anna"}, 1h)), "backend_unavailable");
    EXPECT_NE(outcome(minority->confirm("bound", granted->token)), "ok");
    EXPECT_LT(steady_clock::now() - asked_at, 30s) << "several times as much as they may, for a machine that is busy";
    EXPECT_TRUE(eventually([&] { return outcome(majority->lock({"bound", "ben"})) == "transferred from anna"; }));
    EXPECT_EQ(outcome(minority->confirm("bound", granted->token)), "lost");

    cluster.join_all();
    EXPECT_TRUE(eventually([&] { return outcome(minority->check("bound")) == "ben"; }));
    EXPECT_TRUE(eventually([&] { return outcome(majority->unlock({"bound", "ben"})) != "backend_unavailable"; }));
    cluster.await_health();
  } while ((cut < 2 || steady_clock::now() < until) && !HasFailure());
  end(cut, "times a member cut off");
}

}    // namespace
}    // namespace keyrack
