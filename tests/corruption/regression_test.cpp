// Damages that once were not answered as they should be.
#include "segment_fixture.hpp"

#include "image.hpp"
#include "table/chain.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

namespace keyrack::tests {
namespace {

class RegressionTest : public SegmentFixture {
 protected:
  RegressionTest() { do_not_audit(); }
  ~RegressionTest() override {
    if (bytes_ != nullptr) ::munmap(bytes_, kLayout.bytes);
  }

  /// The segment's bytes past the library.
  table::Table table() {
    if (bytes_ == nullptr) {
      const int fd = ::open(segment_.path().c_str(), O_RDWR | O_CLOEXEC);
      void* memory = ::mmap(nullptr, kLayout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      ::close(fd);
      if (memory == MAP_FAILED) throw std::bad_alloc();
      bytes_ = static_cast<std::byte*>(memory);
    }
    return {bytes_, kLayout};
  }

  static constexpr table::Layout kLayout{{.slots = 16, .sessions = 4, .max_signature = 16, .max_signee = 16}};
  const std::string geometry_ = "slots=16&sessions=4&max_signature=16&max_signee=16";

 private:
  std::byte* bytes_ = nullptr;
};

TEST_F(RegressionTest, OneInUseThatIsNotReadyIsNotMadeAnew) {
  const auto locks = open_locks(geometry_);
  ASSERT_EQ(outcome(locks->lock({"job", "anna"}, kBound)), "ok");
  table().header().ready = 0;
  EXPECT_EQ(outcome(try_locks()), "corrupt_segment");
  EXPECT_EQ(outcome(try_locks("create=false")), "corrupt_segment");
  EXPECT_EQ(outcome(open_inspector(segment_.name()).error().code), "corrupt_segment");
  EXPECT_EQ(outcome(locks->check("job")), "anna");
}

TEST_F(RegressionTest, ATimeOfCreationThatMakesNoSense) {
  const auto locks = open_locks(geometry_);
  const auto grant = locks->lock({"job", "anna"}, {.duration = std::chrono::hours(1)});
  ASSERT_EQ(outcome(grant), "ok");
  for (const std::int64_t epoch_ns : {std::numeric_limits<std::int64_t>::min(), -(std::int64_t{1} << 60),
                                      std::int64_t{1} << 60, std::numeric_limits<std::int64_t>::max()}) {
    table().header().epoch_ns = epoch_ns;
    EXPECT_EQ(outcome(try_locks()), "corrupt_segment");
    EXPECT_EQ(outcome(locks->confirm("job", grant->token)), "ok") << "the attached go by what it was";
  }
}

/// Of so many that looking at each until it must be a circle, or for each that was cut off, would take hours.
TEST_F(RegressionTest, TheCheckOfManyCirclesEnds) {
  constexpr std::uint32_t kSlots = 200'000;
  const auto locks = open_locks("slots=" + std::to_string(kSlots) + "&sessions=4&max_signature=16&max_signee=16");
  for (std::uint32_t i = 0; i < kSlots; ++i) ASSERT_TRUE(locks->lock({std::to_string(i), "anna"}, kBound));
  const table::Layout layout{{.slots = kSlots, .sessions = 4, .max_signature = 16, .max_signee = 16}};
  const int fd = ::open(segment_.path().c_str(), O_RDWR | O_CLOEXEC);
  void* memory = ::mmap(nullptr, layout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  ASSERT_NE(memory, MAP_FAILED);
  const table::Table table(static_cast<std::byte*>(memory), layout);
  std::size_t circles = 0;
  for (std::uint32_t i = 0; i < layout.buckets; ++i) {
    const table::Link first{table.bucket(i).link.load()};
    if (first.at_end()) continue;
    table::Word& next = table.record(first.record()).next;
    next = table::Link{next.load()}.pointing_as(first).bits;
    ++circles;
  }
  ::munmap(memory, layout.bytes);
  const auto findings = open_inspector(segment_.name()).value()->verify();
  const auto named = [&](std::string_view what) {
    return static_cast<std::size_t>(
        std::count_if(findings.begin(), findings.end(), [&](const Finding& finding) { return finding.what == what; }));
  };
  EXPECT_EQ(named("its chain runs in a circle"), circles);
  EXPECT_EQ(named("its key is not found in its chain"), kSlots - circles);
}

TEST_F(RegressionTest, MoreNamesThanThereIsRoomFor) {
  const auto names = open_names(geometry_);
  const auto aging = open_names("auto_release_after=1h");    // looks for old ones among all that are counted
  ASSERT_EQ(outcome(names->acquire("family")), "0");
  const table::Search root = table::find(table(), table::Key::name(table().names_epoch(), "family", 0));
  ASSERT_TRUE(root.hit);
  table().name_part(*root.hit->record).count = ~std::uint64_t{0};
  for (int i = 0; i < 3; ++i) EXPECT_EQ(outcome(names->acquire("family")), "corrupt_segment");
  EXPECT_EQ(outcome(aging->acquire("family")), "corrupt_segment");
}

TEST_F(RegressionTest, HintsThatAreRememberedOfARecordThatIsNoLongerFound) {
  const auto names = open_names(geometry_);
  ASSERT_EQ(outcome(names->acquire("family")), "0");
  ASSERT_EQ(outcome(names->release("family", "0")), "ok");
  ASSERT_EQ(outcome(names->acquire("family")), "0");    // by its hint, which is remembered
  const table::Search root = table::find(table(), table::Key::name(table().names_epoch(), "family", 0));
  ASSERT_TRUE(root.hit);
  root.hit->record->key[1] ^= 1;    // of its family
  EXPECT_EQ(outcome(names->acquire("family")), "0") << "made anew";
}

TEST_F(RegressionTest, ADeadRecordInTwoChains) {
  const auto locks = open_locks(geometry_);
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  const table::Key key = table::Key::lock("job");
  const table::Search found = table::find(table(), key);
  ASSERT_TRUE(found.hit);
  found.hit->record->cell.second = table::Owner::dead().bits;    // the others belong into one chain by their keys
  const auto findings = [&] { return open_inspector(segment_.name()).value()->verify(); };
  EXPECT_TRUE(findings().empty());
  table().bucket(key.tag.hash() + 1).link = table().bucket(key.tag.hash()).link.load();
  ASSERT_EQ(findings().size(), 1u);
  EXPECT_NE(findings()[0].what.find("is in another chain, too"), std::string::npos) << findings()[0].what;
}

TEST_F(RegressionTest, ASumOfTimesThatIsNoTime) {
  const auto locks = open_locks(geometry_);
  table().counts(0).waiting.sum_us = ~std::uint64_t{0};
  EXPECT_GE(snapshot().waiting.sum.count(), 0);
}

TEST_F(RegressionTest, AWaiterThatHasWaitedForEver) {
  const auto locks = open_locks(geometry_);
  ASSERT_EQ(outcome(locks->lock({"job", "anna"})), "ok");
  Child waiting([&](Child::Link&) { (void)open_locks()->lock_for({"job", "ben"}, std::chrono::hours(1)); });
  ASSERT_TRUE(eventually([&] { return !snapshot().waiters.empty(); }));
  table().waiter(0).since_ns = std::uint64_t{1} << 63;
  ASSERT_EQ(snapshot().waiters.size(), 1u);
  EXPECT_GT(snapshot().waiters[0].waited, std::chrono::milliseconds(0));
  EXPECT_EQ(outcome(locks->lock_for({"job", "carl"}, std::chrono::milliseconds(1))), "timed_out");
}

}    // namespace
}    // namespace keyrack::tests
