// A transaction that is made once, also when its answer is lost.
#pragma once

#include "etcd/client.hpp"

#include <optional>

namespace keyrack::etcd {

/// Its guard must hold `before` at the revision it was read at; `otherwise` must read the key, too.
struct GuardedWrite {
  Txn txn;
  std::string key;    // what it writes or, without a `call`, deletes
  std::optional<KeyValue> before = {};
  std::uint64_t call = 0;    // stands in the value that it writes
  /// What its fence begins with, behind the key, so that what happens to both can be told in one go; empty: anywhere.
  std::string fences = {};
};

/// As Client::commit(), but never repeated blindly: a lost answer is resolved by reading the key; see README.md, "Lost
/// answers". Errors: those of the client; in doubt, where even that does not tell.
Answer<TxnAnswer> commit_once(Client&, const GuardedWrite&, steady_clock::time_point until);

}    // namespace keyrack::etcd
