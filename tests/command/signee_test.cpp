// Who holds a lock for a command, where nobody says.
#include "signee.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace keyrack::command {
namespace {

TEST(Signee, TellsUserAndProcess) { EXPECT_EQ(signee_of("ann", "", 4711), "run-ann-4711"); }

TEST(Signee, TellsTheHost) {
  EXPECT_EQ(signee_of("ann", "web-17", 4711), "run-ann-web-17-4711");
  EXPECT_EQ(signee_of("ann", "web-17.example.org", 4711), "run-ann-web-17-4711");
}

TEST(Signee, KeepsTheEndOfALongHost) {
  const std::string host = std::string(50, 'h') + "-5d8f7c9b4-xk2lp";
  EXPECT_EQ(signee_of("ann", host, 4711), "run-ann-" + std::string(35, 'h') + "-5d8f7c9b4-xk2lp-4711");
}

TEST(Signee, Always64BytesAtMost) {
  constexpr pid_t kLongest = std::numeric_limits<pid_t>::max();
  const std::string user(300, 'u');
  EXPECT_EQ(signee_of(user, "", kLongest), "run-" + std::string(32, 'u') + "-2147483647");
  EXPECT_EQ(signee_of(user, std::string(300, 'h'), kLongest),
            "run-" + std::string(20, 'u') + "-" + std::string(28, 'h') + "-2147483647");
  EXPECT_EQ(signee_of(user, std::string(300, 'h'), kLongest).size(), 64);
  EXPECT_EQ(signee_of("ann", std::string(300, 'h'), 1).size(), 64);
}

}    // namespace
}    // namespace keyrack::command
