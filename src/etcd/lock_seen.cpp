#include "etcd/lock_seen.hpp"

namespace keyrack::etcd {

LockSeen lock_seen(const std::vector<KeyValue>& kvs, Revision revision) {
  LockSeen seen;
  seen.revision = revision;
  for (const KeyValue& kv : kvs) (Keys::is_life(kv.key) ? seen.life : seen.kv) = kv;
  if (seen.kv) seen.record = decode_grant(*seen.kv);
  return seen;
}

std::vector<Compare> LockSeen::guard(const Keys& keys, std::string_view signature) const {
  return {{Compare::What::modified_is, keys.grant(signature), {}, kv ? kv->modified : 0},
          {Compare::What::modified_is, keys.life(signature), {}, life ? life->modified : 0}};
}

}    // namespace keyrack::etcd
