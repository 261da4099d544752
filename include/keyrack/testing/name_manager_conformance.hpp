// The rules that every NameManager must keep.
#pragma once

#include <keyrack/testing/child.hpp>
#include <keyrack/testing/fixture.hpp>
#include <keyrack/testing/outcome.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace keyrack::testing {

class NameManagerConformance : public Conformance {
 protected:
  using system_clock = std::chrono::system_clock;

  static std::optional<Name> find(NameManager& names, const std::string& family, const std::string& name) {
    for (const Name& each : names.list().value()) {
      if (each.family == family && each.name == name) return each;
    }
    return std::nullopt;
  }

  static bool is_free(NameManager& names, const std::string& family, const std::string& name) {
    const auto found = find(names, family, name);
    return found && found->free;
  }

  /// "stack/0 stack/1- ticket/0": families and names in the order of list(), with a minus when free.
  static std::string listed(NameManager& names) {
    std::string text;
    for (const Name& each : names.list().value()) {
      text += (text.empty() ? "" : " ") + each.family + "/" + each.name + (each.free ? "-" : "");
    }
    return text;
  }

  /// What no name is, though some of it has the value of one.
  static std::vector<std::string> strange_names() {
    return {"00",
            "007",
            "01",
            "x",
            "0x1",
            "-1",
            "-0",
            "+1",
            " 1",
            "1 ",
            "1.0",
            "1e0",
            "1\n",
            "one",
            "4294967296",
            "18446744073709551616",
            "99999999999999999999999999",
            "\xd9\xa1",
            "1\x80"};
  }
};

// --- Acquire and release ---

TEST_P(NameManagerConformance, TheLowestFreeNameFirst) {
  const auto names = open_names();
  for (const char* expected : {"0", "1", "2", "3"}) EXPECT_EQ(outcome(names->acquire("stack")), expected);
  EXPECT_EQ(outcome(names->release("stack", "1")), "ok");
  EXPECT_EQ(outcome(names->acquire("stack")), "1");
  EXPECT_EQ(outcome(names->release("stack", "2")), "ok");
  EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
  for (const char* expected : {"0", "2", "4"}) EXPECT_EQ(outcome(names->acquire("stack")), expected);
}

TEST_P(NameManagerConformance, LowestIsByNumber) {
  const auto names = open_names();
  for (int i = 0; i < 120; ++i) ASSERT_EQ(outcome(names->acquire("stack")), std::to_string(i));
  for (const char* name : {"100", "9", "10", "2", "99"}) ASSERT_EQ(outcome(names->release("stack", name)), "ok");
  for (const char* name : {"2", "9", "10", "99", "100", "120"}) EXPECT_EQ(outcome(names->acquire("stack")), name);
}

TEST_P(NameManagerConformance, FamiliesAreIndependent) {
  const auto names = open_names();
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(outcome(names->acquire("stack")), "1");
  EXPECT_EQ(outcome(names->acquire("stac")), "0");
  EXPECT_EQ(outcome(names->acquire("stack/1")), "0");
  EXPECT_EQ(outcome(names->acquire("stack1")), "0");
  EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stac", "0")), "in_use");
  EXPECT_EQ(outcome(names->try_acquire("stac", "1")), "not_exist");
  EXPECT_EQ(listed(*names), "stac/0 stack/0- stack/1 stack/1/0 stack1/0");
}

TEST_P(NameManagerConformance, NamesAreNoLocks) {
  const auto names = open_names();
  const auto locks = open_locks();
  ASSERT_EQ(outcome(locks->lock({"stack", "anna"})), "ok");
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  ASSERT_EQ(outcome(locks->lock({"0", "anna"})), "ok");
  EXPECT_EQ(outcome(locks->check("stack")), "anna");
  EXPECT_EQ(listed(*names), "stack/0");
  EXPECT_EQ(outcome(names->reset()), "ok");
  EXPECT_EQ(outcome(locks->check("stack")), "anna");
  EXPECT_EQ(outcome(locks->check("0")), "anna");
}

TEST_P(NameManagerConformance, ReleaseOfTheFreeAndTheUnknownIsNoError) {
  const auto names = open_names();
  EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->list()), "0 names");
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  ASSERT_EQ(outcome(names->acquire("stack")), "1");
  EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->release("stack", "2")), "ok");
  EXPECT_EQ(outcome(names->release("other", "1")), "ok");
  for (const std::string& name : strange_names()) EXPECT_EQ(outcome(names->release("stack", name)), "ok") << name;
  EXPECT_EQ(listed(*names), "stack/0- stack/1");
}

TEST_P(NameManagerConformance, KeepAliveOfTheFreeAndTheUnknownChangesNothing) {
  const auto names = open_names();
  EXPECT_EQ(outcome(names->keep_alive("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->list()), "0 names");
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  ASSERT_EQ(outcome(names->acquire("stack")), "1");
  ASSERT_EQ(outcome(names->release("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->keep_alive("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->keep_alive("stack", "2")), "ok");
  EXPECT_EQ(outcome(names->keep_alive("other", "1")), "ok");
  for (const std::string& name : strange_names()) EXPECT_EQ(outcome(names->keep_alive("stack", name)), "ok") << name;
  EXPECT_EQ(listed(*names), "stack/0- stack/1");
  EXPECT_EQ(find(*names, "stack", "0")->updated_at, system_clock::time_point{});
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
}

TEST_P(NameManagerConformance, TryAcquire) {
  const auto names = open_names();
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "not_exist");
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  ASSERT_EQ(outcome(names->acquire("stack")), "1");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "in_use");
  EXPECT_EQ(outcome(names->try_acquire("stack", "2")), "not_exist");
  EXPECT_EQ(outcome(names->release("stack", "1")), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "in_use");
  EXPECT_EQ(outcome(names->acquire("stack")), "2");
}

TEST_P(NameManagerConformance, OnlyCanonicalNumbersAreNames) {
  const auto names = open_names();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(outcome(names->acquire("stack")), std::to_string(i));
  for (int i = 0; i < 10; ++i) ASSERT_EQ(outcome(names->release("stack", std::to_string(i))), "ok");
  for (const std::string& name : strange_names()) {
    EXPECT_EQ(outcome(names->try_acquire("stack", name)), "not_exist") << name;
    EXPECT_EQ(outcome(names->try_hold("stack", name)), "not_exist") << name;
  }
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(is_free(*names, "stack", std::to_string(i)));
}

TEST_P(NameManagerConformance, BadRequestsAreNamedAndChangeNothing) {
  const auto names = open_names();
  const std::string nul_inside("st\0ck", 5);
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  ASSERT_EQ(outcome(names->release("stack", "0")), "ok");
  for (const std::string& family : {std::string(), std::string(traits_.max_signature + 1, 'f'), nul_inside}) {
    SCOPED_TRACE("family of " + std::to_string(family.size()) + " bytes");
    EXPECT_EQ(outcome(names->acquire(family)), "bad_request");
    EXPECT_EQ(outcome(names->hold(family)), "bad_request");
    EXPECT_EQ(outcome(names->keep_alive(family, "0")), "bad_request");
    EXPECT_EQ(outcome(names->release(family, "0")), "bad_request");
    EXPECT_EQ(outcome(names->try_acquire(family, "0")), "bad_request");
    EXPECT_EQ(outcome(names->try_hold(family, "0")), "bad_request");
  }
  for (const std::string& name : {std::string(), std::string(100'000, '0'), std::string("0\0", 2)}) {
    SCOPED_TRACE("name of " + std::to_string(name.size()) + " bytes");
    EXPECT_EQ(outcome(names->keep_alive("stack", name)), "bad_request");
    EXPECT_EQ(outcome(names->release("stack", name)), "bad_request");
    EXPECT_EQ(outcome(names->try_acquire("stack", name)), "bad_request");
    EXPECT_EQ(outcome(names->try_hold("stack", name)), "bad_request");
  }
  EXPECT_EQ(listed(*names), "stack/0-");
}

TEST_P(NameManagerConformance, FamiliesOfAnyBytesButNul) {
  const auto names = open_names();
  std::vector<std::string> families{std::string(traits_.max_signature, 'f')};
  for (int byte = 1; byte < 256; ++byte) families.emplace_back(1, static_cast<char>(byte));
  for (const std::string& family : families) ASSERT_EQ(outcome(names->acquire(family)), "0");
  for (const std::string& family : families) EXPECT_EQ(outcome(names->try_acquire(family, "0")), "in_use");
  EXPECT_EQ(outcome(names->list()), std::to_string(families.size()) + " names");
}

TEST_P(NameManagerConformance, TwoManagersShareTheNames) {
  const auto one = open_names();
  const auto two = open_names();
  EXPECT_EQ(outcome(one->acquire("stack")), "0");
  EXPECT_EQ(outcome(two->acquire("stack")), "1");
  EXPECT_EQ(outcome(two->try_acquire("stack", "0")), "in_use");
  EXPECT_EQ(outcome(two->release("stack", "0")), "ok");
  EXPECT_EQ(outcome(one->acquire("stack")), "0");
  EXPECT_EQ(listed(*one), listed(*two));
}

TEST_P(NameManagerConformance, AcquiredNamesOutliveTheirManager) {
  {
    const auto names = open_names();
    ASSERT_EQ(outcome(names->acquire("stack")), "0");
  }
  const auto names = open_names();
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
  EXPECT_EQ(outcome(names->acquire("stack")), "1");
}

// --- Automatic release ---

TEST_P(NameManagerConformance, WithoutAnAgeNamesStay) {
  const auto names = open_names();
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  bootstrap_->debug().pass(soon());
  EXPECT_FALSE(is_free(*names, "stack", "0"));
  EXPECT_EQ(outcome(names->acquire("stack")), "1");
}

TEST_P(NameManagerConformance, ANamePastItsAgeIsFree) {
  const auto names = open_names({.auto_release_after = soon()});
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  ASSERT_TRUE(eventually([&] { return is_free(*names, "stack", "0"); }));
  EXPECT_EQ(find(*names, "stack", "0")->updated_at, system_clock::time_point{});
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_TRUE(eventually([&] { return outcome(names->try_acquire("stack", "0")) == "ok"; }));
  ASSERT_TRUE(eventually([&] { return is_free(*names, "stack", "0"); }));
  EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
}

TEST_P(NameManagerConformance, ANameIsNotReleasedEarly) {
  const auto names = open_names({.auto_release_after = soon()});
  const auto asked_at = std::chrono::steady_clock::now();
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  ASSERT_TRUE(eventually([&] { return names->try_acquire("stack", "0").has_value(); }));
  EXPECT_GE(std::chrono::steady_clock::now() - asked_at, soon());
}

TEST_P(NameManagerConformance, KeepAliveStartsTheAgeAnew) {
  const auto span = traits_.leeway;
  const auto names = open_names({.auto_release_after = span});
  ASSERT_TRUE(eventually([&] {
    // Until no beat came late: on a machine this busy the name may have been released by right.
    if (!names->reset() || outcome(names->acquire("stack")) != "0") return false;
    const auto until = std::chrono::steady_clock::now() + span * 5 / 2;
    auto beat = std::chrono::steady_clock::now();
    while (beat < until) {
      bootstrap_->debug().pass(span / 10);
      EXPECT_EQ(outcome(names->keep_alive("stack", "0")), "ok");
      const auto now = std::chrono::steady_clock::now();
      if (now - beat > span) return false;
      beat = now;
    }
    const std::string came_to = outcome(names->try_acquire("stack", "0"));
    if (std::chrono::steady_clock::now() - beat > span) return false;
    EXPECT_EQ(came_to, "in_use");
    return true;
  }));
}

// --- Holding ---

TEST_P(NameManagerConformance, HoldAndRelease) {
  const auto names = open_names();
  auto held = names->hold("stack");
  ASSERT_EQ(outcome(held), "0");
  EXPECT_EQ(held->family(), "stack");
  EXPECT_EQ(outcome(held->status()), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
  EXPECT_EQ(outcome(names->try_hold("stack", "0")), "in_use");
  EXPECT_EQ(outcome(names->acquire("stack")), "1");
  EXPECT_EQ(outcome(held->release()), "ok");
  EXPECT_EQ(held->name(), "0");
  EXPECT_EQ(outcome(held->status()), "ok");
  EXPECT_EQ(outcome(held->release()), "ok");
  EXPECT_TRUE(is_free(*names, "stack", "0"));
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(outcome(held->release()), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use") << "a second release is nobody's";
}

TEST_P(NameManagerConformance, TryHold) {
  const auto names = open_names();
  EXPECT_EQ(outcome(names->try_hold("stack", "0")), "not_exist");
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(outcome(names->try_hold("stack", "0")), "in_use");
  ASSERT_EQ(outcome(names->release("stack", "0")), "ok");
  {
    const auto held = names->try_hold("stack", "0");
    ASSERT_EQ(outcome(held), "0");
    EXPECT_EQ(outcome(held->status()), "ok");
    EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
    EXPECT_EQ(outcome(names->try_hold("stack", "0")), "in_use");
  }
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "ok");
}

TEST_P(NameManagerConformance, AHeldNameReleasesInItsDestructorOnly) {
  const auto names = open_names();
  {
    HeldName held = names->hold("stack").value();
    HeldName moved(std::move(held));
    EXPECT_EQ(moved.name(), "0");
    EXPECT_EQ(moved.family(), "stack");
    EXPECT_FALSE(is_free(*names, "stack", "0"));
    HeldName other = names->hold("stack").value();
    EXPECT_EQ(other.name(), "1");
    other = std::move(moved);
    EXPECT_EQ(other.name(), "0");
    EXPECT_TRUE(is_free(*names, "stack", "1")) << "assignment releases what was held";
    EXPECT_FALSE(is_free(*names, "stack", "0"));
    EXPECT_EQ(outcome(other.status()), "ok");
  }
  EXPECT_EQ(listed(*names), "stack/0- stack/1-");
}

TEST_P(NameManagerConformance, HeldNamesAreKeptAlive) {
  const auto names = open_names({.auto_release_after = traits_.leeway});
  auto first = names->hold("stack");
  ASSERT_EQ(outcome(first), "0");
  auto second = names->hold("stack");
  ASSERT_EQ(outcome(second), "1");
  ASSERT_EQ(outcome(names->acquire("stack")), "2");
  ASSERT_TRUE(eventually([&] { return is_free(*names, "stack", "2"); })) << "nobody keeps that one alive";
  bootstrap_->debug().pass(traits_.leeway * 2);
  EXPECT_EQ(outcome(first->status()), "ok");
  EXPECT_EQ(outcome(second->status()), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "in_use");
  EXPECT_EQ(outcome(second->release()), "ok");
  EXPECT_EQ(outcome(names->acquire("stack")), "1");
  EXPECT_EQ(outcome(first->release()), "ok");
}

TEST_P(NameManagerConformance, AHeldNameIsLostInAReset) {
  const auto names = open_names();
  auto held = names->hold("stack");
  ASSERT_EQ(outcome(held), "0");
  ASSERT_EQ(outcome(names->reset()), "ok");
  EXPECT_TRUE(eventually([&] { return outcome(held->status()) == "lost"; }));
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  EXPECT_EQ(outcome(held->status()), "lost");
  EXPECT_EQ(outcome(held->release()), "lost");
  EXPECT_EQ(outcome(held->release()), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use") << "it is somebody else's by now";
}

TEST_P(NameManagerConformance, AHeldNameIsLostWhenGivenAway) {
  const auto names = open_names();
  {
    const auto held = names->hold("stack");
    ASSERT_EQ(outcome(held), "0");
    ASSERT_EQ(outcome(names->release("stack", "0")), "ok");
    ASSERT_EQ(outcome(names->try_acquire("stack", "0")), "ok");
    EXPECT_TRUE(eventually([&] { return outcome(held->status()) == "lost"; }));
  }
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use") << "the destructor releases nobody else's";
}

TEST_P(NameManagerConformance, AHeldNameThatOutlivesItsManager) {
  auto names = open_names();
  auto held = names->hold("stack");
  ASSERT_EQ(outcome(held), "0");
  names.reset();
  names = open_names();
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "ok") << "the last service closed releases what was held";
  (void)held->release();
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use") << "it is somebody else's by now";
}

TEST_P(NameManagerConformance, AHeldNameIsHeldWhileAServiceIsOpen) {
  const auto locks = open_locks();
  auto names = open_names();
  auto held = names->hold("stack");
  ASSERT_EQ(outcome(held), "0");
  names.reset();
  names = open_names();
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
  EXPECT_EQ(outcome(held->status()), "ok");
  EXPECT_EQ(outcome(held->release()), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "ok");
}

// --- List and reset ---

TEST_P(NameManagerConformance, ListIsByFamilyThenByNumber) {
  const auto names = open_names();
  EXPECT_EQ(outcome(names->list()), "0 names");
  for (const char* family : {"ticket", "stack", "Stack"}) {
    for (int i = 0; i < 12; ++i) ASSERT_EQ(outcome(names->acquire(family)), std::to_string(i));
  }
  ASSERT_EQ(outcome(names->release("stack", "10")), "ok");
  std::string expected;
  for (const char* family : {"Stack", "stack", "ticket"}) {
    for (int i = 0; i < 12; ++i) {
      expected += (expected.empty() ? "" : " ") + std::string(family) + "/" + std::to_string(i);
      if (std::string(family) == "stack" && i == 10) expected += "-";
    }
  }
  EXPECT_EQ(listed(*names), expected);
}

TEST_P(NameManagerConformance, TimesOfAName) {
  const auto names = open_names();
  const auto slack = std::chrono::seconds(2);    // for clocks set meanwhile
  const auto before = system_clock::now() - slack;
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  const auto after = system_clock::now() + slack;
  const auto first = find(*names, "stack", "0");
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->free);
  EXPECT_GE(first->created_at, before);
  EXPECT_LE(first->created_at, after);
  EXPECT_GE(first->updated_at, first->created_at - traits_.granularity);
  EXPECT_LE(first->updated_at, after);

  EXPECT_TRUE(eventually([&] {
    return names->keep_alive("stack", "0") && find(*names, "stack", "0")->updated_at > first->updated_at;
  })) << "keep_alive moves updated_at";
  const auto alive = find(*names, "stack", "0");
  EXPECT_EQ(alive->created_at, first->created_at);

  ASSERT_EQ(outcome(names->release("stack", "0")), "ok");
  const auto free = find(*names, "stack", "0");
  ASSERT_TRUE(free);
  EXPECT_TRUE(free->free);
  EXPECT_EQ(free->updated_at, system_clock::time_point{});
  EXPECT_EQ(free->created_at, first->created_at);

  bootstrap_->debug().pass(2 * traits_.granularity);
  ASSERT_EQ(outcome(names->try_acquire("stack", "0")), "ok");
  const auto again = find(*names, "stack", "0");
  EXPECT_EQ(again->created_at, first->created_at) << "when it was first registered";
  EXPECT_GT(again->updated_at, alive->updated_at);
}

TEST_P(NameManagerConformance, ResetForgetsEverything) {
  const auto names = open_names();
  EXPECT_EQ(outcome(names->reset()), "ok");
  for (int round = 0; round < 3; ++round) {
    for (const char* family : {"stack", "ticket"}) {
      for (int i = 0; i < 20; ++i) ASSERT_EQ(outcome(names->acquire(family)), std::to_string(i));
    }
    ASSERT_EQ(outcome(names->release("stack", "3")), "ok");
    EXPECT_EQ(outcome(names->reset()), "ok");
    EXPECT_EQ(outcome(names->list()), "0 names");
    EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "not_exist");
    EXPECT_EQ(outcome(names->try_acquire("stack", "3")), "not_exist");
    EXPECT_EQ(outcome(names->try_hold("ticket", "19")), "not_exist");
    EXPECT_EQ(outcome(names->release("stack", "0")), "ok");
    EXPECT_EQ(outcome(names->keep_alive("stack", "0")), "ok");
    EXPECT_EQ(outcome(names->list()), "0 names");
  }
}

TEST_P(NameManagerConformance, ManyNamesInAFamily) {
  const auto names = open_names();
  const std::size_t many = traits_.many;
  for (std::size_t i = 0; i < many; ++i) ASSERT_EQ(outcome(names->acquire("stack")), std::to_string(i));
  std::set<std::size_t> freed;
  for (std::size_t i = 0; i < many / 10; ++i) freed.insert(i * 7919 % many);
  for (auto name = freed.rbegin(); name != freed.rend(); ++name) {
    ASSERT_EQ(outcome(names->release("stack", std::to_string(*name))), "ok");
  }
  EXPECT_EQ(outcome(names->list()), std::to_string(many) + " names");
  for (const std::size_t name : freed) ASSERT_EQ(outcome(names->acquire("stack")), std::to_string(name));
  EXPECT_EQ(outcome(names->try_acquire("stack", std::to_string(many - 1))), "in_use");
  EXPECT_EQ(outcome(names->try_acquire("stack", std::to_string(many))), "not_exist");
}

// --- Many threads ---

TEST_P(NameManagerConformance, ThreadsGetDistinctNames) {
  const auto names = open_names();
  constexpr std::size_t kThreads = 8;
  const auto each = static_cast<std::size_t>(turns(50));
  std::array<std::vector<std::string>, kThreads> got;
  std::vector<std::thread> threads;
  for (auto& mine : got) {
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < each; ++i) mine.push_back(outcome(names->acquire("stack")));
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> distinct;
  for (const auto& mine : got) distinct.insert(mine.begin(), mine.end());
  EXPECT_EQ(distinct.size(), kThreads * each);
  for (std::size_t i = 0; i < kThreads * each; ++i) EXPECT_TRUE(distinct.contains(std::to_string(i))) << i;
}

TEST_P(NameManagerConformance, ANameHasOneHolderAtATime) {
  const auto names = open_names();
  constexpr std::size_t kThreads = 6;
  const int total = turns(300);
  std::array<std::atomic<std::size_t>, kThreads> holder{};    // by name: no more names than threads are ever needed
  std::vector<std::thread> threads;
  for (std::size_t me = 1; me <= kThreads; ++me) {
    threads.emplace_back([&, me] {
      for (int turn = 0; turn < total; ++turn) {
        const bool holds = turn % 3 == 0;
        std::optional<HeldName> held;
        std::string name;
        if (holds) {
          held.emplace(names->hold("stack").value());
          name = held->name();
        } else {
          name = names->acquire("stack").value();
        }
        const std::size_t number = std::stoul(name);
        ASSERT_LT(number, kThreads) << "a lower one was free";
        ASSERT_EQ(holder[number].exchange(me), 0u);
        std::this_thread::yield();    // so that the others come while it is held
        if (turn % 50 == 0) {
          EXPECT_LE(names->list().value().size(), kThreads);
        }
        ASSERT_EQ(holder[number].exchange(0), me);
        ASSERT_EQ(outcome(holds ? held->release() : names->release("stack", name)), "ok");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Name& name : names->list().value()) EXPECT_TRUE(name.free) << name.name;
}

TEST_P(NameManagerConformance, OneOfManyGetsACertainName) {
  const auto names = open_names();
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  for (int round = 0, rounds = turns(50); round < rounds; ++round) {
    ASSERT_EQ(outcome(names->release("stack", "0")), "ok");
    std::atomic<int> got{0}, in_use{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        const std::string came_to = outcome(names->try_acquire("stack", "0"));
        got += came_to == "ok";
        in_use += came_to == "in_use";
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(got, 1);
    EXPECT_EQ(in_use, 3);
  }
}

// --- Several processes ---

class NameManagerProcessConformance : public WithProcesses<NameManagerConformance> {};

TEST_P(NameManagerProcessConformance, AcquiredNamesOutliveTheirProcess) {
  const auto names = open_names();
  for (const char* name : {"0", "1"}) {
    Child child([&](Child::Link& parent) {
      parent.say(outcome(open_names()->acquire("stack")));
      parent.hear();
    });
    ASSERT_EQ(child.hear(), name);
    kill(child);
    EXPECT_EQ(outcome(names->try_acquire("stack", name)), "in_use");
  }
  EXPECT_EQ(outcome(names->release("stack", "0")), "ok") << "anybody may give it back";
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
}

TEST_P(NameManagerProcessConformance, AHeldNameIsFreeAtOnceWhenItsProcessDies) {
  const auto names = open_names();
  for (const bool killed : {true, false}) {
    SCOPED_TRACE(killed ? "killed" : "ended without a word");
    Child child([&](Child::Link& parent) {
      const auto mine = open_names();
      const auto first = mine->hold("stack");
      const auto second = mine->hold("stack");
      parent.say(outcome(first) + " " + outcome(second));
      parent.hear();
      ::_exit(0);
    });
    ASSERT_EQ(child.hear(), "0 1");
    EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
    EXPECT_EQ(outcome(names->acquire("stack")), "2");
    if (killed) {
      kill(child);
    } else {
      child.tell("go");
      expect_end(child);
    }
    EXPECT_TRUE(is_free(*names, "stack", "1"));
    EXPECT_EQ(outcome(names->acquire("stack")), "0");
    EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "ok");
    EXPECT_EQ(outcome(names->acquire("stack")), "3");
    EXPECT_EQ(outcome(names->reset()), "ok");
  }
}

TEST_P(NameManagerProcessConformance, ClosingTheLastServiceReleasesWhatIsHeld) {
  const auto names = open_names();
  Child child([&](Child::Link& parent) {
    auto mine = open_names();
    const auto held = mine->hold("stack");
    const auto acquired = mine->acquire("stack");
    parent.say(outcome(held) + " " + outcome(acquired));
    parent.hear();
    mine.reset();
    parent.say("closed");
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "0 1");
  child.tell("close");
  ASSERT_EQ(child.hear(), "closed");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "in_use");
}

TEST_P(NameManagerProcessConformance, AStoppedHolderLosesItsNameByAge) {
  const ServiceOptions options{.auto_release_after = traits_.leeway};
  const auto names = open_names(options);
  Child child([&](Child::Link& parent) {
    const auto mine = open_names(options);
    auto held = mine->hold("stack");
    parent.say(outcome(held));
    parent.hear();
    parent.say(eventually([&] { return outcome(held->status()) == "lost"; }) ? "lost" : outcome(held->status()));
    parent.say(outcome(held->release()));
  });
  ASSERT_EQ(child.hear(), "0");
  EXPECT_FALSE(is_free(*names, "stack", "0"));
  child.stop();
  ASSERT_TRUE(eventually([&] { return is_free(*names, "stack", "0"); }));
  const auto held = names->hold("stack");
  ASSERT_EQ(outcome(held), "0");
  child.resume();
  child.tell("go");
  EXPECT_EQ(child.hear(2 * std::chrono::duration_cast<std::chrono::milliseconds>(traits_.patience)), "lost");
  EXPECT_EQ(child.hear(), "lost");
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(outcome(held->status()), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
}

TEST_P(NameManagerProcessConformance, WithoutAnAgeAStoppedHolderKeepsItsName) {
  const auto names = open_names();
  Child child([&](Child::Link& parent) {
    const auto mine = open_names();
    const auto held = mine->hold("stack");
    parent.say(outcome(held));
    parent.hear();
    parent.say(outcome(held->status()));
  });
  ASSERT_EQ(child.hear(), "0");
  child.stop();
  bootstrap_->debug().pass(soon());
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use");
  child.resume();
  child.tell("go");
  EXPECT_EQ(child.hear(), "ok");
}

TEST_P(NameManagerProcessConformance, AResetReachesHoldersElsewhere) {
  const auto names = open_names();
  Child child([&](Child::Link& parent) {
    const auto mine = open_names();
    auto held = mine->hold("stack");
    parent.say(outcome(held));
    parent.hear();
    parent.say(eventually([&] { return outcome(held->status()) == "lost"; }) ? "lost" : outcome(held->status()));
  });
  ASSERT_EQ(child.hear(), "0");
  ASSERT_EQ(outcome(names->reset()), "ok");
  ASSERT_EQ(outcome(names->acquire("stack")), "0");
  child.tell("go");
  EXPECT_EQ(child.hear(2 * std::chrono::duration_cast<std::chrono::milliseconds>(traits_.patience)), "lost");
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(outcome(names->try_acquire("stack", "0")), "in_use") << "the old holder's end releases nothing of ours";
}

TEST_P(NameManagerProcessConformance, AForkedChildHoldsNoName) {
  const auto names = open_names();
  auto held = names->hold("stack");
  ASSERT_EQ(outcome(held), "0");
  Child child([&](Child::Link& parent) {
    parent.say(outcome(held->status()));
    parent.say(outcome(held->release()));
    parent.say(outcome(names->hold("stack")));    // and releases it again
    { const HeldName copied = std::move(*held); }
    parent.say(outcome(names->try_acquire("stack", "0")));
  });
  EXPECT_EQ(child.hear(), "lost");
  EXPECT_EQ(child.hear(), "lost");
  EXPECT_EQ(child.hear(), "1");
  EXPECT_EQ(child.hear(), "in_use");
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(outcome(held->status()), "ok");
  EXPECT_EQ(listed(*names), "stack/0 stack/1-");
  EXPECT_EQ(outcome(held->release()), "ok");
  EXPECT_EQ(outcome(names->acquire("stack")), "0");
}

TEST_P(NameManagerProcessConformance, AForkedChildKeepsItsOwnNamesAlive) {
  const ServiceOptions options{.auto_release_after = traits_.leeway};
  const auto names = open_names(options);
  const auto held = names->hold("stack");    // so that a keep-alive runs when the fork comes
  ASSERT_EQ(outcome(held), "0");
  Child child([&](Child::Link& parent) {
    const auto own = names->hold("stack");
    parent.say(outcome(own));
    bootstrap_->debug().pass(2 * traits_.leeway);
    parent.say(outcome(own->status()));
    parent.hear();
  });
  ASSERT_EQ(child.hear(), "1");
  EXPECT_EQ(child.hear(), "ok");
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "in_use");
  EXPECT_EQ(outcome(held->status()), "ok");
  kill(child);
  EXPECT_EQ(outcome(names->try_acquire("stack", "1")), "ok");
}

TEST_P(NameManagerProcessConformance, ProcessesGetDistinctNames) {
  const auto names = open_names();
  constexpr int kProcesses = 4;
  const int each = turns(50);
  std::vector<Child> children;
  for (int i = 0; i < kProcesses; ++i) {
    children.emplace_back([&](Child::Link& parent) {
      const auto mine = open_names();
      parent.say("ready");
      parent.hear();
      for (int turn = 0; turn < each; ++turn) parent.say(outcome(mine->acquire("stack")));
      parent.hear();
    });
  }
  for (const Child& child : children) ASSERT_EQ(child.hear(), "ready");
  for (const Child& child : children) child.tell("go");
  std::set<std::string> distinct;
  for (Child& child : children) {
    for (int turn = 0; turn < each; ++turn) distinct.insert(child.hear());
    kill(child);
  }
  EXPECT_EQ(distinct.size(), static_cast<std::size_t>(kProcesses * each));
  for (int i = 0; i < kProcesses * each; ++i) EXPECT_TRUE(distinct.contains(std::to_string(i))) << i;
  EXPECT_EQ(outcome(names->acquire("stack")), std::to_string(kProcesses * each));
}

TEST_P(NameManagerProcessConformance, NamesOfManyKilledHoldersAreReused) {
  const auto names = open_names();
  for (int round = 0, rounds = turns(20); round < rounds; ++round) {
    Child child([&](Child::Link& parent) {
      const auto mine = open_names();
      std::vector<HeldName> held;
      for (int i = 0; i < 5; ++i) held.push_back(mine->hold("stack").value());
      parent.say(held.front().name() + ".." + held.back().name());
      parent.hear();
    });
    ASSERT_EQ(child.hear(), "0..4") << "round " << round;
    kill(child);
  }
  EXPECT_EQ(listed(*names), "stack/0- stack/1- stack/2- stack/3- stack/4-");
}

}    // namespace keyrack::testing
