#include "scenarios.hpp"

#include "table/chain.hpp"
#include "table/claimants.hpp"
#include "table/sessions.hpp"

#include "os/process.hpp"
#include "shm/segment.hpp"

#include <keyrack/segment.hpp>
#include <keyrack/testing/outcome.hpp>

#include <fcntl.h>
#include <unistd.h>

namespace keyrack::crash {

using namespace std::chrono_literals;
using testing::outcome;

const std::string& key(std::size_t number) {
  static const std::vector<std::string> keys = [] {
    constexpr std::uint64_t kBuckets = 64, kKeys = 96;    // of the largest table

    std::vector<std::string> found;
    for (int i = 0; found.size() < kKeys; ++i) {
      const std::string text = "key-" + std::to_string(i);
      if (table::Key::lock(text).tag.hash() % kBuckets == 5) found.push_back(text);
    }
    return found;
  }();
  return keys.at(number);
}

std::shared_ptr<const shm::Segment> map_segment(const std::string& name, const std::string& options) {
  return shm::open_segment(shm::parse_options(name + "?" + options).value()).value();
}

std::string Actor::url(std::string_view more) const {
  return "shm://" + segment_ + "?" + options_ + (more.empty() ? "" : "&" + std::string(more));
}

std::string Actor::open_locks() {
  auto opened = open_lock_service(url());
  if (!opened) return outcome(opened);
  locks_ = std::move(*opened);
  return "open";
}

NameManager& Actor::names() {
  if (!names_) names_ = open_name_manager(url()).value();
  return *names_;
}

void Actor::close() {
  mutex.reset();
  held.clear();
  locks_.reset();
  names_.reset();
}

std::string Actor::lock(std::string_view signature, std::string_view signee, const LockOptions& options,
                        std::int32_t level) {
  const auto granted = locks().lock({signature, signee, level}, options);
  if (granted) note(signature, granted->token);
  return outcome(granted);
}

std::string Actor::lock_for(std::string_view signature, std::string_view signee, std::chrono::nanoseconds wait,
                            const LockOptions& options) {
  const auto granted = locks().lock_for({signature, signee}, wait, options);
  if (granted) note(signature, granted->token);
  return outcome(granted);
}

std::string Actor::unlock(std::string_view signature, std::string_view signee) {
  return outcome(locks().unlock({signature, signee}));
}

std::string Actor::hold() {
  auto name = names().hold(kFamily);
  if (name) held.push_back(std::move(*name));
  return name ? held.back().name() : outcome(name);
}

std::string Actor::try_hold(std::string_view which) {
  auto name = names().try_hold(kFamily, which);
  if (name) held.push_back(std::move(*name));
  return name ? held.back().name() : outcome(name);
}

namespace {

constexpr std::chrono::nanoseconds kLong = 1h;
const LockOptions kLease{.duration = 1h};
const LockOptions kStale{.duration = -1s};
const LockOptions kGone{.time_to_live = -1s};
const LockOptions kForced{.force = true, .lifetime = Lifetime::process};

/// So many keys locked and unlocked: they stay as idle records.
void leave_idle(Actor& actor, std::size_t first, std::size_t count) {
  for (std::size_t i = first; i < first + count; ++i) {
    actor.lock(key(i), "survivor");
    actor.unlock(key(i), "survivor");
  }
}

/// The second call with a signee remembers its claimant, the third finds it.
void become_known(Actor& actor, std::string_view signee) {
  for (int i = 0; i < 3; ++i) {
    actor.lock(key(7), signee);
    actor.unlock(key(7), signee);
  }
}

/// So that key and signee are remembered, with the cell as it was left.
void use_often(Actor& actor, std::string_view signee) {
  for (int i = 0; i < 3; ++i) {
    actor.lock(key(0), signee);
    actor.unlock(key(0), signee);
  }
}

void acquire_names(Actor& actor, int count) {
  for (int i = 0; i < count; ++i) (void)actor.names().acquire(kFamily);
}

std::string release(Actor& actor, std::string_view name) { return outcome(actor.names().release(kFamily, name)); }

/// All claimants but a few are used and belong to nobody: a sweep finds them.
void leave_claimants_to_sweep(Actor& actor) {
  const auto segment = map_segment(actor.segment());
  table::Session session(segment->table());
  session.id = table::attach(session.table, os::identify()).value();
  for (std::uint32_t left = session.table.layout().claimants; left > 0; --left) {
    if (const auto index = table::take_claimant(session, {}, "left", 1, true)) {
      table::drop_claimant(session.table, *index);
    }
  }
  table::detach(session.table, session.id);
}

/// An object with the segment's name that was never made ready.
void leave_unfinished(Actor& actor) {
  const int fd = ::open(("/dev/shm/" + actor.segment()).c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
}

Call locks_key(std::string_view signee, const LockOptions& options = kBound, std::int32_t level = 0) {
  return [=](Actor& actor) { return actor.lock(key(0), signee, options, level); };
}
Call unlocks_key(std::string_view signee) {
  return [=](Actor& actor) { return actor.unlock(key(0), signee); };
}
Call waits_for_key(std::string_view signee, std::chrono::nanoseconds wait = kLong) {
  return [=](Actor& actor) { return actor.lock_for(key(0), signee, wait); };
}
Part does(const Call& call) {
  return [=](Actor& actor) { (void)call(actor); };
}

const char* const kRoomy = "slots=64&sessions=4&max_signature=32&max_signee=32";
const char* const kAging = "slots=16&sessions=4&max_signature=32&max_signee=32&auto_release_after=30ms";

std::vector<Scenario> make_scenarios() {
  std::vector<Scenario> all;

  // Opening, closing, forking.
  all.push_back(
      {.name = "open: create", .expected = "open", .call = &Actor::open_locks, .opens = true, .creates = true});
  all.push_back({.name = "open: finish",
                 .expected = "open",
                 .call = &Actor::open_locks,
                 .survivor = leave_unfinished,
                 .opens = true,
                 .creates = true,
                 .unfinished = true});
  all.push_back({.name = "open: existing", .expected = "open", .call = &Actor::open_locks, .opens = true});
  all.push_back({.name = "open: second segment",
                 .expected = "open",
                 .call = &Actor::open_locks,
                 .victim =
                     [](Actor& actor) {
                       static Notes unused;
                       actor.other = std::make_unique<Actor>(actor.segment() + "-other", "slots=1&sessions=1", unused);
                       actor.other->open_locks();
                       (void)remove_segment(actor.other->segment());
                     },
                 .opens = true});
  all.push_back({.name = "open: after a death",
                 .expected = "open",
                 .call = &Actor::open_locks,
                 .helper = Helper::dies,
                 .helps =
                     [](Actor& actor) {
                       actor.hold();
                       return actor.lock(key(0), "helper");
                     },
                 .opens = true});
  all.push_back({.name = "open: recovery",
                 .expected = "open",
                 .call = &Actor::open_locks,
                 .helper = Helper::dies,
                 .helps =
                     [](Actor& actor) {
                       actor.hold();
                       actor.hold();
                       return actor.lock(key(0), "helper");
                     },
                 .opens = true,
                 .entry = Entry::recovery});
  all.push_back({.name = "close: lock and name held",
                 .expected = "closed",
                 .call =
                     [](Actor& actor) {
                       actor.close();
                       return std::string("closed");
                     },
                 .victim =
                     [](Actor& actor) {
                       actor.lock(key(0), "victim");
                       actor.lock(key(1), "victim");
                       actor.hold();
                     }});
  all.push_back({.name = "close: another segment stays open",
                 .expected = "closed",
                 .call =
                     [](Actor& actor) {
                       actor.close();
                       return std::string("closed");
                     },
                 .victim =
                     [](Actor& actor) {
                       static Notes unused;
                       actor.other = std::make_unique<Actor>(actor.segment() + "-other", "slots=1&sessions=1", unused);
                       actor.other->open_locks();
                       (void)remove_segment(actor.other->segment());
                       actor.lock(key(0), "victim");
                     }});
  all.push_back({.name = "fork: first use",
                 .expected = "ok",
                 .call = [](Actor& actor) { return actor.lock(key(1), "victim"); },
                 .victim = does(locks_key("parent")),
                 .forks = true});

  // Locks.
  all.push_back({.name = "lock: first call of a thread", .expected = "ok", .call = locks_key("victim"), .first = true});
  all.push_back({.name = "lock: new key", .expected = "ok", .call = locks_key("victim")});
  all.push_back({.name = "lock: new key in a chain",
                 .expected = "ok",
                 .call = locks_key("victim", kLease),
                 .survivor = [](Actor& actor) { leave_idle(actor, 1, 5); }});
  all.push_back({.name = "lock: idle", .expected = "ok", .call = locks_key("victim"), .survivor = [](Actor& actor) {
                   leave_idle(actor, 0, 1);
                 }});
  all.push_back({.name = "lock: idle, signee known",
                 .expected = "ok",
                 .call = locks_key("victim"),
                 .victim = [](Actor& actor) { become_known(actor, "victim"); },
                 .survivor = [](Actor& actor) { leave_idle(actor, 0, 1); }});
  all.push_back({.name = "lock: again", .expected = "ok", .call = locks_key("victim"), .victim = [](Actor& actor) {
                   use_often(actor, "victim");
                 }});
  all.push_back({.name = "lock: renewal",
                 .expected = "renewed",
                 .call = locks_key("victim"),
                 .victim = does(locks_key("victim"))});
  all.push_back({.name = "lock: renewal with other terms",
                 .expected = "renewed",
                 .call = locks_key("victim", kLease, 3),
                 .victim = does(locks_key("victim"))});
  all.push_back({.name = "lock: refused",
                 .expected = "forbidden",
                 .call = locks_key("victim"),
                 .survivor = does(locks_key("survivor"))});
  all.push_back({.name = "lock: by level",
                 .expected = "transferred from survivor",
                 .call = locks_key("victim", kBound, 1),
                 .survivor = does(locks_key("survivor"))});
  all.push_back({.name = "lock: by force",
                 .expected = "transferred from survivor",
                 .call = locks_key("victim", kForced),
                 .survivor = does(locks_key("survivor"))});
  all.push_back({.name = "lock: of the dead",
                 .expected = "transferred from helper",
                 .call = locks_key("victim"),
                 .helper = Helper::dies,
                 .helps = locks_key("helper")});
  all.push_back({.name = "lock: lease past",
                 .expected = "transferred from survivor",
                 .call = locks_key("victim"),
                 .survivor = does(locks_key("survivor", kStale))});
  all.push_back({.name = "lock: time to live past",
                 .expected = "ok",
                 .call = locks_key("victim"),
                 .survivor = does(locks_key("survivor", kGone))});
  all.push_back({.name = "lock: evicting an unlocked key",
                 .expected = "ok",
                 .call = locks_key("victim"),
                 .survivor = [](Actor& actor) {
                   for (int i = 0; i < 5; ++i) leave_idle(actor, 1, 1);    // its tokens are the highest
                   leave_idle(actor, 1, 8);
                 }});
  all.push_back({.name = "lock: evicting one of the dead",
                 .expected = "ok",
                 .call = locks_key("victim"),
                 .survivor =
                     [](Actor& actor) {
                       for (std::size_t i = 2; i < 9; ++i) actor.lock(key(i), "survivor");
                     },
                 .helper = Helper::dies,
                 .helps = [](Actor& actor) { return actor.lock(key(1), "helper"); },
                 .fills = true});
  all.push_back({.name = "lock: evicting a stale one",
                 .expected = "ok",
                 .call = locks_key("victim"),
                 .survivor =
                     [](Actor& actor) {
                       actor.lock(key(1), "survivor", kStale);
                       for (std::size_t i = 2; i < 9; ++i) actor.lock(key(i), "survivor");
                     },
                 .fills = true});
  all.push_back({.name = "lock: table full",
                 .expected = "table_full",
                 .call = locks_key("victim"),
                 .survivor =
                     [](Actor& actor) {
                       for (std::size_t i = 1; i < 9; ++i) actor.lock(key(i), "survivor");
                     },
                 .fills = true});
  all.push_back({.name = "lock: sweeping claimants",
                 .expected = "ok",
                 .call = locks_key("victim"),
                 .survivor = leave_claimants_to_sweep,
                 .options = "slots=2&sessions=3&max_signature=32&max_signee=32"});

  // Waiting.
  all.push_back({.name = "wait: woken by unlock",
                 .expected = "ok",
                 .call = waits_for_key("victim"),
                 .survivor = does(locks_key("survivor")),
                 .meanwhile = does(unlocks_key("survivor")),
                 .sleeps = true});
  all.push_back({.name = "wait: urgent, woken by unlock",
                 .expected = "ok",
                 .call = waits_for_key("victim"),
                 .survivor = does(locks_key("survivor")),
                 .meanwhile =
                     [](Actor& actor) {
                       ::usleep(4000);    // asleep for so long, it says that it is urgent
                       (void)actor.unlock(key(0), "survivor");
                     },
                 .sleeps = true});
  all.push_back({.name = "wait: woken by a death",
                 .expected = "transferred from helper",
                 .call = waits_for_key("victim"),
                 .helper = Helper::dies_later,
                 .helps = locks_key("helper"),
                 .sleeps = true});
  all.push_back({.name = "wait: in vain",
                 .expected = "timed_out",
                 .call = waits_for_key("victim", 1ms),
                 .survivor = does(locks_key("survivor")),
                 .sleeps = true});
  all.push_back({.name = "wait: until the lease is past",
                 .expected = "transferred from survivor",
                 .call = waits_for_key("victim"),
                 .victim = does([](Actor& actor) { return actor.lock(key(0), "survivor", {.duration = 30ms}); }),
                 .sleeps = true});
  all.push_back({.name = "wait: behind another",
                 .expected = "timed_out",
                 .call = waits_for_key("victim", 1ms),
                 .survivor = does(locks_key("survivor")),
                 .helper = Helper::waits,
                 .helps = waits_for_key("helper"),
                 .sleeps = true});

  // Unlocking.
  all.push_back(
      {.name = "unlock", .expected = "ok", .call = unlocks_key("victim"), .victim = does(locks_key("victim"))});
  all.push_back(
      {.name = "unlock: signee known", .expected = "ok", .call = unlocks_key("victim"), .victim = [](Actor& actor) {
         become_known(actor, "victim");
         actor.lock(key(0), "victim");
       }});
  all.push_back({.name = "unlock: again", .expected = "ok", .call = unlocks_key("victim"), .victim = [](Actor& actor) {
                   use_often(actor, "victim");
                   actor.lock(key(0), "victim");
                 }});
  all.push_back({.name = "unlock: lease past",
                 .expected = "ok",
                 .call = unlocks_key("victim"),
                 .victim = does(locks_key("victim", kStale))});
  all.push_back({.name = "unlock: somebody waits",
                 .expected = "ok",
                 .call = unlocks_key("victim"),
                 .victim = does(locks_key("victim")),
                 .helper = Helper::waits,
                 .helps = waits_for_key("helper")});
  const auto passes_mutex = [](Actor& actor) {
    actor.mutex->lock();
    actor.note(key(0), actor.mutex->token());
    actor.mutex->unlock();
    return std::string("ok");
  };
  const auto makes_mutex = [](Actor& actor) { actor.mutex = std::make_unique<NamedMutex>(actor.locks(), key(0)); };
  all.push_back({.name = "mutex: lock, unlock", .expected = "ok", .call = passes_mutex, .victim = makes_mutex});
  all.push_back({.name = "mutex: again", .expected = "ok", .call = passes_mutex, .victim = [=](Actor& actor) {
                   makes_mutex(actor);
                   for (int i = 0; i < 3; ++i) passes_mutex(actor);
                 }});

  // Names.
  const auto acquires = [](Actor& actor) { return outcome(actor.names().acquire(kFamily)); };
  all.push_back({.name = "acquire: new family", .expected = "0", .call = acquires});
  all.push_back({.name = "acquire: new number", .expected = "3", .call = acquires, .survivor = [](Actor& actor) {
                   acquire_names(actor, 3);
                 }});
  all.push_back({.name = "acquire: lowest free", .expected = "1", .call = acquires, .survivor = [](Actor& actor) {
                   acquire_names(actor, 4);
                   release(actor, "1");
                   release(actor, "2");
                 }});
  all.push_back({.name = "acquire: 17th",
                 .expected = "16",
                 .call = acquires,
                 .survivor = [](Actor& actor) { acquire_names(actor, 16); },
                 .options = kRoomy});
  all.push_back({.name = "acquire: free by age",
                 .expected = "0",
                 .call = acquires,
                 .survivor =
                     [](Actor& actor) {
                       acquire_names(actor, 3);
                       const auto when = std::chrono::steady_clock::now() + 32ms;
                       while (std::chrono::steady_clock::now() < when) ::usleep(1000);
                     },
                 .options = kAging});
  all.push_back({.name = "acquire: free by age meanwhile",
                 .expected = "",    // 0 or 2: it depends on the time that the call takes
                 .call = acquires,
                 .victim =
                     [](Actor& actor) {
                       acquire_names(actor, 2);
                       release(actor, "0");
                       acquire_names(actor, 1);
                     },
                 .options = "slots=16&sessions=4&max_signature=32&max_signee=32&auto_release_after=5ms"});
  all.push_back({.name = "acquire: of the dead",
                 .expected = "0",
                 .call = acquires,
                 .helper = Helper::dies,
                 .helps = &Actor::hold});
  all.push_back({.name = "acquire: evicting a key", .expected = "0", .call = acquires, .survivor = [](Actor& actor) {
                   leave_idle(actor, 1, 8);
                 }});
  all.push_back({.name = "hold", .expected = "0", .call = &Actor::hold});
  all.push_back({.name = "try_acquire",
                 .expected = "ok",
                 .call = [](Actor& actor) { return outcome(actor.names().try_acquire(kFamily, "1")); },
                 .survivor =
                     [](Actor& actor) {
                       acquire_names(actor, 3);
                       release(actor, "1");
                     }});
  all.push_back({.name = "try_hold",
                 .expected = "1",
                 .call = [](Actor& actor) { return actor.try_hold("1"); },
                 .survivor =
                     [](Actor& actor) {
                       acquire_names(actor, 3);
                       release(actor, "1");
                     }});
  all.push_back({.name = "keep_alive",
                 .expected = "ok",
                 .call = [](Actor& actor) { return outcome(actor.names().keep_alive(kFamily, "1")); },
                 .survivor = [](Actor& actor) { acquire_names(actor, 2); }});
  all.push_back({.name = "keep_alive by the keeper",
                 .expected = "",
                 .call = {},
                 .victim = does(&Actor::hold),
                 .entry = Entry::keep_alive,
                 .options = kAging});
  all.push_back({.name = "release",
                 .expected = "ok",
                 .call = [](Actor& actor) { return release(actor, "1"); },
                 .survivor = [](Actor& actor) { acquire_names(actor, 3); }});
  all.push_back({.name = "release: 17th",
                 .expected = "ok",
                 .call = [](Actor& actor) { return release(actor, "16"); },
                 .survivor = [](Actor& actor) { acquire_names(actor, 18); },
                 .options = kRoomy});
  all.push_back({.name = "release: held name",
                 .expected = "ok",
                 .call = [](Actor& actor) { return outcome(actor.held[0].release()); },
                 .victim =
                     [](Actor& actor) {
                       actor.hold();
                       actor.hold();
                     }});
  all.push_back({.name = "reset",
                 .expected = "ok",
                 .call = [](Actor& actor) { return outcome(actor.names().reset()); },
                 .victim = does(&Actor::hold),
                 .survivor =
                     [](Actor& actor) {
                       acquire_names(actor, 2);
                       release(actor, "1");
                     }});
  return all;
}

std::vector<Scenario> make_rescues() {
  return {{.name = "recovery at opening",
           .expected = "open",
           .call = &Actor::open_locks,
           .opens = true,
           .entry = Entry::recovery},
          {.name = "acquiring a name",
           .expected = "",
           .call = [](Actor& actor) { return outcome(actor.names().acquire(kFamily)); }},
          {.name = "locking the key",
           .expected = "",
           .call =
               [](Actor& actor) {
                 return outcome(actor.locks().lock({key(0), "rescuer"}, kBound));
               }},
          {.name = "locking a new key", .expected = "", .call = [](Actor& actor) {
             return outcome(actor.locks().lock({key(20), "rescuer"}, kBound));
           }}};
}

}    // namespace

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all = make_scenarios();
  return all;
}

const std::vector<Scenario>& rescues() {
  static const std::vector<Scenario> all = make_rescues();
  return all;
}

}    // namespace keyrack::crash
