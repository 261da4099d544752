// etcd's JSON: requests as text, answers as values. Answers are input: whatever is not as it must be is Garbage.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack::etcd {

using Revision = std::int64_t;    // 0: of what does not exist
using LeaseId = std::int64_t;     // 0: none

struct Garbage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct KeyValue {
  std::string key = {}, value = {};
  Revision created = 0, modified = 0;
  std::int64_t version = 0;    // 1 when it was created, one more at each change
  LeaseId lease = 0;
};

/// From `key` to before `end`; that key alone where `end` is empty.
struct Range {
  std::string key, end = {};
  Revision at = 0;           // 0: now
  bool last_only = false;    // of many keys the last one

  /// All keys that begin so.
  static Range prefix(const std::string&);
};
bool within(const Range&, const std::string& key);

/// What must hold of each key of a range, for a transaction to write.
struct Compare {
  enum class What { modified_is, modified_below, created_is, exists, lease_is } what;
  std::string key, end = {};
  std::int64_t value = 0;
};

struct Operation {
  enum class What { put, erase, range } what;
  Range range;    // put: its key
  std::string value = {};
  LeaseId lease = 0;
};
Operation put(std::string key, std::string value, LeaseId lease = 0);
Operation erase(Range);
Operation read(Range);

struct Txn {
  std::vector<Compare> guard = {};
  std::vector<Operation> then = {}, otherwise = {};
  bool repeatable = false;    // it writes, but no harm is done when it does so twice, or late
};

struct TxnAnswer {
  bool succeeded = false;
  bool repeated = false;    // of one that is repeatable: it may have been made before, or be made once more
  Revision revision = 0;    // of the store, when it was made
  std::vector<std::vector<KeyValue>> read;    // by each range among its operations
};

/// An error as etcd's gateway tells it.
struct EtcdError {
  int code = 0;    // gRPC's
  std::string message;
};

std::string to_json(const Txn&);
TxnAnswer parse_txn(std::string_view body, const Txn&);
std::optional<EtcdError> parse_error(std::string_view body);

/// Of leases: the time that one lives, once it is granted or kept alive, and the keys that hang on it.
std::chrono::seconds parse_granted(std::string_view body, LeaseId);
std::chrono::seconds parse_kept_alive(std::string_view body, LeaseId);
std::vector<std::string> parse_keys(std::string_view body, LeaseId);

/// What authenticates those who gave their password.
std::string parse_token(std::string_view body);

/// What happened to a key: it was written or, without a value, deleted.
struct Change {
  KeyValue kv;
  Revision before = 0;    // when what it was before was written, if that is known still
};

/// Of a line of a watch's answer: is there something new, or will there be no more? And what is new.
bool tells_of_change(std::string_view line);
std::vector<Change> parse_changes(std::string_view line);

std::string encode_base64(std::string_view);
std::string decode_base64(std::string_view);

}    // namespace keyrack::etcd
