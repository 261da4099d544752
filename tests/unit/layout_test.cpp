// The bytes of shared memory: what is laid out where, and how words are packed. A change here needs a new layout
// version.
#include "table/layout.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>

namespace keyrack::table {
namespace {

TEST(Layout, GoldenOffsetsOfTheDefaultGeometry) {
  const Layout layout(Geometry{});
  EXPECT_EQ(kLayoutVersion, 1u);
  EXPECT_EQ(layout.lives_at, 4096u);
  EXPECT_EQ(layout.infos_at, 20'480u);
  EXPECT_EQ(layout.counts_at, 151'552u);
  EXPECT_EQ(layout.waiters_at, 1'396'736u);
  EXPECT_EQ(layout.buckets_at, 1'667'072u);
  EXPECT_EQ(layout.claimants_at, 2'715'648u);
  EXPECT_EQ(layout.records_at, 13'209'600u);
  EXPECT_EQ(layout.bytes, 29'986'816u);
  EXPECT_EQ(layout.fingerprint(), Layout(Geometry{}).fingerprint());
}

TEST(Layout, FingerprintsTellGeometriesApart) {
  const auto print = [](Geometry geometry) { return Layout(geometry).fingerprint(); };
  const std::uint64_t usual = print({});
  EXPECT_NE(usual, print({.slots = 65'537}));
  EXPECT_NE(usual, print({.sessions = 1'025}));
  EXPECT_NE(usual, print({.max_signature = 129}));
  EXPECT_NE(usual, print({.max_signee = 65}));
}

TEST(Layout, ArraysDoNotOverlapAndIndexesFit) {
  for (const Geometry& geometry :
       {Geometry{}, Geometry{1, 1, 1, 1}, Geometry{kMaxSlots, kMaxSessions, 4096, 4096}, Geometry{1000, 7, 33, 129}}) {
    const Layout layout(geometry);
    EXPECT_LE(layout.lives_at + sizeof(LifeEntry) * geometry.sessions, layout.infos_at);
    EXPECT_LE(layout.infos_at + sizeof(SessionInfo) * geometry.sessions, layout.counts_at);
    EXPECT_LE(layout.counts_at + sizeof(SessionCounts) * geometry.sessions, layout.waiters_at);
    EXPECT_LE(layout.waiters_at + sizeof(Waiter) * layout.waiters, layout.buckets_at);
    EXPECT_LE(layout.buckets_at + sizeof(Bucket) * layout.buckets, layout.claimants_at);
    EXPECT_LE(layout.claimants_at + layout.claimant_stride * layout.claimants, layout.records_at);
    EXPECT_LE(layout.records_at + layout.record_stride * geometry.slots, layout.bytes);
    EXPECT_LE(layout.name_offset + sizeof(NamePart), layout.record_stride);
    EXPECT_LE(offsetof(Claimant, signee) + geometry.max_signee, layout.claimant_stride);
    EXPECT_GE(layout.buckets, geometry.slots);
    EXPECT_LE(std::uint64_t{layout.claimants} + Owner::kFirstClaimant, 0xff'ffffu);
  }
}

TEST(Layout, MagicReadsAsText) {
  char bytes[8];
  std::memcpy(bytes, &kMagic, 8);
  EXPECT_EQ(std::string_view(bytes, 8), std::string_view("\1keyrack", 8));
}

RC_GTEST_PROP(Words, HeadKeepsItsFields, ()) {
  const auto token = *rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << 55);
  const bool urgent = *rc::gen::arbitrary<bool>(), waiters = *rc::gen::arbitrary<bool>();
  const Head head = Head{}.with_token(token).with_flags(urgent, waiters);
  RC_ASSERT(head.token() == token && head.urgent() == urgent && head.waiters() == waiters);
  Head edition = head;
  for (int i = 0; i < 64; ++i) {
    edition = edition.next_edition();
    RC_ASSERT(edition.token() == token && edition.urgent() == urgent && edition.waiters() == waiters);
    RC_ASSERT((edition == head) == (i == 63));
  }
  RC_ASSERT(head.next_edition().next_token() == head.next_token());    // a new token starts with edition 0
  RC_ASSERT(head.next_token().token() == token + 1);
}

RC_GTEST_PROP(Words, OwnerKeepsItsFields, ()) {
  const auto index = *rc::gen::inRange<ClaimantIndex>(0, 0xff'ffff - Owner::kFirstClaimant);
  const auto deadline = *rc::gen::inRange<Tick>(0, kNever);
  for (Tick tick : {deadline, kNever}) {
    const Owner owner = Owner::claimant(index, tick);
    RC_ASSERT(owner.is_claimant() && owner.is_known() && owner.claimant_index() == index && owner.deadline() == tick);
    RC_ASSERT(!owner.is_free() && !owner.is_idle() && !owner.is_dead() && !owner.is_alloc());
  }
  const SessionId session{*rc::gen::inRange<std::uint32_t>(0, 0xffff), *rc::gen::inRange<std::uint32_t>(0, 0xff'ffff)};
  RC_ASSERT(Owner::alloc(session).is_alloc() && Owner::alloc(session).alloc_session() == session);
}

RC_GTEST_PROP(Words, LinkRaisesItsVersionWithEveryWrite, ()) {
  const auto index = *rc::gen::inRange<RecordIndex>(0, kMaxSlots);
  const Link link{*rc::gen::arbitrary<std::uint64_t>()};
  const Link to = link.pointing_to(index), marked = to.with_mark(), back = marked.pointing_as(to);
  RC_ASSERT(to.record() == index && !to.marked() && !to.at_end());
  RC_ASSERT(marked.record() == index && marked.marked());
  RC_ASSERT(back.record() == index && !back.marked() && !(back == to));
  RC_ASSERT(link.pointing_as(Link{}).at_end());
}

RC_GTEST_PROP(Words, StatesKeepTheirFields, ()) {
  const SessionId session{*rc::gen::inRange<std::uint32_t>(0, 0xffff), *rc::gen::inRange<std::uint32_t>(0, 0xff'ffff)};
  const bool single = *rc::gen::arbitrary<bool>();
  const ClaimantState fresh{*rc::gen::arbitrary<std::uint64_t>()};
  const ClaimantState taken = fresh.taken(session, single);
  RC_ASSERT(taken.used() && taken.pinned() && taken.single() == single && taken.session() == session);
  RC_ASSERT(taken.dropped().used() && !taken.dropped().pinned() && taken.dropped().session() == session);
  RC_ASSERT(!taken.freed().used() && !(taken.freed().taken(session, single) == taken));    // another generation

  const WaiterState waits = WaiterState{fresh.bits}.taken(session);
  RC_ASSERT(waits.used() && !waits.ready() && waits.session() == session);
  RC_ASSERT(waits.made_ready().ready() && waits.passed_over().passed());
  RC_ASSERT(!waits.passed_over().made_ready().passed() && !waits.freed().used());
}

TEST(Words, LifeTellsTheLivingFromTheDead) {
  const Life free{std::uint64_t{7} << 32};
  EXPECT_FALSE(free.alive() || free.owner_died());
  EXPECT_EQ(free.generation(), 7u);
  const Life living{std::uint64_t{8} << 32 | 4711};
  EXPECT_TRUE(living.alive() && living.with_waiters().alive() && living.with_waiters().has_waiters());
  const Life died{std::uint64_t{8} << 32 | 0xc000'0000};    // as the kernel leaves it: OWNER_DIED and WAITERS
  EXPECT_TRUE(died.owner_died() && !died.alive());
  EXPECT_FALSE(died.cleared().owner_died());
  EXPECT_EQ((Life{std::uint64_t{0xff'ffff} << 32}.next_generation()), 0u);
}

TEST(Words, TagAndRankAndSinceKeepTheirFields) {
  const Tag tag = Tag::of(Kind::name, 0xffff'1234'5678'9abc, 4096);
  EXPECT_EQ(tag.kind(), Kind::name);
  EXPECT_EQ(tag.length(), 4096u);
  EXPECT_EQ(tag.hash(), 0x1234'5678'9abcu);
  for (std::int32_t level : {0, 1, -1, INT32_MIN, INT32_MAX}) {
    const Rank rank = Rank::of(level, 4096, true);
    EXPECT_EQ(rank.level(), level);
    EXPECT_EQ(rank.signee_length(), 4096u);
    EXPECT_TRUE(rank.process_bound());
  }
  const Since since = Since::at(kNever - 1, 0x1234'5678'9abc);
  EXPECT_TRUE(since.of(0x1234'5678'9abc));
  EXPECT_FALSE(since.of(0x1234'5678'9abd));
  EXPECT_EQ(since.tick(), kNever - 1);
}

}    // namespace
}    // namespace keyrack::table
