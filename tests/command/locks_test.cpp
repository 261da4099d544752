// keyrack lock, unlock, check.
#include "harness.hpp"

#include <string>

namespace keyrack::command_test {
namespace {

class Locks : public CommandTest {
 protected:
  std::uint64_t token(const std::string& key, const std::string& signee) const {
    const auto token = token_of(key, signee);
    EXPECT_TRUE(token) << signee << " does not hold " << key;
    return token.value_or(0);
  }
};

TEST_F(Locks, LockTellsStatusTokenAndPreviousSignee) {
  const Ended first = keyrack({"lock", "job/42", "--signee", "worker-3"});
  EXPECT_EQ(first.status, 0) << first.err;
  const std::uint64_t one = token("job/42", "worker-3");
  EXPECT_GE(one, 1);
  EXPECT_EQ(first.out, "ok token=" + std::to_string(one) + "\n");

  const Ended again = keyrack({"lock", "job/42", "--signee", "worker-3"});
  EXPECT_EQ(again.out, "renewed token=" + std::to_string(one) + "\n");

  const Ended higher = keyrack({"lock", "job/42", "--signee", "worker-7", "--level", "1"});
  EXPECT_EQ(higher.status, 0) << higher.err;
  const std::uint64_t two = token("job/42", "worker-7");
  EXPECT_GT(two, one);
  EXPECT_EQ(higher.out, "transferred token=" + std::to_string(two) + " previous_signee=worker-3\n");
}

TEST_F(Locks, RefusalIsStatusOneAndNamesTheHolder) {
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "worker-7", "--level", "4"}).status, 0);
  const Ended refused = keyrack({"lock", "a", "--signee", "other", "--level", "4"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_EQ(refused.out, "");
  EXPECT_TRUE(is_one_error_line(refused.err));
  EXPECT_TRUE(contains(refused.err, "a is held by worker-7 (pid ")) << refused.err;
  EXPECT_TRUE(contains(refused.err, "level 4")) << refused.err;

  const Ended again = keyrack({"lock", "a", "--signee", "other", "--format", "json"});
  EXPECT_EQ(again.status, 1);
  const auto refusal = nlohmann::json::parse(again.out);
  EXPECT_EQ(refusal.at("status"), "failed");
  EXPECT_EQ(refusal.at("holder"), "worker-7");
  EXPECT_EQ(refusal.at("level"), 4);
  EXPECT_EQ(refusal.at("token"), token("a", "worker-7"));

  const Ended forced = keyrack({"lock", "a", "--signee", "other", "--force"});
  EXPECT_EQ(forced.status, 0) << forced.err;
  EXPECT_TRUE(contains(forced.out, "previous_signee=worker-7")) << forced.out;
}

TEST_F(Locks, WaitEndsWithTheUnlock) {
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "first"}).status, 0);
  const Ended timed_out = keyrack({"lock", "a", "--signee", "second", "--wait", "50ms"});
  EXPECT_EQ(timed_out.status, 1);
  EXPECT_TRUE(contains(timed_out.err, "held by first")) << timed_out.err;

  Process second = start({"lock", "a", "--signee", "second", "--wait", "1h"});
  ASSERT_TRUE(eventually([&] { return keyrack_json({"dump"}).at("waiters").size() == 1; }));
  EXPECT_FALSE(second.ended());
  EXPECT_EQ(keyrack({"unlock", "a", "--signee", "first"}).out, "ok\n");
  EXPECT_EQ(second.wait(), 0);
  EXPECT_TRUE(contains(second.out(), "ok token=")) << second.out();
}

TEST_F(Locks, LeaseAndTimeToLive) {
  EXPECT_EQ(keyrack({"lock", "stale", "--signee", "first", "--duration", "-1s"}).status, 0);
  EXPECT_LT(keyrack_json({"check", "stale"}).at("expires_in_ms"), 0);
  EXPECT_TRUE(contains(keyrack({"lock", "stale", "--signee", "second"}).out, "previous_signee=first"));

  EXPECT_EQ(keyrack({"lock", "leased", "--signee", "me", "--duration", "1h"}).status, 0);
  const auto leased = keyrack_json({"check", "leased"});
  EXPECT_GT(leased.at("expires_in_ms"), 0);
  EXPECT_LE(leased.at("expires_in_ms"), 3'600'001);
  EXPECT_EQ(leased.at("level"), 0);
  EXPECT_TRUE(contains(keyrack({"check", "leased"}).out, "signee=me level=0 token="));

  EXPECT_EQ(keyrack({"lock", "short", "--signee", "me", "--ttl", "20ms"}).status, 0);
  EXPECT_TRUE(eventually([&] { return keyrack({"check", "short"}).status == 1; }));

  EXPECT_EQ(keyrack({"lock", "ever", "--signee", "me"}).status, 0);
  EXPECT_TRUE(keyrack_json({"check", "ever"}).at("expires_in_ms").is_null());
}

TEST_F(Locks, UnlockTellsWhatThereWas) {
  EXPECT_EQ(keyrack({"unlock", "a", "--signee", "me"}).out, "no_lock\n");
  EXPECT_EQ(keyrack_json({"unlock", "a", "--signee", "me"}).at("status"), "no_lock");
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "me"}).status, 0);
  const Ended other = keyrack({"unlock", "a", "--signee", "other"});
  EXPECT_EQ(other.status, 1);
  EXPECT_TRUE(contains(other.err, "held by me")) << other.err;
  const Ended mine = keyrack({"unlock", "a", "--signee", "me", "--format", "json"});
  EXPECT_EQ(mine.status, 0) << mine.err;
  EXPECT_EQ(nlohmann::json::parse(mine.out).at("status"), "ok");
  const Ended gone = keyrack({"check", "a"});
  EXPECT_EQ(gone.status, 1);
  EXPECT_EQ(gone.out, "");
  EXPECT_TRUE(is_one_error_line(gone.err));
}

TEST_F(Locks, BytesThatAreNotUtf8AreEscaped) {
  ASSERT_EQ(keyrack({"lock", "a", "--signee", "caf\xc3\xa9 \xff"}).status, 0);
  EXPECT_EQ(keyrack_json({"check", "a"}).at("signee"), "caf\xc3\xa9 \\xff");
  EXPECT_TRUE(contains(keyrack({"check", "a"}).out, "signee=caf\xc3\xa9 \\xff "));
}

}    // namespace
}    // namespace keyrack::command_test
