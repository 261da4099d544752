// The object of a segment is cut short while it is in use. What is missing cannot be touched: new openers and those who
// only look are told so; the kernel ends who is attached and touches it.
#include "segment_fixture.hpp"

#include "table/layout.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

namespace keyrack::tests {
namespace {

class TruncationTest : public SegmentFixture {
 protected:
  TruncationTest() { do_not_audit(); }

  void cut_to(std::size_t bytes) const { ASSERT_EQ(::truncate(segment_.path().c_str(), static_cast<off_t>(bytes)), 0); }

  static const table::Layout& layout() {
    static const table::Layout layout({.slots = 64, .sessions = 8, .max_signature = 128, .max_signee = 64});
    return layout;
  }
  static std::vector<std::size_t> lengths() {
    const table::Layout& all = layout();
    return {all.bytes - 1,  all.bytes - table::kPage, all.records_at,       all.claimants_at,
            all.buckets_at, all.waiters_at,           all.counts_at,        all.infos_at,
            all.lives_at,   table::kPage - 1,         sizeof(table::Header)};
  }

  const std::string geometry_ = "slots=64&sessions=8";
};

TEST_F(TruncationTest, NewOpenersAndLookersAreTold) {
  for (const std::size_t length : lengths()) {
    SCOPED_TRACE(length);
    // Another process is attached, and asleep all the while.
    Child attached([&](Child::Link& parent) {
      const auto locks = open_locks(geometry_);
      parent.say(outcome(locks->lock({"job", "anna"}, kBound)));
      parent.hear();
    });
    ASSERT_EQ(attached.hear(), "ok");
    const auto inspector = open_inspector(segment_.name()).value();
    ASSERT_EQ(outcome(std::error_code(inspector->snapshot() ? Errc{} : Errc::corrupt_segment)), "ok");

    cut_to(length);
    EXPECT_EQ(outcome(try_locks()), "corrupt_segment");
    EXPECT_EQ(outcome(open_name_manager(segment_.url())), "corrupt_segment");
    EXPECT_EQ(outcome(open_inspector(segment_.name()).error().code), "corrupt_segment");
    if (length % table::kPage == 0) {    // else the last page is there, and zero behind the end
      EXPECT_EQ(outcome(inspector->snapshot().error()), "corrupt_segment");
      ASSERT_EQ(inspector->verify().size(), 1u);
      EXPECT_NE(inspector->verify()[0].what, "");
    }
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
    EXPECT_EQ(outcome(open_locks(geometry_)->lock({"job", "ben"})), "ok") << "a new one of that name";
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  }
}

TEST_F(TruncationTest, TheAttachedAreEndedOrAnswer) {
  for (const std::size_t length : lengths()) {
    SCOPED_TRACE(length);
    const ScratchSegment other;
    Child attached([&](Child::Link& parent) {
      ::signal(SIGBUS, SIG_DFL);    // a sanitizer has a handler of its own
      const auto locks = open_locks(geometry_);
      const auto names = open_names();
      parent.say(outcome(locks->lock({"job", "anna"}, kBound)));
      parent.hear();
      (void)locks->lock({"job", "ben"});
      (void)locks->lock({"new", "ben"});
      (void)names->acquire("family");
      parent.say("answered");
    });
    Child bystander([&](Child::Link& parent) {
      const auto locks = open_lock_service(other.url(geometry_)).value();
      parent.say(outcome(locks->lock({"job", "anna"}, kBound)));
      parent.hear();
      parent.say(outcome(locks->unlock({"job", "anna"})));
    });
    ASSERT_EQ(attached.hear(), "ok");
    ASSERT_EQ(bystander.hear(), "ok");
    cut_to(length);
    attached.tell("go on");
    (void)attached.hear();
    const int status = attached.join();
    EXPECT_TRUE(status == 0 || status == -SIGBUS) << status;
    bystander.tell("go on");
    EXPECT_EQ(bystander.hear(), "ok");
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  }
}

TEST_F(TruncationTest, TheCommandEndsWithALine) {
  (void)open_locks(geometry_);
  int said[2];
  ASSERT_EQ(::pipe2(said, O_CLOEXEC), 0);
  const pid_t command = ::fork();
  if (command == 0) {
    ::dup2(said[1], STDOUT_FILENO);
    ::dup2(said[1], STDERR_FILENO);
    ::execl(KEYRACK_COMMAND, "keyrack", "--url", segment_.url().c_str(), "hold", "worker", nullptr);
    ::_exit(127);
  }
  ::close(said[1]);
  std::string text(2, '\0');
  ASSERT_EQ(::read(said[0], text.data(), 2), 2) << "the name that it holds";
  cut_to(table::kPage);    // the name is about to be kept alive
  int status = 0;
  ASSERT_EQ(::waitpid(command, &status, 0), command);
  ASSERT_TRUE(WIFEXITED(status)) << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 3);
  text.assign(1024, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(said[0], text.data(), text.size()), 0)));
  ::close(said[0]);
  EXPECT_TRUE(text.starts_with("keyrack: ")) << text;
  EXPECT_EQ(text.find('\n') + 1, text.size()) << text;
}

TEST_F(TruncationTest, OneThatWasCutToNothingIsMadeAnew) {
  Child attached([&](Child::Link& parent) {
    const auto locks = open_locks(geometry_);
    parent.say(outcome(locks->lock({"job", "anna"}, kBound)));
    parent.hear();
    parent.say(outcome(locks->confirm("job", 1)));
    parent.say(outcome(locks->lock({"job", "anna"}, kBound)));
    parent.hear();
  });
  ASSERT_EQ(attached.hear(), "ok");
  cut_to(0);
  EXPECT_EQ(outcome(try_locks("create=false")), "no_segment");
  const auto locks = open_locks(geometry_);
  EXPECT_EQ(outcome(locks->lock({"job", "ben"}, kBound)), "ok");
  attached.tell("go on");
  EXPECT_EQ(attached.hear(), "lost");
  EXPECT_EQ(attached.hear(), "forbidden");
  attached.kill();
}

}    // namespace
}    // namespace keyrack::tests
