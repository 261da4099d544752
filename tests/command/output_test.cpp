// Text for people: what is escaped in it, and how wide it is.
#include "output.hpp"

#include <gtest/gtest.h>

#include <clocale>
#include <string>

namespace keyrack::command {
namespace {

TEST(Output, TextForPeopleIsOneLineThatReadsAsItStands) {
  EXPECT_EQ(printable("plain caf\u00e9 \u4e2d\u6587 \U0001f511 e\u0301"),
            "plain caf\u00e9 \u4e2d\u6587 \U0001f511 e\u0301");
  EXPECT_EQ(printable("a\nb\x1b[2J\x7f\xc2\x9b"), R"(a\x0ab\x1b[2J\x7f\xc2\x9b)");
  EXPECT_EQ(printable("\u2028\u2029"), R"(\xe2\x80\xa8\xe2\x80\xa9)");
  EXPECT_EQ(printable("caf\xff\xc3"), R"(caf\xff\xc3)");
  // What turns the reading round, or cannot be seen.
  EXPECT_EQ(printable("\u202etxt.exe\u202c"), R"(\xe2\x80\xaetxt.exe\xe2\x80\xac)");
  EXPECT_EQ(printable("\u2066\u2069\u200e\u200f\u061c"), R"(\xe2\x81\xa6\xe2\x81\xa9\xe2\x80\x8e\xe2\x80\x8f\xd8\x9c)");
  EXPECT_EQ(printable("job\u200b/42\u200d\ufeff"), R"(job\xe2\x80\x8b/42\xe2\x80\x8d\xef\xbb\xbf)");
  EXPECT_EQ(printable("\u00ad\u034f\u2060\u3164\U000e0041"),
            R"(\xc2\xad\xcd\x8f\xe2\x81\xa0\xe3\x85\xa4\xf3\xa0\x81\x81)");
}

TEST(Output, WidthsAreThoseOfTheTerminal) {
  std::setlocale(LC_CTYPE, "C.UTF-8");
  EXPECT_EQ(width_of("plain"), 5u);
  EXPECT_EQ(width_of("caf\u00e9"), 4u);
  EXPECT_EQ(width_of("\u4e2d\u6587"), 4u);
  EXPECT_EQ(width_of("e\u0301"), 1u);
  EXPECT_EQ(fit("plain", 5), "plain");
  EXPECT_EQ(fit("plain", 4), "pla\u2026");
  EXPECT_EQ(fit("\u4e2d\u6587", 4), "\u4e2d\u6587");
  EXPECT_EQ(fit("\u4e2d\u6587", 3), "\u4e2d\u2026");
  EXPECT_EQ(fit("a\u4e2d\u6587", 3), "a\u2026") << "no half of a character";
  EXPECT_EQ(fit("plain", 1), "\u2026");
  EXPECT_EQ(fit("plain", 0), "");
}

}    // namespace
}    // namespace keyrack::command
