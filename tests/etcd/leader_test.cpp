// Three members, of which the leader is killed and restarted again and again, while many processes lock and unlock.
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

TEST(EtcdLeader, ExclusionAndTokensOutliveLeaders) {
  // Longer, where asked for by the environment.
  const char* seconds = std::getenv("KEYRACK_ETCD_SECONDS");
  tests::Cluster cluster(3);
  const auto until = steady_clock::now() + std::chrono::seconds(seconds != nullptr ? std::atoi(seconds) : 8);
  Guarded& guarded = new_guarded();
  const std::string url = "etcd://" + cluster.endpoints() + "/leader?timeout=5s&session_ttl=5s";
  std::vector<Child> children;
  for (int i = 0; i < 4; ++i) {
    children.emplace_back([&, i](Child::Link& parent) {
      const auto locks = open_lock_service(url).value();
      take_turns(*locks, "process " + std::to_string(i), guarded);
      parent.say("done");
    });
  }
  int deposed = 0;
  do {
    const std::size_t leader = cluster.leader();
    if (leader == cluster.size()) continue;
    const int before = guarded.grants;
    cluster.kill(leader);
    ++deposed;
    // The others go on without it.
    const auto give_up = steady_clock::now() + 60s;
    while (guarded.grants < before + 20 && steady_clock::now() < give_up) std::this_thread::sleep_for(10ms);
    EXPECT_GE(guarded.grants, before + 20) << "nobody got the lock without that member";
    cluster.start(leader);
    cluster.await_health();
  } while (steady_clock::now() < until && !::testing::Test::HasFailure());
  guarded.over = true;
  for (Child& child : children) {
    EXPECT_EQ(child.hear(), "done");
    EXPECT_EQ(child.join(), 0);
  }
  EXPECT_EQ(guarded.violations, 0);
  EXPECT_GE(deposed, 1);
  std::printf("%d leaders killed, %d grants, %d calls without an answer\n", deposed, guarded.grants.load(),
              guarded.unavailable.load());
  ::munmap(&guarded, sizeof guarded);
}

}    // namespace
}    // namespace keyrack
