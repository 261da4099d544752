// keyrack hold, acquire, try-acquire, keep-alive, release, list, reset.
#include "harness.hpp"

#include <csignal>
#include <string>

namespace keyrack::command_test {
namespace {

class Names : public CommandTest {
 protected:
  bool is_free(const std::string& family, const std::string& name) const {
    for (const auto& known : keyrack_json({"list"})) {
      if (known.at("family") == family && known.at("name") == name) return known.at("free").get<bool>();
    }
    ADD_FAILURE() << family << "/" << name << " is not listed";
    return false;
  }
};

TEST_F(Names, AcquirePrintsTheBareName) {
  EXPECT_EQ(keyrack({"acquire", "worker"}).out, "0\n");
  EXPECT_EQ(keyrack({"acquire", "worker"}).out, "1\n");
  EXPECT_EQ(keyrack({"acquire", "other"}).out, "0\n");
  EXPECT_EQ(keyrack({"release", "worker", "0"}).status, 0);
  EXPECT_EQ(keyrack({"release", "worker", "0"}).status, 0);
  EXPECT_EQ(keyrack({"acquire", "worker"}).out, "0\n");
}

TEST_F(Names, TryAcquireTellsWhyNot) {
  const Ended unknown = keyrack({"try-acquire", "worker", "0"});
  EXPECT_EQ(unknown.status, 1);
  EXPECT_TRUE(is_one_error_line(unknown.err));
  EXPECT_TRUE(contains(unknown.err, "never acquired")) << unknown.err;
  ASSERT_EQ(keyrack({"acquire", "worker"}).status, 0);
  const Ended taken = keyrack({"try-acquire", "worker", "0"});
  EXPECT_EQ(taken.status, 1);
  EXPECT_TRUE(contains(taken.err, "somebody has that name")) << taken.err;
  ASSERT_EQ(keyrack({"release", "worker", "0"}).status, 0);
  EXPECT_EQ(keyrack({"try-acquire", "worker", "0"}).status, 0);
  EXPECT_EQ(keyrack({"keep-alive", "worker", "0"}).status, 0);
  EXPECT_EQ(keyrack({"keep-alive", "worker", "77"}).status, 0);
}

TEST_F(Names, ListAndReset) {
  ASSERT_EQ(keyrack({"acquire", "b\xff"}).status, 0);
  ASSERT_EQ(keyrack({"acquire", "a"}).status, 0);
  ASSERT_EQ(keyrack({"release", "a", "0"}).status, 0);
  const auto names = keyrack_json({"list"});
  ASSERT_EQ(names.size(), 2);
  EXPECT_EQ(names[0].at("family"), "a");
  EXPECT_TRUE(names[0].at("free"));
  EXPECT_TRUE(names[0].at("updated_at").is_null());
  EXPECT_EQ(names[1].at("family"), "b\\xff");
  EXPECT_FALSE(names[1].at("free"));
  const auto created = names[1].at("created_at").get<std::string>();
  EXPECT_EQ(created.size(), std::string("2026-11-22T05:00:00Z").size());
  EXPECT_LE(created, names[1].at("updated_at").get<std::string>());
  const Ended table = keyrack({"list"});
  EXPECT_TRUE(table.out.starts_with("FAMILY  NAME  STATE  CREATED")) << table.out;
  EXPECT_TRUE(contains(table.out, "b\\xff")) << table.out;

  EXPECT_EQ(keyrack({"reset"}).status, 0);
  EXPECT_EQ(keyrack_json({"list"}).size(), 0);
}

TEST_F(Names, HoldPrintsTheNameAndReleasesItWhenInterrupted) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Process first = start({"hold", "worker"});
    ASSERT_TRUE(eventually([&] { return first.out() == "0\n"; })) << first.out() << first.err();
    Process second = start({"hold", "worker"});
    ASSERT_TRUE(eventually([&] { return second.out() == "1\n"; })) << second.out() << second.err();
    EXPECT_FALSE(is_free("worker", "0"));
    first.signal(number);
    EXPECT_EQ(first.wait(), 0);
    EXPECT_TRUE(is_free("worker", "0"));
    EXPECT_FALSE(is_free("worker", "1"));
    second.signal(SIGKILL);
    EXPECT_EQ(second.wait(), 128 + SIGKILL);
    EXPECT_TRUE(is_free("worker", "1"));
  }
}

TEST_F(Names, HoldRunsACommandUnderTheName) {
  ASSERT_EQ(keyrack({"acquire", "worker"}).status, 0);
  const Ended ended = keyrack({"hold", "worker", "--", "sh", "-c", "echo name $KEYRACK_NAME; exit 7"});
  EXPECT_EQ(ended.status, 7) << ended.err;
  EXPECT_EQ(ended.out, "name 1\n");
  EXPECT_TRUE(is_free("worker", "1"));
  EXPECT_EQ(keyrack({"hold", "worker", "--", "/nowhere/at/all"}).status, 127);
}

TEST_F(Names, LossOfTheNameEndsTheHold) {
  Process bare = start({"hold", "worker"});
  ASSERT_TRUE(eventually([&] { return bare.out() == "0\n"; }));
  Process with_command = start({"hold", "worker", "--", "sh", "-c", "echo $KEYRACK_NAME; exec cat"});
  ASSERT_TRUE(eventually([&] { return with_command.out() == "1\n"; }));
  ASSERT_EQ(keyrack({"reset"}).status, 0);
  for (Process* process : {&bare, &with_command}) {
    EXPECT_EQ(process->wait(), 1);
    EXPECT_TRUE(is_one_error_line(process->err()));
  }
}

TEST_F(Names, LossInTheLastMomentIsTold) {
  const Ended ended = keyrack({"hold", "worker", "--", KEYRACK_COMMAND, "reset"});
  EXPECT_EQ(ended.status, 1);
  EXPECT_TRUE(is_one_error_line(ended.err));
}

TEST_F(Names, NamesAreReleasedByAge) {
  const std::string aging = url("?auto_release_after=20ms");
  ASSERT_EQ(keyrack({"--url", aging, "acquire", "worker"}).out, "0\n");
  EXPECT_TRUE(eventually([&] { return keyrack({"--url", aging, "try-acquire", "worker", "0"}).status == 0; }));
}

}    // namespace
}    // namespace keyrack::command_test
