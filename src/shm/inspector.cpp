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
#include <map>
#include <unordered_map>

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
using table::Now;
using table::RecordIndex;
using table::SessionId;
using table::Table;
using table::Tag;

system_clock::time_point wall(std::int64_t ns) {
  return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(nanoseconds(ns)));
}

milliseconds whole_ms(std::int64_t ns) { return std::chrono::floor<milliseconds>(nanoseconds(ns)); }

/// One lock as it was at some instant; empty if the record is none, or changed while it was read.
std::optional<LockPicture> picture_of(const Table& table, const Hit& hit, Now& now) {
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
  if (since.of(hit.head.token()))
    lock.held_for = std::max(milliseconds(0), whole_ms(now.ns() - table.tick_ns(since.tick())));
  if (const table::Tick end = table::lease_end(hit, holder->terms); end != table::kNever) {
    lock.expires_in = whole_ms(table.tick_ns(end) - now.ns());
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

constexpr const char* kCutShort = "it was cut short since it was opened";

class ShmInspector final : public Inspector {
 public:
  ShmInspector(std::string name, std::shared_ptr<const Segment> segment)
      : name_(std::move(name)), segment_(std::move(segment)) {}

  Result<Snapshot> snapshot(bool with_idle) const override {
    return guarded([&] { return take(with_idle); });
  }
  std::vector<Finding> verify() const override;

 private:
  Result<Snapshot> take(bool with_idle) const;

  std::string name_;
  std::shared_ptr<const Segment> segment_;
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
  sum.sum += std::chrono::microseconds(counted.sum_us.load(std::memory_order_relaxed));
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
  picture.taken_from = system_clock::now();
  picture.segment = {name_,
                     header.layout_version,
                     table.geometry().slots,
                     0,
                     0,
                     table.geometry().sessions,
                     table.geometry().max_signature,
                     table.geometry().max_signee,
                     table.layout().bytes,
                     wall(header.created_ns)};
  add_sessions(table, picture);

  std::map<std::uint32_t, SessionPicture*> by_slot;
  for (SessionPicture& session : picture.sessions) by_slot[session.slot] = &session;
  const std::uint32_t epoch = table.names_epoch();
  Now now;
  std::unordered_map<RecordIndex, std::size_t> lock_at;
  for (RecordIndex index = 0, end = table.records_used(); index < end; ++index) {
    const table::Owner owner{table.record(index).cell.second.load(std::memory_order_relaxed)};
    if (owner.is_free()) continue;
    ++picture.segment.used;
    const Tag tag{table.record(index).tag.load(std::memory_order_relaxed)};
    if (tag.kind() == table::Kind::lock) {
      std::optional<SessionId> session;
      auto lock = see(table, index, [&](const Hit& hit) {
        auto seen = picture_of(table, hit, now);
        if (seen && seen->process_bound) {
          session = table::describe(table, hit.owner.claimant_index()).session();
          if (!hit.still()) return std::optional<LockPicture>{};
        }
        return seen;
      });
      if (!lock || (lock->state == LockState::idle && !with_idle)) continue;
      if (session && lock->state == LockState::held && by_slot.contains(session->slot))
        ++by_slot[session->slot]->locks_held;
      lock_at[index] = picture.locks.size();
      picture.locks.push_back(std::move(*lock));
    } else if (tag.kind() == table::Kind::name) {
      std::optional<SessionId> session;
      auto name = see(table, index, [&](const Hit& hit) {
        auto seen = table::see_name(table, hit, epoch, {}, now);
        if (seen && seen->process_bound) {
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

  for (std::uint32_t index = 0, end = table.waiters_used(); index < end; ++index) {
    const auto sight = table::see_waiter(table, index);
    if (!sight) continue;
    const Descriptor who = table::describe(table, sight->claimant);
    WaiterPicture waiter{{},
                         who.signee(),
                         who.terms.rank.level(),
                         who.pid,
                         sight->state.session().slot,
                         whole_ms(now.ns() - sight->since_ns)};
    if (const auto again = table::see_waiter(table, index); !again || !(again->state == sight->state)) continue;
    if (const auto lock = lock_at.find(sight->record); lock != lock_at.end()) {
      ++picture.locks[lock->second].waiters;
      waiter.signature = picture.locks[lock->second].signature;
    }
    waiter.waited = std::max(waiter.waited, milliseconds(0));
    picture.waiters.push_back(std::move(waiter));
  }
  std::sort(picture.waiters.begin(), picture.waiters.end(),
            [](const WaiterPicture& a, const WaiterPicture& b) { return a.waited > b.waited; });
  picture.taken_until = system_clock::now();
  return picture;
}

/// Checks what must hold at every instant. What is read in two steps is reported only if it is still so after another
/// look, since others go on working.
class Verification {
 public:
  explicit Verification(const Table& table) : table_(table), in_chain_(table.geometry().slots) {}

  std::vector<Finding> run() {
    walk_chains();
    for (RecordIndex index = 0; index < table_.geometry().slots; ++index) check_record(index);
    for (std::uint32_t slot = 0; slot < table_.geometry().sessions; ++slot) check_session(slot);
    for (std::uint32_t index = 0; index < table_.layout().waiters; ++index) check_waiter(index);
    return std::move(findings_);
  }

 private:
  void report(const std::string& place, const std::string& what) {
    findings_.push_back({place, what, "stop the processes that use the segment, then `keyrack rm` it"});
  }
  static std::string record_name(RecordIndex index) { return "record " + std::to_string(index); }

  /// Every chain ends, its links point to records, and these belong into the bucket.
  void walk_chains() {
    for (std::uint32_t number = 0; number < table_.layout().buckets; ++number) {
      for (int tries = 0;; ++tries) {
        std::vector<RecordIndex> members;
        const std::string wrong = walk_chain(number, members);
        if (!wrong.empty() && tries < 3) continue;    // somebody may be at work in it
        if (!wrong.empty()) report("bucket " + std::to_string(number), wrong);
        for (RecordIndex index : members) ++in_chain_[index];
        break;
      }
    }
  }

  std::string walk_chain(std::uint32_t number, std::vector<RecordIndex>& members) {
    members.clear();
    Link link{table_.bucket(number).link.load(std::memory_order_acquire)};
    if (link.marked()) return "its link is marked";
    while (!link.at_end()) {
      const RecordIndex index = link.record();
      if (index >= table_.geometry().slots)
        return "a link points to record " + std::to_string(index) + ", out of range";
      if (members.size() > table_.geometry().slots) return "its chain runs in a circle";
      const table::Record& record = table_.record(index);
      const Link next{record.next.load(std::memory_order_acquire)};
      const Hit hit = table::read_record(table_, index);
      if (hit.owner.is_free() && hit.still()) return record_name(index) + " is free, and in the chain";
      const Tag tag{record.tag.load(std::memory_order_relaxed)};
      if (!hit.owner.is_dead() && (tag.hash() & (table_.layout().buckets - 1)) != number && hit.still()) {
        return record_name(index) + " belongs into another chain";
      }
      members.push_back(index);
      link = next;
    }
    return {};
  }

  void check_record(RecordIndex index) {
    std::string wrong;
    for (int tries = 0; tries < 3; ++tries) {
      const Hit hit = table::read_record(table_, index);
      wrong = fault_of(hit);
      if (wrong.empty()) return;
      if (!hit.still()) tries = 0;
    }
    report(record_name(index), wrong);
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
    if (in_chain_[hit.index] > 1) return "it is in more than one chain";
    return {};
  }

  /// Reading only: find() would take dead records out of the chain.
  bool is_found(const table::Key& key, const Hit& wanted) {
    for (int tries = 0; tries < 1000; ++tries) {
      Link link{table_.bucket(key.tag.hash()).link.load(std::memory_order_acquire)};
      const Link head = link;
      for (std::uint32_t steps = 0; !link.at_end() && steps <= table_.geometry().slots; ++steps) {
        if (link.record() == wanted.index || link.record() >= table_.geometry().slots) break;
        link = Link{table_.record(link.record()).next.load(std::memory_order_acquire)};
      }
      if (!link.at_end() && link.record() == wanted.index) return true;
      if (!wanted.still()) return true;    // it has moved on
      if (head == Link{table_.bucket(key.tag.hash()).link.load(std::memory_order_acquire)} && tries > 10) return false;
    }
    return true;    // too busy to tell
  }

  void check_session(std::uint32_t slot) {
    const Life life{table_.life(slot).word.load(std::memory_order_acquire)};
    if ((life.alive() || life.owner_died()) && slot >= table_.sessions_used()) {
      report("session " + std::to_string(slot), "it is taken, above the high-water mark");
    }
    if (life.alive() && life.owner_died()) report("session " + std::to_string(slot), "it is alive and dead at once");
  }

  void check_waiter(std::uint32_t index) {
    const std::string place = "waiter " + std::to_string(index);
    const table::WaiterState state{table_.waiter(index).state.load(std::memory_order_acquire)};
    if (!state.used()) return;
    if (index >= table_.waiters_used() && state.ready()) report(place, "it is taken, above the high-water mark");
    if (state.session().slot >= table_.geometry().sessions) report(place, "it belongs to no session");
    const auto sight = table::see_waiter(table_, index);
    if (!sight) return;
    if (sight->record >= table_.geometry().slots) report(place, "it waits for a record out of range");
    if (sight->claimant >= table_.layout().claimants) report(place, "its claimant's index is out of range");
  }

  const Table table_;
  std::vector<std::uint32_t> in_chain_;
  std::vector<Finding> findings_;
};

std::vector<Finding> ShmInspector::verify() const {
  try {
    if (!segment_->is_whole()) table::corrupt(kCutShort);
    return Verification(segment_->table()).run();
  } catch (const table::Corruption& corruption) {
    return {{"segment " + name_, corruption.what, "stop the processes that use it, then `keyrack rm` it"}};
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

}    // namespace keyrack
