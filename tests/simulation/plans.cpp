#include "trial.hpp"

#include <random>

namespace keyrack::simulation {

namespace {

using Do = Call::Kind;

class Planner {
 public:
  explicit Planner(std::uint64_t seed) : dice_(seed) {}

  Plan plan() {
    Plan plan;
    plan.slots = 2 + below(3);
    plan.scarce = below(3) == 0;
    if (plan.scarce) plan.spare_claimants = 1 + below(3);    // one at least, to take anything at all
    plan.waiters = below(4) == 0 ? 1 : 5;
    plan.talk = below(3) != 0;
    plan.leave = below(3) != 0;
    theme_ = below(5);
    keys_ = 1 + below(3);
    const std::uint32_t threads = 2 + below(3);
    std::uint32_t process = 0;
    for (std::uint32_t i = 0; i < threads; ++i) {
      if (i == 0 || below(6) != 0) ++process;    // else one more thread of the last
      Part part;
      part.process = process;
      if (theme_ == 4) {
        part.calls = queue(i + 1);
      } else {
        for (std::uint32_t calls = 1 + below(5); calls > 0; --calls) part.calls.push_back(call(i + 1));
      }
      plan.parts.push_back(std::move(part));
    }
    for (std::uint32_t calls = below(4); calls > 0; --calls) {
      plan.before.push_back(call(1));
      if (plan.before.back().kind == Do::wait) plan.before.back().kind = Do::lock;
    }
    plan.remember = below(2) == 0;
    return plan;
  }

 private:
  std::uint32_t below(std::uint32_t limit) { return static_cast<std::uint32_t>(dice_() % limit); }

  Call call(std::uint32_t thread) {
    if (theme_ == 0 || (theme_ == 1 && below(2) == 0)) return names_call();
    Call call;
    constexpr Do kKinds[] = {Do::lock, Do::lock, Do::lock, Do::wait, Do::unlock, Do::unlock, Do::check, Do::confirm};
    call.kind = kKinds[below(8)];
    const bool plain = theme_ == 3 || below(2) == 0;
    call.key = plain ? below(keys_) : kPlainKeys + below(keys_);
    call.signee = thread;
    if (plain) return call;
    if (below(4) == 0) call.signee = 9;    // one that several have
    call.bound = below(2) == 0;
    call.force = below(6) == 0;
    call.level = static_cast<std::int32_t>(below(3));
    if (below(3) == 0) call.duration_ms = static_cast<std::int64_t>(below(4)) * 3 - 1;
    if (below(5) == 0) call.time_to_live_ms = static_cast<std::int64_t>(below(4)) * 3 - 1;
    return call;
  }

  /// In a queue for one key, in and out again.
  std::vector<Call> queue(std::uint32_t thread) {
    std::vector<Call> calls;
    for (std::uint32_t turns = 1 + below(2); turns > 0; --turns) {
      calls.push_back({.kind = Do::wait, .signee = thread});
      calls.push_back({.kind = Do::unlock, .signee = thread});
    }
    return calls;
  }

  Call names_call() {
    constexpr Do kKinds[] = {Do::hold,    Do::hold,      Do::acquire,     Do::release,   Do::give_back,
                             Do::release, Do::give_back, Do::try_acquire, Do::keep_alive};
    Call call;
    call.kind = below(12) == 0 ? Do::reset : kKinds[below(9)];
    call.key = below(3);
    call.bound = below(2) == 0;
    return call;
  }

  std::mt19937_64 dice_;
  std::uint32_t theme_ = 0, keys_ = 1;
};

}    // namespace

Plan random_plan(std::uint64_t seed) { return Planner(seed).plan(); }

std::string to_text(const Plan& plan) {
  constexpr const char* kNames[] = {"lock",      "wait",        "unlock",     "check",   "confirm",   "hold",
                                    "acquire",   "try_acquire", "keep_alive", "release", "give_back", "reset",
                                    "keep_held", "is_held",     "list",       "rest",    "attach",    "die"};
  const auto calls = [&](const std::vector<Call>& all) {
    std::string text;
    for (const Call& call : all) {
      text += " " + std::string(kNames[static_cast<std::size_t>(call.kind)]) + "(" + std::to_string(call.key) +
              " by s" + std::to_string(call.signee) + (call.bound ? "" : " unbound") + (call.force ? " force" : "") +
              (call.level != 0 ? " level " + std::to_string(call.level) : "") +
              (call.duration_ms ? " duration " + std::to_string(*call.duration_ms) + "ms" : "") +
              (call.time_to_live_ms ? " ttl " + std::to_string(*call.time_to_live_ms) + "ms" : "") + ")";
    }
    return text;
  };
  std::string text = std::to_string(plan.slots) + " slots, " + std::to_string(plan.waiters) + " waiters" +
                     (plan.talk ? ", talking" : ", silent") + (plan.leave ? "" : ", killed at the end") +
                     "\n  before:" + calls(plan.before);
  for (const Part& part : plan.parts) text += "\n  process " + std::to_string(part.process) + ":" + calls(part.calls);
  return text;
}

std::vector<Drill> drills() {
  const auto of = [](Do kind, std::uint32_t signee, std::uint32_t key = 0) {
    return Call{.kind = kind, .key = key, .signee = signee};
  };
  const auto two = [](std::vector<Call> before, std::vector<Call> first, std::vector<Call> second) {
    Plan plan;
    plan.before = std::move(before);
    plan.parts = {{1, std::move(first)}, {2, std::move(second)}};
    return plan;
  };
  const Call stale{.kind = Do::lock, .key = 4, .signee = 1, .bound = false, .duration_ms = -1};
  const Call taker{.kind = Do::lock, .key = 4, .signee = 2, .bound = false};
  const Call renewal{.kind = Do::lock, .key = 4, .signee = 1, .level = 1, .bound = false};
  std::vector<Drill> all{
      {"insert, insert", two({}, {of(Do::lock, 1)}, {of(Do::lock, 2)})},
      {"insert, insert of neighbours", two({}, {of(Do::lock, 1, 0)}, {of(Do::lock, 2, 1)})},
      {"lock idle, lock idle", two({of(Do::lock, 1), of(Do::unlock, 1)}, {of(Do::lock, 1)}, {of(Do::lock, 2)})},
      {"unlock, lock", two({of(Do::lock, 1)}, {of(Do::unlock, 1)}, {of(Do::lock, 2)})},
      {"unlock, check", two({of(Do::lock, 1)}, {of(Do::unlock, 1)}, {of(Do::check, 2)})},
      {"unlock and lock, confirm", two({of(Do::lock, 1)}, {of(Do::unlock, 1), of(Do::lock, 1)}, {of(Do::check, 2)})},
      {"take-over, renewal", two({stale}, {renewal}, {taker})},
      {"take-over, check", two({stale}, {{.kind = Do::check, .key = 4}}, {taker})},
      {"take-over, unlock", two({stale}, {{.kind = Do::unlock, .key = 4, .signee = 1}}, {taker})},
      {"evict, lock", two({of(Do::lock, 1, 0), of(Do::unlock, 1, 0), of(Do::lock, 1, 1), of(Do::unlock, 1, 1)},
                          {of(Do::lock, 1, 2)}, {of(Do::lock, 2, 0)})},
      {"evict, evict", two({of(Do::lock, 1, 0), of(Do::unlock, 1, 0), of(Do::lock, 1, 1), of(Do::unlock, 1, 1)},
                           {of(Do::lock, 1, 2)}, {of(Do::lock, 2, 3)})},
      {"evict and come back, check",
       two({of(Do::lock, 1, 0), of(Do::lock, 1, 1), of(Do::unlock, 1, 1)},
           {of(Do::lock, 1, 2), of(Do::unlock, 1, 2), of(Do::lock, 1, 1)}, {of(Do::lock, 2, 0)})},
      {"unlock, wait", two({of(Do::lock, 1)}, {of(Do::unlock, 1)}, {of(Do::wait, 2)})},
      {"acquire, acquire", two({}, {of(Do::acquire, 1)}, {of(Do::acquire, 2)})},
      {"give back, hold", two({of(Do::hold, 1)}, {{.kind = Do::release, .key = 0}}, {of(Do::hold, 2)})},
      {"hold, give back and hold", two({of(Do::hold, 1), of(Do::hold, 1)}, {{.kind = Do::release, .key = 0}},
                                       {{.kind = Do::release, .key = 1}, of(Do::hold, 2)})},
      {"reset, hold", two({of(Do::hold, 1)}, {of(Do::reset, 1)}, {of(Do::hold, 2)})},
      {"try, release", two({of(Do::hold, 1)}, {{.kind = Do::release, .key = 0}}, {of(Do::try_acquire, 2)})},
  };
  return all;
}

}    // namespace keyrack::simulation
