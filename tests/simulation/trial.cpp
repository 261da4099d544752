#include "trial.hpp"

#include "../reference/text.hpp"
#include "linearizable.hpp"
#include "os/process.hpp"
#include "table/names.hpp"
#include "table/waiting.hpp"

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <set>

namespace keyrack::simulation {

namespace {

namespace rules = keyrack::reference;

constexpr std::int64_t kStart = 1'000'000'000'000;
constexpr std::uint32_t kKeys = 8, kAuditor = 7;
constexpr const char* kFamily = "pool";
constexpr std::int64_t kLongWait = 20'000'000'000;

std::string key_text(std::uint32_t key) { return "key " + std::to_string(key); }
std::string signee_text(std::uint32_t signee) { return "s" + std::to_string(signee); }
rules::Signee signee_number(const std::string& text) {
  return text.empty() ? rules::kAnySignee : static_cast<rules::Signee>(std::stoul(text.substr(1)));
}

std::optional<std::chrono::nanoseconds> milliseconds(std::optional<std::int64_t> ms) {
  if (!ms) return {};
  return std::chrono::milliseconds(*ms);
}
std::optional<rules::Instant> instant(std::optional<std::int64_t> ms) {
  if (!ms) return {};
  return *ms * 1'000'000;
}

struct Interval {
  std::uint64_t begun = 0, ended = 0;
  rules::Interval when{};
  bool answered = false;
};
struct LockEvent : Interval {
  std::uint32_t key = 0;
  rules::LockCall call{};
  rules::LockAnswer answer{};
};
struct NamesEvent : Interval {
  rules::NamesCall call{};
  rules::NamesAnswer answer{};
  bool keeps = false;    // alive, what it is told that it has
};
/// A process has died, or has closed what it had.
struct EndEvent : Interval {
  std::uint32_t process = 0;
  bool dead = false;
};

class Trial {
 public:
  Trial(const Plan& plan, Strategy& strategy)
      : plan_(plan),
        layout_(shrunk(plan)),
        world_(layout_.bytes + kKeys * sizeof(Word), strategy, kStart),
        table_((reinterpret_cast<table::Header*>(world_.memory())->epoch_ns = kStart - 1'000'000'000, world_.memory()),
               layout_) {
    for (Process& process : processes_) process.session = std::make_unique<table::Session>(table_);
  }

  Verdict run() {
    std::uint32_t last = 1;
    for (const Part& part : plan_.parts) last = std::max(last, part.process);
    for (std::uint32_t process = 1; process <= last; ++process) {
      world_.act_as(process, [&] { attach(process); });
    }
    world_.act_as(1, [&] {
      play(plan_.before, 1, before_, false);
      before_.claimants.drop_all(table_);
    });
    for (const Part& part : plan_.parts) {
      ++processes_[part.process].threads;
      world_.start(part.process, [this, &part] { act(part); });
    }
    world_.when_all_sleep([this](std::int64_t until_ns) {
      // Who waits for its turn looks again after a millisecond; all others rely on being woken.
      if (until_ns - world_.now_ns() > table::kMs + table::kMs / 10) look_for_lost_wakes();
    });
    world_.when_dying([this](std::uint32_t process) { note_death(process); });
    world_.run();
    if (world_.fault().empty()) audit();
    if (world_.fault().empty() && plan_.talk) judge();
    return {world_.fault(), world_.steps(), clock_ / 2};
  }

 private:
  struct Process {
    std::unique_ptr<table::Session> session;
    std::uint32_t threads = 0;
  };
  /// What a thread has, and what it is at.
  struct Actor {
    table::ClaimantCache claimants{};
    std::map<std::uint32_t, std::uint64_t> tokens{};    // by key
    std::vector<std::pair<rules::Loan, table::NameGrant>> held{};
    std::optional<std::uint32_t> waits_for{};
    std::vector<table::SessionId> further{};    // sessions beside that of its process
    std::uint32_t process = 0;

    /// Of its last grant; else one that nobody gets.
    std::uint64_t token(std::uint32_t key) const {
      const auto found = tokens.find(key);
      return found == tokens.end() ? 1'000'000 : found->second;
    }
  };

  static table::Layout shrunk(const Plan& plan) {
    table::Layout layout(table::Geometry{plan.slots, 6, 16, 16});
    layout.claimants = plan.slots + plan.spare_claimants;
    layout.waiters = plan.waiters;
    return layout;
  }

  table::Caller caller(Actor& actor) {
    return {*processes_[actor.process].session, actor.claimants, static_cast<std::int32_t>(actor.process)};
  }

  void attach(std::uint32_t process) {
    const auto id = table::attach(table_, os::Identity{.pid = static_cast<std::int32_t>(process), .command = "sim"});
    if (!id) return world_.report("no session slot");
    processes_[process].session->id = *id;
  }

  void act(const Part& part) {
    actors_.emplace_back();
    Actor& actor = actors_.back();
    if (plan_.in_time && part.process == 1) {
      actor.tokens = before_.tokens;
      actor.held = before_.held;
    }
    play(part.calls, part.process, actor, true);
    world_.linger();    // closing wakes whoever waits, too
    end_further(actor);
    if (plan_.parts.size() == processes_in_use()) look_for_lost_places(part.process);
    actor.claimants.drop_all(table_);
    Process& process = processes_[part.process];
    if (--process.threads != 0) return;
    if (!plan_.leave) world_.die();
    world_.meet_siblings();
    leave_all(part.process);
    EndEvent& end = ends_.emplace_back();
    end.process = part.process;
    if (plan_.talk) world_.call_begins();
    begin(end);
    table::unlock_all_of(table_, process.session->id);
    table::release_all_of(table_, process.session->id);
    table::detach(table_, process.session->id);
    finish(end);
    if (plan_.talk) world_.call_ends();
  }

  void attach_further(Actor& actor) {
    const auto id = table::attach(table_, os::Identity{.pid = 0, .command = "more"});
    if (!id) return world_.report("no session slot");
    actor.further.push_back(*id);
  }

  void end_further(Actor& actor) {
    for (const table::SessionId id : actor.further) {
      if (!table::alive(table_, id)) world_.report("a living session was taken for a dead one");
      table::detach(table_, id);
    }
  }

  void play(const std::vector<Call>& calls, std::uint32_t process, Actor& actor, bool live) {
    actor.process = process;
    for (const Call& call : calls) {
      if (plan_.talk || !live) world_.call_begins();
      if (call.kind == Call::Kind::rest) {
        world_.let_pass(instant(call.duration_ms).value());
      } else if (call.kind == Call::Kind::attach) {
        attach_further(actor);
      } else if (call.kind <= Call::Kind::confirm) {
        play_lock(call, actor);
      } else {
        play_names(call, actor);
      }
      if (plan_.talk || !live) world_.call_ends();
    }
  }

  void begin(Interval& event) {
    event.begun = ++clock_;
    event.when.from = world_.now_ns();
    event.ended = ~std::uint64_t{0};
  }
  void finish(Interval& event) {
    event.ended = ++clock_;
    event.when.to = world_.now_ns();
    event.answered = true;
  }

  void note_death(std::uint32_t process) {
    const auto cut = [&](Interval& event) {
      if (event.answered) return;
      event.ended = ++clock_;
      event.when.to = world_.now_ns();
    };
    for (LockEvent& event : lock_events_) {
      if (event.call.process == process) cut(event);
    }
    for (NamesEvent& event : names_events_) {
      if (event.call.process == process) cut(event);
    }
    for (EndEvent& event : ends_) {
      if (event.process == process) cut(event);
    }
    EndEvent& end = ends_.emplace_back();
    end.process = process;
    end.dead = true;
    begin(end);
    finish(end);
    leave_all(process);
  }

  // Locks.

  void play_lock(const Call& call, Actor& actor) {
    const std::string key_bytes = key_text(call.key), signee = signee_text(call.signee);
    const table::Key key = table::Key::lock(key_bytes);
    LockEvent& event = lock_events_.emplace_back();
    event.key = call.key;
    event.call = {.kind = kinds().at(call.kind),
                  .process = actor.process,
                  .signee = call.signee,
                  .level = call.level,
                  .force = call.force,
                  .bound = call.bound,
                  .duration = instant(call.duration_ms),
                  .time_to_live = instant(call.time_to_live_ms),
                  .token = actor.token(call.key)};
    begin(event);
    rules::LockAnswer& answer = event.answer;
    const table::Ask ask{.key = key,
                         .signee = signee,
                         .level = call.level,
                         .force = call.force,
                         .process_bound = call.bound,
                         .duration = milliseconds(call.duration_ms),
                         .time_to_live = milliseconds(call.time_to_live_ms)};
    switch (call.kind) {
      case Call::Kind::lock:
        note(actor, call, table::lock(caller(actor), ask), answer);
        break;
      case Call::Kind::wait:
        actor.waits_for = call.key;
        note(actor, call, table::lock_until(caller(actor), ask, world_.now_ns() + kLongWait), answer);
        actor.waits_for.reset();
        break;
      case Call::Kind::unlock:
        // Gone from inside before it can be let go; without an answer it may have been either.
        leave(call, actor.process);
        note_unlock(table::unlock(caller(actor), key, signee), answer);
        break;
      case Call::Kind::check: {
        const auto told = table::check(table_, key);
        answer.status = told ? rules::LockAnswer::Status::ok : rules::LockAnswer::Status::not_found;
        if (told) {
          answer.token = told->token;
          answer.signee = signee_number(told->signee);
          answer.level = told->level;
          answer.process = static_cast<rules::Process>(told->pid);
          if (told->expires_in) answer.expires_in = told->expires_in->count();
        }
        break;
      }
      default:
        answer.status = table::confirm(table_, key, actor.token(call.key)) ? rules::LockAnswer::Status::ok
                                                                           : rules::LockAnswer::Status::lost;
    }
    finish(event);
    using Status = rules::LockAnswer::Status;
    if (answer.status == Status::not_found || answer.status == Status::no_lock || answer.status == Status::lost) {
      note_past(rules::text(event.call));
    }
  }

  static const std::map<Call::Kind, rules::LockCall::Kind>& kinds() {
    using Kind = rules::LockCall::Kind;
    static const std::map<Call::Kind, Kind> known{{Call::Kind::lock, Kind::lock},
                                                  {Call::Kind::wait, Kind::wait},
                                                  {Call::Kind::unlock, Kind::unlock},
                                                  {Call::Kind::check, Kind::check},
                                                  {Call::Kind::confirm, Kind::confirm}};
    return known;
  }

  static rules::LockAnswer::Status status_of(const std::error_code& code) {
    using Status = rules::LockAnswer::Status;
    if (code == Errc::forbidden) return Status::forbidden;
    if (code == Errc::timed_out) return Status::timed_out;
    if (code == Errc::would_deadlock) return Status::would_deadlock;
    return Status::table_full;
  }

  static void note_refusal(const Refusal& refusal, rules::LockAnswer& answer) {
    answer.status = status_of(refusal.code);
    answer.token = refusal.token;
    answer.signee = signee_number(refusal.holder);
    answer.level = refusal.level;
    answer.process = static_cast<rules::Process>(refusal.pid);
  }

  void note(Actor& actor, const Call& call, const Result<LockResponse, Refusal>& got, rules::LockAnswer& answer) {
    using Status = rules::LockAnswer::Status;
    if (!got) return note_refusal(got.error(), answer);
    answer.status = got->status == LockStatus::ok            ? Status::ok
                    : got->status == LockStatus::transferred ? Status::transferred
                                                             : Status::renewed;
    answer.token = got->token;
    answer.signee = signee_number(got->previous_signee);
    actor.tokens[call.key] = got->token;
    if (got->created()) enter(call, actor.process, got->token);
  }

  static void note_unlock(const Result<UnlockResponse, Refusal>& got, rules::LockAnswer& answer) {
    using Status = rules::LockAnswer::Status;
    if (!got) return note_refusal(got.error(), answer);
    answer.status = got->status == UnlockStatus::ok ? Status::ok : Status::no_lock;
  }

  /// Keys of the lower half are only ever taken by the plainest rules, so whoever has one is alone, and what its last
  /// holder wrote is there.
  void enter(const Call& call, std::uint32_t process, std::uint64_t token) {
    std::uint64_t& last = last_token_[call.key];
    // Of two that may take a key from each other, the later may answer first.
    const bool is_new = tokens_.emplace(call.key, token).second && (token > last || !is_plain(call.key));
    if (!is_new) world_.report(key_text(call.key) + ": token " + std::to_string(token) + " is not new");
    last = std::max(last, token);
    if (!is_plain(call.key)) return;
    if (inside_.contains(call.key)) world_.report(key_text(call.key) + ": two hold it");
    inside_[call.key] = {process, call.signee};
    Word& guarded = *reinterpret_cast<Word*>(world_.memory() + layout_.bytes + call.key * sizeof(Word));
    const std::uint64_t seen = guarded.load(std::memory_order_relaxed);
    if (seen != written_[call.key]) world_.report(key_text(call.key) + ": does not see what its last holder wrote");
    guarded.store(seen + 1, std::memory_order_relaxed);
    written_[call.key] = seen + 1;
  }
  void leave(const Call& call, std::uint32_t process) {
    const auto found = inside_.find(call.key);
    if (found != inside_.end() && found->second == std::pair(process, call.signee)) inside_.erase(found);
  }
  void leave_all(std::uint32_t process) {
    std::erase_if(inside_, [&](const auto& entry) { return entry.second.first == process; });
  }
  static bool is_plain(std::uint32_t key) { return key < kKeys / 2; }

  // Names.

  void play_names(const Call& call, Actor& actor) {
    using Kind = rules::NamesCall::Kind;
    using Status = rules::NamesAnswer::Status;
    const table::Family family{kFamily, milliseconds(call.auto_release_ms)};
    NamesEvent& event = names_events_.emplace_back();
    event.call = {.process = actor.process,
                  .number = call.key,
                  .loan = ++loans_,
                  .auto_release_after = instant(call.auto_release_ms)};
    rules::NamesAnswer& answer = event.answer;
    begin(event);
    const auto keep = [&](const Result<table::NameGrant>& got) {
      answer.status = got                              ? Status::ok
                      : got.error() == Errc::in_use    ? Status::in_use
                      : got.error() == Errc::not_exist ? Status::not_exist
                                                       : Status::table_full;
      if (!got) return;
      answer.number = got->number;
      actor.held.emplace_back(event.call.loan, *got);
    };
    switch (call.kind) {
      case Call::Kind::hold:
      case Call::Kind::acquire:
        event.call.kind = Kind::acquire;
        event.call.bound = call.kind == Call::Kind::hold;
        keep(table::acquire_name(caller(actor), family, event.call.bound));
        break;
      case Call::Kind::try_acquire:
        event.call.kind = Kind::try_acquire;
        event.call.bound = call.bound;
        keep(table::try_acquire_name(caller(actor), family, call.key, call.bound));
        break;
      case Call::Kind::keep_alive:
        event.call.kind = Kind::keep_alive;
        (void)table::keep_alive_name(table_, family, call.key);
        break;
      case Call::Kind::release:
        event.call.kind = Kind::release;
        (void)table::release_name(table_, family, call.key);
        break;
      case Call::Kind::reset:
        event.call.kind = Kind::reset;
        table::reset_names(table_);
        break;
      case Call::Kind::keep_held:
      case Call::Kind::is_held:
        ask_held(actor, family, event, call.kind == Call::Kind::keep_held);
        break;
      case Call::Kind::list:
        list(family, event);
        break;
      default:
        give_back(actor, family, event);
    }
    finish(event);
    if (answer.status == Status::lost) note_past(rules::text(event.call));
  }

  void note_past(const std::string& call) {
    if (plan_.in_time) world_.report(call + ": told that it is past, but it was renewed in time");
  }

  void ask_held(Actor& actor, const table::Family& family, NamesEvent& event, bool keep) {
    using Status = rules::NamesAnswer::Status;
    event.call.kind = rules::NamesCall::Kind::status;
    if (actor.held.empty()) return say_nothing(event);
    const auto& [loan, grant] = actor.held.back();
    event.call.loan = loan;
    event.call.number = grant.number;
    const bool has =
        keep ? table::keep_alive_grant(table_, family, grant).has_value() : table::is_in_force(table_, family, grant);
    event.answer.status = has ? Status::ok : Status::lost;
    event.keeps = keep && has;
  }

  void list(const table::Family& family, NamesEvent& event) {
    using Status = rules::NamesAnswer::Status;
    event.call.kind = rules::NamesCall::Kind::list;
    event.answer.status = Status::not_exist;
    for (const table::NameSeen& seen : table::list_names(table_, family.auto_release_after)) {
      if (seen.number == event.call.number) event.answer.status = seen.free ? Status::listed_free : Status::listed_held;
    }
  }

  static void say_nothing(NamesEvent& event) {
    event.call.kind = rules::NamesCall::Kind::keep_alive;    // of nothing
    event.call.number = ~0u;
  }

  void give_back(Actor& actor, const table::Family& family, NamesEvent& event) {
    using Status = rules::NamesAnswer::Status;
    event.call.kind = rules::NamesCall::Kind::release_loan;
    if (actor.held.empty()) return say_nothing(event);
    const auto [loan, grant] = actor.held.back();
    actor.held.pop_back();
    event.call.loan = loan;
    event.call.number = grant.number;
    event.answer.status = table::release_grant(table_, family, grant) ? Status::ok : Status::lost;
  }

  // Judgment.

  /// All sleep, and nobody was killed or stopped: whoever waits for a key that nobody holds was not woken. Who has
  /// found no place among the waiters is not woken, and knows it.
  void look_for_lost_wakes() {
    if (plan_.waiters < plan_.parts.size()) return;
    if (world_.anyone_died() || world_.anyone_stopped()) return;
    for (const Actor& actor : actors_) {
      if (!actor.waits_for) continue;
      if (!is_plain(*actor.waits_for) || inside_.contains(*actor.waits_for)) continue;
      world_.report(key_text(*actor.waits_for) + ": all sleep, process " + std::to_string(actor.process) +
                    " waits for it, and nobody has it");
    }
  }

  void judge() {
    std::set<std::uint32_t> keys;
    for (const LockEvent& event : lock_events_) keys.insert(event.key);
    for (const std::uint32_t key : keys) {
      if (!Linearizer<rules::LockState>(events_of(key)).accepts({})) {
        world_.report(key_text(key) + ": no order of the calls explains their answers" + history_of(key));
      }
    }
    if (!names_events_.empty() && !Linearizer<rules::NamesState>(events_of_names()).accepts({})) {
      world_.report("names: no order of the calls explains their answers" + history_of_names());
    }
  }

  template <class RulesCall, class State>
  void add_ends(std::vector<Event<State>>& events) const {
    for (const EndEvent& end : ends_) {
      events.push_back({end.begun, end.ended, [&end](const State& state) {
                          const RulesCall call{.kind = end.dead ? RulesCall::Kind::death : RulesCall::Kind::close,
                                               .process = end.process};
                          std::vector<State> after{*apply(state, call, {}, end.when)};
                          if (!end.answered) after.push_back(state);    // it died while it was closing
                          return after;
                        }});
    }
  }

  std::vector<Event<rules::LockState>> events_of(std::uint32_t key) const {
    std::vector<Event<rules::LockState>> events;
    for (const LockEvent& event : lock_events_) {
      if (event.key != key) continue;
      events.push_back({event.begun, event.ended, [this, &event](const rules::LockState& state) {
                          std::vector<rules::LockState> after;
                          if (plan_.scarce && event.answer.status == rules::LockAnswer::Status::table_full) {
                            after.push_back(state);
                          } else if (!event.answered) {
                            after = effects(state, event.call, event.when);
                            after.push_back(state);
                          } else if (const auto next = apply(state, event.call, event.answer, event.when)) {
                            after.push_back(*next);
                          }
                          return after;
                        }});
    }
    add_ends<rules::LockCall>(events);
    return events;
  }

  std::vector<Event<rules::NamesState>> events_of_names() const {
    std::vector<Event<rules::NamesState>> events;
    for (const NamesEvent& event : names_events_) {
      const auto unseen = being_given_back(event);
      events.push_back({event.begun, event.ended, [this, &event, unseen](const rules::NamesState& state) {
                          std::vector<rules::NamesState> after;
                          if (plan_.scarce && event.answer.status == rules::NamesAnswer::Status::table_full) {
                            after.push_back(state);
                            return after;
                          }
                          if (event.answered) {
                            if (auto next = apply(state, event.call, event.answer, event.when, unseen)) {
                              after.push_back(event.keeps ? kept(*next, event) : *next);
                            }
                            return after;
                          }
                          after.push_back(state);
                          for (rules::Number number = 0; number <= state.names.size(); ++number) {
                            const bool lends = event.call.kind == rules::NamesCall::Kind::acquire;
                            if (auto next = apply(state, event.call, {.number = number}, event.when, unseen)) {
                              after.push_back(*next);
                            }
                            if (!lends) break;
                          }
                          return after;
                        }});
    }
    add_ends<rules::NamesCall>(events);
    return events;
  }

  static rules::NamesState kept(const rules::NamesState& state, const NamesEvent& event) {
    rules::NamesCall call = event.call;
    call.kind = rules::NamesCall::Kind::keep_alive;
    return *apply(state, call, {}, event.when);
  }

  /// Names that an overlapping call gives back: whoever looks for a free one may not see them yet.
  std::vector<rules::Number> being_given_back(const NamesEvent& event) const {
    std::vector<rules::Number> numbers;
    const auto overlaps = [&](const Interval& other) { return other.begun < event.ended && event.begun < other.ended; };
    for (const NamesEvent& other : names_events_) {
      if (&other != &event && overlaps(other)) numbers.push_back(other.call.number);
    }
    for (const EndEvent& end : ends_) {
      if (!overlaps(end)) continue;
      for (rules::Number number = 0; number < kKeys; ++number) numbers.push_back(number);
    }
    return numbers;
  }

  static std::string line_of(const Interval& event, std::uint32_t process, const std::string& what) {
    return fmt::format("\n  [{}, {}] process {}: {}, {} us to {}", event.begun,
                       event.answered ? std::to_string(event.ended) : "killed", process, what,
                       (event.when.from - kStart) / 1000, (event.when.to - kStart) / 1000);
  }
  template <class CallEvent>
  static std::string line_of(const CallEvent& event) {
    return line_of(event, event.call.process, rules::text(event.call) + " -> " + rules::text(event.answer));
  }
  std::string history_of(std::uint32_t key) const {
    std::string text;
    for (const LockEvent& event : lock_events_) {
      if (event.key == key) text += line_of(event);
    }
    return text + history_of_ends();
  }
  std::string history_of_names() const {
    std::string text;
    for (const NamesEvent& event : names_events_) text += line_of(event);
    return text + history_of_ends();
  }
  std::string history_of_ends() const {
    std::string text;
    for (const EndEvent& end : ends_) text += line_of(end, end.process, end.dead ? "died" : "closed");
    return text;
  }

  /// A newcomer uses every key and name, and all the room there is: nothing is lost for good.
  void audit() {
    world_.act_as(kAuditor, [&] {
      try {
        for (const Process& process : processes_) end_if_living(*process.session);
        attach(kAuditor);
        if (!world_.fault().empty()) return;
        table::recover_the_dead(table_);
        audit_chains();
        audit_names();
        audit_locks();
        audit_claimants();
      } catch (const table::Corruption& corruption) {
        world_.report(std::string("audit: corrupt: ") + corruption.what);
      }
    });
  }

  /// Those who have not closed are dead now.
  void end_if_living(const table::Session& session) const {
    Word& life = table_.life(session.id.slot).word;
    const table::Life seen{life.load()};
    if (seen.alive() && seen.generation() == session.id.generation)
      life.store((seen.bits & ~0x3fff'ffffull) | 0x4000'0000);
  }

  void audit_chains() {
    std::set<std::uint32_t> met;
    for (std::uint64_t bucket = 0; bucket < layout_.buckets; ++bucket) {
      std::set<std::string> keys;
      table::Link link{table_.bucket(bucket).link.load()};
      for (; !link.at_end(); link.bits = table_.record(link.record()).next.load()) {
        if (!met.insert(link.record()).second) return world_.report("audit: a record is in two places");
        const table::Hit hit = table::read_record(table_, link.record());
        if (hit.owner.is_free()) return world_.report("audit: a free record in a chain");
        const auto key = table::read_key(table_, *hit.record);
        if (!key) return world_.report("audit: a record without a key in a chain");
        const std::string text = std::to_string(static_cast<int>(key->kind)) + " " + std::to_string(key->epoch) + " " +
                                 std::to_string(key->number) + " " + key->bytes;
        if (hit.owner.is_dead()) continue;
        if (!keys.insert(text).second) return world_.report("audit: two records of one key");
      }
    }
  }

  /// All names, lowest first, each once; held ones of living processes there are none, lent ones stay lent.
  void audit_names() {
    Actor actor;
    actor.process = kAuditor;
    const table::Family family{kFamily, {}};
    std::set<std::uint32_t> lent, expected;
    const auto before = table::list_names(table_, {});
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i].number != i) return world_.report("audit: name " + std::to_string(i) + " is lost for good");
      if (before[i].free) expected.insert(before[i].number);
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto got = table::acquire_name(caller(actor), family, false);
      if (!got) return world_.report("audit: a free name is not lent");
      if (!lent.insert(got->number).second) return world_.report("audit: a name is lent twice");
      if (got->number != *std::next(expected.begin(), static_cast<std::ptrdiff_t>(i))) {
        return world_.report("audit: name " + std::to_string(got->number) + " was lent, the lowest free one is " +
                             std::to_string(*std::next(expected.begin(), static_cast<std::ptrdiff_t>(i))));
      }
    }
    table::reset_names(table_);
    actor.claimants.drop_all(table_);
  }

  void audit_locks() {
    Actor actor;
    actor.process = kAuditor;
    std::vector<std::uint32_t> keys;    // those with a record first: it may be all the room there is
    for (std::uint32_t key = 0; key < kKeys; ++key) {
      keys.insert(table::find(table_, table::Key::lock(key_text(key))).hit ? keys.begin() : keys.end(), key);
    }
    for (const std::uint32_t key : keys) {
      const std::string text = key_text(key);
      const auto got = table::lock(
          caller(actor),
          {.key = table::Key::lock(text), .signee = "s77", .level = 1000, .force = true, .process_bound = true});
      if (!got) return world_.report("audit: " + text + " cannot be had by force");
      if (got->token <= last_token_[key]) return world_.report("audit: " + text + ": its token has been given before");
      const auto done = table::unlock(caller(actor), table::Key::lock(text), "s77");
      if (!done || done->status != UnlockStatus::ok) return world_.report("audit: " + text + " is not unlocked");
    }
    for (std::uint32_t slot = 0; slot < plan_.slots; ++slot) {
      const std::string text = "audit " + std::to_string(slot);
      if (!table::lock(caller(actor), {.key = table::Key::lock(text), .signee = "s78", .process_bound = true})) {
        return world_.report("audit: a record is lost for good: room for " + std::to_string(slot) + " of " +
                             std::to_string(plan_.slots));
      }
    }
    table::unlock_all_of(table_, processes_[kAuditor].session->id);
    actor.claimants.drop_all(table_);
  }

  void audit_claimants() {
    table::Session& session = *processes_[kAuditor].session;
    std::uint32_t room = 0;
    while (room <= layout_.claimants && table::take_claimant(session, {}, "s79", 0, true)) ++room;
    if (room != layout_.claimants) {
      world_.report("audit: room for " + std::to_string(room) + " claimants instead of " +
                    std::to_string(layout_.claimants));
    }
    std::uint32_t waiters = 0;
    for (std::uint32_t index = 0; index < layout_.waiters; ++index) {
      const table::WaiterState state{table_.waiter(index).state.load()};
      if (state.used() && table::alive(table_, state.session())) ++waiters;
    }
    if (waiters != 0) world_.report("audit: a place among the waiters is lost for good");
  }

  const Plan& plan_;
  table::Layout layout_;
  World world_;
  table::Table table_;
  std::array<Process, kAuditor + 1> processes_{};
  Actor before_{};
  std::deque<Actor> actors_{};
  std::uint64_t clock_ = 0;    // of beginnings and ends of calls
  rules::Loan loans_ = 0;
  std::deque<LockEvent> lock_events_{};
  std::deque<NamesEvent> names_events_{};
  std::deque<EndEvent> ends_{};
  std::map<std::uint32_t, std::pair<std::uint32_t, std::uint32_t>> inside_{};    // plain keys: process and signee
  std::set<std::pair<std::uint32_t, std::uint64_t>> tokens_{};
  std::array<std::uint64_t, kKeys> written_{}, last_token_{};
};

}    // namespace

Verdict run(const Plan& plan, Strategy& strategy) { return Trial(plan, strategy).run(); }

}    // namespace keyrack::simulation
