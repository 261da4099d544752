// Random sequences of calls, deaths, forks, closings and steps of the clock, on real processes, held against the
// reference rules. A sequence that fails is shrunk to a short one; RC_PARAMS="seed=… max_success=…" repeats or extends.
#include "stepped_clock.hpp"
#include "world.hpp"

#include <gtest/gtest.h>

namespace keyrack::tests {
namespace {

bool every_story_is_by_the_rules() {
  os::share_clock();
  Workers workers;
  return rc::check("every answer is by the rules", [&] {
    const Story story = *any_story();
    const std::string wrong = World(workers, story).play();
    if (!wrong.empty()) RC_FAIL(wrong);
  });
}

#ifdef KEYRACK_BENT
TEST(PropertiesTest, FindsWhatIsBent) { EXPECT_FALSE(every_story_is_by_the_rules()); }
#else
TEST(PropertiesTest, EveryAnswerIsByTheRules) { EXPECT_TRUE(every_story_is_by_the_rules()); }
#endif

}    // namespace
}    // namespace keyrack::tests
