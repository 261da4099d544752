#include "etcd/own_grants.hpp"

#include <algorithm>
#include <utility>

namespace keyrack::etcd {
namespace {

/// Of grants that end without an unlock there may be any number.
constexpr std::size_t kUnboundMax = 1000;

}    // namespace

void OwnGrants::remember(std::string_view signature, LockSeen seen, const std::shared_ptr<Session>& session) {
  const std::lock_guard guard(mutex_);
  if (grants_.size() >= kUnboundMax) {
    std::erase_if(grants_, [](const auto& known) {
      const auto living = known.second.session.lock();
      return !living || living->lost();
    });
  }
  const auto [known, is_new] = grants_.try_emplace(std::string(signature), Grant{seen, session});
  if (!is_new && known->second.seen.revision < seen.revision) known->second = Grant{std::move(seen), session};
}

void OwnGrants::forget(std::string_view signature, std::uint64_t token) {
  const std::lock_guard guard(mutex_);
  const auto found = grants_.find(signature);
  if (found != grants_.end() && found->second.seen.token() == token) grants_.erase(found);
}

std::optional<LockSeen> OwnGrants::find(std::string_view signature) {
  const std::lock_guard guard(mutex_);
  const auto found = grants_.find(signature);
  if (found == grants_.end()) return {};
  return found->second.seen;
}

std::optional<steady_clock::time_point> OwnGrants::believed_until(std::string_view signature, std::uint64_t token) {
  const std::lock_guard guard(mutex_);
  const auto found = grants_.find(signature);
  if (found == grants_.end() || found->second.seen.token() != token) return {};
  const GrantRecord& record = found->second.seen.record;
  const auto end = as_steady(std::min(record.stale_at, record.gone_at));
  return record.bound != 0 ? std::min(good_until(found->second.session), end) : end;
}

}    // namespace keyrack::etcd
