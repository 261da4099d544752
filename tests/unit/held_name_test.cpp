// A held name: released once, by whoever has it last.
#include <keyrack/name_manager.hpp>

#include <gtest/gtest.h>

#include <type_traits>

namespace keyrack {
namespace {

struct Log {
  int released = 0, destroyed = 0;
  std::error_code status, release_error;
};

class FakeGrip final : public HeldName::Grip {
 public:
  explicit FakeGrip(Log& log) : log_(log) {}
  ~FakeGrip() override { ++log_.destroyed; }
  std::error_code status() const override { return log_.status; }
  Result<void> release() override {
    ++log_.released;
    if (log_.release_error) return log_.release_error;
    return {};
  }

 private:
  Log& log_;
};

HeldName held(std::string name, Log& log) { return {"worker", std::move(name), std::make_unique<FakeGrip>(log)}; }

static_assert(std::is_nothrow_move_constructible_v<HeldName> && std::is_nothrow_move_assignable_v<HeldName>);
static_assert(!std::is_copy_constructible_v<HeldName> && !std::is_copy_assignable_v<HeldName>);

TEST(HeldName, KnowsItsNameAndStatus) {
  Log log;
  const HeldName name = held("7", log);
  EXPECT_EQ(name.name(), "7");
  EXPECT_EQ(name.family(), "worker");
  EXPECT_FALSE(name.status());
  log.status = Errc::lost;
  EXPECT_EQ(name.status(), Errc::lost);
}

TEST(HeldName, IsGivenBackByTheDestructor) {
  Log log;
  { const HeldName name = held("7", log); }
  EXPECT_EQ(log.destroyed, 1);
}

TEST(HeldName, IsReleasedOnce) {
  Log log;
  log.status = Errc::lost;
  {
    HeldName name = held("7", log);
    EXPECT_TRUE(name.release());
    EXPECT_EQ(log.released, 1);
    EXPECT_EQ(log.destroyed, 1);
    EXPECT_FALSE(name.status());
    EXPECT_TRUE(name.release());
  }
  EXPECT_EQ(log.released, 1);
  EXPECT_EQ(log.destroyed, 1);
}

TEST(HeldName, TellsWhenItWasLostBefore) {
  Log log;
  log.release_error = Errc::lost;
  HeldName name = held("7", log);
  const auto first = name.release();
  ASSERT_FALSE(first);
  EXPECT_EQ(first.error(), Errc::lost);
  EXPECT_TRUE(name.release());
}

TEST(HeldName, MovesAndLeavesNothingBehind) {
  Log log;
  log.status = Errc::lost;
  HeldName from = held("7", log);
  HeldName to(std::move(from));
  EXPECT_EQ(to.name(), "7");
  EXPECT_EQ(to.family(), "worker");
  EXPECT_EQ(to.status(), Errc::lost);
  EXPECT_EQ(from.name(), "");    // NOLINT(bugprone-use-after-move): what is left is promised
  EXPECT_EQ(from.family(), "");
  EXPECT_FALSE(from.status());
  EXPECT_TRUE(from.release());
  EXPECT_EQ(log.released, 0);
  EXPECT_EQ(log.destroyed, 0);
}

TEST(HeldName, AssignmentGivesBackWhatItHeld) {
  Log old_log, new_log;
  HeldName name = held("7", old_log);
  HeldName from = held("8", new_log);
  name = std::move(from);
  EXPECT_EQ(old_log.destroyed, 1);
  EXPECT_EQ(new_log.destroyed, 0);
  EXPECT_EQ(name.name(), "8");
  EXPECT_EQ(from.name(), "");    // NOLINT(bugprone-use-after-move): what is left is promised
}

TEST(HeldName, SurvivesAssignmentToItself) {
  Log log;
  HeldName name = held("7", log);
  HeldName& same = name;
  name = std::move(same);
  EXPECT_EQ(name.name(), "7");
  EXPECT_EQ(log.destroyed, 0);
}

}    // namespace
}    // namespace keyrack
