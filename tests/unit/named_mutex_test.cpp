// NamedMutex and the engine that every lock service has from the start, on a service that lives in this process.
#include <keyrack/named_mutex.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

namespace keyrack {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kGenerous = 60s;

// Just as much of a lock service as a mutex needs: no levels, no leases. Keys of more than 8 bytes are none.
class FakeService final : public LockService {
 public:
  Result<LockResponse, Refusal> lock(const LockRequest& request, const LockOptions& options) override {
    const std::lock_guard guard(mutex_);
    return grant(request, options);
  }

  Result<LockResponse, Refusal> lock_until(const LockRequest& request, steady_clock::time_point when,
                                           const LockOptions& options) override {
    std::unique_lock guard(mutex_);
    last_deadline = when;
    for (;;) {
      auto granted = grant(request, options);
      if (granted || granted.error().code != Errc::forbidden) return granted;
      ++waiters_;
      waiting_.notify_all();
      const bool late = when == steady_clock::time_point::max()
                            ? (unlocked_.wait(guard), false)
                            : unlocked_.wait_until(guard, when) == std::cv_status::timeout;
      --waiters_;
      if (late) {
        Refusal refusal = granted.error();
        refusal.code = Errc::timed_out;
        return refusal;
      }
    }
  }

  Result<UnlockResponse, Refusal> unlock(const UnlockRequest& request) override {
    const std::lock_guard guard(mutex_);
    const auto held = held_.find(request.signature);
    if (held == held_.end()) return UnlockResponse{UnlockStatus::no_lock};
    if (held->second.signee != request.signee) return Refusal{.code = Errc::forbidden, .holder = held->second.signee};
    held_.erase(held);
    unlocked_.notify_all();
    return UnlockResponse{UnlockStatus::ok};
  }

  Result<CheckResponse> check(std::string_view signature) override {
    const std::lock_guard guard(mutex_);
    if (signature.empty() || signature.size() > 8) return make_error_code(Errc::bad_request);
    const auto held = held_.find(signature);
    if (held == held_.end()) return make_error_code(Errc::not_found);
    return held->second;
  }

  Result<void> confirm(std::string_view, std::uint64_t) override { return make_error_code(Errc::backend_unavailable); }

  void wait_for_waiters(int count) {
    std::unique_lock guard(mutex_);
    ASSERT_TRUE(waiting_.wait_for(guard, kGenerous, [this, count] { return waiters_ >= count; }));
  }

  void take_away(std::string_view signature) {
    const std::lock_guard guard(mutex_);
    held_.find(signature)->second.signee = "robber";
  }

  // What was asked, for one thread at a time.
  std::error_code broken;    // every lock() and lock_until() answers this
  std::set<std::string> signees;
  LockOptions last_options;
  steady_clock::time_point last_deadline;
  int renewals = 0;

 private:
  Result<LockResponse, Refusal> grant(const LockRequest& request, const LockOptions& options) {
    if (broken) return Refusal{.code = broken, .holder = {}};
    signees.emplace(request.signee);
    last_options = options;
    const auto [held, created] = held_.try_emplace(std::string(request.signature));
    if (!created && held->second.signee != request.signee) {
      return Refusal{.code = Errc::forbidden, .holder = held->second.signee};
    }
    if (created) {
      held->second.signee = request.signee;
      held->second.token = ++tokens_;
    } else {
      ++renewals;
    }
    return LockResponse{created ? LockStatus::ok : LockStatus::renewed, {}, held->second.token};
  }

  std::mutex mutex_;
  std::condition_variable unlocked_, waiting_;
  std::map<std::string, CheckResponse, std::less<>> held_;
  std::uint64_t tokens_ = 0;
  int waiters_ = 0;
};

// The code that a call threw; none if it did not throw.
std::error_code thrown(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::system_error& error) {
    return error.code();
  }
  return {};
}

TEST(NamedMutex, LocksAndUnlocks) {
  FakeService service;
  NamedMutex mutex(service, "ledger");
  EXPECT_EQ(mutex.token(), 0u);
  mutex.lock();
  EXPECT_EQ(mutex.token(), 1u);
  EXPECT_EQ(service.check("ledger")->token, 1u);
  mutex.unlock();
  EXPECT_EQ(mutex.token(), 0u);
  EXPECT_FALSE(service.check("ledger"));
  EXPECT_TRUE(mutex.try_lock());
  EXPECT_EQ(mutex.token(), 2u);
  mutex.unlock();
}

TEST(NamedMutex, BindsToTheProcessUnlessTold) {
  FakeService service;
  NamedMutex bound(service, "bound");
  std::unique_lock(bound).unlock();
  EXPECT_EQ(service.last_options.lifetime, Lifetime::process);
  NamedMutex leased(service, "leased", {.duration = 5s});
  std::unique_lock(leased).unlock();
  EXPECT_EQ(service.last_options.lifetime, Lifetime::lease);
  EXPECT_EQ(service.last_options.duration, 5s);
}

TEST(NamedMutex, RefusesWhatIsNoKey) {
  FakeService service;
  EXPECT_EQ(thrown([&] { NamedMutex(service, ""); }), Errc::bad_request);
  EXPECT_EQ(thrown([&] { NamedMutex(service, "far too long"); }), Errc::bad_request);
  EXPECT_EQ(thrown([&] { NamedMutex(service, "ledger"); }), std::error_code());
}

TEST(NamedMutex, GivesTheKeyBackWhenItIsDestroyed) {
  FakeService service;
  {
    NamedMutex mutex(service, "ledger");
    mutex.lock();
  }
  EXPECT_FALSE(service.check("ledger"));
  EXPECT_TRUE(NamedMutex(service, "ledger").try_lock());
}

TEST(NamedMutex, WorksWithTheStandardLocks) {
  FakeService service;
  NamedMutex a(service, "a"), b(service, "b");
  {
    const std::scoped_lock both(a, b);
    EXPECT_TRUE(service.check("a"));
    EXPECT_TRUE(service.check("b"));
  }
  EXPECT_FALSE(service.check("a"));
  EXPECT_FALSE(service.check("b"));
  const std::unique_lock now(a, std::try_to_lock);
  EXPECT_TRUE(now.owns_lock());
  const std::unique_lock soon(b, 10ms);
  EXPECT_TRUE(soon.owns_lock());
}

TEST(NamedMutex, IsNotRecursive) {
  FakeService service;
  NamedMutex mutex(service, "ledger"), same(service, "ledger"), other(service, "other");
  const std::scoped_lock hold(mutex);
  for (NamedMutex* again : {&mutex, &same}) {
    EXPECT_EQ(thrown([&] { again->lock(); }), Errc::would_deadlock);
    EXPECT_EQ(thrown([&] { (void)again->try_lock_for(1h); }), Errc::would_deadlock);
    EXPECT_FALSE(again->try_lock());
  }
  EXPECT_EQ(mutex.token(), 1u);
  EXPECT_TRUE(other.try_lock());
  EXPECT_EQ(service.renewals, 0);
}

TEST(NamedMutex, ExcludesAnotherObjectOfAnotherThread) {
  FakeService service;
  NamedMutex mutex(service, "ledger");
  mutex.lock();
  std::uint64_t token = 0;
  std::jthread([&] {
    NamedMutex other(service, "ledger");
    EXPECT_FALSE(other.try_lock());
    EXPECT_FALSE(other.try_lock_for(1ms));
    EXPECT_FALSE(other.try_lock_until(std::chrono::system_clock::now() + 1ms));
    EXPECT_EQ(other.token(), 0u);
  }).join();
  std::jthread waiter([&] {
    NamedMutex other(service, "ledger");
    other.lock();
    token = other.token();
    other.unlock();
  });
  service.wait_for_waiters(1);
  mutex.unlock();
  waiter.join();
  EXPECT_EQ(token, 2u);
}

TEST(NamedMutex, ExcludesAnotherThreadOfTheSameObject) {
  FakeService service;
  NamedMutex mutex(service, "ledger");
  mutex.lock();
  std::jthread([&] {
    EXPECT_FALSE(mutex.try_lock());
    EXPECT_FALSE(mutex.try_lock_for(1ms));
    EXPECT_FALSE(mutex.try_lock_until(steady_clock::now() - 1h));
  }).join();
  EXPECT_EQ(mutex.token(), 1u);
  mutex.unlock();
  std::jthread([&] {
    EXPECT_TRUE(mutex.try_lock_for(kGenerous));
    mutex.unlock();
  }).join();
  EXPECT_EQ(service.renewals, 0);
}

TEST(NamedMutex, ExcludesManyThreads) {
  constexpr int kThreads = 4, kRounds = 500;
  FakeService service;
  NamedMutex shared(service, "ledger");
  int total = 0;    // guarded by the mutex alone
  std::uint64_t last_token = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        NamedMutex own(service, "ledger");
        NamedMutex& mutex = thread % 2 == 0 ? shared : own;
        for (int round = 0; round < kRounds; ++round) {
          if (round % 3 == 0) {
            mutex.lock();
          } else if (round % 3 == 1) {
            ASSERT_TRUE(mutex.try_lock_for(kGenerous));
          } else {
            while (!mutex.try_lock()) std::this_thread::yield();
          }
          ++total;
          EXPECT_GT(mutex.token(), last_token);
          last_token = mutex.token();
          mutex.unlock();
        }
      });
    }
  }
  EXPECT_EQ(total, kThreads * kRounds);
  EXPECT_EQ(service.renewals, 0);
  EXPECT_EQ(service.signees.size(), 3u);    // of the shared object and of the two others
}

TEST(NamedMutex, HasASigneeThatFitsAndIsItsOwn) {
  FakeService service;
  NamedMutex a(service, "a"), b(service, "b");
  const std::scoped_lock both(a, b);
  ASSERT_EQ(service.signees.size(), 2u);
  for (const std::string& signee : service.signees) {
    EXPECT_LE(signee.size(), 64u);
    EXPECT_NE(signee.find(std::to_string(getpid())), std::string::npos) << signee;
  }
}

TEST(NamedMutex, ThrowsWhatIsNotARefusal) {
  FakeService service;
  NamedMutex mutex(service, "ledger");
  for (const Errc errc : {Errc::table_full, Errc::session_limit, Errc::corrupt_segment, Errc::backend_unavailable}) {
    service.broken = errc;
    EXPECT_EQ(thrown([&] { mutex.lock(); }), errc);
    EXPECT_EQ(thrown([&] { (void)mutex.try_lock(); }), errc);
    EXPECT_EQ(thrown([&] { (void)mutex.try_lock_for(1ms); }), errc);
  }
  service.broken = Errc::would_deadlock;
  EXPECT_EQ(thrown([&] { mutex.lock(); }), Errc::would_deadlock);
  EXPECT_EQ(thrown([&] { (void)mutex.try_lock_for(1ms); }), Errc::would_deadlock);
  EXPECT_FALSE(mutex.try_lock());
  service.broken = {};
  EXPECT_TRUE(mutex.try_lock());    // the failures left nothing locked behind
}

TEST(NamedMutex, UnlockOfALostLockLeavesItToItsNewHolder) {
  FakeService service;
  NamedMutex mutex(service, "ledger");
  mutex.lock();
  service.take_away("ledger");
  mutex.unlock();
  EXPECT_EQ(service.check("ledger")->signee, "robber");
  EXPECT_FALSE(mutex.try_lock());
}

TEST(NamedMutex, AForkedChildHoldsNothingAndGivesNothingBack) {
  FakeService service;
  NamedMutex mutex(service, "ledger"), same(service, "ledger");
  mutex.lock();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // The child's service is a copy, and so shows what the child alone has done to it.
    if (thrown([&] { mutex.lock(); }) != Errc::would_deadlock) _exit(1);
    if (same.try_lock() || service.signees.size() != 2) _exit(2);
    mutex.unlock();
    if (!service.check("ledger")) _exit(3);
    if (mutex.try_lock() || service.signees.size() != 3) _exit(4);
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  mutex.unlock();
}

TEST(LockService, LockForSaturates) {
  FakeService service;
  const LockRequest request{.signature = "a", .signee = "me"};
  for (const auto forever : {std::chrono::nanoseconds::max(), std::chrono::nanoseconds::max() - 1s}) {
    EXPECT_TRUE(service.lock_for(request, forever));
    EXPECT_EQ(service.last_deadline, steady_clock::time_point::max());
  }
  for (const auto past : {std::chrono::nanoseconds::min(), -1ns, 0ns}) {
    const auto before = steady_clock::now();
    EXPECT_TRUE(service.lock_for(request, past));
    EXPECT_GE(service.last_deadline, before);
    EXPECT_LE(service.last_deadline, steady_clock::now());
  }
  const auto before = steady_clock::now();
  EXPECT_TRUE(service.lock_for(request, 1h));
  EXPECT_GE(service.last_deadline, before + 1h);
  EXPECT_LE(service.last_deadline, steady_clock::now() + 1h);
}

}    // namespace
}    // namespace keyrack
