// The rules that every LockService must keep.
#pragma once

#include <keyrack/testing/child.hpp>
#include <keyrack/testing/fixture.hpp>
#include <keyrack/testing/outcome.hpp>
#include <keyrack/testing/script.hpp>

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <initializer_list>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

namespace keyrack::testing {

class LockServiceConformance : public Conformance {
 protected:
  using nanoseconds = std::chrono::nanoseconds;
  using steady_clock = std::chrono::steady_clock;

  static constexpr LockOptions kBound{.lifetime = Lifetime::process};

  void run(std::initializer_list<Step> steps, const ServiceOptions& options = {}) const {
    const auto locks = open_locks(options);
    run_script(*locks, *bootstrap_, steps);
  }

  /// A waiter in a thread of its own, who must be let in before patience runs out.
  std::future<Result<LockResponse, Refusal>> wait_for(LockService& locks, std::string signature, std::string signee,
                                                      std::int32_t level = 0, LockOptions options = {}) const {
    return std::async(std::launch::async, [&locks, signature, signee, level, options, patience = traits_.patience] {
      const auto asked_at = steady_clock::now();
      const LockRequest request{.signature = signature, .signee = signee, .level = level};
      const auto got = locks.lock_for(request, 2 * patience, options);
      EXPECT_LT(steady_clock::now() - asked_at, patience) << signee << " was not woken";
      return got;
    });
  }
};

// --- Grants ---

TEST_P(LockServiceConformance, FreeHeldAndFreeAgain) {
  run({
      Check("job").not_found(),
      Lock("job", "anna").ok(),
      Check("job").tells("anna"),
      Check("job").without_lease(),
      Lock("job", "ben").refused(),
      Unlock("job", "ben").refused(),
      Unlock("job", "anna").ok(),
      Unlock("job", "anna").no_lock(),
      Unlock("job", "ben").no_lock(),
      Lock("job", "ben").ok(),
      Lock("job", "anna").refused(),
      Unlock("job", "ben").ok(),
      Check("job").not_found(),
  });
}

TEST_P(LockServiceConformance, KeysAreIndependent) {
  run({
      Lock("job/1", "anna").ok(),
      Lock("job/2", "ben").ok(),
      Lock("job", "carl").ok(),
      Lock("job/1", "ben").refused(),
      Unlock("job/2", "anna").refused(),
      Unlock("job/1", "anna").ok(),
      Check("job/2").tells("ben"),
      Check("job").tells("carl"),
  });
}

TEST_P(LockServiceConformance, SameSigneeRenews) {
  run({
      Lock("job", "anna").ok(),
      Lock("job", "anna").renewed(),
      Lock("job", "anna").renewed(),
      Confirm("job", "anna").ok(),
      Unlock("job", "anna").ok(),
      Unlock("job", "anna").no_lock(),
      Lock("job", "anna").ok(),
  });
}

TEST_P(LockServiceConformance, SigneesAreComparedWhole) {
  run({
      Lock("job", "anna").ok(),
      Lock("job", "ann").refused(),
      Lock("job", "anna ").refused(),
      Lock("job", "Anna").refused(),
      Unlock("job", "ann").refused(),
      Unlock("job", "annabel").refused(),
      Check("job").tells("anna"),
  });
}

TEST_P(LockServiceConformance, OnlyAHigherLevelTakes) {
  run({
      Lock("job", "anna").level(5).ok(),
      Lock("job", "ben").level(4).refused(),
      Lock("job", "ben").level(5).refused(),
      Lock("job", "ben").level(-6).refused(),
      Lock("job", "ben").level(6).transferred("anna"),
      Check("job").tells("ben"),
      Confirm("job", "anna").lost(),
      Confirm("job", "ben").ok(),
      Unlock("job", "anna").refused(),
      Lock("job", "anna").level(6).refused(),
      Lock("job", "anna").level(7).transferred("ben"),
      Unlock("job", "anna").ok(),
  });
}

TEST_P(LockServiceConformance, LevelsAreSigned) {
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
  constexpr std::int32_t highest = std::numeric_limits<std::int32_t>::max();
  run({
      Lock("job", "anna").level(lowest).ok(),
      Lock("job", "ben").level(lowest).refused(),
      Lock("job", "ben").level(lowest + 1).transferred("anna"),
      Lock("job", "anna").level(-1).transferred("ben"),
      Lock("job", "ben").level(-1).refused(),
      Lock("job", "ben").transferred("anna"),
      Lock("job", "anna").level(-1).refused(),
      Lock("job", "anna").level(highest - 1).transferred("ben"),
      Lock("job", "ben").level(highest).transferred("anna"),
      Lock("job", "anna").level(highest).refused(),
      Lock("job", "anna").level(lowest).refused(),
      Check("job").tells("ben"),
  });
}

TEST_P(LockServiceConformance, ForceTakesFromAnybody) {
  run({
      Lock("job", "anna").level(9).force().ok(),
      Lock("job", "ben").level(-9).refused(),
      Lock("job", "ben").level(-9).force().transferred("anna"),
      Check("job").tells("ben"),
      Confirm("job", "anna").lost(),
      Lock("job", "ben").level(-9).force().renewed(),
      Unlock("job", "anna").refused(),
      Unlock("job", "ben").ok(),
  });
}

TEST_P(LockServiceConformance, ForceIsNotKept) {
  run({
      Lock("job", "anna").force().ok(),
      Lock("job", "ben").force().transferred("anna"),
      Lock("job", "anna").refused(),
      Lock("job", "carl").level(1).transferred("ben"),
  });
}

// --- Renewal sets everything but the token anew ---

TEST_P(LockServiceConformance, RenewalSetsTheLevelAnew) {
  run({
      Lock("job", "anna").level(5).ok(),
      Lock("job", "anna").level(1).renewed(),
      Check("job").tells("anna"),
      Lock("job", "anna").level(3).renewed(),
      Lock("job", "ben").level(3).refused(),
      Lock("job", "anna").level(-3).renewed(),
      Lock("job", "ben").level(-2).transferred("anna"),
  });
}

TEST_P(LockServiceConformance, RenewalSetsTheLeaseAnew) {
  run({
      Lock("job", "anna").lease(soon()).ok(),
      Lock("job", "anna").lease(kLong).renewed(),
      Check("job").leased(kLong),
      pass(soon() + 2 * traits_.granularity),
      Confirm("job", "anna").ok(),
      Lock("job", "ben").refused(),
      Lock("job", "anna").renewed(),
      Check("job").without_lease(),
      Lock("job", "anna").lease(soon()).renewed(),
      until_stale("job"),
      Confirm("job", "anna").lost(),
      Lock("job", "ben").transferred("anna"),
      Check("job").without_lease(),
  });
}

TEST_P(LockServiceConformance, RenewalRevivesAStaleGrant) {
  run({
      Lock("job", "anna").lease(nanoseconds(-1)).ok(),
      Confirm("job", "anna").lost(),
      Lock("job", "anna").lease(kLong).renewed(),
      Confirm("job", "anna").ok(),
      Lock("job", "ben").refused(),
  });
}

TEST_P(LockServiceConformance, RenewalSetsTheTimeToLiveAnew) {
  run({
      Lock("job", "anna").ttl(traits_.leeway).ok(),
      Lock("other", "anna").ttl(traits_.leeway).ok(),
      Lock("job", "anna").ttl(kLong).renewed(),
      Lock("other", "anna").renewed(),
      pass(traits_.leeway + 2 * traits_.granularity),
      Check("job").tells("anna"),
      Check("other").tells("anna"),
      Lock("job", "anna").ttl(soon()).renewed(),
      until_gone("job"),
  });
}

TEST_P(LockServiceConformance, RenewalSetsTheLifetimeAnew) {
  const auto still_open = [&] { return open_names(); };
  {
    const auto locks = open_locks();
    EXPECT_EQ(outcome(locks->lock({"freed", "anna"}, {})), "ok");
    EXPECT_EQ(outcome(locks->lock({"freed", "anna"}, kBound)), "renewed");
    EXPECT_EQ(outcome(locks->lock({"kept", "anna"}, kBound)), "ok");
    EXPECT_EQ(outcome(locks->lock({"kept", "anna"}, {})), "renewed");
    EXPECT_TRUE(still_open());
    EXPECT_EQ(outcome(locks->check("freed")), "anna");
  }
  const auto locks = open_locks();
  EXPECT_EQ(outcome(locks->check("freed")), "not_found");
  EXPECT_EQ(outcome(locks->check("kept")), "anna");
}

// --- Tokens ---

TEST_P(LockServiceConformance, TokensRiseOverEveryKindOfGrant) {
  run({
      Lock("job", "anna").ok(),
      Unlock("job", "anna").ok(),
      Lock("job", "anna").ok(),
      Lock("job", "ben").level(1).transferred("anna"),
      Lock("job", "anna").force().transferred("ben"),
      Lock("job", "anna").lease(nanoseconds(-1)).renewed(),
      Lock("job", "ben").ttl(soon()).transferred("anna"),
      until_gone("job"),
      Lock("job", "carl").ok(),
      Unlock("job", "carl").ok(),
      Lock("job", "anna").bound().ok(),
      Unlock("job", "anna").ok(),
      Lock("job", "anna").ok(),
  });
}

TEST_P(LockServiceConformance, TokensAreAtLeastOne) {
  const auto locks = open_locks();
  for (int key = 0; key < 100; ++key) {
    const auto grant = locks->lock({"key/" + std::to_string(key), "anna"});
    ASSERT_EQ(outcome(grant), "ok");
    EXPECT_GE(grant->token, 1u);
  }
}

TEST_P(LockServiceConformance, TokensRiseThoughEveryServiceIsClosed) {
  std::uint64_t last = 0;
  const auto still_open = open_names();
  for (int round = 0; round < 10; ++round) {
    const auto locks = open_locks();
    const auto grant = locks->lock({"job", "anna"});
    ASSERT_EQ(outcome(grant), "ok");
    EXPECT_GT(grant->token, last);
    last = grant->token;
    EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  }
}

// --- Unlock, check, confirm ---

TEST_P(LockServiceConformance, UnlockOfAStaleLock) {
  run({
      Lock("job", "anna").level(2).lease(nanoseconds(-1)).ok(),
      Check("job").stale(),
      Unlock("job", "ben").refused(),
      Check("job").tells("anna"),
      Unlock("job", "anna").ok(),
      Check("job").not_found(),
      Lock("job", "ben").ok(),
  });
}

TEST_P(LockServiceConformance, ConfirmKnowsOnlyTheGrantInForce) {
  const auto locks = open_locks();
  EXPECT_EQ(outcome(locks->confirm("job", 1)), "lost");
  const auto first = locks->lock({"job", "anna"});
  ASSERT_EQ(outcome(first), "ok");
  EXPECT_EQ(outcome(locks->confirm("job", first->token)), "ok");
  EXPECT_EQ(outcome(locks->confirm("job", first->token + 1)), "lost");
  EXPECT_EQ(outcome(locks->confirm("job", first->token - 1)), "lost");
  EXPECT_EQ(outcome(locks->confirm("job", 0)), "lost");
  EXPECT_EQ(outcome(locks->confirm("job", std::numeric_limits<std::uint64_t>::max())), "lost");
  EXPECT_EQ(outcome(locks->confirm("other", first->token)), "lost");

  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(locks->confirm("job", first->token)), "lost");
  const auto second = locks->lock({"job", "anna"});
  ASSERT_EQ(outcome(second), "ok");
  EXPECT_EQ(outcome(locks->confirm("job", first->token)), "lost");
  EXPECT_EQ(outcome(locks->confirm("job", second->token)), "ok");
}

TEST_P(LockServiceConformance, ConfirmForgetsWhatRanOut) {
  run({
      Lock("stale", "anna").lease(soon()).ok(),
      until_stale("stale"),
      Confirm("stale", "anna").lost(),
      Lock("gone", "anna").ttl(soon()).ok(),
      until_gone("gone"),
      Confirm("gone", "anna").lost(),
      Lock("leased", "anna").lease(kLong).ttl(kLong).ok(),
      Confirm("leased", "anna").ok(),
  });
}

TEST_P(LockServiceConformance, TwoServicesShowTheSameLocks) {
  const auto one = open_locks();
  const auto two = open_locks();
  const auto grant = one->lock({"job", "anna", 3});
  ASSERT_EQ(outcome(grant), "ok");
  const auto told = two->check("job");
  ASSERT_EQ(outcome(told), "anna");
  expect_holder(*told, {"anna", 3, grant->token});
  const auto refused = two->lock({"job", "ben"});
  ASSERT_EQ(outcome(refused), "forbidden");
  expect_refusal(refused.error(), {"anna", 3, grant->token});
  EXPECT_EQ(outcome(two->lock({"job", "anna"})), "renewed");
  EXPECT_EQ(outcome(two->confirm("job", grant->token)), "ok");
  EXPECT_EQ(outcome(two->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(one->check("job")), "not_found");
}

// --- Leases ---

TEST_P(LockServiceConformance, ALeaseRunsOut) {
  run({
      Lock("job", "anna").level(9).lease(soon()).ok(),
      until_stale("job"),
      Check("job").stale(),
      Check("job").tells("anna"),
      Confirm("job", "anna").lost(),
      Lock("job", "ben").level(-9).transferred("anna"),
      Confirm("job", "ben").ok(),
      Unlock("job", "anna").refused(),
  });
}

TEST_P(LockServiceConformance, ALeaseNeverRunsOutEarly) {
  const auto locks = open_locks();
  const auto asked_at = steady_clock::now();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, {.duration = soon()})), "ok");
  EXPECT_TRUE(eventually([&] { return locks->lock({"job", "ben"}).has_value(); }));
  EXPECT_GE(steady_clock::now() - asked_at, soon());
}

TEST_P(LockServiceConformance, ALongLeaseProtects) {
  run({
      Lock("job", "anna").lease(kLong).ok(),
      Check("job").leased(kLong),
      Lock("job", "ben").lease(kLong).refused(),
      Lock("job", "ben").lease(nanoseconds(-1)).refused(),
      Check("job").leased(kLong),
      Confirm("job", "anna").ok(),
  });
}

TEST_P(LockServiceConformance, ExpiresInCountsDown) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, {.duration = kLong})), "ok");
  const auto before = locks->check("job");
  bootstrap_->debug().pass(4 * traits_.granularity);
  const auto after = locks->check("job");
  ASSERT_TRUE(before && before->expires_in && after && after->expires_in);
  EXPECT_LT(*after->expires_in, *before->expires_in);
  EXPECT_GT(*after->expires_in, kLong - traits_.patience);
}

TEST_P(LockServiceConformance, ANegativeLeaseIsStaleAtOnce) {
  run({
      Lock("job", "anna").lease(nanoseconds(-1)).ok(),
      Check("job").stale(),
      Check("job").tells("anna"),
      Lock("job", "ben").lease(-kLong).transferred("anna"),
      Check("job").stale(),
      Lock("job", "carl").lease(nanoseconds::min()).transferred("ben"),
      Check("job").stale(),
      Lock("job", "carl").lease(nanoseconds(-1)).renewed(),
      Lock("job", "anna").transferred("carl"),
      Check("job").without_lease(),
  });
}

TEST_P(LockServiceConformance, AZeroLeaseIsStaleSoon) {
  run({
      Lock("job", "anna").lease(nanoseconds(0)).ok(),
      until_stale("job"),
      Lock("job", "ben").transferred("anna"),
  });
}

TEST_P(LockServiceConformance, AnEndlessLeaseDoesNotWrapAround) {
  run({
      Lock("job", "anna").lease(nanoseconds::max()).ttl(nanoseconds::max()).ok(),
      Check("job").tells("anna"),
      Confirm("job", "anna").ok(),
      Lock("job", "ben").refused(),
      Lock("years", "anna").lease(std::chrono::hours(24) * 365 * 100).ok(),
      Confirm("years", "anna").ok(),
      Lock("years", "ben").refused(),
  });
}

TEST_P(LockServiceConformance, TheServicesDefaultLease) {
  run(
      {
          Lock("job", "anna").ok(),
          Check("job").leased(kLong),
          Lock("job", "anna").lease(2 * kLong).renewed(),
          Check("job").leased(2 * kLong),
          Lock("job", "anna").renewed(),
          Check("job").leased(kLong),
          Lock("brief", "anna").lease(nanoseconds(-1)).ok(),
          Check("brief").stale(),
      },
      {.duration = kLong});
}

TEST_P(LockServiceConformance, TheServicesDefaultsAreItsOwn) {
  const auto leased = open_locks({.duration = kLong});
  const auto plain = open_locks();
  ASSERT_EQ(outcome(leased->lock({"job", "anna"})), "ok");
  ASSERT_EQ(outcome(plain->lock({"other", "anna"})), "ok");
  EXPECT_TRUE(plain->check("job").value().expires_in);
  EXPECT_FALSE(leased->check("other").value().expires_in);
}

// --- Time to live ---

TEST_P(LockServiceConformance, TimeToLiveEndsTheRecord) {
  run({
      Lock("long", "anna").ttl(kLong).ok(),
      Check("long").without_lease(),
      Check("long").tells("anna"),
      Lock("job", "anna").level(9).ttl(soon()).ok(),
      until_gone("job"),
      Confirm("job", "anna").lost(),
      Unlock("job", "anna").no_lock(),
      Unlock("job", "ben").no_lock(),
      Lock("job", "ben").ok(),
      Check("job").tells("ben"),
  });
}

TEST_P(LockServiceConformance, TimeToLivePastTheSameSigneeStartsAnew) {
  run({
      Lock("job", "anna").ttl(soon()).ok(),
      until_gone("job"),
      Lock("job", "anna").ok(),
      Confirm("job", "anna").ok(),
  });
}

TEST_P(LockServiceConformance, TimeToLiveShorterThanTheLease) {
  run({
      Lock("job", "anna").lease(kLong).ttl(soon()).ok(),
      until_gone("job"),
      Confirm("job", "anna").lost(),
      Lock("job", "ben").ok(),
  });
}

TEST_P(LockServiceConformance, TimeToLiveLongerThanTheLease) {
  run({
      Lock("job", "anna").lease(nanoseconds(-1)).ttl(kLong).ok(),
      Check("job").stale(),
      Lock("job", "ben").lease(kLong).ttl(kLong).transferred("anna"),
      Lock("job", "anna").refused(),
      Lock("brief", "anna").lease(soon()).ttl(2 * soon()).ok(),
      until_gone("brief"),
      Lock("brief", "ben").ok(),
  });
}

TEST_P(LockServiceConformance, TimeToLiveOfAStaleGrantStillRuns) {
  run({
      Lock("job", "anna").lease(nanoseconds(-1)).ttl(soon()).ok(),
      until_gone("job"),
      Unlock("job", "ben").no_lock(),
      Lock("job", "ben").ok(),
  });
}

TEST_P(LockServiceConformance, TimeToLiveOfNothingIsGoneSoon) {
  run({
      Lock("job", "anna").ttl(nanoseconds(0)).ok(),
      until_gone("job"),
      Lock("job", "ben").ttl(nanoseconds(-1)).ok(),
      until_gone("job"),
      Lock("job", "carl").ok(),
  });
}

TEST_P(LockServiceConformance, TheServicesDefaultTimeToLive) {
  run(
      {
          Lock("brief", "anna").ok(),
          until_gone("brief"),
          Lock("long", "anna").ttl(kLong).ok(),
          pass(soon() + 2 * traits_.granularity),
          Check("long").tells("anna"),
          Lock("long", "anna").renewed(),
          until_gone("long"),
      },
      {.time_to_live = soon()});
}

// --- Requests that cannot be served ---

TEST_P(LockServiceConformance, BadRequestsAreNamedAndChangeNothing) {
  const auto locks = open_locks();
  const std::string long_key(traits_.max_signature + 1, 'k'), longer_key(100'000, 'k');
  const std::string long_signee(traits_.max_signee + 1, 's');
  const std::string nul_inside("jo\0b", 4);
  const auto expect_bad = [](const auto& got) {
    ASSERT_EQ(outcome(got), "bad_request");
    EXPECT_EQ(got.error().holder, "");
    EXPECT_EQ(got.error().token, 0u);
    EXPECT_EQ(got.error().pid, 0);
  };
  for (const std::string& key : {std::string(), long_key, longer_key, nul_inside, std::string(1, '\0')}) {
    SCOPED_TRACE("signature of " + std::to_string(key.size()) + " bytes");
    expect_bad(locks->lock({key, "anna"}));
    expect_bad(locks->lock({key, "anna"}, {.force = true}));
    expect_bad(locks->lock_for({key, "anna"}, traits_.patience));
    expect_bad(locks->lock_until({key, "anna"}, steady_clock::time_point::max()));
    expect_bad(locks->unlock({key, "anna"}));
    EXPECT_EQ(outcome(locks->check(key)), "bad_request");
    EXPECT_EQ(outcome(locks->confirm(key, 1)), "bad_request");
    EXPECT_THROW(NamedMutex(*locks, key), std::system_error);
  }
  for (const std::string& signee : {std::string(), long_signee, nul_inside, std::string(1, '\0')}) {
    SCOPED_TRACE("signee of " + std::to_string(signee.size()) + " bytes");
    expect_bad(locks->lock({"job", signee}));
    expect_bad(locks->lock_for({"job", signee}, traits_.patience));
    expect_bad(locks->unlock({"job", signee}));
  }
  EXPECT_EQ(outcome(locks->check("job")), "not_found");
  EXPECT_EQ(outcome(locks->check("jo")), "not_found");
  EXPECT_EQ(outcome(locks->check(long_key.substr(1))), "not_found");
}

TEST_P(LockServiceConformance, TheLongestKeysAndSignees) {
  const std::string key(traits_.max_signature, 'k'), shorter = key.substr(1);
  const std::string signee(traits_.max_signee, 's'), other = signee.substr(1) + "t";
  run({
      Lock(key, signee).ok(),
      Lock(shorter, other).ok(),
      Lock(key, other).refused(),
      Lock(key, signee).renewed(),
      Check(key).tells(signee),
      Lock(key, other).level(1).transferred(signee),
      Unlock(key, other).ok(),
      Check(shorter).tells(other),
  });
}

TEST_P(LockServiceConformance, EveryByteButNul) {
  const auto locks = open_locks();
  for (int byte = 1; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    ASSERT_EQ(outcome(locks->lock({text, text})), "ok") << "byte " << byte;
    ASSERT_EQ(outcome(locks->lock({"key/" + text + "/", "signee " + text + "!"})), "ok") << "byte " << byte;
  }
  for (int byte = 1; byte < 256; ++byte) {
    const std::string text(1, static_cast<char>(byte));
    EXPECT_EQ(outcome(locks->check(text)), text) << "byte " << byte;
    EXPECT_EQ(outcome(locks->check("key/" + text + "/")), "signee " + text + "!") << "byte " << byte;
    EXPECT_EQ(outcome(locks->lock({text, "other"}, {.force = true})), "transferred from " + text) << "byte " << byte;
  }
}

TEST_P(LockServiceConformance, KeysOfEveryLength) {
  const auto locks = open_locks();
  const auto key = [](std::size_t length) { return std::string(length, 'k'); };
  for (std::size_t length = 1; length <= traits_.max_signature; ++length) {
    ASSERT_EQ(outcome(locks->lock({key(length), std::to_string(length)})), "ok");
  }
  for (std::size_t length = 1; length <= traits_.max_signature; ++length) {
    EXPECT_EQ(outcome(locks->check(key(length))), std::to_string(length));
  }
}

TEST_P(LockServiceConformance, ManyLocksAtOnce) {
  const auto locks = open_locks();
  const auto key = [](std::size_t i) { return "key/" + std::to_string(i); };
  for (std::size_t i = 0; i < traits_.many; ++i) ASSERT_EQ(outcome(locks->lock({key(i), std::to_string(i)})), "ok");
  for (std::size_t i = 0; i < traits_.many; ++i) {
    ASSERT_EQ(outcome(locks->check(key(i))), std::to_string(i));
    ASSERT_EQ(outcome(locks->unlock({key(i), "nobody"})), "forbidden");
    ASSERT_EQ(outcome(locks->unlock({key(i), std::to_string(i)})), "ok");
  }
  EXPECT_EQ(outcome(locks->check(key(0))), "not_found");
}

// --- Waiting ---

TEST_P(LockServiceConformance, WaitingForWhatIsFreeReturnsAtOnce) {
  const auto locks = open_locks();
  EXPECT_EQ(outcome(locks->lock_for({"a", "anna"}, traits_.patience)), "ok");
  EXPECT_EQ(outcome(locks->lock_for({"a", "anna"}, traits_.patience)), "renewed");
  EXPECT_EQ(outcome(locks->lock_for({"a", "ben", 1}, traits_.patience)), "transferred from anna");
  EXPECT_EQ(outcome(locks->lock_for({"a", "carl"}, traits_.patience, {.force = true})), "transferred from ben");
  EXPECT_EQ(outcome(locks->lock_for({"b", "anna"}, nanoseconds(0))), "ok");
  EXPECT_EQ(outcome(locks->lock_for({"c", "anna"}, nanoseconds(-1))), "ok");
  EXPECT_EQ(outcome(locks->lock_for({"d", "anna"}, nanoseconds::max())), "ok");
  EXPECT_EQ(outcome(locks->lock_until({"e", "anna"}, steady_clock::now() + traits_.patience)), "ok");
  EXPECT_EQ(outcome(locks->lock_until({"f", "anna"}, steady_clock::time_point::max())), "ok");
  EXPECT_EQ(outcome(locks->lock_until({"g", "anna"}, steady_clock::time_point::min())), "ok");
  EXPECT_EQ(outcome(locks->lock_for({"h", "anna"}, nanoseconds(0), {.duration = nanoseconds(-1)})), "ok");
  EXPECT_EQ(outcome(locks->lock_for({"h", "ben"}, nanoseconds(0))), "transferred from anna");
}

TEST_P(LockServiceConformance, ABoundedWaitRunsOutAndNamesTheHolder) {
  const auto locks = open_locks();
  const auto grant = locks->lock({"job", "anna", 7});
  ASSERT_EQ(outcome(grant), "ok");
  const auto expect_timed_out = [&](const Result<LockResponse, Refusal>& got) {
    ASSERT_EQ(outcome(got), "timed_out");
    EXPECT_EQ(got.error().holder, "anna");
    EXPECT_EQ(got.error().level, 7);
    EXPECT_EQ(got.error().token, grant->token);
    EXPECT_EQ(got.error().pid, ::getpid());
  };
  for (const nanoseconds wait : {nanoseconds(0), nanoseconds(-1), nanoseconds::min(), nanoseconds(1), soon()}) {
    SCOPED_TRACE(std::to_string(wait.count()) + " ns");
    const auto asked_at = steady_clock::now();
    expect_timed_out(locks->lock_for({"job", "ben", 7}, wait));
    EXPECT_GE(steady_clock::now() - asked_at, wait);
  }
  expect_timed_out(locks->lock_until({"job", "ben"}, steady_clock::now() - std::chrono::seconds(1)));
  expect_timed_out(locks->lock_until({"job", "ben"}, steady_clock::time_point::min()));
  const auto until = steady_clock::now() + soon();
  expect_timed_out(locks->lock_until({"job", "ben"}, until));
  EXPECT_GE(steady_clock::now(), until);
  EXPECT_EQ(outcome(locks->confirm("job", grant->token)), "ok") << "a wait that ran out changes nothing";
}

TEST_P(LockServiceConformance, AWaiterIsWokenByUnlock) {
  const auto locks = open_locks();
  const auto first = locks->lock({"job", "anna"});
  ASSERT_EQ(outcome(first), "ok");
  auto waiter = wait_for(*locks, "job", "carl");
  settle();
  EXPECT_EQ(outcome(locks->check("job")), "anna");
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  const auto got = waiter.get();
  ASSERT_EQ(outcome(got), "ok");
  EXPECT_GT(got->token, first->token);
  EXPECT_EQ(outcome(locks->check("job")), "carl");
  EXPECT_EQ(outcome(locks->confirm("job", got->token)), "ok");
}

TEST_P(LockServiceConformance, AWaiterWithoutLimitIsWoken) {
  const auto locks = open_locks();
  for (int form = 0; form < 2; ++form) {
    ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
    auto waiter = std::async(std::launch::async, [&] {
      return form == 0 ? locks->lock_for({"job", "ben"}, nanoseconds::max())
                       : locks->lock_until({"job", "ben"}, steady_clock::time_point::max());
    });
    settle();
    EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
    EXPECT_EQ(outcome(waiter.get()), "ok");
    EXPECT_EQ(outcome(locks->unlock({"job", "ben"})), "ok");
  }
}

TEST_P(LockServiceConformance, AWaiterIsLetInWhenTheLeaseEnds) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, {.duration = 5 * soon()})), "ok");
  auto waiter = wait_for(*locks, "job", "ben");
  EXPECT_EQ(outcome(waiter.get()), "transferred from anna");
}

TEST_P(LockServiceConformance, AWaiterIsLetInWhenTheTimeToLiveEnds) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, {.time_to_live = 5 * soon()})), "ok");
  auto waiter = wait_for(*locks, "job", "ben");
  EXPECT_EQ(outcome(waiter.get()), "ok");
}

TEST_P(LockServiceConformance, AWaiterIsLetInWhenTheHoldersLevelFalls) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna", 5})), "ok");
  auto waiter = wait_for(*locks, "job", "ben", 3);
  settle();
  EXPECT_EQ(outcome(locks->lock({"job", "anna", 1})), "renewed");
  EXPECT_EQ(outcome(waiter.get()), "transferred from anna");
}

TEST_P(LockServiceConformance, AWaiterIsLetInWhenARenewalEndsTheLease) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  auto waiter = wait_for(*locks, "job", "ben");
  settle();
  EXPECT_EQ(outcome(locks->lock({"job", "anna"}, {.duration = nanoseconds(-1)})), "renewed");
  EXPECT_EQ(outcome(waiter.get()), "transferred from anna");
}

TEST_P(LockServiceConformance, AWaiterIsKeptOutByARenewal) {
  const auto locks = open_locks();
  const nanoseconds lease = traits_.leeway;
  ASSERT_TRUE(eventually([&] {
    // Until the renewal came in time; on a machine this busy ben may have got it by right.
    if (!locks->lock({"job", "anna"}, {.force = true, .duration = lease})) return false;
    auto waiter = std::async(std::launch::async, [&] { return locks->lock_for({"job", "ben"}, 2 * lease); });
    settle();
    const auto renewed = locks->lock({"job", "anna"}, {.duration = kLong});
    const auto waited = waiter.get();
    if (!renewed) return false;
    EXPECT_EQ(outcome(waited), "timed_out");
    return true;
  }));
}

TEST_P(LockServiceConformance, AWaiterIsToldOfTheLastHolder) {
  const auto locks = open_locks();
  ASSERT_TRUE(eventually([&] {
    // Until carl came in time.
    if (!locks->lock({"job", "anna"}, {.force = true})) return false;
    auto waiter = std::async(std::launch::async, [&] { return locks->lock_for({"job", "ben"}, traits_.leeway); });
    settle();
    const auto taken = locks->lock({"job", "carl"}, {.force = true});
    EXPECT_EQ(outcome(taken), "transferred from anna");
    const auto waited = waiter.get();
    EXPECT_EQ(outcome(waited), "timed_out");
    if (waited || !taken || waited.error().holder == "anna") return false;
    EXPECT_EQ(waited.error().holder, "carl");
    EXPECT_EQ(waited.error().token, taken->token);
    return true;
  }));
}

TEST_P(LockServiceConformance, AWaiterSleeps) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  const auto busy = std::async(std::launch::async, [&] {
                      const auto used = [] {
                        rusage usage{};
                        ::getrusage(RUSAGE_THREAD, &usage);
                        return std::chrono::seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                               std::chrono::microseconds(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
                      };
                      const auto before = used();
                      EXPECT_EQ(outcome(locks->lock_for({"job", "ben"}, std::chrono::seconds(2))), "timed_out");
                      return used() - before;
                    }).get();
  EXPECT_LT(busy, std::chrono::milliseconds(100)) << "of processor time, for two seconds of waiting";
}

TEST_P(LockServiceConformance, OneUnlockLetsOneWaiterIn) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  std::atomic<int> inside{0}, entered{0};
  std::vector<std::thread> waiters;
  for (int i = 0; i < 8; ++i) {
    waiters.emplace_back([&, signee = "waiter " + std::to_string(i)] {
      ASSERT_EQ(outcome(locks->lock_for({"job", signee}, traits_.patience)), "ok");
      EXPECT_EQ(++inside, 1);
      ++entered;
      --inside;
      EXPECT_EQ(outcome(locks->unlock({"job", signee})), "ok");
    });
  }
  settle();
  EXPECT_EQ(entered, 0);
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(entered, 8);
}

TEST_P(LockServiceConformance, NoWaiterStarves) {
  const auto locks = open_locks();
  constexpr int kWaiters = 6;
  std::atomic<int> waiting{kWaiters};
  const auto take_turns = [&](const std::string& signee, auto more) {
    while (more()) {
      ASSERT_EQ(outcome(locks->lock_for({"job", signee}, traits_.patience)), "ok") << signee;
      ASSERT_EQ(outcome(locks->unlock({"job", signee})), "ok") << signee;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] { take_turns("hog " + std::to_string(i), [&] { return waiting > 0; }); });
  }
  for (int i = 0; i < kWaiters; ++i) {
    threads.emplace_back([&, i] {
      int turns = 5;
      take_turns("waiter " + std::to_string(i), [&] { return turns-- > 0; });
      --waiting;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(waiting, 0);
}

// --- Cycles of waiters ---

class LockServiceCycleConformance : public LockServiceConformance {
 protected:
  /// Everybody holds a key and waits for the next one's: one of them must be told so, the others then get theirs.
  void expect_one_victim(std::size_t size) const {
    const auto locks = open_locks();
    const auto key = [&](std::size_t i) { return "key " + std::to_string(i % size); };
    const auto signee = [](std::size_t i) { return "signee " + std::to_string(i); };
    std::atomic<std::size_t> victims{0}, winners{0};
    for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(outcome(locks->lock({key(i), signee(i)})), "ok");
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < size; ++i) {
      threads.emplace_back([&, i] {
        const std::string came_to = outcome(locks->lock_for({key(i + 1), signee(i)}, traits_.patience));
        if (came_to == "would_deadlock") {
          ++victims;
        } else {
          ++winners;
          EXPECT_EQ(came_to, "ok");
          EXPECT_EQ(outcome(locks->unlock({key(i + 1), signee(i)})), "ok");
        }
        EXPECT_EQ(outcome(locks->unlock({key(i), signee(i)})), "ok");
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(victims, 1u);
    EXPECT_EQ(winners, size - 1);
  }
};

TEST_P(LockServiceCycleConformance, OfTwo) {
  for (int round = 0; round < 5 && !HasFailure(); ++round) expect_one_victim(2);
}

TEST_P(LockServiceCycleConformance, OfThree) {
  for (int round = 0; round < 5 && !HasFailure(); ++round) expect_one_victim(3);
}

TEST_P(LockServiceCycleConformance, OfSeven) { expect_one_victim(7); }

TEST_P(LockServiceCycleConformance, AWaitWithoutLimitIsBrokenToo) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"a", "anna"})), "ok");
  ASSERT_EQ(outcome(locks->lock({"b", "ben"})), "ok");
  const auto wait_then_unlock = [&](const char* wanted, const char* signee, const char* held) {
    const std::string came_to = outcome(locks->lock_until({wanted, signee}, steady_clock::time_point::max()));
    EXPECT_EQ(outcome(locks->unlock({held, signee})), "ok");
    return came_to;
  };
  auto anna = std::async(std::launch::async, [&] { return wait_then_unlock("b", "anna", "a"); });
  auto ben = std::async(std::launch::async, [&] { return wait_then_unlock("a", "ben", "b"); });
  const std::string one = anna.get(), two = ben.get();
  EXPECT_TRUE((one == "ok" && two == "would_deadlock") || (one == "would_deadlock" && two == "ok"))
      << one << ", " << two;
}

TEST_P(LockServiceCycleConformance, AChainIsNoCycle) {
  const auto locks = open_locks();
  for (const char* who : {"anna", "ben", "carl"}) ASSERT_EQ(outcome(locks->lock({who, who})), "ok");
  auto ben = wait_for(*locks, "anna", "ben");
  auto carl = wait_for(*locks, "ben", "carl");
  auto dora = wait_for(*locks, "ben", "dora");
  bootstrap_->debug().pass(std::chrono::milliseconds(300));    // long enough to be looked at
  EXPECT_EQ(outcome(locks->unlock({"anna", "anna"})), "ok");
  EXPECT_EQ(outcome(ben.get()), "ok");
  EXPECT_EQ(outcome(locks->unlock({"ben", "ben"})), "ok");
  while (carl.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready &&
         dora.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
  }
  EXPECT_EQ(outcome(locks->unlock({"ben", locks->check("ben").value().signee})), "ok");
  EXPECT_EQ(outcome(carl.get()), "ok");
  EXPECT_EQ(outcome(dora.get()), "ok");
}

TEST_P(LockServiceCycleConformance, AskingWithoutWaitingIsNoPartOfACycle) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"a", "anna"})), "ok");
  ASSERT_EQ(outcome(locks->lock({"b", "ben"})), "ok");
  auto anna = wait_for(*locks, "b", "anna");
  settle();
  EXPECT_EQ(outcome(locks->lock({"a", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->unlock({"b", "ben"})), "ok");
  EXPECT_EQ(outcome(anna.get()), "ok");
}

// --- Process-bound grants, within one process ---

TEST_P(LockServiceConformance, ProcessBoundWithinItsProcess) {
  run({
      Lock("job", "anna").bound().ok(),
      Lock("job", "anna").bound().renewed(),
      Lock("job", "ben").bound().refused(),
      Confirm("job", "anna").ok(),
      Check("job").tells("anna"),
      Unlock("job", "ben").refused(),
      Unlock("job", "anna").ok(),
      Lock("job", "ben").bound().lease(nanoseconds(-1)).ok(),
      Lock("job", "anna").bound().lease(kLong).transferred("ben"),
      Lock("job", "ben").level(1).transferred("anna"),
  });
}

TEST_P(LockServiceConformance, TheLastServiceClosedReleasesWhatIsBound) {
  auto one = open_locks();
  auto two = open_locks();
  auto names = open_names();
  ASSERT_EQ(outcome(one->lock({"bound", "anna"}, kBound)), "ok");
  ASSERT_EQ(outcome(one->lock({"free", "anna"})), "ok");
  const auto stays = one->lock({"leased", "anna"}, {.duration = kLong});
  ASSERT_EQ(outcome(stays), "ok");

  one.reset();
  EXPECT_EQ(outcome(two->check("bound")), "anna") << "another service is still open";
  EXPECT_EQ(outcome(two->lock({"bound", "anna"}, kBound)), "renewed");
  two.reset();
  two = open_locks();
  EXPECT_EQ(outcome(two->check("bound")), "anna") << "a name manager is still open";
  two.reset();
  names.reset();

  one = open_locks();
  EXPECT_EQ(outcome(one->check("bound")), "not_found");
  EXPECT_EQ(outcome(one->lock({"bound", "ben"})), "ok") << "released, not abandoned";
  EXPECT_EQ(outcome(one->check("free")), "anna");
  EXPECT_EQ(outcome(one->confirm("leased", stays->token)), "ok");
  EXPECT_EQ(outcome(one->lock({"leased", "ben"})), "forbidden");
}

TEST_P(LockServiceConformance, ManyServicesOpenedAndClosed) {
  const auto keeper = open_locks();
  ASSERT_EQ(outcome(keeper->lock({"job", "anna"}, kBound)), "ok");
  for (int round = 0, rounds = turns(200); round < rounds; ++round) {
    const auto locks = open_locks();
    ASSERT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden");
    const auto names = open_names();
    ASSERT_EQ(outcome(locks->lock({"round", "anna"}, kBound)), round == 0 ? "ok" : "renewed");
  }
  EXPECT_EQ(outcome(keeper->check("job")), "anna");
}

// --- Many threads ---

TEST_P(LockServiceConformance, ThreadsExcludeEachOther) {
  const auto locks = open_locks();
  constexpr int kThreads = 4;
  const int total = turns(300);
  int counter = 0;    // plain: the lock alone guards it
  std::uint64_t last_token = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, signee = "thread " + std::to_string(i)] {
      for (int turn = 0; turn < total; ++turn) {
        const auto grant = locks->lock_for({"job", signee}, traits_.patience, turn % 2 ? kBound : LockOptions{});
        ASSERT_EQ(outcome(grant), "ok");
        EXPECT_GT(grant->token, last_token);
        last_token = grant->token;
        const int counted = counter;
        if (turn % 8 == 0) std::this_thread::yield();    // so that the others come while it is held
        counter = counted + 1;
        ASSERT_EQ(outcome(locks->unlock({"job", signee})), "ok");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, kThreads * total);
}

TEST_P(LockServiceConformance, ThreadsOnManyKeys) {
  const auto locks = open_locks();
  constexpr int kThreads = 4, kKeys = 16;
  const int total = turns(2000);
  std::array<std::atomic<int>, kKeys> holder{};
  std::atomic<int> grants{0};
  std::vector<std::thread> threads;
  for (int i = 1; i <= kThreads; ++i) {
    threads.emplace_back([&, i] {
      const std::string signee = "thread " + std::to_string(i);
      for (int turn = 0; turn < total; ++turn) {
        const int n = (turn * 7 + i * 3) % kKeys;
        const std::string key = "key " + std::to_string(n);
        const auto grant = locks->lock({key, signee});
        if (!grant) {
          ASSERT_EQ(outcome(grant), "forbidden");
          continue;
        }
        ++grants;
        ASSERT_EQ(holder[static_cast<std::size_t>(n)].exchange(i), 0);
        if (turn % 8 == 0) std::this_thread::yield();    // so that the others come while it is held
        ASSERT_EQ(outcome(locks->confirm(key, grant->token)), "ok");
        ASSERT_EQ(holder[static_cast<std::size_t>(n)].exchange(0), i);
        ASSERT_EQ(outcome(locks->unlock({key, signee})), "ok");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(grants, total);
}

// --- NamedMutex ---

class NamedMutexConformance : public LockServiceConformance {};

TEST_P(NamedMutexConformance, IsLockable) {
  const auto locks = open_locks();
  NamedMutex mutex(*locks, "ledger");
  EXPECT_EQ(mutex.token(), 0u);
  std::uint64_t first = 0;
  {
    const std::scoped_lock hold(mutex);
    first = mutex.token();
    EXPECT_GE(first, 1u);
    EXPECT_EQ(outcome(locks->confirm("ledger", first)), "ok");
    EXPECT_EQ(locks->check("ledger").value().token, first);
    EXPECT_EQ(outcome(locks->lock({"ledger", "anna"})), "forbidden");
  }
  EXPECT_EQ(mutex.token(), 0u);
  EXPECT_EQ(outcome(locks->confirm("ledger", first)), "lost");
  EXPECT_EQ(outcome(locks->lock({"ledger", "anna"})), "ok");
  EXPECT_FALSE(mutex.try_lock());
  EXPECT_EQ(outcome(locks->unlock({"ledger", "anna"})), "ok");

  std::unique_lock<NamedMutex> hold(mutex, std::try_to_lock);
  ASSERT_TRUE(hold.owns_lock());
  EXPECT_GT(mutex.token(), first);
  hold.unlock();
  EXPECT_TRUE(hold.try_lock_for(std::chrono::hours(1)));
  hold.unlock();
  EXPECT_TRUE(hold.try_lock_until(std::chrono::system_clock::now() + std::chrono::hours(1)));
  hold.unlock();
  EXPECT_EQ(outcome(locks->check("ledger")), "not_found");
}

TEST_P(NamedMutexConformance, ExcludesAnotherOfTheSameKey) {
  const auto locks = open_locks();
  NamedMutex one(*locks, "ledger"), two(*locks, "ledger"), other(*locks, "other");
  const std::scoped_lock hold(one, other);
  const auto elsewhere = std::async(std::launch::async, [&] {
                           EXPECT_FALSE(one.try_lock());
                           EXPECT_FALSE(two.try_lock());
                           EXPECT_FALSE(two.try_lock_for(std::chrono::milliseconds(1)));
                           EXPECT_FALSE(two.try_lock_for(std::chrono::milliseconds(-1)));
                           EXPECT_FALSE(two.try_lock_until(std::chrono::steady_clock::now() + soon()));
                           EXPECT_FALSE(two.try_lock_until(std::chrono::system_clock::now() - std::chrono::hours(1)));
                           return two.token();
                         }).get();
  EXPECT_EQ(elsewhere, 0u);
  EXPECT_EQ(outcome(locks->confirm("ledger", one.token())), "ok");
}

TEST_P(NamedMutexConformance, RelockingByItsThread) {
  const auto locks = open_locks();
  NamedMutex one(*locks, "ledger"), two(*locks, "ledger");
  const std::scoped_lock hold(one);
  const std::uint64_t token = one.token();
  EXPECT_FALSE(one.try_lock());
  EXPECT_FALSE(two.try_lock());
  if (traits_.relock_detected) {
    for (NamedMutex* mutex : {&one, &two}) {
      try {
        mutex->lock();
        ADD_FAILURE() << "locked twice";
      } catch (const std::system_error& error) {
        EXPECT_EQ(outcome(error.code()), "would_deadlock");
      }
    }
  }
  EXPECT_EQ(one.token(), token);
  EXPECT_EQ(outcome(locks->confirm("ledger", token)), "ok");
}

TEST_P(NamedMutexConformance, ThreadsExcludeEachOther) {
  const auto locks = open_locks();
  NamedMutex shared(*locks, "ledger");
  constexpr int kThreads = 4;
  const int total = turns(1000);
  int counter = 0;    // plain: the mutex alone guards it
  std::uint64_t last_token = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      NamedMutex own(*locks, "ledger");
      NamedMutex& mutex = i % 2 ? own : shared;
      for (int turn = 0; turn < total; ++turn) {
        const std::scoped_lock hold(mutex);
        EXPECT_GT(mutex.token(), last_token);
        last_token = mutex.token();
        const int counted = counter;
        if (turn % 8 == 0) std::this_thread::yield();    // so that the others come while it is held
        counter = counted + 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, kThreads * total);
}

TEST_P(NamedMutexConformance, AWaiterIsWoken) {
  const auto locks = open_locks();
  NamedMutex mutex(*locks, "ledger");
  for (int form = 0; form < 2; ++form) {
    mutex.lock();
    auto waiter = std::async(std::launch::async, [&] {
      NamedMutex other(*locks, "ledger");
      if (form == 0) {
        other.lock();
      } else {
        EXPECT_TRUE(other.try_lock_for(traits_.patience));
      }
      const std::uint64_t token = other.token();
      other.unlock();
      return token;
    });
    settle();
    const std::uint64_t token = mutex.token();
    mutex.unlock();
    EXPECT_GT(waiter.get(), token);
  }
}

TEST_P(NamedMutexConformance, WhatWasLostIsNotReleased) {
  const auto locks = open_locks();
  NamedMutex mutex(*locks, "ledger");
  mutex.lock();
  const std::uint64_t token = mutex.token();
  const auto taken = locks->lock({"ledger", "anna"}, {.force = true});
  ASSERT_TRUE(taken) << outcome(taken);
  EXPECT_GT(taken->token, token);
  EXPECT_EQ(outcome(locks->confirm("ledger", token)), "lost");
  mutex.unlock();
  EXPECT_EQ(outcome(locks->confirm("ledger", taken->token)), "ok");
  EXPECT_FALSE(mutex.try_lock());
}

TEST_P(NamedMutexConformance, ALeaseCanBeLost) {
  const auto locks = open_locks();
  NamedMutex leased(*locks, "ledger", {.duration = soon(), .lifetime = Lifetime::process});
  NamedMutex other(*locks, "ledger");
  leased.lock();
  const std::uint64_t token = leased.token();
  const auto next = std::async(std::launch::async, [&] {
                      other.lock();
                      return other.token();
                    }).get();
  EXPECT_GT(next, token);
  EXPECT_EQ(outcome(locks->confirm("ledger", token)), "lost");
  leased.unlock();
  EXPECT_EQ(outcome(locks->confirm("ledger", next)), "ok");
}

// --- Several processes ---

class LockServiceProcessConformance : public WithProcesses<LockServiceConformance> {
 protected:
  /// A process that does these things in a service of its own, says what they came to, and stays until told to go.
  Child in_child(const std::function<std::string(LockService&)>& act, const ServiceOptions& options = {}) const {
    return Child([=, this](Child::Link& parent) {
      const auto locks = open_locks(options);
      parent.say(act(*locks));
      parent.hear();
    });
  }

  Child holder_of(const std::string& signature, const std::string& signee, const LockOptions& options = kBound,
                  std::int32_t level = 0) const {
    return in_child([=](LockService& locks) { return outcome(locks.lock({signature, signee, level}, options)); });
  }
};

TEST_P(LockServiceProcessConformance, AHolderElsewhereIsNamed) {
  const auto locks = open_locks();
  Child child = holder_of("job", "anna", {}, 4);
  ASSERT_EQ(child.hear(), "ok");
  const auto told = locks->check("job");
  ASSERT_EQ(outcome(told), "anna");
  EXPECT_EQ(told->pid, child.pid());
  EXPECT_EQ(told->level, 4);
  const auto refused = locks->lock({"job", "ben", 4});
  ASSERT_EQ(outcome(refused), "forbidden");
  EXPECT_EQ(refused.error().holder, "anna");
  EXPECT_EQ(refused.error().level, 4);
  EXPECT_EQ(refused.error().pid, child.pid());
  EXPECT_EQ(refused.error().token, told->token);
  const auto waited = locks->lock_for({"job", "ben", 4}, soon());
  ASSERT_EQ(outcome(waited), "timed_out");
  EXPECT_EQ(waited.error().pid, child.pid());
}

TEST_P(LockServiceProcessConformance, WithALeaseAnyProcessMayRenewAndUnlock) {
  const auto locks = open_locks();
  Child child = holder_of("job", "anna", {.duration = kLong});
  ASSERT_EQ(child.hear(), "ok");
  const auto renewed = locks->lock({"job", "anna"});
  ASSERT_EQ(outcome(renewed), "renewed");
  EXPECT_FALSE(locks->check("job").value().expires_in);
  kill(child);
  EXPECT_EQ(outcome(locks->confirm("job", renewed->token)), "ok");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
}

TEST_P(LockServiceProcessConformance, ALeaseOutlivesItsProcess) {
  const auto locks = open_locks();
  Child killed = holder_of("killed", "anna", {});
  ASSERT_EQ(killed.hear(), "ok");
  kill(killed);
  Child ended = holder_of("ended", "anna", {.duration = kLong});
  ASSERT_EQ(ended.hear(), "ok");
  ended.tell("go");
  EXPECT_EQ(ended.join(), 0);
  for (const char* key : {"killed", "ended"}) {
    EXPECT_EQ(outcome(locks->check(key)), "anna");
    EXPECT_EQ(outcome(locks->lock({key, "ben"})), "forbidden");
    EXPECT_EQ(outcome(locks->unlock({key, "anna"})), "ok");
  }
}

TEST_P(LockServiceProcessConformance, ProcessBoundBelongsToSigneeAndProcess) {
  const auto locks = open_locks();
  Child child = holder_of("job", "anna");
  ASSERT_EQ(child.hear(), "ok");
  const std::uint64_t token = locks->check("job").value().token;
  for (const LockOptions& options : {LockOptions{}, kBound}) {
    const auto refused = locks->lock({"job", "anna"}, options);
    ASSERT_EQ(outcome(refused), "forbidden");
    EXPECT_EQ(refused.error().holder, "anna");
    EXPECT_EQ(refused.error().pid, child.pid());
    EXPECT_EQ(refused.error().token, token);
  }
  const auto unlock = locks->unlock({"job", "anna"});
  ASSERT_EQ(outcome(unlock), "forbidden");
  EXPECT_EQ(unlock.error().pid, child.pid());
  EXPECT_EQ(outcome(locks->confirm("job", token)), "ok");

  const auto higher = locks->lock({"job", "anna", 1}, kBound);
  ASSERT_EQ(outcome(higher), "transferred from anna");
  EXPECT_GT(higher->token, token);
  EXPECT_EQ(locks->check("job").value().pid, ::getpid());
}

TEST_P(LockServiceProcessConformance, ForceTakesFromTheSameSigneeElsewhere) {
  const auto locks = open_locks();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    const auto grant = mine->lock({"job", "anna"}, kBound);
    parent.say(outcome(grant));
    parent.hear();
    parent.say(outcome(mine->confirm("job", grant->token)));
    parent.say(outcome(mine->unlock({"job", "anna"})));
  });
  ASSERT_EQ(child.hear(), "ok");
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, {.force = true, .lifetime = Lifetime::process})),
            "transferred from anna");
  child.tell("go");
  EXPECT_EQ(child.hear(), "lost");
  EXPECT_EQ(child.hear(), "forbidden");
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(outcome(locks->check("job")), "anna") << "the end of the old holder releases nothing of the new one's";
}

TEST_P(LockServiceProcessConformance, ARenewalElsewhereCanBindALease) {
  const auto locks = open_locks();
  const auto grant = locks->lock({"job", "anna"});
  ASSERT_EQ(outcome(grant), "ok");
  Child child = holder_of("job", "anna", kBound);
  ASSERT_EQ(child.hear(), "renewed");
  EXPECT_EQ(locks->check("job").value().token, grant->token);
  EXPECT_EQ(locks->check("job").value().pid, child.pid());
  EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "forbidden");
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "forbidden");
  kill(child);
  EXPECT_EQ(outcome(locks->lock({"job", "anna"})), "transferred from anna");
}

TEST_P(LockServiceProcessConformance, AnAbandonedLockIsLikeAStaleOne) {
  const auto locks = open_locks();
  for (const bool killed : {true, false}) {
    SCOPED_TRACE(killed ? "killed" : "ended without a word");
    Child child([&](Child::Link& parent) {
      const auto mine = open_locks();
      parent.say(outcome(mine->lock({"job", "anna", 5}, kBound)));
      parent.hear();
      ::_exit(0);
    });
    ASSERT_EQ(child.hear(), "ok");
    const pid_t pid = child.pid();
    const std::uint64_t token = locks->check("job").value().token;
    EXPECT_EQ(outcome(locks->confirm("job", token)), "ok");
    if (killed) {
      kill(child);
    } else {
      child.tell("go");
      expect_end(child);
    }
    const auto told = locks->check("job");
    ASSERT_EQ(outcome(told), "anna");
    EXPECT_EQ(told->token, token);
    EXPECT_EQ(told->pid, pid);
    EXPECT_EQ(told->level, 5);
    EXPECT_EQ(outcome(locks->confirm("job", token)), "lost");
    const auto next = locks->lock({"job", "ben", -5});
    ASSERT_EQ(outcome(next), "transferred from anna");
    EXPECT_GT(next->token, token);
    EXPECT_EQ(outcome(locks->unlock({"job", "ben"})), "ok");
  }
}

TEST_P(LockServiceProcessConformance, TheSameSigneeTakesOverFromItsDeadProcess) {
  const auto locks = open_locks();
  Child child = holder_of("job", "anna");
  ASSERT_EQ(child.hear(), "ok");
  const std::uint64_t token = locks->check("job").value().token;
  kill(child);
  const auto next = locks->lock({"job", "anna"}, kBound);
  ASSERT_EQ(outcome(next), "transferred from anna");
  EXPECT_GT(next->token, token);
}

TEST_P(LockServiceProcessConformance, ClosingTheLastServiceReleases) {
  const auto locks = open_locks();
  Child child([&](Child::Link& parent) {
    auto mine = open_locks();
    parent.say(outcome(mine->lock({"job", "anna"}, kBound)));
    parent.hear();
    mine.reset();
    parent.say("closed");
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "ok");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden");
  child.tell("close");
  ASSERT_EQ(child.hear(), "closed");
  EXPECT_EQ(outcome(locks->check("job")), "not_found");
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "ok");
}

TEST_P(LockServiceProcessConformance, AWaiterIsLetInWhenTheHolderIsKilled) {
  const auto locks = open_locks();
  for (int round = 0; round < 5; ++round) {
    Child child = holder_of("job", "anna");
    ASSERT_EQ(child.hear(), "ok");
    const std::uint64_t token = locks->check("job").value().token;
    auto waiter = wait_for(*locks, "job", "ben");
    settle();
    kill(child);
    const auto got = waiter.get();
    ASSERT_EQ(outcome(got), "transferred from anna");
    EXPECT_GT(got->token, token);
    EXPECT_EQ(outcome(locks->unlock({"job", "ben"})), "ok");
  }
}

TEST_P(LockServiceProcessConformance, AWaiterInAnotherProcessIsWoken) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say("waiting");
    parent.say(outcome(mine->lock_for({"job", "ben"}, traits_.patience)));
  });
  ASSERT_EQ(child.hear(), "waiting");
  settle();
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(child.hear(), "ok");
  EXPECT_EQ(outcome(locks->check("job")), "ben");
}

TEST_P(LockServiceProcessConformance, AKilledWaiterIsInNobodysWay) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say("waiting");
    (void)mine->lock_for({"job", "ben"}, traits_.patience);
  });
  ASSERT_EQ(child.hear(), "waiting");
  settle();
  kill(child);
  auto waiter = wait_for(*locks, "job", "carl");
  settle();
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(waiter.get()), "ok");
}

TEST_P(LockServiceProcessConformance, AStoppedWaiterHoldsNobodyUpForLong) {
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    parent.say("waiting");
    parent.say(outcome(mine->lock_for({"job", "ben"}, traits_.patience)));
  });
  ASSERT_EQ(child.hear(), "waiting");
  settle();
  child.stop();
  auto waiter = wait_for(*locks, "job", "carl");
  settle();
  EXPECT_EQ(outcome(locks->unlock({"job", "anna"})), "ok");
  EXPECT_EQ(outcome(waiter.get()), "ok");
  child.resume();
  EXPECT_EQ(outcome(locks->unlock({"job", "carl"})), "ok");
  EXPECT_EQ(child.hear(), "ok");
}

TEST_P(LockServiceProcessConformance, AStoppedHolderStillHolds) {
  const auto locks = open_locks();
  Child child = holder_of("job", "anna");
  ASSERT_EQ(child.hear(), "ok");
  Child leased = holder_of("leased", "anna", {.duration = 5 * soon(), .lifetime = Lifetime::process});
  ASSERT_EQ(leased.hear(), "ok");
  child.stop();
  leased.stop();
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->lock_for({"job", "ben"}, soon())), "timed_out");
  EXPECT_EQ(outcome(locks->lock_for({"leased", "ben"}, traits_.patience)), "transferred from anna");
  child.resume();
  kill(child);
  EXPECT_EQ(outcome(locks->lock({"job", "ben"})), "transferred from anna");
}

TEST_P(LockServiceProcessConformance, AForkedChildHoldsNothing) {
  const auto locks = open_locks();
  const auto bound = locks->lock({"bound", "anna"}, kBound);
  const auto leased = locks->lock({"leased", "anna"});
  ASSERT_TRUE(bound && leased);
  Child child([&](Child::Link& parent) {
    // The parent's service, as the fork copied it.
    parent.say(outcome(locks->lock({"bound", "anna"}, kBound)));
    parent.say(outcome(locks->unlock({"bound", "anna"})));
    parent.say(outcome(locks->lock({"leased", "anna"})));
    parent.say(outcome(locks->lock({"own", "carl"}, kBound)));
    parent.say(std::to_string(locks->check("own").value().pid == ::getpid()));
    parent.hear();
  });
  EXPECT_EQ(child.hear(), "forbidden");
  EXPECT_EQ(child.hear(), "forbidden");
  EXPECT_EQ(child.hear(), "renewed");
  EXPECT_EQ(child.hear(), "ok");
  EXPECT_EQ(child.hear(), "1");
  EXPECT_EQ(outcome(locks->lock({"own", "ben"})), "forbidden");
  EXPECT_EQ(outcome(locks->unlock({"own", "carl"})), "forbidden");
  child.tell("go");
  expect_end(child);
  EXPECT_EQ(outcome(locks->lock({"own", "ben"})), "transferred from carl");
  EXPECT_EQ(outcome(locks->confirm("bound", bound->token)), "ok");
  EXPECT_EQ(outcome(locks->confirm("leased", leased->token)), "ok");
  EXPECT_EQ(outcome(locks->lock({"bound", "anna"}, kBound)), "renewed");
}

TEST_P(LockServiceProcessConformance, AForkedChildReleasesNothing) {
  auto locks = open_locks();
  const auto bound = locks->lock({"bound", "anna"}, kBound);
  ASSERT_EQ(outcome(bound), "ok");
  Child closes([&](Child::Link& parent) {
    locks.reset();
    parent.say("closed");
  });
  EXPECT_EQ(closes.hear(), "closed");
  EXPECT_EQ(closes.join(), 0);
  Child uses_and_closes([&](Child::Link& parent) {
    parent.say(outcome(locks->lock({"bound", "ben"}, kBound)));
    locks.reset();
    parent.say(outcome(open_locks()->lock({"bound", "ben"}, kBound)));
  });
  EXPECT_EQ(uses_and_closes.hear(), "forbidden");
  EXPECT_EQ(uses_and_closes.hear(), "forbidden");
  EXPECT_EQ(uses_and_closes.join(), 0);
  Child killed([&](Child::Link& parent) {
    parent.say(outcome(locks->lock({"bound", "ben"}, kBound)));
    parent.hear();
  });
  EXPECT_EQ(killed.hear(), "forbidden");
  kill(killed);
  EXPECT_EQ(outcome(locks->confirm("bound", bound->token)), "ok");
  EXPECT_EQ(outcome(locks->lock({"bound", "anna"}, kBound)), "renewed");
}

TEST_P(LockServiceProcessConformance, AForkedChildOutlivesItsParentsService) {
  auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"parents", "anna"}, kBound)), "ok");
  Child child([&](Child::Link& parent) {
    parent.say(outcome(locks->lock({"childs", "anna"}, kBound)));
    parent.hear();
    parent.say(outcome(locks->check("parents")));
    parent.say(outcome(locks->lock({"childs", "anna"}, kBound)));
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "ok");
  locks.reset();
  child.tell("go");
  EXPECT_EQ(child.hear(), "not_found");
  EXPECT_EQ(child.hear(), "renewed");
  child.tell("go");
  EXPECT_EQ(child.join(), 0);
}

TEST_P(LockServiceProcessConformance, TheSameSigneeElsewhereIsNoCycle) {
  const auto locks = open_locks();
  Child child = holder_of("job", "anna");
  ASSERT_EQ(child.hear(), "ok");
  EXPECT_EQ(outcome(locks->lock_for({"job", "anna"}, std::chrono::milliseconds(300), kBound)), "timed_out");
  auto waiter = wait_for(*locks, "job", "anna", 0, kBound);
  settle();
  kill(child);
  EXPECT_EQ(outcome(waiter.get()), "transferred from anna");
}

TEST_P(LockServiceProcessConformance, ACycleAcrossProcessesIsBroken) {
  const auto locks = open_locks();
  for (int round = 0; round < 3; ++round) {
    Child child([&](Child::Link& parent) {
      const auto mine = open_locks();
      parent.say(outcome(mine->lock({"childs", "anna"}, kBound)));
      parent.hear();
      parent.say(outcome(mine->lock_for({"parents", "anna"}, traits_.patience, kBound)));
      (void)mine->unlock({"parents", "anna"});
      (void)mine->unlock({"childs", "anna"});
    });
    ASSERT_EQ(child.hear(), "ok");
    ASSERT_EQ(outcome(locks->lock({"parents", "ben"}, kBound)), "ok");
    child.tell("go");
    const std::string mine = outcome(locks->lock_for({"childs", "ben"}, traits_.patience, kBound));
    EXPECT_EQ(outcome(locks->unlock({"parents", "ben"})), "ok");
    const std::string childs = child.hear(2 * std::chrono::duration_cast<std::chrono::milliseconds>(traits_.patience));
    EXPECT_EQ(child.join(), 0);
    if (mine == "would_deadlock") {
      EXPECT_EQ(childs, "ok");
    } else {
      EXPECT_EQ(childs, "would_deadlock");
      EXPECT_EQ(mine, "ok");
      EXPECT_EQ(outcome(locks->unlock({"childs", "ben"})), "ok");
    }
  }
}

/// Plain memory that forked processes share: what the locks under test must guard.
template <class T>
class SharedWitness {
 public:
  SharedWitness() {
    void* place = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (place == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mmap");
    witness_ = new (place) T{};
  }
  ~SharedWitness() { ::munmap(witness_, sizeof(T)); }
  SharedWitness(const SharedWitness&) = delete;
  SharedWitness& operator=(const SharedWitness&) = delete;

  T* operator->() const { return witness_; }
  T& operator*() const { return *witness_; }

 private:
  T* witness_ = nullptr;
};

TEST_P(LockServiceProcessConformance, ProcessesExcludeEachOther) {
  struct Guarded {
    int counter;
    std::uint64_t last_token;
  };
  const SharedWitness<Guarded> guarded;
  constexpr int kProcesses = 4;
  const int total = turns(200);
  std::vector<Child> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.emplace_back([&, i](Child::Link& parent) {
      const auto locks = open_locks();
      const std::string signee = "process " + std::to_string(i);
      NamedMutex mutex(*locks, "job");
      int bad = 0;
      for (int turn = 0; turn < total; ++turn) {
        // Both ways to hold it exclude each other.
        std::uint64_t token = 0;
        if (turn % 2 == 0) {
          mutex.lock();
          token = mutex.token();
        } else {
          token = locks->lock_for({"job", signee}, traits_.patience, kBound).value().token;
        }
        bad += token <= guarded->last_token;
        guarded->last_token = token;
        const int counted = guarded->counter;
        if (turn % 8 == 0) std::this_thread::yield();    // so that the others come while it is held
        guarded->counter = counted + 1;
        if (turn % 2 == 0) {
          mutex.unlock();
        } else {
          bad += !locks->unlock({"job", signee});
        }
      }
      parent.say(std::to_string(bad) + " bad");
    });
  }
  for (Child& child : children) {
    EXPECT_EQ(child.hear(2 * std::chrono::duration_cast<std::chrono::milliseconds>(traits_.patience)), "0 bad");
    EXPECT_EQ(child.join(), 0);
  }
  EXPECT_EQ(guarded->counter, kProcesses * total);
}

TEST_P(LockServiceProcessConformance, AMutexOfADeadHolderIsTakenOver) {
  const auto locks = open_locks();
  NamedMutex mutex(*locks, "ledger");
  mutex.lock();
  const std::uint64_t first = mutex.token();
  mutex.unlock();
  Child child([&](Child::Link& parent) {
    const auto mine = open_locks();
    NamedMutex own(*mine, "ledger");
    own.lock();
    parent.say("locked");
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "locked");
  EXPECT_FALSE(mutex.try_lock());
  auto waiter = std::async(std::launch::async, [&] {
    mutex.lock();
    const std::uint64_t token = mutex.token();
    mutex.unlock();
    return token;
  });
  settle();
  kill(child);
  EXPECT_GT(waiter.get(), first + 1) << "the dead holder had a token of its own";
}

TEST_P(LockServiceProcessConformance, AMutexThatAForkCopiedIsNotHeldByTheChild) {
  const auto locks = open_locks();
  NamedMutex mutex(*locks, "ledger");
  mutex.lock();
  const std::uint64_t token = mutex.token();
  Child child([&](Child::Link& parent) {
    parent.say(mutex.try_lock() ? "locked" : "held");
    mutex.unlock();
    NamedMutex own(*locks, "ledger");
    parent.say(own.try_lock() ? "locked" : "held");
  });
  EXPECT_EQ(child.hear(), "held");
  EXPECT_EQ(child.hear(), "held");
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(outcome(locks->confirm("ledger", token)), "ok");
  mutex.unlock();
  EXPECT_EQ(outcome(locks->check("ledger")), "not_found");
}

}    // namespace keyrack::testing
