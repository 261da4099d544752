#include "audit.hpp"

#include "os/process.hpp"
#include "table/locks.hpp"
#include "table/names.hpp"
#include "table/sessions.hpp"

#include <iterator>
#include <set>

namespace keyrack::simulation {

namespace {

class Auditor {
 public:
  explicit Auditor(const table::Table& table) : table_(table), session_(table) {}

  std::string run(const std::vector<table::SessionId>& sessions, const Tokens& last_tokens) {
    try {
      for (const table::SessionId id : sessions) end_if_living(id);
      const auto id = table::attach(table_, os::Identity{.pid = kPid, .command = "audit"});
      if (!id) return "no session slot";
      session_.id = *id;
      table::recover_the_dead(table_);
      audit_chains();
      audit_names();
      audit_locks(last_tokens);
      audit_claimants();
    } catch (const table::Corruption& corruption) {
      report(std::string("corrupt: ") + corruption.what);
    }
    return fault_;
  }

 private:
  static constexpr std::int32_t kPid = 7;

  void report(const std::string& fault) {
    if (fault_.empty()) fault_ = fault;
  }
  table::Caller caller() { return {session_, memory_, kPid}; }

  /// Those who have not closed are dead now.
  void end_if_living(table::SessionId id) const {
    Word& life = table_.life(id.slot).word;
    const table::Life seen{life.load()};
    if (seen.alive() && seen.generation() == id.generation) life.store((seen.bits & ~0x3fff'ffffull) | 0x4000'0000);
  }

  void audit_chains() {
    std::set<std::uint32_t> met;
    for (std::uint64_t bucket = 0; bucket < table_.layout().buckets; ++bucket) {
      std::set<std::string> keys;
      table::Link link{table_.bucket(bucket).link.load()};
      for (; !link.at_end(); link.bits = table_.record(link.record()).next.load()) {
        if (!met.insert(link.record()).second) return report("a record is in two places");
        const table::Hit hit = table::read_record(table_, link.record());
        if (hit.owner.is_free()) return report("a free record in a chain");
        const auto key = table::read_key(table_, *hit.record);
        if (!key) return report("a record without a key in a chain");
        const std::string text = std::to_string(static_cast<int>(key->kind)) + " " + std::to_string(key->epoch) + " " +
                                 std::to_string(key->number) + " " + key->bytes;
        if (hit.owner.is_dead()) continue;
        if (!keys.insert(text).second) return report("two records of one key");
      }
    }
  }

  /// All names, lowest first, each once; held ones of living processes there are none, lent ones stay lent.
  void audit_names() {
    const table::Family family{kFamily, {}};
    std::set<std::uint32_t> lent, expected;
    const auto before = table::list_names(table_, {});
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (before[i].number != i) return report("name " + std::to_string(i) + " is lost for good");
      if (before[i].free) expected.insert(before[i].number);
    }
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto got = table::acquire_name(caller(), family, false);
      if (!got) return report("a free name is not lent");
      if (!lent.insert(got->number).second) return report("a name is lent twice");
      if (got->number != *std::next(expected.begin(), static_cast<std::ptrdiff_t>(i))) {
        return report("name " + std::to_string(got->number) + " was lent, the lowest free one is " +
                      std::to_string(*std::next(expected.begin(), static_cast<std::ptrdiff_t>(i))));
      }
    }
    table::reset_names(table_);
    memory_.claimants.drop_all(table_);
  }

  void audit_locks(const Tokens& last_tokens) {
    std::vector<std::uint32_t> keys;    // those with a record first: it may be all the room there is
    for (std::uint32_t key = 0; key < kKeys; ++key) {
      keys.insert(table::find(table_, table::Key::lock(key_text(key))).hit ? keys.begin() : keys.end(), key);
    }
    for (const std::uint32_t key : keys) {
      const std::string text = key_text(key);
      const auto got = table::lock(
          caller(),
          {.key = table::Key::lock(text), .signee = "s77", .level = 1000, .force = true, .process_bound = true});
      if (!got) return report("" + text + " cannot be had by force");
      if (got->token <= last_tokens[key]) return report("" + text + ": its token has been given before");
      const auto done = table::unlock(caller(), table::Key::lock(text), "s77");
      if (!done || done->status != UnlockStatus::ok) return report("" + text + " is not unlocked");
    }
    for (std::uint32_t slot = 0; slot < table_.geometry().slots; ++slot) {
      const std::string text = "audit " + std::to_string(slot);
      if (!table::lock(caller(), {.key = table::Key::lock(text), .signee = "s78", .process_bound = true})) {
        return report("a record is lost for good: room for " + std::to_string(slot) + " of " +
                      std::to_string(table_.geometry().slots));
      }
    }
    table::unlock_all_of(table_, session_.id);
    memory_.claimants.drop_all(table_);
  }

  void audit_claimants() {
    std::uint32_t room = 0;
    while (room <= table_.layout().claimants && table::take_claimant(session_, {}, "s79", 0, true)) ++room;
    if (room != table_.layout().claimants) {
      report("room for " + std::to_string(room) + " claimants instead of " + std::to_string(table_.layout().claimants));
    }
    std::uint32_t waiters = 0;
    for (std::uint32_t index = 0; index < table_.layout().waiters; ++index) {
      const table::WaiterState state{table_.waiter(index).state.load()};
      if (state.used() && table::alive(table_, state.session())) ++waiters;
    }
    if (waiters != 0) report("a place among the waiters is lost for good");
  }

  const table::Table& table_;
  table::Session session_;
  table::ThreadMemory memory_{};
  std::string fault_{};
};

}    // namespace

std::string audit(const table::Table& table, const std::vector<table::SessionId>& sessions, const Tokens& tokens) {
  return Auditor(table).run(sessions, tokens);
}

}    // namespace keyrack::simulation
