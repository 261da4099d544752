// Durations as people write them.
#include "duration.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace keyrack {
namespace {

using std::chrono::nanoseconds;
using namespace std::chrono_literals;

constexpr nanoseconds kLongest = nanoseconds::max();

TEST(Duration, ParsesEveryUnit) {
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("3m"), 3min);
  EXPECT_EQ(parse_duration("10s"), 10s);
  EXPECT_EQ(parse_duration("250ms"), 250ms);
  EXPECT_EQ(parse_duration("1us"), 1us);
  EXPECT_EQ(parse_duration("5ns"), 5ns);
}

TEST(Duration, ParsesSeveralUnitsInDescendingOrder) {
  EXPECT_EQ(parse_duration("1m30s"), 90s);
  EXPECT_EQ(parse_duration("1h2m3s4ms5us6ns"), 1h + 2min + 3s + 4ms + 5us + 6ns);
  EXPECT_EQ(parse_duration("1h90m"), 150min);
  EXPECT_EQ(parse_duration("0s"), 0s);
  EXPECT_EQ(parse_duration("007s"), 7s);
}

TEST(Duration, ReachesAsFarAsItFits) {
  EXPECT_EQ(parse_duration("9223372036854775807ns"), kLongest);
  EXPECT_EQ(parse_duration("9223372036854775808ns"), std::nullopt);
  EXPECT_EQ(parse_duration("9223372036s854775807ns"), kLongest);
  EXPECT_EQ(parse_duration("9223372036s854775808ns"), std::nullopt);
  EXPECT_EQ(parse_duration("2562047h"), 2562047h);
  EXPECT_EQ(parse_duration("2562048h"), std::nullopt);
  EXPECT_EQ(parse_duration("99999999999999999999999s"), std::nullopt);
}

TEST(Duration, RefusesEverythingElse) {
  for (const char* text :
       {"",      "10", "s",  "fast", "-1s",    "+1s",  " 1s",   "1s ", "1 s",   "1.5s",  "1e3s", "10s1", "1s1s", "1s1m",
        "1ns1h", "1S", "1d", "1sec", "1s,1ms", "0x1s", "1m-1s", "1hm", "1ms1s", "1m 1s", "none", "1µs",  "1s0"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << '"' << text << '"';
  }
  EXPECT_EQ(parse_duration(std::string_view("1s\0", 3)), std::nullopt);
}

TEST(Duration, FormatsWithoutPartsThatAreZero) {
  EXPECT_EQ(format_duration(0ns), "0s");
  EXPECT_EQ(format_duration(90s), "1m30s");
  EXPECT_EQ(format_duration(250ms), "250ms");
  EXPECT_EQ(format_duration(2h + 5ns), "2h5ns");
  EXPECT_EQ(format_duration(-1500ms), "-1s500ms");
  EXPECT_EQ(format_duration(nanoseconds::min()), "-2562047h47m16s854ms775us808ns");
}

RC_GTEST_PROP(DurationProperty, WhatIsFormattedParsesToTheSame, ()) {
  // A number of random width, so that small ones come up as well as those near the end.
  const auto width = *rc::gen::inRange(0, 63);
  const nanoseconds duration(*rc::gen::inRange<std::int64_t>(0, kLongest.count()) >> width);
  RC_ASSERT(parse_duration(format_duration(duration)) == duration);
}

RC_GTEST_PROP(DurationProperty, WhateverParsesIsNotNegativeAndFormatsToTheSame, ()) {
  const auto part =
      rc::gen::pair(rc::gen::inRange(-1, 1000),
                    rc::gen::elementOf(std::vector<std::string>{"h", "m", "s", "ms", "us", "ns", "d", ""}));
  std::string text;
  for (const auto& [number, unit] :
       *rc::gen::resize(3, rc::gen::container<std::vector<std::pair<int, std::string>>>(part))) {
    text += std::to_string(number) + unit;
  }
  const auto duration = parse_duration(text);
  RC_CLASSIFY(duration.has_value(), "legal");
  if (!duration) return;
  RC_ASSERT(*duration >= 0ns);
  RC_ASSERT(parse_duration(format_duration(*duration)) == duration);
}

}    // namespace
}    // namespace keyrack
