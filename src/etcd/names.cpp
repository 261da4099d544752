#include "etcd/names.hpp"

namespace keyrack::etcd {

std::vector<Compare> NameSeen::guard(const std::string& key) const {
  return {{Compare::What::modified_is, key, {}, kv ? kv->modified : 0},
          {Compare::What::modified_is, Keys::name_life(key), {}, life ? life->modified : 0}};
}

NameSeen name_seen(const std::vector<KeyValue>& kvs) {
  NameSeen seen;
  for (const KeyValue& kv : kvs) {
    (Keys::is_life(kv.key) ? seen.life : seen.kv) = kv;
  }
  if (seen.kv) seen.record = decode_name(*seen.kv);
  return seen;
}

Answer<bool> free_name(Client& client, const std::string& key, const std::function<bool(const NameSeen&)>& wanted,
                       steady_clock::time_point until) {
  const Range state = Keys::name_state(key);
  const std::uint64_t call = random_number();
  auto answer = client.commit({.then = {read(state)}}, until);
  for (;;) {
    if (!answer) return answer.error();
    const NameSeen seen = name_seen(answer->read.at(0));
    if (!seen.kv || seen.record.free != 0 || !wanted(seen)) return false;
    NameRecord freed{.call = call, .free = 1, .created_at = seen.record.created_at};
    freed.token = seen.token();
    answer = commit_once(client,
                         {.txn = {.guard = seen.guard(key),
                                  .then = {put(key, encode(freed)), erase({Keys::name_life(key)})},
                                  .otherwise = {read(state)}},
                          .key = key,
                          .before = seen.kv,
                          .call = call},
                         until);
    if (answer && answer->succeeded) return true;
  }
}

}    // namespace keyrack::etcd
