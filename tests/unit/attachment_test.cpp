// What a process has once, whichever of its threads comes first: its keeper, its attachment to a segment. And what
// happens to a life word that is not as expected.
#include "shm/attachment.hpp"
#include "allocations.hpp"
#include "os/clock.hpp"
#include "os/process.hpp"

#include <keyrack/testing/child.hpp>

#include <gtest/gtest.h>
#include <boost/interprocess/anonymous_shared_memory.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

namespace keyrack {
namespace {

using keyrack::testing::Child;
constexpr int kTries = 3;

/// Both are at their first allocation before either has made it.
template <class Body>
void in_two_threads(Body&& body) {
  std::atomic<int> here{0};
  const auto work = [&](std::size_t which) {
    tests::meets_at_allocation = &here;
    body(which);
    tests::meets_at_allocation = nullptr;
  };
  std::thread one(work, 0), other(work, 1);
  one.join();
  other.join();
}

std::shared_ptr<const shm::Segment> anonymous_segment() {
  const table::Layout layout({.slots = 8, .sessions = 16, .max_signature = 16, .max_signee = 16});
  auto region = boost::interprocess::anonymous_shared_memory(layout.bytes);
  auto* header = static_cast<table::Header*>(region.get_address());
  header->epoch_ns = os::monotonic_ns() - 1'000'000'000;
  header->clock_offset_ns = os::clock_offset_ns().value();
  return std::make_shared<const shm::Segment>(std::move(region), layout, shm::Segment::Id{0, 0});
}

TEST(Keeper, TakesALifeWordOnlyFromWhatIsExpected) {
  os::LifeEntry free{}, another{};
  const std::uint64_t life = std::uint64_t{7} << 32 | 1;
  another.word = life;
  os::Keeper& keeper = os::Keeper::of_this_process();
  ASSERT_TRUE(keeper.take(free, 0, 1));
  EXPECT_FALSE(keeper.take(another, 0, 8));
  EXPECT_EQ(another.word, life);
  keeper.give_back(free);
  EXPECT_EQ(free.word, std::uint64_t{1} << 32);
}

TEST(Keeper, IsOneForAllThreads) {
  for (int i = 0; i < kTries; ++i) {
    Child child([](Child::Link& parent) {
      std::array<os::Keeper*, 2> seen{};
      in_two_threads([&](std::size_t which) { seen[which] = &os::Keeper::of_this_process(); });
      parent.say(seen[0] == seen[1] && seen[0]->mine() ? "one" : "two");
    });
    ASSERT_EQ(child.hear(), "one") << "at try " << i;
  }
}

TEST(Attachment, IsOneForAllThreads) {
  const auto segment = anonymous_segment();
  for (int i = 0; i < kTries; ++i) {
    Child child([&](Child::Link& parent) {
      os::Keeper::of_this_process();    // so that the registry of attachments is what they allocate first
      std::array<std::shared_ptr<shm::Attachment>, 2> seen{};
      in_two_threads([&](std::size_t which) { seen[which] = shm::Attachment::to(segment).value(); });
      parent.say(seen[0] == seen[1] ? "one" : "two");
      seen = {};
    });
    ASSERT_EQ(child.hear(), "one") << "at try " << i;
  }
}

TEST(Attachment, OfAForkedChildEndsWithItsConnections) {
  const auto segment = anonymous_segment();
  const auto parents = shm::Attachment::to(segment).value();
  std::vector<std::unique_ptr<shm::Connection>> connections;
  for (int i = 0; i < 500; ++i) connections.push_back(std::make_unique<shm::Connection>(parents));
  for (int i = 0; i < 6 * kTries; ++i) {
    Child child([&](Child::Link& parent) {
      const auto own = shm::Attachment::to(segment).value();
      std::vector<std::atomic<int>> here(connections.size());
      std::atomic<bool> same{true};
      const auto use_all = [&] {
        for (std::size_t at = 0; at < connections.size(); ++at) {
          tests::meet(here[at]);
          if (connections[at]->attachment().value() != own.get()) same = false;
        }
      };
      std::thread other(use_all);
      use_all();
      other.join();
      connections.clear();
      parent.say(!same ? "another" : own.use_count() == 1 ? "ended" : "lives on");
    });
    ASSERT_EQ(child.hear(), "ended") << "at try " << i;
  }
}

/// Made before the thread's first call, and so destroyed after what the thread remembers.
struct LastWords {
  std::shared_ptr<shm::Attachment> attachment;
  bool* locked = nullptr;

  ~LastWords() {
    if (!attachment) return;
    const table::Caller caller = attachment->caller();
    const table::Key key = table::Key::lock("last");
    *locked =
        table::lock(caller, {.key = key, .signee = "me"}).has_value() && table::unlock(caller, key, "me").has_value();
  }
};

TEST(Attachment, MayBeUsedByAThreadThatHasForgottenAll) {
  const auto attachment = shm::Attachment::to(anonymous_segment()).value();
  bool locked = false;
  std::thread([&] {
    static thread_local LastWords last;
    last.attachment = attachment;
    last.locked = &locked;
    EXPECT_TRUE(table::lock(attachment->caller(), {.key = table::Key::lock("first"), .signee = "me"}));
  }).join();
  EXPECT_TRUE(locked);
}

TEST(Attachment, ReleasesWhatIsBoundToItAndNothingElse) {
  const auto segment = anonymous_segment();
  for (const bool bound : {false, true}) {
    auto attachment = shm::Attachment::to(segment).value();
    const table::Key key = table::Key::lock(bound ? "bound" : "leased");
    ASSERT_TRUE(table::lock(attachment->caller(), {.key = key, .signee = "me", .process_bound = bound}));
    attachment.reset();
    table::Hit hit;
    ASSERT_TRUE(table::meet(segment->table(), key, hit));
    EXPECT_EQ(hit.owner.is_idle(), bound);
  }
}

}    // namespace
}    // namespace keyrack
