// One lock, as it stood under its keys at one revision.
#pragma once

#include "etcd/clock.hpp"
#include "etcd/records.hpp"

#include <keyrack/lock_service.hpp>

#include <optional>
#include <string_view>
#include <vector>

namespace keyrack::etcd {

struct LockSeen {
  std::optional<KeyValue> kv = {}, life = {};
  GrantRecord record = {};    // of kv
  Revision revision = 0;

  /// Both have the revisions that were read.
  std::vector<Compare> guard(const Keys&, std::string_view signature) const;
  std::uint64_t token() const { return token_of(*kv, record); }
  bool abandoned() const { return record.bound != 0 && !life; }
  /// Is there a grant, and not one past its time to live?
  bool exists(const Clock& clock) const { return kv && !clock.is_past(record.gone_at); }
  /// Can others take it, whatever their level?
  bool can_be_taken(const Clock& clock) const { return abandoned() || clock.is_past(record.stale_at); }
  std::int32_t level() const { return static_cast<std::int32_t>(record.level); }

  Refusal refusal(Errc code) const {
    return {code, record.signee, level(), static_cast<std::int32_t>(record.pid), token()};
  }
};

/// From what a read of Keys::state() gave. Throws Corruption.
LockSeen lock_seen(const std::vector<KeyValue>&, Revision);

}    // namespace keyrack::etcd
