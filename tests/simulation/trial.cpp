#include "trial.hpp"

#include "audit.hpp"
#include "history.hpp"

#include "../reference/answers.hpp"
#include "../reference/text.hpp"
#include "os/process.hpp"
#include "table/names.hpp"
#include "table/quick.hpp"
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
constexpr std::uint32_t kAuditor = 7;
constexpr std::int64_t kLongWait = 20'000'000'000;

std::optional<rules::Instant> span(std::optional<std::int64_t> ms) {
  if (!ms) return {};
  return *ms * 1'000'000;
}

/// What the caller asks for, in the rules' terms.
rules::LockCall lock_call(const Call& call, rules::Process process, rules::Token token) {
  using Kind = rules::LockCall::Kind;
  static const std::map<Call::Kind, Kind> kinds{{Call::Kind::lock, Kind::lock},
                                                {Call::Kind::wait, Kind::wait},
                                                {Call::Kind::unlock, Kind::unlock},
                                                {Call::Kind::check, Kind::check},
                                                {Call::Kind::confirm, Kind::confirm}};
  return {.kind = kinds.at(call.kind),
          .process = process,
          .signee = call.signee,
          .level = call.level,
          .force = call.force,
          .bound = call.bound,
          .duration = span(call.duration_ms),
          .time_to_live = span(call.time_to_live_ms),
          .token = token};
}

rules::NamesCall names_call(const Call& call, rules::Process process) {
  using Kind = rules::NamesCall::Kind;
  static const std::map<Call::Kind, Kind> kinds{{Call::Kind::hold, Kind::acquire},
                                                {Call::Kind::acquire, Kind::acquire},
                                                {Call::Kind::try_acquire, Kind::try_acquire},
                                                {Call::Kind::keep_alive, Kind::keep_alive},
                                                {Call::Kind::release, Kind::release},
                                                {Call::Kind::give_back, Kind::release_loan},
                                                {Call::Kind::reset, Kind::reset},
                                                {Call::Kind::keep_held, Kind::keep_loan},
                                                {Call::Kind::is_held, Kind::status},
                                                {Call::Kind::list, Kind::list}};
  return {.kind = kinds.at(call.kind),
          .process = process,
          .bound = call.kind == Call::Kind::hold || (call.kind == Call::Kind::try_acquire && call.bound),
          .number = call.key,
          .auto_release_after = span(call.auto_release_ms)};
}

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
      before_.memory.claimants.drop_all(table_);
    });
    for (const Part& part : plan_.parts) {
      ++processes_[part.process].threads;
      world_.start(part.process, [this, &part] { act(part); });
    }
    world_.when_all_sleep([this](std::int64_t until_ns) {
      // Who waits for its turn looks again after a millisecond; all others rely on being woken.
      if (until_ns - world_.now_ns() > table::kMs + table::kMs / 10) look_for_lost_wakes();
    });
    world_.when_dying([this](std::uint32_t process) {
      history_.note_death(process);
      leave_all(process);
    });
    world_.run();
    if (world_.fault().empty()) world_.act_as(kAuditor, [this] { audit_what_is_left(); });
    if (world_.fault().empty() && plan_.talk) {
      for (const std::string& fault : history_.judge(plan_.scarce)) world_.report(fault);
    }
    return {world_.fault(), world_.steps(), history_.calls()};
  }

 private:
  struct Process {
    std::unique_ptr<table::Session> session;
    std::uint32_t threads = 0;
  };
  /// What a thread has, and what it is at.
  struct Actor {
    table::ThreadMemory memory{};
    std::map<std::uint32_t, std::uint64_t> tokens{};    // by key
    std::vector<std::pair<rules::Loan, table::NameGrant>> held{};
    std::optional<std::uint32_t> waits_for{};
    std::vector<table::SessionId> further{};    // sessions beside that of its process
    std::uint32_t process = 0, thread = 0;

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

  /// As the service does it. Empty: the rules have to say.
  std::optional<Result<LockResponse, Refusal>> lock_by_memory(Actor& actor, const std::string& key,
                                                              const table::Ask& ask) {
    table::CellMemo* memo = plan_.remember ? actor.memory.keys.find(key) : nullptr;
    if (memo == nullptr) return {};
    const auto wish = [&] { return table::wish_of(table_, ask); };
    if (const std::uint64_t token = table::lock_remembered(actor.memory, *memo, wish)) return table::granted(token);
    if (Refusal refusal;
        !ask.force && table::refused_remembered(caller(actor), *memo, ask.signee, ask.level, refusal)) {
      return refusal;
    }
    if (const std::uint64_t token = table::lock_remembered_anew(caller(actor), *memo, wish)) {
      return table::granted(token);
    }
    return {};
  }

  table::ThreadMemory* memory(Actor& actor) { return plan_.remember ? &actor.memory : nullptr; }

  table::Caller caller(Actor& actor) {
    return {*processes_[actor.process].session, actor.memory, static_cast<std::int32_t>(actor.process)};
  }

  void attach(std::uint32_t process) {
    const auto id = table::attach(table_, os::Identity{.pid = static_cast<std::int32_t>(process), .command = "sim"});
    if (!id) return world_.report("no session slot");
    processes_[process].session->id = *id;
    ++attached_;
  }

  void act(const Part& part) {
    Actor& actor = actors_.emplace_back();
    if (!plan_.remember) {    // also by way of the table alone
      actor.memory.keys.close();
      actor.memory.families.close();
    }
    actor.thread = static_cast<std::uint32_t>(actors_.size());
    if (plan_.in_time && part.process == 1) {
      actor.tokens = before_.tokens;
      actor.held = before_.held;
    }
    play(part.calls, part.process, actor, true);
    world_.linger();    // closing wakes whoever waits, too
    end_further(actor);
    actor.memory.claimants.drop_all(table_);
    Process& process = processes_[part.process];
    if (--process.threads != 0) return;
    look_for_lost_places(process.session->id);
    if (!plan_.leave) world_.die();
    world_.meet_siblings();
    leave_all(part.process);
    if (plan_.talk) world_.call_begins();
    EndEvent& end = history_.begin_closing(actor.thread, part.process);
    table::unlock_all_of(table_, process.session->id);
    table::release_all_of(table_, process.session->id);
    table::detach(table_, process.session->id);
    history_.finish(end);
    if (plan_.talk) world_.call_ends();
  }

  /// Nobody of the session waits any more, and what it was making is made: a record in ALLOC is of no use to anybody
  /// while its maker lives.
  void look_for_lost_places(table::SessionId session) {
    for (std::uint32_t index = 0; index < layout_.waiters; ++index) {
      const table::WaiterState state{world_.newest(table_.waiter(index).state)};
      if (state.used() && state.session() == session) world_.report("a place among the waiters is lost");
    }
    for (table::RecordIndex index = 0; index < plan_.slots; ++index) {
      const table::Owner owner{world_.newest(table_.record(index).cell.second)};
      if (owner.is_alloc() && owner.alloc_session() == session) world_.report("a record is left in ALLOC");
    }
  }

  void attach_further(Actor& actor) {
    const auto id = table::attach(table_, os::Identity{.pid = 0, .command = "more"});
    if (!id) return world_.report("no session slot");
    actor.further.push_back(*id);
    ++attached_;
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
        world_.let_pass(span(call.duration_ms).value());
      } else if (call.kind == Call::Kind::attach) {
        attach_further(actor);
      } else if (call.kind == Call::Kind::die) {
        world_.die();
      } else if (call.kind <= Call::Kind::confirm) {
        play_lock(call, actor);
      } else {
        play_names(call, actor);
      }
      if (plan_.talk || !live) world_.call_ends();
    }
  }

  void play_lock(const Call& call, Actor& actor) {
    using Status = rules::LockAnswer::Status;
    const rules::LockCall asked = lock_call(call, actor.process, actor.token(call.key));
    LockEvent& event = history_.begin(actor.thread, call.key, asked);
    event.answer = ask(call, asked, actor);
    history_.finish(event);
    const Status status = event.answer.status;
    if (status == Status::not_found || status == Status::no_lock || status == Status::lost) {
      note_past(rules::text(asked));
    }
  }

  rules::LockAnswer ask(const Call& call, const rules::LockCall& asked, Actor& actor) {
    using Kind = rules::LockCall::Kind;
    const std::string key_bytes = key_text(call.key), signee = rules::signee_text(call.signee);
    const table::Key key = table::Key::lock(key_bytes);
    const table::Ask ask{.key = key,
                         .signee = signee,
                         .level = asked.level,
                         .force = asked.force,
                         .process_bound = asked.bound,
                         .duration = rules::span_of(asked.duration),
                         .time_to_live = rules::span_of(asked.time_to_live)};
    switch (asked.kind) {
      case Kind::lock:
        if (const auto answer = lock_by_memory(actor, key_bytes, ask)) return granted(call, actor, *answer);
        return granted(call, actor, table::lock(caller(actor), ask));
      case Kind::wait: {
        actor.waits_for = call.key;
        const auto got = table::lock_until(caller(actor), ask, world_.now_ns() + kLongWait);
        actor.waits_for.reset();
        return granted(call, actor, got);
      }
      case Kind::unlock:
        // Gone from inside before it can be let go; without an answer it may have been either.
        leave(call, actor.process);
        if (plan_.remember && table::unlock_remembered(table_, actor.memory, key_bytes, signee)) {
          return rules::answer_of(UnlockResponse{UnlockStatus::ok});
        }
        return rules::answer_of(table::unlock(caller(actor), key, signee));
      case Kind::check: {
        CheckResponse holder;
        const bool held = (plan_.remember && table::check_remembered(table_, actor.memory, key_bytes, holder)) ||
                          table::check(table_, key, holder, memory(actor));
        return rules::answer_of(held ? Result<CheckResponse>(holder) : make_error_code(Errc::not_found));
      }
      default:
        return rules::answer_of(table::confirm(table_, key, asked.token));
    }
  }

  rules::LockAnswer granted(const Call& call, Actor& actor, const Result<LockResponse, Refusal>& got) {
    if (got) actor.tokens[call.key] = got->token;
    if (got && got->created()) enter(call, actor.process, got->token);
    return rules::answer_of(got);
  }

  /// Whoever has a plain key is alone, and sees what its last holder wrote.
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
  static bool is_plain(std::uint32_t key) { return key < kPlainKeys; }

  // Names.

  void play_names(const Call& call, Actor& actor) {
    using Kind = rules::NamesCall::Kind;
    rules::NamesCall asked = names_call(call, actor.process);
    if (asked.kind == Kind::release_loan || asked.kind == Kind::keep_loan || asked.kind == Kind::status) {
      if (actor.held.empty()) return;
      asked.loan = actor.held.back().first;
      asked.number = actor.held.back().second.number;
    } else {
      asked.loan = ++loans_;
    }
    NamesEvent& event = history_.begin(actor.thread, asked);
    event.answer = ask(asked, actor);
    history_.finish(event);
    if (event.answer.status == rules::NamesAnswer::Status::lost) note_past(rules::text(asked));
  }

  rules::NamesAnswer ask(const rules::NamesCall& asked, Actor& actor) {
    using Kind = rules::NamesCall::Kind;
    using Status = rules::NamesAnswer::Status;
    const table::Family family{kFamily, rules::span_of(asked.auto_release_after)};
    switch (asked.kind) {
      case Kind::acquire:
        return lent(asked, actor, table::acquire_name(caller(actor), family, asked.bound));
      case Kind::try_acquire:
        return lent(asked, actor, table::try_acquire_name(caller(actor), family, asked.number, asked.bound));
      case Kind::keep_alive:
        return {.status = rules::name_status_of(table::keep_alive_name(table_, family, asked.number))};
      case Kind::release:
        return {.status = rules::name_status_of(table::release_name(table_, memory(actor), family, asked.number))};
      case Kind::release_loan: {
        const table::NameGrant grant = actor.held.back().second;
        actor.held.pop_back();
        return {.status = rules::name_status_of(table::release_grant(table_, memory(actor), family, grant))};
      }
      case Kind::keep_loan:
        return {.status = rules::name_status_of(table::keep_alive_grant(table_, family, actor.held.back().second))};
      case Kind::status:
        return {.status = table::is_in_force(table_, family, actor.held.back().second) ? Status::ok : Status::lost};
      case Kind::list:
        return listed(asked.number, table::list_names(table_, family.auto_release_after));
      default:
        table::reset_names(table_);
        return {};
    }
  }

  static rules::NamesAnswer lent(const rules::NamesCall& asked, Actor& actor, const Result<table::NameGrant>& got) {
    if (!got) return {.status = rules::name_status_of(got)};
    actor.held.emplace_back(asked.loan, *got);
    return {.number = got->number};
  }

  static rules::NamesAnswer listed(rules::Number number, const std::vector<table::NameSeen>& names) {
    using Status = rules::NamesAnswer::Status;
    for (const table::NameSeen& seen : names) {
      if (seen.number == number) return {.status = seen.free ? Status::listed_free : Status::listed_held};
    }
    return {.status = Status::not_exist};
  }

  // Judgment.

  void note_past(const std::string& call) {
    if (plan_.in_time) world_.report(call + ": told that it is past, but it was renewed in time");
  }

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

  void audit_what_is_left() {
    std::vector<table::SessionId> sessions;
    for (const Process& process : processes_) sessions.push_back(process.session->id);
    const std::string lost = audit(table_, sessions, last_token_);
    if (!lost.empty()) world_.report("audit: " + lost);
    std::uint64_t recoveries = 0;
    for (std::uint32_t slot = 0; slot < table_.geometry().sessions; ++slot) {
      recoveries += table::total(table_.counts(slot), static_cast<unsigned>(table::Counter::recoveries));
    }
    if (recoveries > attached_) world_.report("one dead session was counted twice");
  }

  const Plan& plan_;
  table::Layout layout_;
  World world_;
  table::Table table_;
  History history_{world_};
  std::array<Process, kAuditor> processes_{};
  Actor before_{};
  std::deque<Actor> actors_{};
  rules::Loan loans_ = 0;
  std::map<std::uint32_t, std::pair<std::uint32_t, std::uint32_t>> inside_{};    // plain keys: process and signee
  std::set<std::pair<std::uint32_t, std::uint64_t>> tokens_{};
  std::array<std::uint64_t, kKeys> written_{};
  Tokens last_token_{};
  std::uint64_t attached_ = 0;    // sessions in all
};

}    // namespace

Verdict run(const Plan& plan, Strategy& strategy) { return Trial(plan, strategy).run(); }

}    // namespace keyrack::simulation
