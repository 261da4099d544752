// The arithmetic of keyrack top, and pages of any size.
#include "top_page.hpp"
#include "top_picture.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <clocale>
#include <cstdlib>
#include <cwchar>
#include <string>
#include <vector>

namespace keyrack::command {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

LockPicture lock(std::uint32_t record, const std::string& key, std::uint64_t token, LockState state = LockState::held) {
  LockPicture lock;
  lock.record = record;
  lock.signature = key;
  lock.signee = "signee of " + key;
  lock.token = token;
  lock.state = state;
  if (state != LockState::idle) lock.held_for = milliseconds(token);
  return lock;
}

std::vector<std::string> keys_of(const List& list) {
  std::vector<std::string> keys;
  for (const auto& row : list.rows) keys.push_back(row[0].text);
  return keys;
}

double rate_of(const TopPicture& picture, std::string_view name) {
  for (const Rate& rate : picture.rates) {
    if (rate.name == name) return rate.value;
  }
  ADD_FAILURE() << "no rate is called " << name;
  return -1;
}

using Keys = std::vector<std::string>;

TEST(TopPicture, TheFirstHasCountsInsteadOfRates) {
  Snapshot now;
  now.counters.refusals = 7;
  now.locks = {lock(3, "a", 9)};
  const TopPicture picture = compare(nullptr, now, 1s);
  EXPECT_FALSE(picture.is_compared);
  EXPECT_EQ(rate_of(picture, "refusals"), 7);
  EXPECT_TRUE(locks_of(picture, Order::hottest, {}, 0, 10).rows.empty());
  EXPECT_EQ(keys_of(locks_of(picture, Order::held, {}, 0, 10)), Keys{"a"});
}

TEST(TopPicture, RatesAreDifferencesPerSecond) {
  Snapshot before;
  before.counters.grants = 100;
  before.counters.inserts = 10;
  before.counters.evictions = 4;
  before.counters.transfers_forced = 2;
  before.locks = {lock(0, "slow", 10), lock(1, "fast", 10), lock(2, "still", 10), lock(3, "old key", 10)};
  Snapshot now = before;
  now.counters.grants = 120;
  now.counters.inserts = 16;
  now.counters.transfers_forced = 4;
  now.counters.transfers_expired = 2;
  now.counters.evictions = 3;    // read while it was written
  now.locks = {lock(0, "slow", 12), lock(1, "fast", 110, LockState::idle), lock(2, "still", 10),
               lock(3, "new key", 500), lock(9, "newcomer", 3)};
  const Earlier earlier(before);
  const TopPicture picture = compare(&earlier, now, 2s);
  EXPECT_TRUE(picture.is_compared);
  EXPECT_EQ(rate_of(picture, "inserts"), 3);
  EXPECT_EQ(rate_of(picture, "evictions"), 0);
  EXPECT_EQ(rate_of(picture, "grants"), 10);
  EXPECT_EQ(rate_of(picture, "transfers"), 2);
  EXPECT_EQ(keys_of(locks_of(picture, Order::hottest, {}, 0, 10)), (Keys{"fast", "slow", "new key", "newcomer"}));
}

TEST(TopPicture, AnotherSegmentOfThatNameIsNotCompared) {
  Snapshot before, now;
  before.locks = {lock(0, "a", 10)};
  now.locks = {lock(0, "a", 20)};
  now.segment.created_at = before.segment.created_at + 1s;
  const Earlier earlier(before);
  EXPECT_FALSE(compare(&earlier, now, 1s).is_compared);
  now.segment.created_at = before.segment.created_at;
  EXPECT_TRUE(compare(&earlier, now, 1s).is_compared);
  EXPECT_FALSE(compare(&earlier, now, 0s).is_compared) << "no division by it";
}

TEST(TopPicture, OrdersFiltersAndPassesOver) {
  Snapshot now;
  now.locks = {lock(0, "b", 5), lock(1, "a", 5), lock(2, "c", 7, LockState::stale), lock(3, "d", 9, LockState::idle)};
  now.locks[0].waiters = 2;
  now.locks[2].waiters = 3;
  const TopPicture picture = compare(nullptr, now, 1s);
  EXPECT_EQ(keys_of(locks_of(picture, Order::held, {}, 0, 9)), (Keys{"c", "a", "b"}));
  EXPECT_EQ(keys_of(locks_of(picture, Order::key, {}, 0, 9)), (Keys{"a", "b", "c"}));
  EXPECT_EQ(keys_of(locks_of(picture, Order::waiters, {}, 0, 9)), (Keys{"c", "b"}));
  EXPECT_EQ(keys_of(locks_of(picture, Order::key, "[bc]", 0, 9)), (Keys{"b", "c"}));
  EXPECT_EQ(keys_of(locks_of(picture, Order::key, "", 0, 9)), Keys{});
  EXPECT_EQ(keys_of(locks_of(picture, Order::key, {}, 1, 1)), Keys{"b"});
  const List last = locks_of(picture, Order::key, {}, 1000, 2);
  EXPECT_EQ(last.first, 1);
  EXPECT_EQ(keys_of(last), (Keys{"b", "c"}));
  EXPECT_EQ(keys_of(locks_of(picture, Order::key, {}, 1000, 0)), Keys{});
}

TEST(TopPicture, TellsOfWaitersByWhomAndOfTheDead) {
  Snapshot now;
  now.locks = {lock(0, "a", 5)};
  now.waiters.resize(2);
  now.waiters[0].signature = "a";
  now.waiters[1].signature = "b";
  now.sessions.resize(2);
  now.sessions[0].alive = true;
  now.sessions[1].command = "gone";
  const TopPicture picture = compare(nullptr, now, 1s);
  const List waiters = waiters_of(picture, "a", 9);
  ASSERT_EQ(keys_of(waiters), Keys{"a"});
  EXPECT_EQ(waiters.rows[0][3].text, "signee of a");
  EXPECT_EQ(waiters_of(picture, {}, 1).rows.size(), 1);
  const List dead = dead_sessions_of(picture, 9);
  ASSERT_EQ(dead.rows.size(), 1);
  EXPECT_EQ(dead.rows[0][2].text, "gone");
}

class TopPage : public testing::Test {
 protected:
  TopPage() { std::setlocale(LC_CTYPE, "C.UTF-8"); }
  ~TopPage() override { std::setlocale(LC_CTYPE, "C"); }

  static TopPicture everything() {
    Snapshot now;
    now.segment.name = "orders\x1b[2J";
    for (std::uint32_t i = 0; i < 50; ++i) {
      now.locks.push_back(lock(i, "e\u0301 \u4e2d\u6587 \xff\x1b " + std::to_string(i), i + 1));
    }
    now.locks[7].waiters = 30;
    now.waiters.resize(30, {.signature = std::string(200, 'w'), .signee = "", .level = 0, .pid = 1, .session = 0});
    now.sessions.resize(4);
    return compare(nullptr, now, 1s);
  }
};

/// -1 if there is anything that a terminal should not get.
int width_of(const Line& line) {
  std::string text;
  for (const Span& span : line) text += span.text;
  std::wstring wide(text.size() + 1, L'\0');
  const std::size_t length = std::mbstowcs(wide.data(), text.c_str(), wide.size());
  return length > wide.size() ? -1 : ::wcswidth(wide.c_str(), length);
}

TEST_F(TopPage, NeverExceedsItsRoom) {
  const TopPicture picture = everything();
  for (const bool typing : {false, true}) {
    View view;
    view.first = 3;
    view.filter = "*";
    if (typing) view.typed = std::string(50, 't');
    for (std::size_t rows = 0; rows < 40; ++rows) {
      for (std::size_t width = 0; width < 120; width += 1 + width / 20) {
        const Page page = page_of(picture, view, {rows, width});
        ASSERT_LE(page.lines.size(), rows);
        for (const Line& line : page.lines) {
          ASSERT_GE(width_of(line), 0) << rows << " x " << width;
          ASSERT_LE(static_cast<std::size_t>(width_of(line)), width) << rows << " x " << width;
        }
        ASSERT_TRUE(rows < 4 || page.lines.size() == rows) << "the keys are on the last line";
        ASSERT_TRUE(!page.cursor_at || *page.cursor_at < width);
        ASSERT_EQ(page.cursor_at.has_value(), typing && rows > 0 && width > 0);
      }
    }
  }
}

std::string text_of(const Page& page) {
  std::string text;
  for (const Line& line : page.lines) {
    for (const Span& span : line) text += span.text;
    text += "\n";
  }
  return text;
}

TEST_F(TopPage, SharesOutTheRoomOfA80By24) {
  const std::string text = text_of(page_of(everything(), View(), {24, 80}));
  for (const char* part : {"LONGEST HELD", "LONGEST WAITING", "DEAD SESSION", "WAITERS", "q quit", "dead sessions 4"}) {
    EXPECT_NE(text.find(part), std::string::npos) << part << " is not in\n" << text;
  }
}

TEST_F(TopPage, KeysChangeTheView) {
  View view;
  const auto press_all = [&](std::u32string_view keys) {
    for (const Key key : keys) EXPECT_TRUE(press(view, key, 10)) << static_cast<unsigned>(key);
  };
  press_all(U"sp");
  EXPECT_EQ(view.order, Order::hottest);
  EXPECT_TRUE(view.is_paused);
  press_all(U"sss ");
  EXPECT_EQ(view.order, Order::held);
  EXPECT_FALSE(view.is_paused);
  for (const Key key : {kDown, kPageDown, kPageDown, kUp}) EXPECT_TRUE(press(view, key, 10));
  EXPECT_EQ(view.first, 20);
  EXPECT_TRUE(press(view, kPageUp, 30));
  EXPECT_EQ(view.first, 0);

  press_all(U"/q\u4e2dx");
  EXPECT_EQ(view.typed, "q\u4e2dx");
  press_all({&kBackspace, 1});
  press_all({&kBackspace, 1});
  press_all(U"*\x01\t");
  EXPECT_EQ(view.typed, "q*");
  EXPECT_FALSE(view.filter);
  press_all({&kEnter, 1});
  EXPECT_EQ(view.filter, "q*");
  press_all(U"/\x15");
  press_all({&kBackspace, 1});
  press_all({&kEscape, 1});
  EXPECT_EQ(view.filter, "q*");
  press_all(U"/\x15");
  press_all({&kEnter, 1});
  EXPECT_FALSE(view.filter);
  EXPECT_FALSE(press(view, U'q', 10));
}

}    // namespace
}    // namespace keyrack::command
