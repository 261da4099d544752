#include "world.hpp"

#include "stepped_clock.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <sstream>

namespace keyrack::tests {

namespace {

using namespace reference;

constexpr Instant kSecond = 1'000'000'000;

/// Leases and times to live, the plain ones first. What the test itself takes is nothing beside the seconds.
constexpr std::array<std::optional<Instant>, 11> kSpans{
    std::nullopt, 100 * kSecond,           10 * kSecond, 1000 * kSecond, 0, -1, -864'000 * kSecond, 1, kTick,
    kNever,       kTick / 2 + 10 * kSecond};
constexpr std::array<Instant, 8> kSteps{kSecond,        9 * kSecond, 11 * kSecond, 95 * kSecond,
                                        3600 * kSecond, 1'000'000,   kTick,        50 * kSecond};
constexpr Instant kAge = 50 * kSecond;

template <std::size_t size>
void put(std::array<char, size>& place, const std::string& text) {
  std::copy_n(text.c_str(), std::min(text.size() + 1, size), place.begin());
}

bool is_lock_call(Act act) { return act <= Act::confirm; }

LockCall lock_call(const Step& step, Process process) {
  const auto at = [](int index) { return kSpans[static_cast<std::size_t>(index) % kSpans.size()]; };
  return {.kind = static_cast<LockCall::Kind>(step.act),
          .process = process,
          .signee = static_cast<Signee>(step.signee),
          .level = step.level - 1,
          .force = step.force != 0,
          .bound = step.bound != 0,
          .duration = at(step.duration),
          .time_to_live = at(step.time_to_live)};
}

NamesCall::Kind name_call(Act act) {
  return static_cast<NamesCall::Kind>(static_cast<int>(act) - static_cast<int>(Act::acquire));
}
static_assert(static_cast<int>(Act::reset) - static_cast<int>(Act::acquire) ==
              static_cast<int>(NamesCall::Kind::reset));

bool may_be_held(const reference::LockState& state, Interval when) {
  const auto& grant = state.grant;
  return grant && !grant->abandoned && grant->lease.may_be_ahead(when) && grant->gone.may_be_ahead(when);
}

bool is_held(const reference::LockState& state, Interval when) {
  const auto& grant = state.grant;
  return grant && !grant->abandoned && !grant->lease.may_be_past(when) && !grant->gone.may_be_past(when);
}

}    // namespace

Workers::Workers() {
  for (std::size_t worker = 0; worker < kWorkers; ++worker) start(worker);
}

void Workers::start(std::size_t worker) {
  children_[worker] = std::make_unique<Child>([](const Child::Link& parent) { serve(parent); });
}

void Workers::replace(std::size_t worker) {
  children_[worker]->kill();
  start(worker);
}

World::World(Workers& workers, const Story& story)
    : workers_(workers),
      story_(story),
      slots_(story.roomy != 0 ? 64 : 4),
      age_(story.aging != 0 ? std::optional(kAge) : std::nullopt) {}

std::string World::play() {
  for (std::size_t worker = 0; worker < kWorkers; ++worker) {
    if (!open(worker)) return trace_;
  }
  for (const Step& step : story_.steps) {
    if (!play(step)) return trace_;
  }
  const std::string findings = findings_of(segment_.name());
  if (!findings.empty()) wrong("verify: " + findings);
  return findings.empty() ? "" : trace_;
}

bool World::wrong(const std::string& text) {
  trace_ += "  <-- " + text + "\n";
  return false;
}

bool World::open(std::size_t worker) {
  Order order;
  put(order.query,
      segment_.name() + "?sessions=8&slots=" + std::to_string(slots_) + (age_ ? "&auto_release_after=50s" : ""));
  const Reply reply = ask(workers_[worker], order);
  actors_[worker] = {.process = ++last_process_};
  pids_[last_process_] = reply.pid;
  return reply.wrong[0] == 0 || wrong(std::string("open: ") + reply.wrong.data());
}

bool World::play(const Step& step) {
  std::ostringstream text;
  text << step;
  trace_ += text.str();
  if (is_lock_call(step.act)) return play_lock(step);
  if (step.act <= Act::reset) return play_name(step);
  if (step.act == Act::close) return close(step);
  if (step.act == Act::kill) return kill(step);
  return pass(step);
}

/// Makes the call. What a child does that is forked for it, it does as a process of its own.
bool World::tell(const Step& step, Order& order, Reply& reply) {
  const auto worker = static_cast<std::size_t>(step.worker);
  order.by = static_cast<Order::By>(step.by);
  reply = ask(workers_[worker], order);
  return reply.wrong[0] == 0 || wrong(reply.wrong.data());
}

void World::end(Process process, bool dies) {
  for (Lock& lock : locks_) {
    const LockCall call{.kind = dies ? LockCall::Kind::death : LockCall::Kind::close, .process = process};
    lock.state = *apply(lock.state, call, {}, {});
  }
  for (NamesState& family : families_) {
    const NamesCall call{.kind = dies ? NamesCall::Kind::death : NamesCall::Kind::close, .process = process};
    family = *apply(family, call, {}, {});
  }
}

bool World::play_lock(const Step& step) {
  Lock& lock = locks_[static_cast<std::size_t>(step.key)];
  const bool forked = step.by != 0;
  const Process process = forked ? ++last_process_ : actors_[static_cast<std::size_t>(step.worker)].process;
  Order order{.kind = Order::Kind::locks, .lock = lock_call(step, process)};
  put(order.key, "key" + std::to_string(step.key));
  const auto told = lock.tokens.size(), back = static_cast<std::size_t>(step.number);
  if (told > 0) order.lock.token = lock.tokens[told - 1 - back % std::min<std::size_t>(told, 3)];

  Reply reply;
  if (!tell(step, order, reply)) return false;
  LockAnswer& answer = reply.lock;
  trace_ += " = " + std::to_string(static_cast<int>(answer.status)) + ", token " + std::to_string(answer.token) + "\n";
  if (answer.status == LockAnswer::Status::would_deadlock ||
      (answer.status == LockAnswer::Status::timed_out && answer.token == kAnyToken)) {
    return wrong("nobody else was waiting");
  }
  if (answer.token != kAnyToken) lock.tokens.push_back(answer.token);
  // Of a holder's process only the pid is told.
  if (lock.state.grant && static_cast<pid_t>(answer.process) == pids_[lock.state.grant->process]) {
    answer.process = lock.state.grant->process;
  }
  pids_[process] = reply.pid;
  const auto next =
      apply(lock.state, order.lock, answer, reply.when, story_.roomy != 0 ? Eviction::impossible : Eviction::possible);
  if (!next) return wrong("not by the rules");
  lock.state = *next;
  if (answer.status == LockAnswer::Status::table_full && !nothing_fits(reply.when)) return wrong("there was room");
  if (!there_was_room(reply.when)) return false;
  if (forked) end(process, order.by != Order::By::child_that_closes);
  return true;
}

bool World::play_name(const Step& step) {
  Actor& actor = actors_[static_cast<std::size_t>(step.worker)];
  const bool forked = step.by != 0;
  auto family = static_cast<std::size_t>(step.key) % kFamilies;
  NamesCall call{.kind = name_call(step.act),
                 .process = forked ? ++last_process_ : actor.process,
                 .bound = step.bound != 0,
                 .number = static_cast<Number>(step.number),
                 .loan = ++last_loan_,
                 .auto_release_after = age_};
  const bool of_loan = call.kind == NamesCall::Kind::release_loan || call.kind == NamesCall::Kind::status;
  auto held = actor.held.begin();
  if (of_loan) {
    if (actor.held.empty()) return skip();
    held += step.number % static_cast<std::ptrdiff_t>(actor.held.size());
    family = held->family;
    call.number = held->number;
    call.loan = held->loan;
  }
  Order order{.kind = Order::Kind::names, .name = call};
  put(order.key, "family" + std::to_string(family));
  Reply reply;
  if (!tell(step, order, reply)) return false;
  const NamesAnswer& answer = reply.name;
  trace_ += " = " + std::to_string(static_cast<int>(answer.status)) + ", " + std::to_string(answer.number) + "\n";

  if (call.kind == NamesCall::Kind::list) {
    for (call.number = 0; call.number < reply.listed.size(); ++call.number) {
      if (!apply(families_[family], call, {.status = reply.listed[call.number]}, reply.when)) {
        return wrong("name " + std::to_string(call.number) + " is not by the rules");
      }
    }
    return true;
  }
  if (call.kind == NamesCall::Kind::reset) families_ = {};
  if (of_loan && forked) call.loan = 0;    // the child's copy is nobody's
  const auto next = apply(families_[family], call, answer, reply.when);
  if (!next) return wrong("not by the rules");
  families_[family] = *next;
  if (answer.status == NamesAnswer::Status::table_full && !nothing_fits(reply.when)) return wrong("there was room");
  if (!there_was_room(reply.when)) return false;
  if (forked) {
    end(call.process, order.by != Order::By::child_that_closes);
  } else if (call.kind == NamesCall::Kind::release_loan) {
    actor.held.erase(held);
  } else if (answer.status == NamesAnswer::Status::ok && call.bound && call.kind <= NamesCall::Kind::try_acquire) {
    const bool any = call.kind == NamesCall::Kind::acquire;
    actor.held.push_back({call.loan, family, any ? answer.number : call.number});
  }
  return true;
}

bool World::skip() {
  trace_ += "\n";
  return true;
}

bool World::close(const Step& step) {
  Actor& actor = actors_[static_cast<std::size_t>(step.worker)];
  Order order{.kind = Order::Kind::locks, .lock = {.kind = LockCall::Kind::close}};
  Reply reply;
  skip();
  if (!tell({.act = step.act, .worker = step.worker}, order, reply)) return false;
  end(actor.process, false);
  actor.process = ++last_process_;
  pids_[actor.process] = reply.pid;
  return true;
}

bool World::kill(const Step& step) {
  skip();
  const auto worker = static_cast<std::size_t>(step.worker);
  workers_.replace(worker);
  end(actors_[worker].process, true);
  return open(worker);
}

bool World::pass(const Step& step) {
  os::step_clock(kSteps[static_cast<std::size_t>(step.number) % kSteps.size()]);
  return skip();
}

std::size_t World::names() const {
  std::size_t count = 0;
  for (const NamesState& family : families_) count += family.names.size();
  return count;
}

/// All that is held has a record of its own.
bool World::there_was_room(const Interval& when) {
  const auto held =
      std::count_if(locks_.begin(), locks_.end(), [&](const Lock& lock) { return is_held(lock.state, when); });
  return static_cast<std::size_t>(held) + names() <= slots_ || wrong("more is held than there are records");
}

/// table_full was right: every record was truly held.
bool World::nothing_fits(const Interval& when) const {
  const auto held =
      std::count_if(locks_.begin(), locks_.end(), [&](const Lock& lock) { return may_be_held(lock.state, when); });
  return static_cast<std::size_t>(held) + names() >= slots_;
}

}    // namespace keyrack::tests
