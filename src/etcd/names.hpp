// One name, as it stands under its key.
#pragma once

#include "etcd/client.hpp"
#include "etcd/guarded_write.hpp"
#include "etcd/records.hpp"

#include <functional>
#include <optional>

namespace keyrack::etcd {

struct NameSeen {
  std::optional<KeyValue> kv, life;
  NameRecord record = {};    // of kv

  std::uint64_t token() const { return token_of(*kv, record); }
  /// Both have the revisions that were read.
  std::vector<Compare> guard(const std::string& key) const;
};

/// From what a read of Keys::name_state() gave. Throws Corruption.
NameSeen name_seen(const std::vector<KeyValue>&);

/// Reads the name and, if it is lent and `wanted`, frees it. False if not. Throws Corruption.
Answer<bool> free_name(Client&, const std::string& key, const std::function<bool(const NameSeen&)>& wanted,
                       steady_clock::time_point until);

}    // namespace keyrack::etcd
