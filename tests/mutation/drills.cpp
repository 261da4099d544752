// A killer: small plans in simulated worlds, one for each pair of accesses that src/README.md, "Memory orders", says is
// ordered, run in every way with one change of threads and a few stale loads. Exits with 1 when one of them goes wrong.
#include "../simulation/strategies.hpp"
#include "../simulation/trial.hpp"

#include <cstdio>
#include <string>

namespace {

using namespace keyrack::simulation;
using Kind = Call::Kind;

Call call(Kind kind, std::uint32_t key, std::uint32_t signee = 1) {
  return {.kind = kind, .key = key, .signee = signee};
}

Call unbound(Kind kind, std::uint32_t key, std::uint32_t signee = 1) {
  return {.kind = kind, .key = key, .signee = signee, .bound = false};
}

/// Keys from 4 on are asked for with terms of all kinds.
Call stale_lock(std::uint32_t key, std::uint32_t signee) {
  return {.kind = Kind::lock, .key = key, .signee = signee, .bound = false, .duration_ms = -1};
}
Call forced_lock(std::uint32_t key, std::uint32_t signee) {
  return {.kind = Kind::lock, .key = key, .signee = signee, .level = 1, .force = true};
}

struct Aimed {
  const char* name;
  Plan plan;
  Bounds bounds{.preempt = 1, .stale = 3, .death = 0, .stop = 0};
};

std::vector<Aimed> aimed() {
  const auto plan = [](std::uint32_t slots, std::uint32_t spare, std::vector<Call> before, std::vector<Call> first,
                       std::vector<Call> second) {
    Plan made;
    made.slots = slots;
    made.spare_claimants = spare;
    made.scarce = spare < 8;
    made.before = std::move(before);
    made.parts = {{1, std::move(first)}, {2, std::move(second)}};
    return made;
  };
  const Call lock4 = call(Kind::lock, 4), unlock4 = call(Kind::unlock, 4);
  const Call ours = unbound(Kind::lock, 4);
  const std::vector<Call> turnover{unbound(Kind::unlock, 4), unbound(Kind::lock, 4, 2), unbound(Kind::unlock, 4, 2),
                                   unbound(Kind::lock, 4, 3)};
  std::vector<Aimed> all{
      {"claimant written anew, check", plan(1, 1, {ours}, {call(Kind::check, 4)}, turnover)},
      {"claimant written anew, refused", plan(1, 1, {ours}, {call(Kind::lock, 4, 9)}, turnover)},
      {"claimant written anew, confirm", plan(1, 1, {ours}, {call(Kind::confirm, 4)}, turnover)},
      {"claimant written anew, unlock refused", plan(1, 1, {ours}, {unbound(Kind::unlock, 4, 9)}, turnover)},
      {"claimant written anew, unlock", plan(1, 1, {ours}, {unbound(Kind::unlock, 4, 3)}, turnover)},
      {"claimant taken by a third, check",
       plan(2, 1, {ours, call(Kind::lock, 6, 7), call(Kind::unlock, 6, 7)}, {call(Kind::check, 4)}, {turnover[0]})},
      {"key written anew, check", plan(1, 3, {stale_lock(4, 1)}, {call(Kind::check, 5)}, {call(Kind::lock, 5, 2)})},
      {"key written anew, unlock",
       plan(1, 3, {stale_lock(4, 2)}, {call(Kind::lock, 5, 2)}, {call(Kind::unlock, 5, 2)})},
      {"gone and back",
       plan(1, 3, {lock4, unlock4}, {call(Kind::lock, 5), call(Kind::unlock, 5)}, {call(Kind::lock, 4, 2)})},
      {"gone and back, in a chain",
       plan(2, 3, {lock4, unlock4, call(Kind::lock, 6), call(Kind::unlock, 6)},
            {call(Kind::lock, 5), call(Kind::unlock, 5), call(Kind::lock, 7), call(Kind::unlock, 7)},
            {call(Kind::lock, 4, 2)})},
      {"sweep", plan(2, 0, {call(Kind::lock, 6, 3)}, {lock4, call(Kind::check, 4)}, {forced_lock(6, 2)})},
      {"unlock, wait", plan(1, 3, {lock4}, {unlock4}, {call(Kind::wait, 4, 2)})},
      {"two wait", plan(1, 3, {lock4}, {unlock4}, {call(Kind::wait, 4, 2)})},
      {"given back, held", plan(4, 8, {call(Kind::hold, 0)}, {call(Kind::release, 0)}, {call(Kind::hold, 0, 2)})},
      {"two given back, held", plan(4, 8, {call(Kind::hold, 0), call(Kind::hold, 0)}, {call(Kind::release, 1)},
                                    {call(Kind::hold, 0, 2), call(Kind::hold, 0, 2)})},
      {"reset, held", plan(3, 8, {call(Kind::hold, 0)}, {call(Kind::reset, 0)}, {call(Kind::hold, 0, 2)})},
      {"registered twice", plan(4, 8, {}, {call(Kind::acquire, 0)}, {call(Kind::acquire, 0, 2)})},
  };
  // The flag is set already by one that has waited, so that the other goes to sleep without a word.
  for (Aimed& each : all) {
    if (each.name == std::string("two wait")) {
      each.plan.parts.push_back({3, {call(Kind::wait, 4, 3)}});
      each.bounds = {.preempt = 2, .stale = 2, .death = 0, .stop = 0};
    }
    if (each.name == std::string("claimant taken by a third, check")) {
      each.plan.parts.push_back({3, {call(Kind::lock, 6, 3)}});
      each.bounds = {.preempt = 1, .stale = 2, .death = 0, .stop = 0};
    }
  }
  return all;
}

}    // namespace

int main(int argc, char** argv) {
  const std::string only = argc > 1 ? argv[1] : "";
  constexpr std::uint64_t kMost = 12'000;
  for (const Aimed& each : aimed()) {
    if (!only.empty() && only != each.name) continue;
    Exhaustion exhaustion(each.bounds);
    std::uint64_t runs = 0;
    for (; runs < kMost && exhaustion.next(); ++runs) {
      const Verdict verdict = run(each.plan, exhaustion);
      if (verdict.fault.empty()) continue;
      std::printf("%s, schedule %llu: %s\n", each.name, static_cast<unsigned long long>(runs), verdict.fault.c_str());
      return 1;
    }
    std::printf("%s: %llu schedules%s\n", each.name, static_cast<unsigned long long>(runs),
                runs == kMost ? ", cut short" : "");
  }
  return 0;
}
