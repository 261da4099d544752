// Workers on locks, names and a mutex, killed at random, a kill every few milliseconds, in a table that has fewer
// records than there are keys. What they guard lies in plain memory that they share, so that whoever is let in too many
// is seen there.
//
// Runs for KEYRACK_SOAK_SECONDS (10), or until KEYRACK_SOAK_KILLS.
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

constexpr std::size_t kWorkers = 4, kKeys = 24, kSlots = 20, kLivesMax = 4'000'000;

// Something that one worker at a time may have.
struct Guarded {
  std::atomic<std::uint32_t> life;           // who is inside; 0: nobody
  std::atomic<std::uint64_t> token;          // the highest seen inside
  volatile std::uint64_t counter;            // nothing else guards it
  std::atomic<std::uint64_t> meant, done;    // additions to the counter: begun, finished
};

struct Witness {
  std::atomic<bool> stop;
  std::atomic<std::uint64_t> violations, grants, names, refusals;
  std::array<char, 256> what;    // the first violation, in words
  Guarded mutex;
  std::array<Guarded, kKeys> keys;
  std::array<Guarded, kWorkers> held_names;
  // By incarnation of a worker, from 1 on. The supervisor marks it before it kills it: it counts for nothing then.
  std::array<std::atomic<bool>, kLivesMax> killed;

  void violation(const std::string& text) {
    if (violations.fetch_add(1) == 0) std::snprintf(what.data(), what.size(), "%s", text.c_str());
  }

  /// Goes in, counts, and comes out.
  void visit(Guarded& guarded, std::uint32_t life, const std::string& where) {
    const std::uint32_t other = guarded.life.exchange(life);
    if (other != 0 && !killed[other]) {
      violation(where + ": life " + std::to_string(life) + " met life " + std::to_string(other));
    }
    guarded.meant.fetch_add(1);
    const std::uint64_t counted = guarded.counter;
    static std::mt19937 dice(life);
    if (dice() % 4 == 0) std::this_thread::yield();    // so that others come and meet whoever is inside
    guarded.counter = counted + 1;
    guarded.done.fetch_add(1);
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

  /// Kills for so long, or until so many; stops at the first violation.
  void run(std::chrono::seconds span, std::uint32_t kills) {
    locks_ = open_locks("sessions=8&slots=" + std::to_string(kSlots));
    names_ = open_names();
    for (std::size_t worker = 0; worker < kWorkers; ++worker) start(worker);
    std::mt19937 dice(std::random_device{}());
    const bool terminal = ::isatty(STDERR_FILENO) != 0;
    const auto begun = steady_clock::now();
    while (kills_ < kills && steady_clock::now() < begun + span && witness_->violations == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(dice() % 5000));
      // One or more at once: whoever clears up after one may die of the same blow.
      const std::size_t victims = 1 + dice() % ((std::size_t{1} << kWorkers) - 1);
      kill(victims);
      if (terminal) {
        std::fprintf(stderr, "\r%u kills, %lld s ", kills_,
                     static_cast<long long>((steady_clock::now() - begun) / std::chrono::seconds(1)));
      }
    }
    if (terminal) std::fprintf(stderr, "\n");
    witness_->stop = true;
    for (Worker& worker : workers_) EXPECT_EQ(worker.child->join(), 0) << "life " << worker.life;
    std::printf("%u kills, %llu grants, %llu names, %llu refusals, %lld s\n", kills_,
                static_cast<unsigned long long>(witness_->grants), static_cast<unsigned long long>(witness_->names),
                static_cast<unsigned long long>(witness_->refusals),
                static_cast<long long>((steady_clock::now() - begun) / std::chrono::seconds(1)));
  }

  /// Every addition that was finished is in the counter, and none that was not begun.
  static void expect_counted(const Guarded& guarded, const std::string& where) {
    EXPECT_GE(guarded.counter, guarded.done) << where;
    EXPECT_LE(guarded.counter, guarded.meant) << where;
  }

  std::unique_ptr<LockService> locks_;
  std::unique_ptr<NameManager> names_;
  Witness* witness_ = nullptr;
  std::uint32_t kills_ = 0;
  bool trespasses_ = false;    // some workers go in where they were refused

 private:
  struct Worker {
    std::uint32_t life = 0;
    std::unique_ptr<Child> child;
  };

  static std::string own_family(std::size_t worker) { return "own " + std::to_string(worker); }

  void start(std::size_t worker) {
    const std::uint32_t life = ++lives_;
    if (life >= kLivesMax) throw std::length_error("more kills than can be written down");
    auto child = std::make_unique<Child>([this, life, worker](Child::Link&) { work(life, worker); });
    workers_[worker] = {life, std::move(child)};
  }

  /// A set of workers, as bits; others come in their place.
  void kill(std::size_t victims) {
    for (std::size_t victim = 0; victim < kWorkers; ++victim) {
      if ((victims >> victim & 1) == 0) continue;
      witness_->killed[workers_[victim].life] = true;
      ::kill(workers_[victim].child->pid(), SIGKILL);
    }
    for (std::size_t victim = 0; victim < kWorkers; ++victim) {
      if ((victims >> victim & 1) == 0) continue;
      EXPECT_EQ(workers_[victim].child->join(), -SIGKILL) << "life " << workers_[victim].life << " ended by itself";
      ++kills_;
      // A name that is acquired belongs to no process: nobody else gives it back.
      EXPECT_EQ(outcome(names_->release(own_family(victim), "0")), "ok");
      start(victim);
    }
  }

  /// Until told to stop, or killed.
  void work(std::uint32_t life, std::size_t worker) const {
    Witness& witness = *witness_;
    const auto locks = open_locks();
    const auto names = open_names("auto_release_after=10s");
    NamedMutex mutex(*locks, "ledger");
    const std::string me = "life " + std::to_string(life);
    std::mt19937 dice(life);
    while (!witness.stop) {
      switch (dice() % 4) {
        case 0:
          use_mutex(mutex, life);
          break;
        case 1:
          for (int turn = 0; turn < 64; ++turn) use_a_key(*locks, 0, me, life, false);    // a hot key
          break;
        case 2:
          for (int turn = 0; turn < 16; ++turn) use_a_key(*locks, dice() % kKeys, me, life, turn == 0);
          break;
        default:
          use_names(*names, own_family(worker), life);
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

  void use_mutex(NamedMutex& mutex, std::uint32_t life) const {
    Witness& witness = *witness_;
    if (!mutex.try_lock_for(kPatience)) return witness.violation("nobody could have held the mutex for so long");
    witness.rise(witness.mutex, mutex.token(), "mutex");
    witness.visit(witness.mutex, life, "mutex");
    mutex.unlock();
    witness.grants.fetch_add(1);
  }

  void use_a_key(LockService& locks, std::size_t index, const std::string& me, std::uint32_t life, bool wait) const {
    Witness& witness = *witness_;
    Guarded& guarded = witness.keys[index];
    const std::string key = "key/" + std::to_string(index);
    const LockRequest request{key, me};
    const auto grant =
        wait ? locks.lock_for(request, std::chrono::milliseconds(5), kBound) : locks.lock(request, kBound);
    if (!grant) {
      witness.refusals.fetch_add(1);
      if (grant.error().code != Errc::forbidden && grant.error().code != Errc::timed_out) {
        witness.violation(key + ": " + outcome(grant));
      }
      if (trespasses_) witness.visit(guarded, life, key);
      return;
    }
    witness.rise(guarded, grant->token, key);
    witness.visit(guarded, life, key);
    if (!locks.confirm(key, grant->token)) witness.violation(key + ": lost while it was held");
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
      witness.visit(witness.held_names[number], life, "name " + held->name());
      if (held->status()) witness.violation("name " + held->name() + ": lost while it was held");
      if (!held->release()) witness.violation("name " + held->name() + ": not released by its holder");
    }
    const auto acquired = names.acquire(own_family);
    if (!acquired || *acquired != "0") return witness.violation("acquire: " + outcome(acquired));
    if (!names.release(own_family, "0")) witness.violation("release of an acquired name");
    witness.names.fetch_add(1);
  }

  std::array<Worker, kWorkers> workers_;
  std::uint32_t lives_ = 0;
};

/// A number from the environment.
std::uint32_t asked(const char* variable, std::uint32_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : static_cast<std::uint32_t>(std::stoul(text));
}

TEST_F(SoakTest, RandomKills) {
  const std::uint32_t kills = asked("KEYRACK_SOAK_KILLS", 0);
  const std::chrono::seconds span(asked("KEYRACK_SOAK_SECONDS", kills == 0 ? 10 : 24 * 3600));
  run(span, kills == 0 ? kLivesMax / 2 : kills);

  Witness& witness = *witness_;
  EXPECT_EQ(witness.violations, 0u) << witness.what.data();
  EXPECT_GT(kills_, 10u);
  EXPECT_GT(witness.grants, 1000u);
  EXPECT_GT(witness.names, 100u);
  expect_counted(witness.mutex, "mutex");
  for (const Guarded& guarded : witness.keys) expect_counted(guarded, "key");
  for (const Guarded& guarded : witness.held_names) expect_counted(guarded, "name");

  // Nothing has leaked: every name is free, every lock can be had, and every record but the names' is room for others.
  EXPECT_EQ(findings_of(segment_.name()), "");
  for (const Name& name : names_->list().value()) EXPECT_TRUE(name.free) << name.family << " " << name.name;
  EXPECT_EQ(outcome(names_->reset()), "ok");
  std::size_t room = 0;
  // Keys of their own: one of the workers' may still be held by the dead.
  while (outcome(locks_->lock({"last/" + std::to_string(room), "the last"})) == "ok") ++room;
  EXPECT_EQ(room, kSlots);
  Child last([&](Child::Link& parent) { parent.say(outcome(try_locks())); });
  EXPECT_EQ(last.hear(), "open") << "sessions of the dead can be had again";
}

TEST_F(SoakTest, WhoeverGoesInUnaskedIsSeen) {
  trespasses_ = true;
  run(kPatience, kLivesMax / 2);
  EXPECT_GT(witness_->violations, 0u);
}

}    // namespace
}    // namespace keyrack::tests
