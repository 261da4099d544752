#include "audit.hpp"

#include "watchdog.hpp"

#include "os/process.hpp"
#include "shm/segment.hpp"
#include "table/claimants.hpp"
#include "table/names.hpp"
#include "table/sessions.hpp"
#include "table/waiting.hpp"

#include <keyrack/inspect.hpp>
#include <keyrack/testing/outcome.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <deque>
#include <functional>
#include <map>
#include <set>

namespace keyrack::crash {

namespace {

using namespace std::chrono_literals;
using testing::outcome;

const std::set<std::string> kActors{"victim", "survivor", "helper", "parent", "rescuer", "prober"};
// A mutex asks as its program, process and thread.
const std::string kMutexSignee = std::string(program_invocation_short_name).substr(0, 8);
constexpr std::size_t kFreshKeys = 20;    // keys from here on are used by no scenario

/// An outcome in which a mutex's signee is the victim's name.
std::string plain(std::string came_to) {
  const std::size_t at = came_to.find(kMutexSignee);
  return at == std::string::npos ? came_to : came_to.substr(0, at) + "victim";
}

class Auditor {
 public:
  explicit Auditor(const Ground& ground)
      : ground_(ground), newcomer_(ground.segment, ground.options, ground.board.notes) {}

  Violations run() {
    if (ground_.survivor == nullptr && !attach_newcomer()) return found_;
    segment_ = map_segment(ground_.segment);
    verify("at the death");
    see_tokens();
    if (ground_.helper == Helper::waits) await_helper();
    ground_.kill_helper();
    use_keys();
    use_names();
    use_all_records();
    check_waiters();
    actor().close();
    newcomer_.close();
    use_all_sessions();
    use_all_claimants();
    use_all_waiters();
    verify("at the end");
    return std::move(found_);
  }

 private:
  template <class... Parts>
  void report(const Parts&... parts) {
    std::string text;
    (text.append(parts), ...);
    found_.push_back(text);
  }
  void expect(const std::string& what, const std::string& got, const std::string& wanted) {
    if (got != wanted) report(what, ": ", got, ", not ", wanted);
  }

  bool attach_newcomer() {
    const std::string came_to = newcomer_.open_locks();
    if (came_to != "open") report("a newcomer cannot open: ", came_to);
    return came_to == "open";
  }
  Actor& actor() { return ground_.survivor != nullptr ? *ground_.survivor : newcomer_; }

  void verify(const std::string& when) {
    const auto inspector = open_inspector(ground_.segment);
    if (!inspector) return report("verify ", when, ": ", inspector.error().message());
    for (const Finding& finding : (*inspector)->verify())
      report("verify ", when, ": ", finding.place, ": ", finding.what);
  }

  /// The highest token known of each key: of the grants that were noted, and of those that stand in the table.
  void see_tokens() {
    tokens_ = ground_.board.notes.highest();
    for (std::size_t i = 0; i < 2; ++i) raise(key(i), 0);
    const table::Table& table = shared();
    for (table::RecordIndex index = 0; index < table.records_used(); ++index) {
      const table::Hit hit = table::read_record(table, index);
      if (!hit.owner.is_idle() && !hit.owner.is_claimant()) continue;
      const auto text = table::read_key(table, *hit.record);
      if (text && text->kind == table::Kind::lock) raise(text->bytes, hit.head.token());
    }
  }
  void raise(const std::string& key, std::uint64_t token) { tokens_[key] = std::max(tokens_[key], token); }

  void await_helper() {
    (void)actor().unlock(key(0), "survivor");
    if (!ground_.board.helper.await(Stage::done)) return report("a waiter is never let in");
    const std::string came_to = ground_.board.helper.outcome.get();
    if (came_to != "ok" && came_to != "transferred from victim") report("a waiter is told: ", came_to);
  }

  /// Where all records are held, a key that has none finds room when the others have been unlocked.
  void use_keys() {
    std::vector<std::string> keys, later;
    for (const auto& [key, token] : tokens_) keys.push_back(key);
    for (const std::string& key : keys) {
      if (!use_key(key)) later.push_back(key);
    }
    for (const std::string& key : later) {
      if (!use_key(key)) report("key ", key, ": table_full, and nobody holds anything");
    }
  }

  /// False: there is no room for it.
  bool use_key(const std::string& key) {
    LockService& locks = actor().locks();
    const std::string about = "key " + key + ": ";
    if (const auto holder = locks.check(key)) {
      if (!kActors.contains(plain(holder->signee))) report(about, "held by ", holder->signee, ", who never asked");
    }
    auto granted = locks.lock({key, "auditor"}, kBound);
    if (!granted && granted.error().code == Errc::forbidden) {
      // A lease that is in force outlives its process, and the survivor's own are not taken either.
      expect(about + "unlocking as " + granted.error().holder, actor().unlock(key, granted.error().holder), "ok");
      granted = locks.lock({key, "auditor"}, kBound);
    }
    if (!granted && granted.error().code == Errc::table_full) return false;
    if (!granted || !granted->created()) report(about, "locking: ", outcome(granted));
    if (!granted) return true;
    expect_higher(about, key, granted->token);
    expect(about + "confirming", outcome(locks.confirm(key, granted->token)), "ok");
    expect(about + "checking", outcome(locks.check(key)), "auditor");
    expect(about + "renewing", outcome(locks.lock({key, "auditor"}, kBound)), "renewed");
    expect(about + "unlocking", actor().unlock(key, "auditor"), "ok");
    const auto again = locks.lock_for({key, "auditor"}, 1s, kBound);
    expect(about + "locking again", outcome(again), "ok");
    if (again) expect_higher(about, key, again->token);
    expect(about + "unlocking again", actor().unlock(key, "auditor"), "ok");
    return true;
  }
  void expect_higher(const std::string& about, const std::string& key, std::uint64_t token) {
    if (token <= tokens_[key]) {
      report(about, "token ", std::to_string(token), " after ", std::to_string(tokens_[key]));
    }
    raise(key, token);
  }

  /// Lowest free first, none twice, none lost; with a manager to which no name is free by its age.
  void use_names() {
    const auto names = open_name_manager("shm://" + ground_.segment).value();
    const auto listed = names->list();
    if (!listed) return report("names: listing: ", outcome(listed));
    std::set<std::uint64_t> held;
    for (const Name& name : *listed) {
      if (name.family == kFamily && !name.free) held.insert(std::stoull(name.name));
    }
    const std::size_t count = std::min(listed->size() + 2, room());
    while (held.size() < count) {
      if (!acquire_lowest(*names, held)) return;
    }
    for (const std::uint64_t number : held) {
      expect("names: releasing", outcome(names->release(kFamily, std::to_string(number))), "ok");
    }
    held.clear();
    while (held.size() < count) {
      if (!acquire_lowest(*names, held)) return;
    }
    expect("names: taking one that is held", outcome(names->try_acquire(kFamily, "0")), "in_use");
    expect("names: reset", outcome(names->reset()), "ok");
    expect("names: acquiring after a reset", outcome(names->acquire(kFamily)), "0");
    expect("names: reset", outcome(names->reset()), "ok");
  }
  bool acquire_lowest(NameManager& names, std::set<std::uint64_t>& held) {
    std::uint64_t lowest = 0;
    while (held.contains(lowest)) ++lowest;
    const std::string got = outcome(names.acquire(kFamily));
    if (got != std::to_string(lowest)) {
      report("names: acquired ", got, " where ", std::to_string(lowest), " was the lowest free one");
      return false;
    }
    held.insert(lowest);
    return true;
  }

  const table::Table& shared() const { return segment_->table(); }
  std::size_t room() const { return shared().geometry().slots; }

  void use_all_records() {
    const std::size_t slots = room();
    for (std::size_t i = 0; i < slots; ++i) {
      const std::string came_to = actor().lock(key(kFreshKeys + i), "auditor");
      if (came_to == "ok") continue;
      report("records: of ", std::to_string(slots), " only ", std::to_string(i), " can be held: ", came_to);
      break;
    }
    expect("records: one too many", actor().lock(key(kFreshKeys + slots), "auditor"), "table_full");
    for (std::size_t i = 0; i < slots; ++i) (void)actor().unlock(key(kFreshKeys + i), "auditor");
  }

  void check_waiters() {
    const table::Table& table = shared();
    for (std::uint32_t place = 0; place < table.layout().waiters; ++place) {
      const table::WaiterState state{table.waiter(place).state.load()};
      if (state.used() && table::alive(table, state.session())) {
        report("waiter ", std::to_string(place), " is nobody's, and taken");
      }
    }
  }

  void use_all_sessions() {
    const table::Table& table = shared();
    std::vector<table::SessionId> taken;
    while (const auto session = table::attach(table, os::identify())) taken.push_back(*session);
    for (const table::SessionId& session : taken) table::detach(table, session);
    expect("sessions that can attach", std::to_string(taken.size()), std::to_string(table.geometry().sessions));
  }

  /// Counts what can be had of something, by a session of its own.
  void use_all(const std::string& what, std::uint32_t all, const std::function<std::uint32_t(table::Session&)>& use) {
    table::Session session(shared());
    const auto id = table::attach(session.table, os::identify());
    if (!id) return report(what, ": no session is free");
    session.id = *id;
    expect(what, std::to_string(use(session)), std::to_string(all));
    table::detach(session.table, session.id);
  }

  void use_all_claimants() {
    use_all("claimants that can be had", shared().layout().claimants, [](table::Session& session) {
      std::uint32_t taken = 0;
      while (table::take_claimant(session, {}, "auditor", 1, false)) ++taken;
      return taken;
    });
  }

  void use_all_waiters() {
    const std::uint32_t all = shared().layout().waiters;
    use_all("places of waiters that can be had", all, [all](table::Session& session) {
      std::deque<table::WaiterPlace> places;
      for (std::uint32_t i = 0; i < all; ++i) places.emplace_back(session, 0, os::monotonic_ns());
      std::uint32_t taken = 0;
      for (std::uint32_t i = 0; i < all; ++i) {
        const table::WaiterState state{session.table.waiter(i).state.load()};
        if (state.used() && state.session() == session.id) ++taken;
      }
      return taken;
    });
  }

  const Ground& ground_;
  Actor newcomer_;
  std::shared_ptr<const shm::Segment> segment_;
  std::map<std::string, std::uint64_t> tokens_;
  Violations found_;
};

class Prober {
 public:
  Prober(const Ground& ground, const Scenario& scenario, int victim_fd)
      : scenario_(scenario),
        victim_fd_(victim_fd),
        newcomer_(ground.segment, ground.options, ground.board.notes),
        actor_(ground.survivor != nullptr ? *ground.survivor : newcomer_) {}

  Violations run() {
    if (&actor_ == &newcomer_) {
      // Whoever formats an unfinished object may be waited for, for a second.
      const std::string came_to = timed(
          "opening", [&] { return newcomer_.open_locks(); },
          scenario_.unfinished ? "open|backend_unavailable" : "open");
      if (!found_.empty() || came_to != "open") return std::move(found_);
    }
    timed(
        "attaching", [&] { return attach_and_detach(); }, "ok");
    for (std::size_t i = 0; i < 2; ++i) use_key(key(i));
    use_key(key(kFreshKeys));
    use_names();
    newcomer_.close();
    return std::move(found_);
  }

 private:
  /// `allowed`: what it may come to, with bars between; nothing: whatever.
  std::string timed(const std::string& what, const std::function<std::string()>& call, const std::string& allowed) {
    const Watchdog watchdog(victim_fd_);
    const std::string came_to = plain(call());
    if (watchdog.has_barked()) found_.push_back(what + " waits for the one that is stopped");
    if (("|" + allowed + "|").find("|" + came_to + "|") == std::string::npos) {
      found_.push_back(what + ": " + came_to + ", not " + allowed);
    }
    return came_to;
  }

  std::string attach_and_detach() const {
    const auto segment = map_segment(actor_.segment());
    const auto id = table::attach(segment->table(), os::identify());
    if (!id) return "session_limit";
    table::detach(segment->table(), *id);
    return "ok";
  }

  /// A lock that is truly held is refused; nothing else is.
  void use_key(const std::string& key) {
    const std::string about = "key " + key + ": ";
    const std::string full = scenario_.fills ? "|table_full" : "";
    const std::string granted = "ok|transferred from victim|transferred from survivor|transferred from helper" + full;
    const std::string unlocked = full.empty() ? "ok" : "ok|no_lock";
    // One who waits for it may take it at any time, and keeps it.
    const bool contended = scenario_.helper == Helper::waits;
    const std::string taken = contended ? "|forbidden|timed_out" : "";
    const bool held = contended || actor_.locks().check(key);
    const std::string refused = held ? "|forbidden|timed_out" : "";
    timed(
        about + "checking", [&] { return outcome(actor_.locks().check(key)); },
        "victim|survivor|helper|parent|not_found");
    timed(
        about + "waiting", [&] { return actor_.lock_for(key, "prober", held ? 1ms : kWaitLimit); },
        granted + "|renewed" + refused);
    timed(
        about + "forcing", [&] { return actor_.lock(key, "prober", {.force = true}); },
        granted + "|transferred from parent|renewed");
    timed(
        about + "confirming", [&] { return outcome(actor_.locks().confirm(key, 1)); }, "lost|ok");
    timed(
        about + "unlocking", [&] { return actor_.unlock(key, "prober"); }, unlocked);
    // What was not granted is not given back.
    const auto and_back = [&](const std::string& call, const std::string& back, const auto& make) {
      const std::string answer = timed(about + call, make, granted + taken);
      const bool has = answer != "forbidden" && answer != "timed_out";
      timed(
          about + back, [&] { return actor_.unlock(key, "prober"); }, has ? unlocked : "forbidden|no_lock");
    };
    and_back("waiting in line", "leaving",
             [&] { return actor_.lock_for(key, "prober", contended ? 1ms : kWaitLimit); });
    and_back("locking", "unlocking again", [&] { return actor_.lock(key, "prober"); });
  }

  void use_names() {
    const auto names = open_name_manager("shm://" + actor_.segment()).value();
    const std::string full = scenario_.fills ? "|table_full" : "";
    std::string got;
    timed(
        "listing", [&] { return outcome(outcome_code(names->list())); }, "ok");
    timed(
        "acquiring", [&] { return outcome(outcome_code(names->acquire(kFamily), &got)); }, "ok" + full);
    timed(
        "keeping alive", [&] { return outcome(names->keep_alive(kFamily, "0")); }, "ok");
    timed(
        "trying", [&] { return outcome(names->try_acquire(kFamily, "1")); }, "ok|in_use|not_exist");
    if (!got.empty())
      timed(
          "releasing", [&] { return outcome(names->release(kFamily, got)); }, "ok");
    timed(
        "holding", [&] { return outcome(outcome_code(names->hold(kFamily))); }, "ok" + full);
    timed(
        "releasing", [&] { return outcome(names->release(kFamily, "0")); }, "ok");
    timed(
        "resetting", [&] { return outcome(names->reset()); }, "ok");
    timed(
        "acquiring anew", [&] { return outcome(outcome_code(names->acquire(kFamily))); }, "ok" + full);
  }

  template <class T>
  static std::error_code outcome_code(const Result<T>& result, std::string* value = nullptr) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (result && value != nullptr) *value = *result;
    }
    return result ? std::error_code{} : std::error_code(result.error());
  }

  const Scenario& scenario_;
  int victim_fd_;
  Actor newcomer_;
  Actor& actor_;
  Violations found_;
};

}    // namespace

Violations audit(const Ground& ground) {
  const Watchdog watchdog;
  return Auditor(ground).run();
}

Violations probe(const Ground& ground, const Scenario& scenario, int victim_fd) {
  return Prober(ground, scenario, victim_fd).run();
}

}    // namespace keyrack::crash
