// What stands under the prefix: keys, and the records that are their values.
#pragma once

#include "etcd/wire.hpp"

#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>

namespace keyrack::etcd {

using Instant = std::int64_t;    // of the wall clock, in ns since 1970
inline constexpr Instant kNever = std::numeric_limits<Instant>::max();

/// A value that is none of ours.
struct Corruption : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct GrantRecord {
  std::uint64_t call = 0;     // that wrote it; no other one's
  std::uint64_t token = 0;    // 0: the revision it was written at
  std::int64_t level = 0;
  std::int64_t bound = 0;       // 1: to its process, whose life is a key beside it
  std::uint64_t process = 0;    // a random number; who bears it
  std::int64_t pid = 0;         // as the process sees itself
  Instant stale_at = kNever, gone_at = kNever;
  std::string signee = {};
};

struct NameRecord {
  std::uint64_t call = 0;
  std::uint64_t token = 0;    // of this lending; 0: the revision it was written at
  std::int64_t free = 0;
  std::int64_t bound = 0;
  std::int64_t ages = 0;    // 0: held, and kept alive by the life alone
  std::uint64_t process = 0;
  std::int64_t pid = 0;
  Instant created_at = 0, updated_at = 0;
};

struct WaiterRecord {
  std::uint64_t call = 0;
  std::int64_t level = 0;
  std::uint64_t process = 0;     // that waits
  std::string signature = {};    // what for
};

/// "keyrack1 call=… token=…", one line that people can read. Decoding throws Corruption.
std::string encode(const GrantRecord&);
std::string encode(const NameRecord&);
std::string encode(const WaiterRecord&);
GrantRecord decode_grant(const KeyValue&);
NameRecord decode_name(const KeyValue&);
WaiterRecord decode_waiter(const KeyValue&);

/// The call that wrote a value; 0 if it is none of ours.
std::uint64_t call_of(const KeyValue&);

/// The fencing token of a record that stands under that key.
template <class Record>
std::uint64_t token_of(const KeyValue& kv, const Record& record) {
  return record.token != 0 ? record.token : static_cast<std::uint64_t>(kv.modified);
}

/// Unlike any other of anybody; never 0.
std::uint64_t random_number();

/// The keys; see README.md.
class Keys {
 public:
  explicit Keys(std::string prefix) : prefix_(std::move(prefix)) {}

  std::string grant(std::string_view signature) const { return lock(signature) + "grant"; }
  std::string life(std::string_view signature) const { return lock(signature) + "life"; }
  /// The grant and the life.
  Range state(std::string_view signature) const { return {grant(signature), life(signature) + '\0'}; }

  /// Behind the grant, and no part of the state.
  std::string fences(std::string_view signature) const { return lock(signature) + "void/"; }

  /// A place in the queue, and all that may be before a newcomer of that level.
  std::string place(std::string_view signature, std::int32_t level, Revision arrival, std::uint64_t id) const;
  Range ahead_of_newcomer(std::string_view signature, std::int32_t level) const;
  Range ahead_of(std::string_view signature, const std::string& place) const { return {queue(signature), place}; }

  std::string waiter(std::string_view signee, std::uint64_t id) const;
  Range waiters(std::string_view signee) const;

  std::string name(std::string_view family, std::uint32_t number) const;
  static std::string name_life(const std::string& name) { return std::string(name).append(kLife); }
  /// A name and its life.
  static Range name_state(const std::string& name) { return {name, name_life(name) + '\0'}; }
  Range family(std::string_view family) const { return Range::prefix(family_prefix(family)); }
  Range names() const { return Range::prefix(prefix_ + "name/"); }
  std::string reset() const { return prefix_ + "reset"; }

  /// What a key of names() is; the life's key for a life. Throws Corruption.
  struct Named {
    std::string family;
    std::uint32_t number;
    bool life;
  };
  Named named(const std::string& key) const;

  static bool is_life(const std::string& key) { return key.ends_with(kLife); }

  /// The key beside which a life stands: of a grant or a name. Empty for other keys.
  std::string owner_of_life(const std::string& key) const;
  bool is_name(const std::string& key) const { return key.starts_with(prefix_ + "name/"); }

 private:
  std::string lock(std::string_view signature) const;
  std::string queue(std::string_view signature) const { return lock(signature) + "wait/"; }
  std::string family_prefix(std::string_view family) const;

  static constexpr std::string_view kLife{"\0life", 5};
  const std::string prefix_;
};

}    // namespace keyrack::etcd
