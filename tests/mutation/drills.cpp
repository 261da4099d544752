// A killer: small plans in simulated worlds, aimed at what chance seldom finds, run in every way within bounds, and
// some by chance as well. Exits with 1 when one of them goes wrong.
#include "../simulation/strategies.hpp"
#include "../simulation/trial.hpp"

#include <cstdio>
#include <string>
#include <utility>

namespace {

using namespace keyrack::simulation;
using Kind = Call::Kind;
using Calls = std::vector<Call>;
using Milliseconds = std::int64_t;

Call call(Kind kind, std::uint32_t key, std::uint32_t signee = 1) {
  return {.kind = kind, .key = key, .signee = signee};
}
Call unbound(Kind kind, std::uint32_t key, std::uint32_t signee = 1) {
  return {.kind = kind, .key = key, .signee = signee, .bound = false};
}
Call rest(Milliseconds ms) { return {.kind = Kind::rest, .duration_ms = ms}; }

/// Keys from 4 on are asked for with terms of all kinds.
Call stale_lock(std::uint32_t key, std::uint32_t signee) {
  return {.kind = Kind::lock, .key = key, .signee = signee, .bound = false, .duration_ms = -1};
}
Call leased_lock(std::uint32_t key, std::uint32_t signee, Milliseconds duration) {
  return {.kind = Kind::lock, .key = key, .signee = signee, .bound = false, .duration_ms = duration};
}
Call mortal_lock(std::uint32_t key, std::uint32_t signee, Milliseconds time_to_live) {
  return {.kind = Kind::lock, .key = key, .signee = signee, .bound = false, .time_to_live_ms = time_to_live};
}
Call forced_lock(std::uint32_t key, std::uint32_t signee) {
  return {.kind = Kind::lock, .key = key, .signee = signee, .level = 1, .force = true};
}

/// Of a service that takes names away from those who have not updated them for so long.
Call aged(Kind kind, Milliseconds auto_release, std::uint32_t name = 0) {
  return {.kind = kind, .key = name, .bound = false, .auto_release_ms = auto_release};
}

struct Aimed {
  const char* name;
  Plan plan;
  Bounds bounds{.preempt = 1, .stale = 3};
  std::uint64_t by_chance = 0;    // so many runs more
  std::uint64_t most = 25'000;
};

Plan plan(std::uint32_t slots, std::uint32_t spare, Calls before, std::vector<Calls> parts) {
  Plan made;
  made.slots = slots;
  made.spare_claimants = spare;
  made.scarce = spare < 8;
  made.before = std::move(before);
  std::uint32_t process = 0;
  for (Calls& calls : parts) made.parts.push_back({++process, std::move(calls)});
  return made;
}

Plan in_time(Plan plan) {
  plan.in_time = true;
  return plan;
}

constexpr Bounds kOneChange{.preempt = 1}, kTwoChanges{.preempt = 2};
const Call lock4 = call(Kind::lock, 4), unlock4 = call(Kind::unlock, 4), attach = call(Kind::attach, 0),
           die = call(Kind::die, 0);

/// A claimant is used for another grant while somebody reads it, or is about to free it.
std::vector<Aimed> about_claimants() {
  const Call ours = unbound(Kind::lock, 4);
  const Calls turnover{unbound(Kind::unlock, 4), unbound(Kind::lock, 4, 2), unbound(Kind::unlock, 4, 2),
                       unbound(Kind::lock, 4, 3)};
  // Two signees that come again are remembered; what is theirs is dropped when the thread ends, and only a sweep frees
  // it.
  Calls leaves_two_to_a_sweep;
  for (const std::uint32_t signee : {7u, 8u}) {
    for (int i = 0; i < 2; ++i) {
      leaves_two_to_a_sweep.push_back(unbound(Kind::lock, 4, signee));
      leaves_two_to_a_sweep.push_back(unbound(Kind::unlock, 4, signee));
    }
  }
  leaves_two_to_a_sweep.push_back(unbound(Kind::lock, 6, 3));
  // Both have two ends: of the one the lease is the earlier, of the other the life.
  const Call stale{
      .kind = Kind::lock, .key = 4, .signee = 1, .bound = false, .duration_ms = -1, .time_to_live_ms = 100};
  const Call shorter_lived{
      .kind = Kind::lock, .key = 4, .signee = 3, .bound = false, .duration_ms = 200, .time_to_live_ms = 100};
  return {
      {"claimant written anew, check", plan(1, 1, {ours}, {{call(Kind::check, 4)}, turnover})},
      {"claimant written anew, refused", plan(1, 1, {ours}, {{call(Kind::lock, 4, 9)}, turnover})},
      {"claimant written anew, confirm", plan(1, 1, {}, {{ours, call(Kind::confirm, 4)}, turnover})},
      {"claimant written anew, confirm what is stale",
       plan(1, 1, {},
            {{stale, call(Kind::confirm, 4)}, {call(Kind::lock, 4, 2), call(Kind::unlock, 4, 2), shorter_lived}})},
      {"claimant written anew, unlock refused", plan(1, 1, {ours}, {{unbound(Kind::unlock, 4, 9)}, turnover})},
      {"claimant written anew, unlock", plan(1, 1, {ours}, {{unbound(Kind::unlock, 4, 3)}, turnover})},
      {"claimant taken by a third, check",
       plan(2, 1, {ours, call(Kind::lock, 6, 7), call(Kind::unlock, 6, 7)},
            {{call(Kind::check, 4)}, {turnover[0]}, {call(Kind::lock, 6, 3)}}),
       {.preempt = 1, .stale = 2}},
      {"sweep", plan(2, 0, {call(Kind::lock, 6, 3)}, {{lock4}, {forced_lock(6, 2), call(Kind::check, 4)}})},
      {"two sweep",
       plan(2, 1, leaves_two_to_a_sweep,
            {{unbound(Kind::lock, 4, 1), call(Kind::check, 4)}, {unbound(Kind::lock, 4, 2), call(Kind::check, 4)}}),
       kTwoChanges},
      {"swept before it is freed",
       plan(2, 0, {lock4, call(Kind::lock, 6, 3)},
            {{unlock4, forced_lock(6, 2), call(Kind::check, 4)}, {call(Kind::lock, 4, 9)}}),
       kOneChange},
      {"renewed while it is taken away",
       plan(1, 3, {leased_lock(4, 1, 100)}, {{leased_lock(4, 1, 100), call(Kind::check, 4)}, {forced_lock(4, 2)}}),
       kOneChange},
      {"renewed while it is evicted",
       plan(2, 0, {stale_lock(4, 1), call(Kind::lock, 6, 3)},
            {{call(Kind::lock, 5), forced_lock(6, 2), call(Kind::check, 4)}, {leased_lock(4, 1, 100)}}),
       kOneChange},
  };
}

/// Records leave chains and come back while somebody walks there. In a table of two slots the keys 0, 2, 4, 5 and 7 are
/// in one chain; of three or four 0, 4 and 5.
std::vector<Aimed> about_chains() {
  const auto took = [](std::uint32_t key) { return Calls{call(Kind::lock, key), call(Kind::unlock, key)}; };
  const auto all = [](std::initializer_list<Calls> parts) {
    Calls calls;
    for (const Calls& part : parts) calls.insert(calls.end(), part.begin(), part.end());
    return calls;
  };
  const Call acquire = unbound(Kind::acquire, 0);
  // 0 and 4, whose chain it is, and 1 between them in the table: who took its record last looks for room behind it, so
  // that two processes begin with different neighbours.
  const Calls two_neighbours = all({took(0),
                                    took(0),
                                    took(0),
                                    took(0),
                                    took(0),
                                    took(0),
                                    took(0),
                                    took(0),
                                    {acquire},
                                    took(4),
                                    {call(Kind::reset, 0), call(Kind::lock, 1)}});
  return {
      {"key written anew, check", plan(1, 3, {stale_lock(4, 1)}, {{call(Kind::check, 5)}, {call(Kind::lock, 5, 2)}})},
      {"key written anew, unlock",
       plan(1, 3, {stale_lock(4, 2)}, {{call(Kind::lock, 5, 2)}, {call(Kind::unlock, 5, 2)}})},
      {"gone and back", plan(1, 3, took(4), {took(5), {call(Kind::lock, 4, 2)}})},
      {"gone and back, in a chain",
       plan(2, 3, all({took(4), took(6)}), {all({took(5), took(7)}), {call(Kind::lock, 4, 2)}})},
      {"inserted twice",
       plan(2, 3, {}, {{call(Kind::lock, 0)}, {call(Kind::lock, 0, 2)}}),
       {.preempt = 1, .stale = 4},
       2000},
      {"left for another chain",
       plan(2, 3, all({{call(Kind::lock, 0)}, took(2)}), {{call(Kind::lock, 1)}, {call(Kind::check, 0)}}),
       {.preempt = 1, .stale = 4}},
      {"inserted while another is taken out",
       plan(3, 8, all({took(0), {call(Kind::lock, 1)}}), {{call(Kind::lock, 6)}, {call(Kind::lock, 4, 2)}}), kOneChange,
       6000},
      {"neighbours are taken out",
       plan(3, 8, two_neighbours,
            {{call(Kind::lock, 6), call(Kind::unlock, 6), call(Kind::lock, 0)},
             {call(Kind::lock, 2, 2), call(Kind::unlock, 2, 2), call(Kind::lock, 3, 2)}}),
       kOneChange, 6000},
      {"neighbours are taken out by one",
       plan(3, 8, all({took(0), took(4), {call(Kind::lock, 1)}}),
            {{call(Kind::lock, 6), call(Kind::unlock, 6), call(Kind::lock, 0)},
             {call(Kind::lock, 2, 2), call(Kind::unlock, 2, 2), call(Kind::lock, 3, 2)}}),
       kOneChange, 6000},
      {"neighbours are forgotten",
       plan(2, 8, {acquire, acquire}, {{call(Kind::reset, 0), call(Kind::lock, 0)}, {call(Kind::reset, 0)}}),
       kTwoChanges},
      {"floor raised by two",
       plan(3, 8, two_neighbours,
            {{call(Kind::lock, 6), call(Kind::unlock, 6), call(Kind::lock, 0)}, {call(Kind::lock, 2, 2)}}),
       kOneChange, 4000},
  };
}

std::vector<Aimed> about_waiting() {
  const Call wait4 = call(Kind::wait, 4, 2);
  return {
      {"unlock, wait", plan(1, 3, {lock4}, {{unlock4}, {wait4}})},
      // The flag is set already by one that has waited, so that the other goes to sleep without a word.
      {"two wait",
       plan(1, 3, {lock4}, {{unlock4}, {wait4}, {call(Kind::wait, 4, 3)}}),
       {.preempt = 1, .stale = 2},
       6000},
      {"two wait, the older is stopped",
       plan(1, 8, {leased_lock(4, 1, 5)}, {{wait4}, {call(Kind::wait, 4, 3)}}),
       {.stop = 1}},
      {"two wait, the older is slow",
       plan(2, 8, {leased_lock(4, 1, 5), leased_lock(5, 9, 5)},
            {{wait4}, {call(Kind::wait, 4, 3)}, {call(Kind::wait, 5, 4), rest(20)}}),
       kOneChange},
      {"the holder dies", plan(1, 3, {lock4}, {{die}, {wait4, call(Kind::lock, 4, 2)}}), kOneChange},
      {"two attach where one has died", plan(1, 3, {}, {{die}, {attach}, {attach}}), kOneChange},
      {"its place is somebody else's by now",
       plan(2, 8, {call(Kind::lock, 0), call(Kind::lock, 1)},
            {{call(Kind::unlock, 0), call(Kind::wait, 0), call(Kind::unlock, 0)},
             {call(Kind::wait, 0, 2), call(Kind::unlock, 0, 2)},
             {call(Kind::wait, 0, 3), call(Kind::unlock, 0, 3), call(Kind::wait, 1, 3)}}),
       {},
       20000},
      {"renewed while another begins to wait",
       plan(1, 8, {},
            {{leased_lock(4, 1, 3), rest(2), leased_lock(4, 1, 3), rest(2), call(Kind::confirm, 4)}, {wait4}}),
       kOneChange},
  };
}

std::vector<Aimed> about_names() {
  const Call hold = call(Kind::hold, 0), acquire = unbound(Kind::acquire, 0);
  std::vector<Aimed> all{
      {"given back, held", plan(4, 8, {hold}, {{call(Kind::release, 0)}, {hold}})},
      {"given back while its hint is taken away",
       plan(4, 8, {hold, call(Kind::release, 0), hold}, {{acquire}, {call(Kind::release, 0), acquire}}),
       {.preempt = 3},
       0,
       40'000},
      {"another is given back while a hint is taken away",
       plan(4, 8, {acquire, acquire, call(Kind::release, 0), acquire}, {{acquire}, {call(Kind::release, 1)}}),
       kOneChange},
      {"reset while names are counted",
       plan(3, 8, {acquire, acquire}, {{call(Kind::reset, 0), lock4}, {acquire}, {acquire}}),
       {.preempt = 0},
       10'000},
      {"two given back, held", plan(4, 8, {hold, hold}, {{call(Kind::release, 1)}, {hold, hold}})},
      {"reset by one who dies in it",
       plan(3, 8, {hold}, {{call(Kind::reset, 0)}, {call(Kind::try_acquire, 0), call(Kind::try_acquire, 0)}}),
       {.preempt = 1, .stale = 1, .death = 1}},
      {"reset, held", plan(3, 8, {hold}, {{call(Kind::reset, 0)}, {hold}})},
      {"registered twice", plan(4, 8, {}, {{acquire}, {acquire}})},
      {"reset, counted", plan(3, 8, {hold}, {{hold, hold}, {call(Kind::reset, 0), hold}}), {.preempt = 1, .stale = 2}},
      {"released while it is kept alive",
       plan(3, 8, {}, {{acquire, call(Kind::release, 0), acquire}, {rest(1), call(Kind::keep_alive, 0)}}), kOneChange},
      {"kept alive while it changes hands",
       plan(3, 8, {}, {{acquire, call(Kind::keep_held, 0), call(Kind::is_held, 0)}, {call(Kind::release, 0), acquire}}),
       kOneChange},
      {"kept alive by number while it changes hands",
       plan(3, 8, {},
            {{acquire, call(Kind::keep_alive, 0), call(Kind::is_held, 0)}, {call(Kind::release, 0), acquire}}),
       kOneChange},
      {"given back while it changes hands",
       plan(3, 8, {},
            {{acquire, call(Kind::give_back, 0), unbound(Kind::try_acquire, 0)}, {call(Kind::release, 0), acquire}}),
       kOneChange},
      {"listed while it is kept alive",
       plan(3, 8, {acquire}, {{call(Kind::list, 0)}, {rest(1), call(Kind::keep_alive, 0)}}), kOneChange},
      {"held by one who dies, acquired",
       plan(4, 8, {acquire}, {{call(Kind::release, 0), hold, hold, die}, {acquire}}),
       {.preempt = 1, .stale = 3}},
      {"held by one who died, released, tried",
       plan(2, 0, {hold}, {{die}, {call(Kind::release, 0), lock4, forced_lock(4, 2)}, {call(Kind::try_acquire, 0)}}),
       kOneChange},
      {"lent to another after its age, asked",
       plan(3, 8, {}, {{acquire, rest(4), aged(Kind::is_held, 3)}, {aged(Kind::acquire, 3)}}),
       {.preempt = 1, .stale = 2}},
      {"listed while its record gets a name",
       plan(1, 8, {call(Kind::lock, 0), call(Kind::unlock, 0)}, {{call(Kind::list, 0)}, {acquire}}), kOneChange},
  };
  Plan all_die = plan(2, 8, {}, {{die}, {acquire}, {acquire}});
  all_die.leave = false;
  all.push_back({"two clear up after one", std::move(all_die), {.preempt = 2}});
  const Calls two_are_old{acquire, acquire, rest(3), aged(Kind::acquire, 2)};
  all.push_back({"held for one, free to the other", plan(4, 8, two_are_old, {{acquire, aged(Kind::acquire, 2)}}), {}});
  all.push_back({"free to one, held for the other",
                 plan(4, 8, {acquire, rest(3)}, {{acquire}, {aged(Kind::acquire, 2), aged(Kind::acquire, 2)}}),
                 kOneChange});
  all.push_back({"held for two, free to the third",
                 plan(8, 8, {acquire, acquire, rest(2), acquire, rest(4), aged(Kind::acquire, 3)},
                      {{unbound(Kind::acquire, 1)}, {unbound(Kind::acquire, 1)}, {aged(Kind::acquire, 5)}}),
                 kOneChange, 0, 16'000});
  all.push_back(
      {"held for two, free to the third, the older one later",
       plan(8, 8, {acquire, acquire, acquire, rest(2), call(Kind::keep_alive, 1), rest(4), aged(Kind::acquire, 3)},
            {{unbound(Kind::acquire, 2)}, {unbound(Kind::acquire, 2)}, {aged(Kind::acquire, 5)}}),
       kOneChange, 0, 16'000});
  all.push_back({"reset while the old are looked for",
                 plan(4, 8, {acquire},
                      {{aged(Kind::acquire, 2), aged(Kind::acquire, 2)}, {call(Kind::reset, 0), acquire, rest(3)}}),
                 {.preempt = 1, .stale = 3}});
  return all;
}

/// What is renewed in time is never past, however long the one takes who looks.
std::vector<Aimed> about_time() {
  const Calls renews{rest(2), mortal_lock(4, 1, 3), rest(2)};
  const Calls keeps{rest(2), aged(Kind::keep_alive, 3), rest(2)};
  const Call lock = mortal_lock(4, 1, 3), acquire = aged(Kind::acquire, 3);
  return {
      {"renewed in time, check", in_time(plan(1, 8, {lock}, {{call(Kind::check, 4)}, renews})), kOneChange},
      {"renewed in time, confirm", in_time(plan(1, 8, {lock}, {{call(Kind::confirm, 4)}, renews})), kOneChange},
      {"renewed in time, unlock", in_time(plan(1, 8, {lock}, {{unbound(Kind::unlock, 4)}, renews})), kOneChange},
      {"kept alive in time, asked", in_time(plan(2, 8, {acquire}, {{aged(Kind::is_held, 3)}, keeps})), kOneChange},
      {"kept alive in time, kept", in_time(plan(2, 8, {acquire}, {{aged(Kind::keep_held, 3)}, keeps})), kOneChange},
      {"kept alive by two",
       in_time(plan(2, 8, {acquire},
                    {{rest(2), aged(Kind::keep_held, 4), rest(3), aged(Kind::is_held, 4)},
                     {rest(1), aged(Kind::keep_alive, 4)}})),
       kTwoChanges},
      {"kept alive by two, by number",
       in_time(plan(2, 8, {acquire},
                    {{rest(2), aged(Kind::keep_alive, 4), rest(3), aged(Kind::is_held, 4)},
                     {rest(1), aged(Kind::keep_alive, 4)}})),
       kTwoChanges},
  };
}

struct Group {
  const char* name;
  std::vector<Aimed> (*drills)();
};
constexpr Group kGroups[] = {{"time", about_time},
                             {"names", about_names},
                             {"waiting", about_waiting},
                             {"chains", about_chains},
                             {"claimants", about_claimants}};

struct Tally {
  std::uint64_t runs = 0;
  std::string fault{};
  bool cut_short = false;
};

Tally go_through(const Aimed& each) {
  Tally tally;
  Exhaustion exhaustion(each.bounds);
  while (exhaustion.next()) {
    if ((tally.cut_short = tally.runs == each.most)) break;
    ++tally.runs;
    tally.fault = run(each.plan, exhaustion).fault;
    if (!tally.fault.empty()) return tally;
  }
  for (std::uint64_t seed = 1; seed <= each.by_chance; ++seed) {
    ++tally.runs;
    Chance chance(seed);
    tally.fault = run(each.plan, chance).fault;
    if (!tally.fault.empty()) return tally;
  }
  return tally;
}

/// False: a fault.
bool report(const Aimed& each) {
  const Tally tally = go_through(each);
  std::printf("%s: %llu schedules%s\n", each.name, static_cast<unsigned long long>(tally.runs),
              tally.cut_short ? ", cut short" : "");
  if (!tally.fault.empty()) std::printf("%s: %s\n", each.name, tally.fault.c_str());
  return tally.fault.empty();
}

}    // namespace

int main(int argc, char** argv) {
  const std::string only = argc > 1 ? argv[1] : "";    // a group, or a drill
  bool found = false;
  for (const Group& group : kGroups) {
    for (const Aimed& each : group.drills()) {
      if (!only.empty() && only != group.name && only != each.name) continue;
      found = true;
      if (!report(each)) return 1;
    }
  }
  if (!found) std::printf("there is no drill or group of the name %s\n", only.c_str());
  return found ? 0 : 2;
}
