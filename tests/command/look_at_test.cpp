// The look at one key, which keyrack watch rests on.
#include "harness.hpp"

#include <keyrack/keyrack.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace keyrack::command_test {
namespace {

class LookAt : public CommandTest {};

TEST_F(LookAt, OneLookTellsWhatTheWholePictureTells) {
  for (int i = 0; i < 40; ++i) {
    Words words = {"lock", "k" + std::to_string(i), "--signee", "s" + std::to_string(i), "--level", std::to_string(i)};
    if (i % 3 == 0) words.insert(words.end(), {"--duration", i % 2 == 0 ? "1h" : "-1s"});
    ASSERT_EQ(keyrack(words).status, 0);
  }
  ASSERT_EQ(keyrack({"unlock", "k7", "--signee", "s7"}).status, 0);
  const auto inspector = open_inspector(segment()).value();
  const Snapshot all = inspector->snapshot(true).value();
  ASSERT_EQ(all.locks.size(), 40u);
  for (const LockPicture& lock : all.locks) {
    const auto one = inspector->look_at(lock.signature).value();
    ASSERT_TRUE(one) << lock.signature;
    EXPECT_EQ(one->signature, lock.signature);
    EXPECT_EQ(one->signee, lock.signee);
    EXPECT_EQ(one->level, lock.level);
    EXPECT_EQ(one->state, lock.state);
    EXPECT_EQ(one->token, lock.token);
    EXPECT_EQ(one->record, lock.record);
    EXPECT_EQ(one->deadline, lock.deadline);
  }
  EXPECT_FALSE(inspector->look_at("k40").value());
  EXPECT_EQ(inspector->look_at("").error(), Errc::bad_request);
}

/// A table in which two threads put other keys in the place of each other's, all the time.
class Churn {
 public:
  Churn(std::string name, int slots) : name_(std::move(name)), slots_(slots) {
    for (int who = 0; who < 2; ++who) {
      others_.emplace_back([this, who] {
        for (int i = 0; !done_; ++i) {
          const std::string key = std::to_string(who) + "-" + std::to_string(i % (10 * slots_));
          (void)locks_->lock({.signature = key, .signee = "other"});
          (void)locks_->unlock({.signature = key, .signee = "other"});
          ++rounds_;
        }
      });
    }
  }
  ~Churn() {
    done_ = true;
    for (std::thread& other : others_) other.join();
    (void)remove_segment(name_);
  }

  LockService& locks() { return *locks_; }
  int rounds() const { return rounds_; }

 private:
  std::string name_;
  int slots_;
  std::unique_ptr<LockService> locks_ =
      open_lock_service("shm://" + name_ + "?slots=" + std::to_string(slots_)).value();
  std::atomic<bool> done_{false};
  std::atomic<int> rounds_{0};
  std::vector<std::thread> others_;
};

TEST_F(LookAt, AHeldKeyIsNeverOverlooked) {
  Churn churn(segment() + "-few", 4);
  while (!churn.locks().lock({.signature = "a", .signee = "anna"})) {    // all four may be held just then
  }
  const auto inspector = open_inspector(segment() + "-few").value();
  int overlooked = 0;
  while (churn.rounds() < 1'000'000) overlooked += inspector->look_at("a").value() ? 0 : 1;
  EXPECT_EQ(overlooked, 0);
}

TEST_F(LookAt, VerifyFindsNothingWrongWithRecordsThatGoToOtherChains) {
  Churn churn(segment() + "-few", 1000);
  const auto inspector = open_inspector(segment() + "-few").value();
  while (churn.rounds() < 1'000'000) {
    for (const Finding& finding : inspector->verify()) FAIL() << finding.place << ": " << finding.what;
  }
}

}    // namespace
}    // namespace keyrack::command_test
