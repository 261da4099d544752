// Workers on locks, names and a mutex, killed at random, a kill every few milliseconds. What they guard lies in plain
// memory that they share, so that whoever is let in too many is seen there.
#include "segment_fixture.hpp"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace keyrack::tests {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kWorkers = 4, kKeys = 2, kLivesMax = 200'000;

// One incarnation of a worker. The supervisor marks it before it kills it: from then on it counts for nothing.
struct LifeLog {
  std::atomic<bool> killed;
  std::atomic<std::uint32_t> meant, done;    // additions to the counter: begun, finished
};

// Something that one worker at a time may have.
struct Guarded {
  std::atomic<std::uint32_t> life;     // who is inside; 0: nobody
  std::atomic<std::uint64_t> token;    // the highest seen inside
};

struct Witness {
  std::atomic<bool> stop;
  std::atomic<std::uint64_t> violations, grants, names, refusals;
  std::array<char, 256> what;    // the first violation, in words
  Guarded mutex;
  volatile std::uint64_t counter;    // the mutex alone guards it
  std::array<Guarded, kKeys> keys;
  std::array<Guarded, kWorkers> held_names;
  std::array<LifeLog, kLivesMax> lives;    // 1 and up

  void violation(const std::string& text) {
    if (violations.fetch_add(1) == 0) std::snprintf(what.data(), what.size(), "%s", text.c_str());
  }

  void enter(Guarded& guarded, std::uint32_t life, const std::string& where) {
    const std::uint32_t other = guarded.life.exchange(life);
    if (other != 0 && !lives[other].killed) {
      violation(where + ": life " + std::to_string(life) + " met life " + std::to_string(other));
    }
  }

  /// Lets the others run now and then, so that they meet whoever is inside.
  static void dwell(std::uint32_t life) {
    static std::mt19937 dice(life);
    if (dice() % 4 == 0) std::this_thread::yield();
  }

  void leave(Guarded& guarded, std::uint32_t life, const std::string& where) {
    const std::uint32_t found = guarded.life.exchange(0);
    if (found != life) violation(where + ": life " + std::to_string(life) + " found " + std::to_string(found));
  }

  void rise(Guarded& guarded, std::uint64_t token, const std::string& where) {
    const std::uint64_t last = guarded.token.exchange(token);
    if (token <= last) violation(where + ": token " + std::to_string(token) + " after " + std::to_string(last));
  }
};

class SoakTest : public SegmentFixture {
 protected:
  SoakTest() {
    void* place =
        ::mmap(nullptr, sizeof(Witness), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (place == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    witness_ = static_cast<Witness*>(place);    // all zero is where it begins
  }
  ~SoakTest() override { ::munmap(witness_, sizeof(Witness)); }

  /// Until told to stop, or killed.
  void work(std::uint32_t life) const {
    Witness& witness = *witness_;
    const auto locks = open_locks();
    const auto names = open_names("auto_release_after=10s");
    NamedMutex mutex(*locks, "ledger");
    const std::string me = "life " + std::to_string(life), own_family = "own " + std::to_string(life % kWorkers);
    std::mt19937 dice(life);
    while (!witness.stop) {
      switch (dice() % 4) {
        case 0:
          add_one(mutex, life);
          break;
        case 1:
          for (int turn = 0; turn < 64; ++turn) use_a_key(*locks, 0, me, life, false);    // a hot key
          break;
        case 2:
          use_a_key(*locks, dice() % kKeys, me, life, true);
          break;
        default:
          use_names(*names, own_family, life);
          break;
      }
      // Keys that nobody needs again, so that records are taken from one key for another all the time.
      const std::string passing = me + "/" + std::to_string(dice());
      if (const auto grant = locks->lock({passing, me}, kBound)) {
        if (!locks->unlock({passing, me})) witness.violation("unlock of " + passing);
      } else if (grant.error().code != Errc::table_full) {
        witness.violation("lock of a key of its own: " + outcome(grant));
      }
    }
  }

  void add_one(NamedMutex& mutex, std::uint32_t life) const {
    Witness& witness = *witness_;
    if (!mutex.try_lock_for(kPatience)) return witness.violation("nobody could have held the mutex for so long");
    witness.enter(witness.mutex, life, "mutex");
    witness.rise(witness.mutex, mutex.token(), "mutex");
    witness.lives[life].meant.fetch_add(1);
    const std::uint64_t counted = witness.counter;
    Witness::dwell(life);
    witness.counter = counted + 1;
    witness.lives[life].done.fetch_add(1);
    witness.leave(witness.mutex, life, "mutex");
    mutex.unlock();
    witness.grants.fetch_add(1);
  }

  void use_a_key(LockService& locks, std::size_t index, const std::string& me, std::uint32_t life, bool wait) const {
    Witness& witness = *witness_;
    const std::string key = "key/" + std::to_string(index);
    const LockRequest request{key, me};
    const auto grant =
        wait ? locks.lock_for(request, std::chrono::milliseconds(5), kBound) : locks.lock(request, kBound);
    if (!grant) {
      witness.refusals.fetch_add(1);
      if (grant.error().code != Errc::forbidden && grant.error().code != Errc::timed_out) {
        witness.violation(key + ": " + outcome(grant));
      }
      return;
    }
    witness.enter(witness.keys[index], life, key);
    witness.rise(witness.keys[index], grant->token, key);
    Witness::dwell(life);
    if (!locks.confirm(key, grant->token)) witness.violation(key + ": lost while it was held");
    witness.leave(witness.keys[index], life, key);
    if (!locks.unlock({key, me})) witness.violation(key + ": not unlocked by its holder");
    witness.grants.fetch_add(1);
  }

  void use_names(NameManager& names, const std::string& own_family, std::uint32_t life) const {
    Witness& witness = *witness_;
    {
      auto held = names.hold("pool");
      if (!held) return witness.violation("hold: " + outcome(held));
      const std::size_t number = std::stoul(held->name());
      if (number >= kWorkers) return witness.violation("name " + held->name() + ", though a lower one was free");
      witness.enter(witness.held_names[number], life, "name " + held->name());
      Witness::dwell(life);
      if (held->status()) witness.violation("name " + held->name() + ": lost while it was held");
      witness.leave(witness.held_names[number], life, "name " + held->name());
      if (!held->release()) witness.violation("name " + held->name() + ": not released by its holder");
    }
    const auto acquired = names.acquire(own_family);    // the supervisor gives it back for the dead
    if (!acquired || *acquired != "0") return witness.violation("acquire: " + outcome(acquired));
    if (!names.release(own_family, "0")) witness.violation("release of an acquired name");
    witness.names.fetch_add(1);
  }

  Witness* witness_ = nullptr;
};

TEST_F(SoakTest, RandomKills) {
  const char* asked = std::getenv("KEYRACK_SOAK_SECONDS");
  const std::chrono::seconds span(asked ? std::atoi(asked) : 10);
  ASSERT_GT(span.count(), 0);
  Witness& witness = *witness_;
  auto locks = open_locks("slots=256&sessions=8");
  auto names = open_names();

  std::uint32_t lives = 0;
  const auto start = [&](std::size_t worker) {
    const auto life = static_cast<std::uint32_t>(lives / kWorkers * kWorkers + kWorkers + worker);
    lives += kWorkers;
    return std::pair(life, std::make_unique<Child>([this, life](Child::Link&) { work(life); }));
  };
  std::array<std::pair<std::uint32_t, std::unique_ptr<Child>>, kWorkers> workers;
  for (std::size_t i = 0; i < kWorkers; ++i) workers[i] = start(i);

  std::mt19937 dice(7);
  int kills = 0;
  const auto until = steady_clock::now() + span;
  while (steady_clock::now() < until && witness.violations == 0 && lives + 2 * kWorkers < kLivesMax) {
    std::this_thread::sleep_for(std::chrono::microseconds(dice() % 8000));
    const std::size_t victim = dice() % kWorkers;
    auto& [life, child] = workers[victim];
    witness.lives[life].killed = true;
    ::kill(child->pid(), SIGKILL);
    EXPECT_EQ(child->join(), -SIGKILL) << "life " << life << " ended by itself";
    ++kills;
    EXPECT_EQ(outcome(names->release("own " + std::to_string(life % kWorkers), "0")), "ok");
    workers[victim] = start(victim);
  }
  witness.stop = true;
  for (auto& [life, child] : workers) EXPECT_EQ(child->join(), 0) << "life " << life;

  std::printf("%d kills, %llu grants, %llu names, %llu refusals\n", kills,
              static_cast<unsigned long long>(witness.grants), static_cast<unsigned long long>(witness.names),
              static_cast<unsigned long long>(witness.refusals));
  EXPECT_EQ(witness.violations, 0u) << witness.what.data();
  EXPECT_GT(kills, 10);
  EXPECT_GT(witness.grants, 1000u);
  EXPECT_GT(witness.names, 100u);
  std::uint64_t meant = 0, done = 0;
  for (const LifeLog& life : witness.lives) {
    meant += life.meant;
    done += life.done;
  }
  EXPECT_GE(witness.counter, done);
  EXPECT_LE(witness.counter, meant);

  // Nothing has leaked: every name is free, every lock can be had, and every record but the names' is room for others.
  EXPECT_EQ(findings_of(segment_.name()), "");
  for (const Name& name : names->list().value()) EXPECT_TRUE(name.free) << name.family << " " << name.name;
  for (std::size_t i = 0; i < kKeys; ++i) {
    EXPECT_TRUE(locks->lock({"key/" + std::to_string(i), "the last"})) << "key/" << i;
  }
  EXPECT_EQ(outcome(names->reset()), "ok");
  int room = 0;
  while (outcome(locks->lock({"at the end/" + std::to_string(room), "the last"})) == "ok") ++room;
  EXPECT_EQ(room, 256 - static_cast<int>(kKeys));
  Child last([&](Child::Link& parent) { parent.say(outcome(try_locks())); });
  EXPECT_EQ(last.hear(), "open") << "sessions of the dead can be had again";
}

}    // namespace
}    // namespace keyrack::tests
