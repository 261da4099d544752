// Is the conformance suite able to fail? It passes on a backend that keeps the rules, and each way to break one of them
// is caught by the test that is named for it.
#include "memory_backend.hpp"

#include <keyrack/testing/conformance.hpp>

#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <string>

#include <sys/wait.h>

namespace keyrack::testing {
namespace {

constexpr const char* kDefectVariable = "KEYRACK_CANARY_DEFECT";

// What this very run is to break: the canaries below run this program again.
Defect defect_of_this_run() {
  const char* number = std::getenv(kDefectVariable);
  return number ? static_cast<Defect>(std::atoi(number)) : Defect::none;
}

struct Canary {
  Defect defect;
  std::string name;
  std::string caught_by;

  friend std::ostream& operator<<(std::ostream& out, const Canary& canary) { return out << canary.name; }
};

const std::array kCanaries{
    Canary{Defect::grants_everything, "GrantsEverything", "LockServiceConformance.FreeHeldAndFreeAgain"},
    Canary{Defect::equal_level_takes, "EqualLevelTakes", "LockServiceConformance.OnlyAHigherLevelTakes"},
    Canary{Defect::unsigned_levels, "UnsignedLevels", "LockServiceConformance.LevelsAreSigned"},
    Canary{Defect::force_ignored, "ForceIgnored", "LockServiceConformance.ForceTakesFromAnybody"},
    Canary{Defect::forgets_tokens, "ForgetsTokens", "LockServiceConformance.TokensRiseOverEveryKindOfGrant"},
    Canary{Defect::renewal_draws_token, "RenewalDrawsToken", "LockServiceConformance.SameSigneeRenews"},
    Canary{Defect::renewal_keeps_lease, "RenewalKeepsLease", "LockServiceConformance.RenewalSetsTheLeaseAnew"},
    Canary{Defect::renewal_keeps_lease, "RenewalKeepsLevel", "LockServiceConformance.RenewalSetsTheLevelAnew"},
    Canary{Defect::renewal_keeps_lease, "RenewalKeepsTtl", "LockServiceConformance.RenewalSetsTheTimeToLiveAnew"},
    Canary{Defect::refusal_changes_level, "RefusalChangesLevel", "LockServiceConformance.OnlyAHigherLevelTakes"},
    Canary{Defect::refusal_without_holder, "RefusalWithoutHolder", "LockServiceConformance.FreeHeldAndFreeAgain"},
    Canary{Defect::anybody_unlocks, "AnybodyUnlocks", "LockServiceConformance.FreeHeldAndFreeAgain"},
    Canary{Defect::anybody_unlocks_stale, "AnybodyUnlocksStale", "LockServiceConformance.UnlockOfAStaleLock"},
    Canary{Defect::check_hides_stale, "CheckHidesStale", "LockServiceConformance.ANegativeLeaseIsStaleAtOnce"},
    Canary{Defect::confirm_ignores_lease, "ConfirmIgnoresLease", "LockServiceConformance.ConfirmForgetsWhatRanOut"},
    Canary{Defect::lease_never_ends, "LeaseNeverEnds", "LockServiceConformance.AWaiterIsLetInWhenTheLeaseEnds"},
    Canary{Defect::lease_ends_early, "LeaseEndsEarly", "LockServiceConformance.ALongLeaseProtects"},
    Canary{Defect::ttl_ignored, "TtlIgnored", "LockServiceConformance.TimeToLiveEndsTheRecord"},
    Canary{Defect::ttl_makes_stale, "TtlMakesStale", "LockServiceConformance.AWaiterIsLetInWhenTheTimeToLiveEnds"},
    Canary{Defect::close_keeps_bound, "CloseKeepsBound",
           "LockServiceConformance.TheLastServiceClosedReleasesWhatIsBound"},
    Canary{Defect::truncates_keys, "TruncatesKeys", "LockServiceConformance.BadRequestsAreNamedAndChangeNothing"},
    Canary{Defect::waits_once, "WaitsOnce", "LockServiceConformance.AWaiterIsWokenByUnlock"},
    Canary{Defect::spins, "Spins", "LockServiceConformance.AWaiterSleeps"},
    Canary{Defect::no_deadlocks_found, "NoDeadlocksFound", "LockServiceCycleConformance.OfTwo"},
    Canary{Defect::everybody_a_victim, "EverybodyAVictim", "LockServiceCycleConformance.OfThree"},
    Canary{Defect::lends_highest, "LendsHighest", "NameManagerConformance.TheLowestFreeNameFirst"},
    Canary{Defect::lends_by_text, "LendsByText", "NameManagerConformance.LowestIsByNumber"},
    Canary{Defect::lends_twice, "LendsTwice", "NameManagerConformance.ThreadsGetDistinctNames"},
    Canary{Defect::lends_twice, "LendsTwiceAtOnce", "NameManagerConformance.ANameHasOneHolderAtATime"},
    Canary{Defect::accepts_leading_zeros, "AcceptsLeadingZeros", "NameManagerConformance.OnlyCanonicalNumbersAreNames"},
    Canary{Defect::keep_alive_revives, "KeepAliveRevives",
           "NameManagerConformance.KeepAliveOfTheFreeAndTheUnknownChangesNothing"},
    Canary{Defect::age_ignored, "AgeIgnored", "NameManagerConformance.ANamePastItsAgeIsFree"},
    Canary{Defect::held_not_kept_alive, "HeldNotKeptAlive", "NameManagerConformance.HeldNamesAreKeptAlive"},
    Canary{Defect::reset_unnoticed, "ResetUnnoticed", "NameManagerConformance.AHeldNameIsLostInAReset"},
    Canary{Defect::release_hits_successor, "ReleaseHitsSuccessor",
           "NameManagerConformance.AHeldNameIsLostWhenGivenAway"},
    Canary{Defect::list_by_text, "ListByText", "NameManagerConformance.ListIsByFamilyThenByNumber"},
};

struct Ran {
  int exit_status = -1;
  std::string output;
};

Ran run_again(const Canary& canary) {
  const std::string command = std::string(kDefectVariable) + "=" + std::to_string(static_cast<int>(canary.defect)) +
                              " '" + std::filesystem::read_symlink("/proc/self/exe").string() +
                              "' --gtest_color=no --gtest_filter='Memory/" + canary.caught_by + "/*' 2>&1";
  FILE* pipe = ::popen(command.c_str(), "r");
  if (!pipe) return {};
  Ran ran;
  std::array<char, 4096> part;
  for (std::size_t got = 0; (got = std::fread(part.data(), 1, part.size(), pipe)) > 0;) {
    ran.output.append(part.data(), got);
  }
  const int status = ::pclose(pipe);
  if (WIFEXITED(status)) ran.exit_status = WEXITSTATUS(status);
  return ran;
}

class ConformanceCanary : public ::testing::TestWithParam<Canary> {};

TEST_P(ConformanceCanary, IsCaught) {
  const Ran ran = run_again(GetParam());
  EXPECT_EQ(ran.exit_status, 1) << ran.output;
  EXPECT_NE(ran.output.find("[  FAILED  ] Memory/" + GetParam().caught_by + "/"), std::string::npos) << ran.output;
}

INSTANTIATE_TEST_SUITE_P(Memory, ConformanceCanary, ::testing::ValuesIn(kCanaries),
                         [](const auto& tested) { return tested.param.name; });

}    // namespace

KEYRACK_INSTANTIATE_CONFORMANCE(Memory,
                                ServiceFactory{"Plain", [] { return make_memory_bootstrap(defect_of_this_run()); }});

}    // namespace keyrack::testing
