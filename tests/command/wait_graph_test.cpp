// Who waits for whom, out of pictures that are made up.
#include "wait_graph.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace keyrack::command {
namespace {

class WaitGraphTest : public testing::Test {
 protected:
  /// A grant: bound to the process of `session`, or a lease.
  void bound(const std::string& key, const std::string& signee, std::uint32_t session) {
    lease(key, signee);
    snapshot_.locks.back().process_bound = true;
    snapshot_.locks.back().session = session;
  }
  void lease(const std::string& key, const std::string& signee) {
    LockPicture lock;
    lock.signature = key;
    lock.signee = signee;
    snapshot_.locks.push_back(lock);
  }
  /// Who waits first has waited longest.
  void waits(const std::string& signee, std::uint32_t session, const std::string& key) {
    WaiterPicture waiter;
    waiter.signature = key;
    waiter.signee = signee;
    waiter.session = session;
    snapshot_.waiters.push_back(waiter);
  }

  /// One line each: as deep as it has blanks.
  std::string tree() const {
    const WaitGraph graph = wait_graph(snapshot_);
    std::string text;
    for (const TreeLine& line : tree_of(graph).lines) {
      const bool waiter = line.kind == TreeLine::Kind::waiter;
      text += std::string(line.depth, ' ') + (line.last ? "" : "+") +
              (waiter ? graph.waiters[line.index].picture.signee : graph.locks[line.index].picture.signature) +
              (line.kind == TreeLine::Kind::above   ? " above"
               : line.kind == TreeLine::Kind::cycle ? " cycle"
                                                    : "") +
              "\n";
    }
    return text;
  }
  /// The cycles' signees, each twice around to be comparable from wherever it begins.
  std::vector<std::string> cycles() const {
    const WaitGraph graph = wait_graph(snapshot_);
    std::vector<std::string> found;
    for (const auto& cycle : tree_of(graph).cycles) {
      std::string around;
      for (int i = 0; i < 2; ++i) {
        for (const std::size_t waiter : cycle) around += graph.waiters[waiter].picture.signee + " ";
      }
      found.push_back(around);
    }
    return found;
  }

  Snapshot snapshot_;
};

TEST_F(WaitGraphTest, NobodyWaits) {
  lease("a", "anna");
  EXPECT_EQ(tree(), "");
}

TEST_F(WaitGraphTest, LongestFirstAndWhatTheyHoldBelow) {
  lease("a", "anna");
  lease("b", "bert");
  lease("unwanted", "bert");
  waits("bert", 1, "a");
  waits("carl", 2, "a");
  waits("dora", 3, "b");
  EXPECT_EQ(tree(), "a\n +bert\n  b\n   dora\n carl\n");
  EXPECT_TRUE(cycles().empty());
}

TEST_F(WaitGraphTest, TheHolderOnTopEvenIfOthersHaveWaitedLonger) {
  bound("b", "bert", 1);
  bound("a", "anna", 0);
  waits("carl", 2, "b");    // longest
  waits("bert", 1, "a");
  EXPECT_EQ(tree(), "a\n bert\n  b\n   carl\n");
}

TEST_F(WaitGraphTest, AKeyThatNobodyHolds) {
  waits("anna", 0, "free");
  waits("bert", 1, "");    // its record changed while it was looked at
  EXPECT_EQ(tree(), "free\n anna\n");
  EXPECT_EQ(wait_graph(snapshot_).locks.at(0).picture.state, LockState::idle);
}

TEST_F(WaitGraphTest, CyclesAreMarkedAndEndTheDescent) {
  lease("a", "anna");
  lease("b", "bert");
  lease("c", "carl");
  waits("bert", 1, "a");
  waits("carl", 2, "b");
  waits("anna", 0, "c");
  waits("dora", 3, "b");    // behind the cycle, not in it
  EXPECT_EQ(tree(), "a\n bert\n  b\n   +carl\n    c\n     anna\n      a cycle\n   dora\n");
  ASSERT_EQ(cycles().size(), 1u);
  EXPECT_EQ(cycles()[0], "anna carl bert anna carl bert ");
}

TEST_F(WaitGraphTest, WhatHangsOffACycleIsBelowIt) {
  lease("off", "bert");
  lease("a", "anna");
  lease("b", "bert");
  waits("zoe", 9, "off");    // longest, yet bert is held up by the cycle
  waits("bert", 1, "a");
  waits("anna", 0, "b");
  EXPECT_EQ(tree(), "a\n bert\n  +off\n   zoe\n  b\n   anna\n    a cycle\n");
}

TEST_F(WaitGraphTest, OneWhoWaitsForHimself) {
  bound("a", "anna", 0);
  waits("anna", 0, "a");
  EXPECT_EQ(tree(), "a\n anna\n  a cycle\n");
  EXPECT_EQ(cycles(), std::vector<std::string>{"anna anna "});
}

TEST_F(WaitGraphTest, AProcessBoundGrantIsTheSigneesWithinItsProcess) {
  bound("a", "anna", 0);
  bound("b", "anna", 1);
  waits("anna", 1, "a");
  waits("anna", 0, "b");
  EXPECT_EQ(cycles().size(), 1u);
  snapshot_.waiters[1].session = 2;    // a namesake in a third process holds neither
  EXPECT_TRUE(cycles().empty());
  EXPECT_EQ(tree(), "a\n anna\n  b\n   anna\n");
}

TEST_F(WaitGraphTest, ALeaseIsTheSigneesWhateverTheProcess) {
  lease("a", "anna");
  lease("b", "bert");
  waits("bert", 1, "a");
  waits("anna", 7, "b");
  EXPECT_EQ(cycles().size(), 1u);
  snapshot_.locks[0].process_bound = true;    // of a process that is dead: nobody's who waits
  snapshot_.locks[0].state = LockState::abandoned;
  EXPECT_TRUE(cycles().empty());
}

TEST_F(WaitGraphTest, SharedBranchesAreShownOnce) {
  lease("top", "boss");
  lease("shared", "anna");
  waits("anna", 0, "top");
  waits("anna", 1, "top");
  waits("bert", 2, "shared");
  EXPECT_EQ(tree(), "top\n +anna\n  shared\n   bert\n anna\n  shared above\n");
}

TEST_F(WaitGraphTest, DeepAndWideGraphsEnd) {
  const int size = 20'000;
  for (int i = 0; i < size; ++i) {    // each key's holder waits, twice, for the key before
    lease("k" + std::to_string(i), "s" + std::to_string(i));
    waits("s" + std::to_string(i), 0, "k" + std::to_string(i - 1));
    waits("s" + std::to_string(i), 1, "k" + std::to_string(i - 1));
  }
  const WaitGraph graph = wait_graph(snapshot_);
  const WaitTree tree = tree_of(graph);
  const auto waiters = std::count_if(tree.lines.begin(), tree.lines.end(),
                                     [](const TreeLine& line) { return line.kind == TreeLine::Kind::waiter; });
  EXPECT_EQ(waiters, 2 * size);
  EXPECT_TRUE(tree.cycles.empty());
}

}    // namespace
}    // namespace keyrack::command
