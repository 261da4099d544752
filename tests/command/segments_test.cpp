// keyrack create, ls, rm, backends.
#include "harness.hpp"

#include <keyrack/segment.hpp>

#include <string>

namespace keyrack::command_test {
namespace {

class Segments : public CommandTest {
 protected:
  nlohmann::json listed() const {
    for (const auto& one : keyrack_json({"ls"})) {
      if (one.at("name") == segment()) return one;
    }
    return {};
  }
};

TEST_F(Segments, CreateListRemove) {
  EXPECT_TRUE(listed().is_null());
  const Ended created = keyrack({"create", "--url", url("?slots=500&sessions=7&mode=0640")});
  EXPECT_EQ(created.status, 0) << created.err;
  EXPECT_TRUE(created.out.starts_with("created " + segment() + ": 500 slots, 7 sessions, ")) << created.out;
  const Ended again = keyrack({"create"});
  EXPECT_EQ(again.status, 0) << again.err;
  EXPECT_TRUE(again.out.starts_with("there is already " + segment() + ": 500 slots, ")) << again.out;

  const auto one = listed();
  ASSERT_FALSE(one.is_null());
  EXPECT_EQ(one.at("slots"), 500);
  EXPECT_EQ(one.at("used"), 0);
  EXPECT_EQ(one.at("sessions"), 0);
  EXPECT_EQ(one.at("mode"), "0640");
  EXPECT_GT(one.at("bytes"), 0);
  EXPECT_TRUE(contains(keyrack({"ls"}).out, segment()));

  EXPECT_EQ(keyrack({"rm"}).status, 0);
  EXPECT_TRUE(listed().is_null());
  const Ended none = keyrack({"rm"});
  EXPECT_EQ(none.status, 1);
  EXPECT_TRUE(is_one_error_line(none.err));
}

TEST_F(Segments, RemoveByName) {
  const std::string other = segment() + "-other";
  EXPECT_EQ(keyrack({"create"}).status, 0);
  EXPECT_EQ(keyrack({"create", "--url", url("-other")}).status, 0);
  const Ended mixed = keyrack({"rm", segment() + "-none", segment(), other});
  EXPECT_EQ(mixed.status, 1);
  EXPECT_TRUE(is_one_error_line(mixed.err));
  EXPECT_TRUE(contains(mixed.err, segment() + "-none"));
  EXPECT_EQ(keyrack({"rm"}).status, 1) << "it is gone already";
  EXPECT_FALSE(remove_segment(other)) << "it is gone already";
}

TEST_F(Segments, NameInBracketsIsNotTakenForOthers) {
  EXPECT_EQ(keyrack({"create"}).status, 0);
  const Ended refused = keyrack({"rm", "[" + segment() + "]"});
  EXPECT_EQ(refused.status, 2);
  EXPECT_TRUE(is_one_error_line(refused.err));
  EXPECT_EQ(keyrack({"rm"}).status, 0) << "it was still there";
}

TEST_F(Segments, AnotherGeometryIsAFailure) {
  ASSERT_EQ(keyrack({"create", "--url", url("?slots=500")}).status, 0);
  const Ended other = keyrack({"create", "--url", url("?slots=501")});
  EXPECT_EQ(other.status, 3);
  EXPECT_TRUE(is_one_error_line(other.err));
  EXPECT_EQ(keyrack({"list", "--url", url("-none?create=false")}).status, 3);
}

TEST_F(Segments, FullTableIsAFailureThatSaysWhatToDo) {
  const std::string small = url("?slots=1");
  ASSERT_EQ(keyrack({"--url", small, "lock", "a", "--signee", "me"}).status, 0);
  const Ended full = keyrack({"--url", small, "lock", "b", "--signee", "me"});
  EXPECT_EQ(full.status, 3);
  EXPECT_EQ(full.err, "keyrack: b: no room for another record; unlock something, or use a segment with more slots\n");
}

TEST_F(Segments, BackendsAreListed) {
  const Ended ended = keyrack({"backends"});
  EXPECT_EQ(ended.status, 0);
  EXPECT_TRUE(contains(ended.out, "shm: ")) << ended.out;
  EXPECT_TRUE(contains(ended.out, "auto_release_after"));
}

}    // namespace
}    // namespace keyrack::command_test
