// The calls that are swept: what stands in the segment before, and who does what.
#pragma once

#include "stage.hpp"

#include "shm/segment.hpp"

#include <keyrack/keyrack.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::crash {

/// Keys that all hang in one bucket of any table of up to 64 slots.
const std::string& key(std::size_t number);

/// The segment as the library sees it from the inside; no session is taken. Made if it is not there.
std::shared_ptr<const shm::Segment> map_segment(const std::string& name, const std::string& options = "");

inline const std::string kFamily = "family";
inline constexpr LockOptions kBound{.lifetime = Lifetime::process};

/// One process that takes part: its services, and what it was granted.
class Actor {
 public:
  Actor(std::string segment, std::string options, Notes& notes)
      : segment_(std::move(segment)), options_(std::move(options)), notes_(notes) {}

  std::string url(std::string_view more = "") const;
  const std::string& segment() const { return segment_; }
  std::string open_locks();
  void close();

  LockService& locks() { return *locks_; }
  NameManager& names();    // opened when it is first needed

  /// These note the token, and answer what it came to.
  std::string lock(std::string_view key, std::string_view signee, const LockOptions& = kBound, std::int32_t level = 0);
  std::string lock_for(std::string_view key, std::string_view signee, std::chrono::nanoseconds,
                       const LockOptions& = kBound);
  std::string unlock(std::string_view key, std::string_view signee);
  std::string hold();
  std::string try_hold(std::string_view name);
  void note(std::string_view key, std::uint64_t token) { notes_.add(key, token); }

  std::vector<HeldName> held;
  std::unique_ptr<NamedMutex> mutex;
  std::unique_ptr<Actor> other;    // on another segment

 private:
  std::string segment_, options_;
  Notes& notes_;
  std::unique_ptr<LockService> locks_;
  std::unique_ptr<NameManager> names_;
};

enum class Helper {
  none,
  dies,          // is killed after its part, before the victim begins
  dies_later,    // is killed when the victim has fallen asleep in its call
  waits,         // its part is to wait for a lock, and to be granted it
};

/// The function of which every instruction is swept.
enum class Entry {
  call,          // the scenario's call itself
  keep_alive,    // what the keeper thread does for a held name
  recovery,      // what opening does first: clearing up after the dead
};

using Part = std::function<void(Actor&)>;
using Call = std::function<std::string(Actor&)>;

struct Scenario {
  std::string name;
  std::string expected;    // what the call comes to when nobody disturbs it; empty: not known
  Call call;
  Part victim = {};      // before the call, in its process; it has opened the services
  Part survivor = {};    // before all others
  Helper helper = Helper::none;
  Call helps = {};            // in a third process
  Part meanwhile = {};        // by the survivor, when the call has fallen asleep
  bool sleeps = false;        // the call may fall asleep
  bool first = false;         // it is the first call of its thread
  bool opens = false;         // the call opens: nothing was opened before, in the victim
  bool creates = false;       // and nobody else has opened
  bool forks = false;         // it is a forked child of the victim that makes the call
  bool unfinished = false;    // somebody may be formatting: opening may wait for a second
  bool fills = false;         // every record is held
  Entry entry = Entry::call;
  std::string options = "slots=8&sessions=4&max_signature=32&max_signee=32";
};

const std::vector<Scenario>& scenarios();

/// What is done about a death, by a process that was attached before (or attaches now, if it opens).
const std::vector<Scenario>& rescues();

}    // namespace keyrack::crash
