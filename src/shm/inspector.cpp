// Looking at a segment through a mapping that cannot be written: pictures for people, and the check of every invariant.
#include "os/checked.hpp"
#include "os/clock.hpp"
#include "shm/guard.hpp"
#include "shm/segment.hpp"
#include "table/names.hpp"
#include "table/sessions.hpp"
#include "table/waiting.hpp"

#include <keyrack/inspect.hpp>

#include <algorithm>
#include <limits>
#include <map>

namespace keyrack {

Inspector::~Inspector() = default;

std::string_view to_string(LockState state) noexcept {
  switch (state) {
    case LockState::held:
      return "held";
    case LockState::stale:
      return "stale";
    case LockState::abandoned:
      return "abandoned";
    case LockState::idle:
      break;
  }
  return "idle";
}

}    // namespace keyrack

namespace keyrack::shm {

namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::system_clock;
using table::Descriptor;
using table::Hit;
using table::Life;
using table::Link;
using table::RecordIndex;
using table::SessionId;
using table::Table;
using table::Tag;

system_clock::time_point wall(std::int64_t ns) {
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(nanoseconds(ns)));
}

milliseconds whole_ms(std::int64_t ns) { return std::chrono::floor<milliseconds>(nanoseconds(ns)); }

/// When a picture was taken, by both clocks; of a copy, those of its host.
struct Instant {
  std::int64_t ns, wall_ns;
};

/// One lock as it was at some instant; empty if the record is none, or changed while it was read.
std::optional<LockPicture> picture_of(const Table& table, const Hit& hit, Instant at) {
  const auto key = table::read_key(table, *hit.record);
  LockPicture lock;
  lock.record = hit.index;
  lock.token = hit.head.token();
  const table::Since since{hit.record->since.load(std::memory_order_relaxed)};
  std::optional<Descriptor> holder;
  if (hit.owner.is_claimant()) {
    holder = table::describe(table, hit.owner.claimant_index());
    lock.signee = holder->signee();
  } else if (!hit.owner.is_idle()) {
    return {};
  }
  if (!hit.still() || !key || key->kind != table::Kind::lock) return {};
  lock.signature = key->bytes;
  lock.state = LockState::idle;
  if (!holder) return lock;
  table::Now now(at.ns);
  switch (table::standing_of(table, hit, *holder, now)) {
    case table::Standing::unheld:
      lock.signee.clear();
      return lock;    // past its time to live: as if unlocked
    case table::Standing::held:
      lock.state = LockState::held;
      break;
    case table::Standing::stale:
      lock.state = LockState::stale;
      break;
    case table::Standing::abandoned:
      lock.state = LockState::abandoned;
      break;
  }
  lock.level = holder->terms.rank.level();
  lock.process_bound = holder->terms.rank.process_bound();
  lock.pid = holder->pid;
  if (table::alive(table, holder->session())) lock.session = holder->session().slot;
  if (since.of(hit.head.token()))
    lock.held_for = std::max(milliseconds(0), whole_ms(at.ns - table.tick_ns(since.tick())));
  if (const table::Tick end = table::lease_end(hit, holder->terms); end != table::kNever) {
    lock.expires_in = whole_ms(table.tick_ns(end) - at.ns);
  }
  if (const table::Tick end = hit.owner.deadline(); end != table::kNever) {
    lock.deadline = std::chrono::steady_clock::time_point(nanoseconds(table.tick_ns(end)));
  }
  return lock;
}

/// Like the above for anything that is read record by record: again for as long as it changes under our eyes.
template <class See>
auto see(const Table& table, RecordIndex index, See&& look) -> decltype(look(std::declval<const Hit&>())) {
  for (int tries = 0; tries < 1000; ++tries) {
    const Hit hit = table::read_record(table, index);
    auto seen = look(hit);
    if (seen || hit.still()) return seen;
  }
  return {};    // a record that is busy all the time is in nobody's hands for long
}

/// Finds a lock as find() does, but writes nothing: what is being taken out is passed by. That a key was met is certain
/// by its cell; that it was not, only if nobody was at work in the chain, so that it is looked for again then.
std::optional<LockPicture> look_up(const Table& table, const table::Key& key, Instant at) {
  for (int tries = 0; tries < 1000; ++tries) {
    const table::Word* from = &table.bucket(key.tag.hash()).link;
    bool busy = false;
    Link link{from->load(std::memory_order_acquire)};
    for (std::uint32_t steps = 0; !link.at_end(); ++steps) {
      if (steps > table.geometry().slots) table::corrupt("a chain runs in a circle");
      const table::Record& record = table.record(link.record());
      const Link next{record.next.load(std::memory_order_acquire)};
      const Hit hit = table::read_record(table, link.record());
      if ((hit.owner.is_claimant() || hit.owner.is_idle()) && table::holds_key(record, key)) {
        if (auto lock = picture_of(table, hit, at)) return lock;
        busy = true;
      }
      busy = busy || next.marked();
      if (from->load(std::memory_order_relaxed) != link.bits) {    // where this leads nobody knows
        busy = true;
        break;
      }
      from = &record.next;
      link = next;
    }
    if (!busy) break;
  }
  return {};    // who is stopped in the midst of taking out another record may keep it busy
}

constexpr const char* kCutShort = "it was cut short since it was opened";

class ShmInspector final : public Inspector {
 public:
  ShmInspector(std::string name, std::shared_ptr<const Segment> segment)
      : name_(std::move(name)), segment_(std::move(segment)) {}
  ShmInspector(std::string path, const Copy& copy) : name_(std::move(path)), segment_(copy.segment), copy_(copy) {}

  Result<Snapshot> snapshot(bool with_idle) const override {
    return guarded([&] { return take(with_idle); });
  }
  Result<std::optional<LockPicture>> look_at(std::string_view signature) const override {
    return guarded([&] { return look(signature); });
  }
  std::vector<Finding> verify() const override;

 private:
  Result<Snapshot> take(bool with_idle) const;
  Result<std::optional<LockPicture>> look(std::string_view signature) const;
  Instant now() const;

  std::string name_;
  std::shared_ptr<const Segment> segment_;
  std::optional<Copy> copy_;
};

/// In the order of table::Counter.
constexpr std::array<std::uint64_t Counters::*, table::kCounters> kCounterMembers = {
    &Counters::grants,
    &Counters::renewals,
    &Counters::refusals,
    &Counters::lendings,
    &Counters::inserts,
    &Counters::evictions,
    &Counters::transfers_expired,
    &Counters::transfers_abandoned,
    &Counters::transfers_outranked,
    &Counters::transfers_forced,
    &Counters::waits,
    &Counters::deadlocks,
    &Counters::recoveries,
};

void add(Histogram& sum, const table::TimesHistogram& counted) {
  static_assert(std::tuple_size_v<decltype(sum.counts)> == table::kTimes);
  for (unsigned i = 0; i < table::kTimes; ++i) sum.counts[i] += counted.times[i].load(std::memory_order_relaxed);
  // Any bits may stand there.
  const std::uint64_t us = static_cast<std::uint64_t>(sum.sum.count()) + counted.sum_us.load(std::memory_order_relaxed);
  sum.sum = std::chrono::microseconds(us & std::numeric_limits<std::int64_t>::max());
}

/// Of a copy: its file may have kept the time of the segment's own, which is older than what is in it.
Instant ShmInspector::now() const {
  if (!copy_) return {os::monotonic_ns(), os::wall_ns()};
  const Table table = segment_->table();
  std::int64_t latest = copy_->copied_ns;
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    const Hit hit = table::read_record(table, index);
    const table::Since since{hit.record->since.load(std::memory_order_relaxed)};
    if (since.of(hit.head.token())) latest = std::max(latest, table.tick_ns(since.tick()));
  }
  return {latest, table.header().created_ns + latest - copy_->created_ns};
}

void add_sessions(const Table& table, Snapshot& picture) {
  for (std::uint32_t slot = 0, end = table.sessions_used(); slot < end; ++slot) {
    const Life life{table.life(slot).word.load(std::memory_order_acquire)};
    const table::SessionInfo& info = table.info(slot);
    const table::SessionCounts& counts = table.counts(slot);
    Counters own;
    for (unsigned i = 0; i < table::kCounters; ++i) {
      const std::uint64_t total = table::total(counts, i);
      picture.counters.*kCounterMembers[i] += total;
      own.*kCounterMembers[i] = total - counts.before[i].load(std::memory_order_relaxed);
    }
    add(picture.waiting, counts.waiting);
    add(picture.holding, counts.holding);
    if (!life.alive() && !life.owner_died()) continue;
    if (life.alive()) ++picture.segment.sessions;
    SessionPicture session;
    session.slot = slot;
    session.alive = life.alive();
    session.counters = own;
    if (info.generation.load(std::memory_order_acquire) == life.generation()) {    // else it is still being written
      session.pid = static_cast<std::int32_t>(info.pid.load(std::memory_order_relaxed));
      session.pid_namespace = info.pid_namespace.load(std::memory_order_relaxed);
      session.command = table::read_words(info.command, sizeof info.command);
      session.command.resize(session.command.find_last_not_of('\0') + 1);
      session.attached_at = wall(static_cast<std::int64_t>(info.attached_ns.load(std::memory_order_relaxed)));
    }
    picture.sessions.push_back(std::move(session));
  }
}

Result<Snapshot> ShmInspector::take(bool with_idle) const {
  if (!segment_->is_whole()) table::corrupt(kCutShort);
  const Table table = segment_->table();
  const table::Header& header = table.header();
  Snapshot picture;
  const Instant at = now();
  picture.taken_from = wall(at.wall_ns);
  picture.segment = {name_,
                     header.layout_version,
                     table.geometry().slots,
                     0,
                     0,
                     table.geometry().sessions,
                     table.geometry().max_signature,
                     table.geometry().max_signee,
                     table.layout().bytes,
                     wall(header.created_ns),
                     table.records_used()};
  add_sessions(table, picture);

  std::map<std::uint32_t, SessionPicture*> by_slot;
  for (SessionPicture& session : picture.sessions) by_slot[session.slot] = &session;
  const std::uint32_t epoch = table.names_epoch();
  table::Now now(at.ns);
  if (with_idle) picture.locks.reserve(table.records_used());
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    const table::Owner owner{table.record(index).cell.second.load(std::memory_order_relaxed)};
    if (owner.is_free()) continue;
    ++picture.segment.used;
    const Tag tag{table.record(index).tag.load(std::memory_order_relaxed)};
    if (tag.kind() == table::Kind::lock) {
      auto lock = see(table, index, [&](const Hit& hit) { return picture_of(table, hit, at); });
      if (!lock || (lock->state == LockState::idle && !with_idle)) continue;
      if (lock->process_bound && lock->state == LockState::held && lock->session && by_slot.contains(*lock->session))
        ++by_slot[*lock->session]->locks_held;
      picture.locks.push_back(std::move(*lock));
    } else if (tag.kind() == table::Kind::name) {
      std::optional<SessionId> session;
      auto name = see(table, index, [&](const Hit& hit) {
        auto seen = table::see_name(table, hit, epoch, {}, now);
        if (!seen || seen->free) return seen;
        // Anew: the wall clock there is this host's, and later.
        seen->updated_ns = std::max(seen->created_ns, at.wall_ns - (at.ns - table.tick_ns(hit.owner.deadline())));
        if (seen->process_bound) {
          session = table::describe(table, hit.owner.claimant_index()).session();
          if (!hit.still()) return std::optional<table::NameSeen>{};
        }
        return seen;
      });
      if (!name) continue;
      if (session && by_slot.contains(session->slot)) ++by_slot[session->slot]->names_held;
      picture.names.push_back({name->family, std::to_string(name->number), name->free, name->process_bound, name->pid,
                               wall(name->created_ns),
                               name->free ? system_clock::time_point{} : wall(name->updated_ns)});
    }
  }
  std::sort(picture.names.begin(), picture.names.end(), [](const NamePicture& a, const NamePicture& b) {
    if (a.family != b.family) return a.family < b.family;
    return a.name.size() != b.name.size() ? a.name.size() < b.name.size() : a.name < b.name;
  });

  const auto lock_of = [&](RecordIndex record) {    // they are in the order of their records
    const auto found =
        std::lower_bound(picture.locks.begin(), picture.locks.end(), record,
                         [](const LockPicture& lock, RecordIndex wanted) { return lock.record < wanted; });
    return found != picture.locks.end() && found->record == record ? &*found : nullptr;
  };
  for (std::uint32_t index = 0, end = table.waiters_used(); index < end; ++index) {
    const auto sight = table::see_waiter(table, index);
    if (!sight) continue;
    const Descriptor who = table::describe(table, sight->claimant);
    WaiterPicture waiter{{},
                         who.signee(),
                         who.terms.rank.level(),
                         who.pid,
                         sight->state.session().slot,
                         whole_ms(at.ns - sight->since_ns)};
    if (const auto again = table::see_waiter(table, index); !again || !(again->state == sight->state)) continue;
    if (LockPicture* lock = lock_of(sight->record)) {
      ++lock->waiters;
      waiter.signature = lock->signature;
    } else {    // idle, and left out: its turn has come
      const auto idle = see(table, sight->record, [&](const Hit& hit) { return picture_of(table, hit, at); });
      if (idle) waiter.signature = idle->signature;
    }
    waiter.waited = std::max(waiter.waited, milliseconds(0));
    picture.waiters.push_back(std::move(waiter));
  }
  std::sort(picture.waiters.begin(), picture.waiters.end(),
            [](const WaiterPicture& a, const WaiterPicture& b) { return a.waited > b.waited; });
  picture.taken_until = system_clock::now();
  if (copy_) {
    picture.taken_until = picture.taken_from;
    // Of another host or boot, for all that is known.
    for (SessionPicture& session : picture.sessions) session.pid_namespace = 0;
  }
  return picture;
}

Result<std::optional<LockPicture>> ShmInspector::look(std::string_view signature) const {
  if (!segment_->is_whole()) table::corrupt(kCutShort);
  const Table table = segment_->table();
  if (!is_text(signature, table.geometry().max_signature)) return make_error_code(Errc::bad_request);
  auto lock = look_up(table, table::Key::lock(signature), now());
  for (std::uint32_t index = 0, end = table.waiters_used(); lock && index < end; ++index) {
    const auto sight = table::see_waiter(table, index);
    if (sight && sight->record == lock->record) ++lock->waiters;
  }
  return lock;
}

// What is broken cannot be put right without knowing what it was: a guess might give a lock to two.
constexpr const char* kOfAChain =
    "calls on many keys may fail; stop the processes that use the segment, then `keyrack rm` it";
constexpr const char* kOfARecord =
    "calls on this key may fail, or grant it twice; stop the processes that use it, and `keyrack rm` the segment once "
    "nobody needs its other keys";
constexpr const char* kOfASession =
    "what this process holds may count as free, or as held for ever; end it, and `keyrack rm` the segment";
constexpr const char* kOfAWaiter =
    "no grant rests on it, but some may be let in late, or out of turn; it goes when its process ends";

/// Tells of a walk that meets something again, after at most three times as many steps as there are things (Brent).
class CircleCheck {
 public:
  bool is_again(std::uint64_t thing) {
    if (thing == known_) return true;
    if (++steps_ == next_) {
      known_ = thing;
      next_ *= 2;
    }
    return false;
  }

 private:
  std::uint64_t known_ = ~std::uint64_t{0}, steps_ = 0, next_ = 1;
};

/// Checks what must hold at every instant. What is read in two steps is reported only if it is still so after another
/// look, since others go on working.
class Verification {
 public:
  explicit Verification(const Table& table)
      : table_(table), met_(table.geometry().slots), steps_left_(std::uint64_t{100} * table.geometry().slots) {}

  std::vector<Finding> run() {
    walk_chains();
    for (RecordIndex index = 0; index < table_.geometry().slots; ++index) check_record(index);
    for (std::uint32_t slot = 0; slot < table_.geometry().sessions; ++slot) check_session(slot);
    for (std::uint32_t index = 0; index < table_.layout().waiters; ++index) check_waiter(index);
    return std::move(findings_);
  }

 private:
  void report(const std::string& place, const std::string& what, const std::string& remedy, std::string key = {}) {
    findings_.push_back({place, what, remedy, std::move(key)});
  }
  std::string key_of(RecordIndex index) const {
    const auto key = table::read_key(table_, table_.record(index));
    if (!key) return {};
    const std::string bytes(key->bytes);
    return key->kind == table::Kind::name ? bytes + "/" + std::to_string(key->number) : bytes;
  }
  /// A record in a chain. One that goes to another chain gets a higher token on the way.
  struct Member {
    RecordIndex index;
    std::uint64_t life;    // its token, and 1
  };

  static std::string record_name(RecordIndex index) { return "record " + std::to_string(index); }

  /// Every chain ends, its links point to records, and these belong into the bucket.
  void walk_chains() {
    for (std::uint32_t number = 0; number < table_.layout().buckets; ++number) {
      for (int tries = 0;; ++tries) {
        std::vector<Member> members;
        const std::string wrong = walk_chain(number, members);
        if (!wrong.empty() && tries < 3) continue;    // somebody may be at work in it
        if (!wrong.empty()) report("bucket " + std::to_string(number), wrong, kOfAChain);
        for (const Member& member : members) met_[member.index] = member.life;
        break;
      }
    }
  }

  std::string walk_chain(std::uint32_t number, std::vector<Member>& members) {
    members.clear();
    CircleCheck circle;
    Link link{table_.bucket(number).link.load(std::memory_order_acquire)};
    if (link.marked()) return "its link is marked";
    while (!link.at_end()) {
      const RecordIndex index = link.record();
      if (index >= table_.geometry().slots)
        return "a link points to record " + std::to_string(index) + ", out of range";
      const table::Record& record = table_.record(index);
      const Link next{record.next.load(std::memory_order_acquire)};
      const Hit hit = table::read_record(table_, index);
      if (hit.owner.is_free() && hit.still()) return record_name(index) + " is free, and in the chain";
      const Tag tag{record.tag.load(std::memory_order_relaxed)};
      if (!hit.owner.is_dead() && (tag.hash() & (table_.layout().buckets - 1)) != number && hit.still()) {
        return record_name(index) + " belongs into another chain";
      }
      const std::uint64_t life = hit.head.token() + 1;
      if (circle.is_again(index) || members.size() > table_.geometry().slots) return "its chain runs in a circle";
      if (met_[index] == life && hit.still()) return record_name(index) + " is in another chain, too";
      members.push_back({index, life});
      link = next;
    }
    return {};
  }

  void check_record(RecordIndex index) {
    std::string wrong;
    for (int times = 0, tries = 0; times < 3 && tries < 1000; ++times, ++tries) {
      const Hit hit = table::read_record(table_, index);
      wrong = fault_of(hit);
      if (wrong.empty()) return;
      if (!hit.still()) times = 0;
    }
    report(record_name(index), wrong, kOfARecord, key_of(index));
  }

  std::string fault_of(const Hit& hit) {
    if (!hit.owner.is_known()) return "its cell has no known owner";
    if (hit.owner.is_free()) return {};
    if (hit.head.token() == 0) return "it is in use, but its token is 0";
    if (hit.index >= table_.records_used()) return "it is in use, above the high-water mark";
    if (hit.owner.is_alloc()) {
      return hit.owner.alloc_session().slot < table_.geometry().sessions ? "" : "no such session is making it";
    }
    if (hit.owner.is_dead()) return {};
    const auto key = table::read_key(table_, *hit.record);
    if (!key) return hit.still() ? "it has no key" : "";
    const table::Key whole = key->kind == table::Kind::lock ? table::Key::lock(key->bytes)
                                                            : table::Key::name(key->epoch, key->bytes, key->number);
    if (!(whole.tag == Tag{hit.record->tag.load(std::memory_order_relaxed)}) && hit.still()) {
      return "its tag is not that of its key";
    }
    if (!is_found(whole, hit)) return "its key is not found in its chain";
    if (!hit.owner.is_claimant()) return {};
    if (hit.owner.claimant_index() >= table_.layout().claimants) return "its claimant's index is out of range";
    const Descriptor holder = table::describe(table_, hit.owner.claimant_index());
    if (!holder.state.used() && hit.still()) return "its claimant is free";
    if (holder.session().slot >= table_.geometry().sessions && hit.still()) return "its claimant has no such session";
    const std::size_t length = holder.terms.rank.signee_length();
    if (key->kind == table::Kind::lock && length == 0 && hit.still()) return "its claimant has no signee";
    return {};
  }

  /// Reading only: find() would take dead records out of the chain.
  bool is_found(const table::Key& key, const Hit& wanted) {
    if (met_[wanted.index] == wanted.head.token() + 1) return true;
    for (int tries = 0; tries < 1000 && steps_left_ > 0; ++tries) {
      Link link{table_.bucket(key.tag.hash()).link.load(std::memory_order_acquire)};
      const Link head = link;
      CircleCheck circle;
      for (; !link.at_end() && steps_left_ > 0; --steps_left_) {
        if (link.record() == wanted.index || link.record() >= table_.geometry().slots) break;
        if (circle.is_again(link.record())) break;
        link = Link{table_.record(link.record()).next.load(std::memory_order_acquire)};
      }
      if (!link.at_end() && link.record() == wanted.index) return true;
      if (!wanted.still()) return true;    // it has moved on
      if (head == Link{table_.bucket(key.tag.hash()).link.load(std::memory_order_acquire)} && tries > 10) return false;
    }
    return true;    // too busy to tell, or too many are lost: the others were reported
  }

  void check_session(std::uint32_t slot) {
    const Life life{table_.life(slot).word.load(std::memory_order_acquire)};
    if ((life.alive() || life.owner_died()) && slot >= table_.sessions_used()) {
      report("session " + std::to_string(slot), "it is taken, above the high-water mark", kOfASession);
    }
    if (life.alive() && life.owner_died()) {
      report("session " + std::to_string(slot), "it is alive and dead at once", kOfASession);
    }
  }

  void check_waiter(std::uint32_t index) {
    const std::string place = "waiter " + std::to_string(index);
    const table::WaiterState state{table_.waiter(index).state.load(std::memory_order_acquire)};
    if (!state.used()) return;
    if (index >= table_.waiters_used() && state.ready())
      report(place, "it is taken, above the high-water mark", kOfAWaiter);
    if (state.session().slot >= table_.geometry().sessions) report(place, "it belongs to no session", kOfAWaiter);
    const auto sight = table::see_waiter(table_, index);
    if (!sight) return;
    if (sight->record >= table_.geometry().slots) report(place, "it waits for a record out of range", kOfAWaiter);
    if (sight->claimant >= table_.layout().claimants) report(place, "its claimant's index is out of range", kOfAWaiter);
  }

  const Table table_;
  std::vector<std::uint64_t> met_;    // in a chain, in which life; 0: in none
  std::uint64_t steps_left_;          // to look for what was met in none
  std::vector<Finding> findings_;
};

std::vector<Finding> ShmInspector::verify() const {
  try {
    if (!segment_->is_whole()) table::corrupt(kCutShort);
    return Verification(segment_->table()).run();
  } catch (const table::Corruption& corruption) {
    return {{"segment " + name_, corruption.what, kOfAChain, {}}};
  }
}

}    // namespace
}    // namespace keyrack::shm

namespace keyrack {

Result<std::unique_ptr<Inspector>, OpenError> open_inspector(std::string_view segment_name) {
  try {
    const std::string name(segment_name);
    if (!shm::is_segment_name(name)) return OpenError{Errc::bad_url, name + " is no name that a segment can have"};
    auto segment = shm::open_segment_read_only(name);
    if (!segment) return segment.error();
    return std::unique_ptr<Inspector>(std::make_unique<shm::ShmInspector>(name, *segment));
  } catch (const std::bad_alloc&) {
    return OpenError{Errc::backend_unavailable, "out of memory"};
  }
}

Result<std::unique_ptr<Inspector>, OpenError> open_inspector_of_copy(std::string_view path) {
  try {
    auto copy = shm::open_copy_read_only(std::string(path));
    if (!copy) return copy.error();
    return std::unique_ptr<Inspector>(std::make_unique<shm::ShmInspector>(std::string(path), *copy));
  } catch (const std::bad_alloc&) {
    return OpenError{Errc::backend_unavailable, "out of memory"};
  }
}

}    // namespace keyrack
