// Scripts: chains of lock, unlock, check and confirm with what each must come to, the heart of the lock conformance.
//
//     run_script(*locks, bootstrap, {
//         Lock("job", "anna").level(1).ok(),
//         Lock("job", "ben").level(1).refused(),
//         Lock("job", "ben").level(2).transferred("anna"),
//         Unlock("job", "anna").refused(),
//         Check("job").tells("ben"),
//     });
//
// Beyond the words of the script every step is held against the grants so far: a new grant's token is greater than
// every earlier one of its signature, a renewal keeps it, a refusal names holder, level, process and token of the
// last grant and changes nothing.
#pragma once

#include <keyrack/testing/fixture.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <source_location>
#include <string>
#include <utility>

#include <unistd.h>

namespace keyrack::testing {

/// A grant as the script knows it.
struct Grant {
  std::string signee;
  std::int32_t level = 0;
  std::uint64_t token = 0;
};

/// What a running script works with.
struct Stage {
  LockService& service;
  ServiceBootstrap& bootstrap;
  std::map<std::string, Grant> last = {};                                             // by signature
  std::map<std::pair<std::string, std::string>, std::uint64_t> last_token_of = {};    // by signature and signee
};

struct Step {
  std::string text;
  std::source_location where;
  std::function<void(Stage&)> play;
};

inline void expect_holder(const CheckResponse& told, const Grant& grant) {
  EXPECT_EQ(told.signee, grant.signee);
  EXPECT_EQ(told.level, grant.level);
  EXPECT_EQ(told.token, grant.token);
  EXPECT_EQ(told.pid, ::getpid());
}

inline void expect_refusal(const Refusal& refusal, const Grant& grant) {
  EXPECT_EQ(outcome(refusal.code), "forbidden");
  EXPECT_EQ(refusal.holder, grant.signee);
  EXPECT_EQ(refusal.level, grant.level);
  EXPECT_EQ(refusal.token, grant.token);
  EXPECT_EQ(refusal.pid, ::getpid());
}

class Lock {
 public:
  Lock(std::string signature, std::string signee, std::source_location where = std::source_location::current())
      : signature_(std::move(signature)), signee_(std::move(signee)), where_(where) {}

  Lock& level(std::int32_t level) { return level_ = level, *this; }
  Lock& force() { return options_.force = true, *this; }
  Lock& lease(std::chrono::nanoseconds duration) { return options_.duration = duration, *this; }
  Lock& ttl(std::chrono::nanoseconds time_to_live) { return options_.time_to_live = time_to_live, *this; }
  Lock& bound() { return options_.lifetime = Lifetime::process, *this; }

  Step ok() const {
    return step("ok", [lock = *this](Stage& stage) { lock.expect_grant(stage, "ok", LockStatus::ok); });
  }
  Step transferred(const std::string& from) const {
    return step("transferred from " + from, [lock = *this, from](Stage& stage) {
      lock.expect_grant(stage, "transferred from " + from, LockStatus::transferred);
    });
  }
  Step renewed() const {
    return step("renewed", [lock = *this](Stage& stage) { lock.expect_grant(stage, "renewed", LockStatus::renewed); });
  }
  Step refused() const {
    return step("refused", [lock = *this](Stage& stage) { lock.expect_refused(stage); });
  }

 private:
  Step step(const std::string& comes_to, std::function<void(Stage&)> play) const {
    return {"lock " + signature_ + " by " + signee_ + ": " + comes_to, where_, std::move(play)};
  }

  LockRequest request() const { return {.signature = signature_, .signee = signee_, .level = level_}; }

  void expect_grant(Stage& stage, const std::string& comes_to, LockStatus status) const {
    const auto got = stage.service.lock(request(), options_);
    ASSERT_EQ(outcome(got), comes_to);
    EXPECT_TRUE(got->ok());
    EXPECT_EQ(got->created(), status != LockStatus::renewed);
    const std::uint64_t before = stage.last[signature_].token;
    if (status == LockStatus::renewed) {
      EXPECT_EQ(got->token, before) << "a renewal keeps the token";
    } else {
      EXPECT_GT(got->token, before) << "tokens rise";
    }
    stage.last[signature_] = {signee_, level_, got->token};
    stage.last_token_of[{signature_, signee_}] = got->token;
  }

  void expect_refused(Stage& stage) const {
    const auto got = stage.service.lock(request(), options_);
    ASSERT_EQ(outcome(got), "forbidden");
    expect_refusal(got.error(), stage.last[signature_]);
    const auto told = stage.service.check(signature_);
    ASSERT_EQ(outcome(told), stage.last[signature_].signee) << "a refusal changes nothing";
    expect_holder(*told, stage.last[signature_]);
  }

  std::string signature_, signee_;
  std::int32_t level_ = 0;
  LockOptions options_;
  std::source_location where_;
};

class Unlock {
 public:
  Unlock(std::string signature, std::string signee, std::source_location where = std::source_location::current())
      : signature_(std::move(signature)), signee_(std::move(signee)), where_(where) {}

  Step ok() const { return step("ok"); }
  Step no_lock() const { return step("no_lock"); }
  Step refused() const { return step("forbidden"); }

 private:
  Step step(const std::string& comes_to) const {
    return {"unlock " + signature_ + " by " + signee_ + ": " + comes_to, where_,
            [unlock = *this, comes_to](Stage& stage) { unlock.expect(stage, comes_to); }};
  }

  void expect(Stage& stage, const std::string& comes_to) const {
    const auto got = stage.service.unlock({.signature = signature_, .signee = signee_});
    ASSERT_EQ(outcome(got), comes_to);
    if (got) {
      EXPECT_TRUE(got->ok());
      EXPECT_EQ(outcome(stage.service.check(signature_)), "not_found");
      return;
    }
    expect_refusal(got.error(), stage.last[signature_]);
    const auto told = stage.service.check(signature_);
    ASSERT_EQ(outcome(told), stage.last[signature_].signee) << "a refusal changes nothing";
    expect_holder(*told, stage.last[signature_]);
  }

  std::string signature_, signee_;
  std::source_location where_;
};

class Check {
 public:
  explicit Check(std::string signature, std::source_location where = std::source_location::current())
      : signature_(std::move(signature)), where_(where) {}

  /// The signee, with level, token and process of the last grant.
  Step tells(const std::string& signee) const {
    return {"check " + signature_ + " tells " + signee, where_, [signature = signature_, signee](Stage& stage) {
              const auto told = stage.service.check(signature);
              ASSERT_EQ(outcome(told), signee);
              expect_holder(*told, stage.last[signature]);
            }};
  }
  Step not_found() const {
    return {"check " + signature_ + ": not found", where_, [signature = signature_](Stage& stage) {
              EXPECT_EQ(outcome(stage.service.check(signature)), "not_found");
            }};
  }
  /// A lease of that length, of which no more is used up than a test takes.
  Step leased(std::chrono::nanoseconds lease) const {
    return {"check " + signature_ + ": leased", where_, [signature = signature_, lease](Stage& stage) {
              const auto told = stage.service.check(signature);
              ASSERT_TRUE(told) << outcome(told);
              ASSERT_TRUE(told->expires_in);
              EXPECT_GT(*told->expires_in, lease - stage.bootstrap.traits().patience);
              EXPECT_LE(*told->expires_in, lease + stage.bootstrap.traits().granularity);
            }};
  }
  Step without_lease() const {
    return {"check " + signature_ + ": no lease", where_, [signature = signature_](Stage& stage) {
              const auto told = stage.service.check(signature);
              ASSERT_TRUE(told) << outcome(told);
              EXPECT_FALSE(told->expires_in);
            }};
  }
  Step stale() const {
    return {"check " + signature_ + ": stale", where_, [signature = signature_](Stage& stage) {
              const auto told = stage.service.check(signature);
              ASSERT_TRUE(told) << outcome(told);
              ASSERT_TRUE(told->expires_in);
              EXPECT_LT(told->expires_in->count(), 0);
            }};
  }

 private:
  std::string signature_;
  std::source_location where_;
};

/// Asks whether a signee's last grant is still in force.
class Confirm {
 public:
  Confirm(std::string signature, std::string signee, std::source_location where = std::source_location::current())
      : signature_(std::move(signature)), signee_(std::move(signee)), where_(where) {}

  Step ok() const { return step("ok"); }
  Step lost() const { return step("lost"); }

 private:
  Step step(const std::string& comes_to) const {
    return {"confirm " + signature_ + " of " + signee_ + ": " + comes_to, where_,
            [confirm = *this, comes_to](Stage& stage) {
              const std::uint64_t token = stage.last_token_of[{confirm.signature_, confirm.signee_}];
              EXPECT_EQ(outcome(stage.service.confirm(confirm.signature_, token)), comes_to);
            }};
  }

  std::string signature_, signee_;
  std::source_location where_;
};

/// Waits until check() tells that the lease is past.
inline Step until_stale(std::string signature, std::source_location where = std::source_location::current()) {
  return {"wait until " + signature + " is stale", where, [signature](Stage& stage) {
            EXPECT_TRUE(eventually(stage.bootstrap, [&] {
              const auto told = stage.service.check(signature);
              return told && told->expires_in && told->expires_in->count() < 0;
            }));
          }};
}

/// Waits until check() finds nothing.
inline Step until_gone(std::string signature, std::source_location where = std::source_location::current()) {
  return {"wait until " + signature + " is gone", where, [signature](Stage& stage) {
            EXPECT_TRUE(
                eventually(stage.bootstrap, [&] { return outcome(stage.service.check(signature)) == "not_found"; }));
          }};
}

inline Step pass(std::chrono::nanoseconds span, std::source_location where = std::source_location::current()) {
  return {"time passes", where, [span](Stage& stage) { stage.bootstrap.debug().pass(span); }};
}

/// Plays the steps one after the other, and stops at the first that fails.
inline void run_script(LockService& service, ServiceBootstrap& bootstrap, std::initializer_list<Step> steps) {
  Stage stage{service, bootstrap};
  for (const Step& step : steps) {
    const ::testing::ScopedTrace trace(step.where.file_name(), static_cast<int>(step.where.line()), step.text);
    step.play(stage);
    if (::testing::Test::HasFailure()) return;
  }
}

}    // namespace keyrack::testing
