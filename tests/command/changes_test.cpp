// What two looks at a key make of what happened in between.
#include "changes.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keyrack::command {
namespace {

using Look = std::optional<LockPicture>;

LockPicture held(std::uint64_t token, const std::string& signee, LockState state = LockState::held) {
  LockPicture lock;
  lock.signature = "a";
  lock.signee = signee;
  lock.token = token;
  lock.state = state;
  return lock;
}
LockPicture idle(std::uint64_t token) { return held(token, "", LockState::idle); }

/// "kind previous missed".
std::string between(const Look& before, const Look& after) {
  const auto change = change_between(before, after);
  if (!change) return "nothing";
  return std::string(change->kind) + " " + (change->previous_signee.empty() ? "-" : change->previous_signee) + " " +
         (change->missed ? std::to_string(*change->missed) : "?");
}

TEST(Changes, NothingIsNothing) {
  EXPECT_EQ(between({}, {}), "nothing");
  EXPECT_EQ(between(idle(3), idle(3)), "nothing");
  EXPECT_EQ(between(held(3, "anna"), held(3, "anna")), "nothing");
  EXPECT_EQ(between(idle(3), {}), "nothing") << "free before and after";
  LockPicture grantor_left = held(3, "anna"), before = grantor_left;
  before.session = 4;
  before.expires_in = std::chrono::milliseconds(7);
  EXPECT_EQ(between(before, grantor_left), "nothing") << "whose grant it is did not change, nor its end";
}

TEST(Changes, OneStep) {
  EXPECT_EQ(between(idle(3), held(4, "anna")), "granted - 0");
  EXPECT_EQ(between(held(4, "anna"), idle(5)), "released anna 0");
  EXPECT_EQ(between(held(4, "anna"), held(5, "bert")), "transferred anna 0");
  EXPECT_EQ(between(held(4, "anna", LockState::abandoned), held(5, "anna")), "transferred anna 0");
}

TEST(Changes, TokensTellWhatWasMissed) {
  EXPECT_EQ(between(idle(3), idle(5)), "released - 1");
  EXPECT_EQ(between(held(3, "anna"), held(5, "anna")), "granted anna 1");
  EXPECT_EQ(between(held(3, "anna"), held(9, "bert")), "granted anna 5");
  EXPECT_EQ(between(held(3, "anna"), idle(9)), "released anna 5");
  EXPECT_EQ(between(idle(3), held(9, "bert", LockState::stale)), "granted - 5");
}

TEST(Changes, WithoutARecordInBetweenTheyDoNot) {
  EXPECT_EQ(between({}, held(9, "anna")), "granted - ?");
  EXPECT_EQ(between({}, idle(9)), "released - ?");
  EXPECT_EQ(between(held(9, "anna"), {}), "gone anna ?");
  LockPicture elsewhere = held(12, "bert");
  elsewhere.record = 7;
  EXPECT_EQ(between(held(9, "anna"), elsewhere), "granted anna ?");
  EXPECT_EQ(between(held(9, "anna"), held(4, "bert")), "granted anna ?") << "tokens of one record never fall";
}

TEST(Changes, WithinOneGrant) {
  EXPECT_EQ(between(held(3, "anna"), held(3, "anna", LockState::stale)), "stale anna 0");
  EXPECT_EQ(between(held(3, "anna"), held(3, "anna", LockState::abandoned)), "abandoned anna 0");
  EXPECT_EQ(between(held(3, "anna", LockState::stale), held(3, "anna")), "renewed anna 0");
  EXPECT_EQ(between(held(3, "anna", LockState::stale), idle(3)), "gone anna 0") << "past its time to live";
  for (const auto change :
       {+[](LockPicture& lock) { lock.level = 5; }, +[](LockPicture& lock) { lock.pid = 5; },
        +[](LockPicture& lock) { lock.process_bound = true; }, +[](LockPicture& lock) { lock.deadline = {}; }}) {
    LockPicture after = held(3, "anna");
    change(after);
    EXPECT_EQ(between(held(3, "anna"), after), "renewed anna 0");
  }
}

}    // namespace
}    // namespace keyrack::command
