// Segments come into being whole, whoever else creates at the same time and whoever dies while he does.
#include "segment_fixture.hpp"

#include "table/layout.hpp"

#include <sys/file.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <random>
#include <string>
#include <vector>

namespace keyrack::tests {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

class CreationTest : public SegmentFixture {
 protected:
  // A half-made segment is finished within a second; on a loaded machine that second is longer.
  static constexpr std::chrono::seconds kFinished{10};

  void write_file(const std::string& bytes) const {
    std::ofstream(segment_.path(), std::ios::binary | std::ios::trunc) << bytes;
  }

  void expect_usable(std::string_view query) const {
    const auto before = steady_clock::now();
    const auto locks = try_locks(query);
    ASSERT_EQ(outcome(locks), "open") << (locks ? "" : locks.error().message());
    EXPECT_LT(steady_clock::now() - before, kFinished);
    EXPECT_EQ(outcome((*locks)->lock({"job", "anna"})), "ok");
    EXPECT_EQ(outcome((*locks)->unlock({"job", "anna"})), "ok");
    EXPECT_EQ(outcome(open_names()->hold("stack")), "0");
  }

  /// Sixteen processes that open at the same moment must all see one segment.
  void expect_one_segment() const {
    constexpr int kProcesses = 16;
    std::vector<Child> children;
    for (int i = 0; i < kProcesses; ++i) {
      children.emplace_back([&, i](Child::Link& parent) {
        parent.say("ready");
        parent.hear();
        const auto opened = try_locks("slots=256&sessions=20");
        if (!opened) {
          parent.say(opened.error().message());
          return;
        }
        parent.say(outcome((*opened)->lock({"key/" + std::to_string(i), "child " + std::to_string(i)}, kBound)));
        parent.hear();
        int seen = 0;
        for (int other = 0; other < kProcesses; ++other) {
          seen += outcome((*opened)->check("key/" + std::to_string(other))) == "child " + std::to_string(other);
        }
        parent.say(std::to_string(seen) + " seen");
        parent.hear();
      });
    }
    for (const Child& child : children) ASSERT_EQ(child.hear(), "ready");
    for (const Child& child : children) child.tell("open");
    for (const Child& child : children) ASSERT_EQ(child.hear(), "ok");
    for (const Child& child : children) child.tell("look");
    for (const Child& child : children) EXPECT_EQ(child.hear(), std::to_string(kProcesses) + " seen");
  }
};

TEST_F(CreationTest, RacingCreatorsMakeOneSegment) {
  for (int round = 0; round < 10 && !HasFailure(); ++round) {
    expect_one_segment();
    EXPECT_EQ(findings_of(segment_.name()), "");
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  }
}

TEST_F(CreationTest, RacingFinishersMakeOneSegment) {
  for (int round = 0; round < 10 && !HasFailure(); ++round) {
    write_file(round % 2 ? std::string(4096, '\0') : "");
    expect_one_segment();
    EXPECT_EQ(findings_of(segment_.name()), "");
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  }
}

TEST_F(CreationTest, RacingThreadsMakeOneSegment) {
  for (int round = 0; round < 10; ++round) {
    std::vector<std::thread> threads;
    std::vector<std::unique_ptr<LockService>> services(8);
    for (auto& service : services) {
      threads.emplace_back([&] { service = open_locks("slots=64&sessions=1"); });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(outcome(services.front()->lock({"job", "anna"}, kBound)), "ok");
    for (const auto& service : services) EXPECT_EQ(outcome(service->check("job")), "anna");
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
  }
}

TEST_F(CreationTest, HalfMadeSegmentsAreFinished) {
  (void)open_locks("slots=64&sessions=8");
  const std::string whole = bytes_of(segment_.path());
  std::string unready = whole;
  unready.replace(offsetof(table::Header, ready), 8, std::string(8, '\0'));
  unready.replace(offsetof(table::Header, sessions_high_water), 8, std::string(8, '\0'));    // nobody has opened it
  std::string unready_noise = unready;    // made ready never, so whatever else is there counts for nothing
  unready_noise.replace(4096, 4096, std::string(4096, '\x5a'));
  for (const std::string& left :
       {std::string(), std::string(1, '\0'), std::string(4096, '\0'), std::string(whole.size(), '\0'),
        std::string(whole.size() + 12345, '\0'), unready, unready.substr(0, 4096), unready_noise}) {
    SCOPED_TRACE(std::to_string(left.size()) + " bytes");
    write_file(left);
    EXPECT_EQ(outcome(try_locks("create=false")), "no_segment") << "whoever may not create may not finish";
    EXPECT_EQ(bytes_of(segment_.path()) == left, true);
    expect_usable("slots=64&sessions=8");
    EXPECT_EQ(findings_of(segment_.name()), "");
  }
}

TEST_F(CreationTest, TheLockOfADeadFinisherIsNobodys) {
  write_file("");
  Child finisher([&](Child::Link& parent) {
    const int fd = ::open(segment_.path().c_str(), O_RDWR | O_CLOEXEC);
    parent.say(::flock(fd, LOCK_EX) == 0 ? "locked" : "not locked");
    parent.hear();
  });
  ASSERT_EQ(finisher.hear(), "locked");
  finisher.kill();
  expect_usable("slots=64&sessions=8");
}

TEST_F(CreationTest, CreatorsKilledAtRandomMoments) {
  std::mt19937 dice(20221122);    // seeded: a failure can be had again, as far as the machine's timing allows
  int seen_without = 0;
  for (int round = 0; round < 50; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const bool half_made = round % 3 == 0;
    if (half_made) write_file("");
    Child creator([&](Child::Link& parent) {
      parent.say("creating");
      (void)open_locks("slots=16384&sessions=64");
      parent.say("created");
      parent.hear();
    });
    ASSERT_EQ(creator.hear(), "creating");
    // Spread over the time that creating takes; no outcome depends on it.
    std::this_thread::sleep_for(std::chrono::microseconds(std::uniform_int_distribution(0, 8000)(dice)));
    creator.kill();
    seen_without += !half_made && !fs::exists(segment_.path());
    expect_usable("slots=16384&sessions=64");
    EXPECT_EQ(findings_of(segment_.name()), "");
    EXPECT_EQ(outcome(remove_segment(segment_.name())), "ok");
    for (const auto& entry : fs::directory_iterator("/dev/shm")) {
      EXPECT_FALSE(entry.path().filename().string().starts_with(segment_.name())) << entry.path();
    }
  }
  EXPECT_GT(seen_without, 0) << "no creator was killed in time: this test has tested nothing";
}

TEST_F(CreationTest, SegmentsMadeUsedAndRemovedAtOnce) {
  // Openers and removers of one name in each other's way: an opener gets a whole segment, whichever it is.
  std::vector<Child> children;
  for (int i = 0; i < 4; ++i) {
    children.emplace_back([&, i](Child::Link& parent) {
      std::string trouble;
      for (int round = 0; round < 100 && trouble.empty(); ++round) {
        const auto opened = try_locks("slots=64&sessions=8");
        if (!opened) {
          trouble = opened.error().message();
        } else if (const std::string key = "child " + std::to_string(i);
                   outcome((*opened)->lock({key, "anna"}, kBound)) != "ok") {
          trouble = "not locked";
        }
        if (round % 3 == i % 3) (void)remove_segment(segment_.name());
      }
      parent.say(trouble);
    });
  }
  for (Child& child : children) {
    EXPECT_EQ(child.hear(), "");
    EXPECT_EQ(child.join(), 0);
  }
}

}    // namespace
}    // namespace keyrack::tests
