// The look at one key, which keyrack watch rests on.
#include "harness.hpp"

#include <keyrack/keyrack.hpp>

#include <atomic>
#include <string>
#include <thread>
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

// All keys share a few chains, and others come and go in them all the time.
TEST_F(LookAt, AHeldKeyIsNeverOverlooked) {
  ASSERT_EQ(keyrack({"create", "--url", "shm://" + segment() + "-few?slots=4"}).status, 0);
  const std::string few = segment() + "-few";
  {
    const auto locks = open_lock_service("shm://" + few).value();
    ASSERT_TRUE(locks->lock({.signature = "a", .signee = "anna"}));
    std::atomic<bool> done{false};
    std::atomic<int> rounds{0};
    std::vector<std::thread> others;
    for (int who = 0; who < 2; ++who) {
      others.emplace_back([&, who] {
        for (int i = 0; !done; ++i) {
          const std::string key = std::to_string(who) + "-" + std::to_string(i % 50);
          (void)locks->lock({.signature = key, .signee = "other"});
          (void)locks->unlock({.signature = key, .signee = "other"});
          ++rounds;
        }
      });
    }
    const auto inspector = open_inspector(few).value();
    int overlooked = 0;
    while (rounds < 1'000'000) overlooked += inspector->look_at("a").value() ? 0 : 1;
    done = true;
    for (std::thread& other : others) other.join();
    EXPECT_EQ(overlooked, 0);
  }
  (void)remove_segment(few);
}

}    // namespace
}    // namespace keyrack::command_test
