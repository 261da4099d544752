#include "etcd/guarded_write.hpp"

#include "etcd/records.hpp"

namespace keyrack::etcd {
namespace {

enum class Fate { done, not_yet, never, unknown };

/// `known`: a revision of the store before it was sent.
Fate fate_of(const GuardedWrite& write, const KeyValue* now, Revision known) {
  const auto& before = write.before;
  if (write.call != 0) {
    if (now != nullptr && call_of(*now) == write.call) return Fate::done;
    if ((now == nullptr ? 0 : now->modified) == (before ? before->modified : 0)) return Fate::not_yet;
    // It was there all the time, so what was a guess was wrong.
    if (!before && now != nullptr && now->created <= known) return Fate::never;
    // Changed once since, and not by this call: the guard cannot hold any more.
    if (before && now != nullptr && now->created == before->created && now->version == before->version + 1) {
      return Fate::never;
    }
    return Fate::unknown;
  }
  if (now == nullptr || now->created != before->created) return Fate::done;
  return now->modified == before->modified ? Fate::not_yet : Fate::never;
}

const KeyValue* find(const TxnAnswer& answer, const std::string& key) {
  for (const auto& range : answer.read) {
    for (const KeyValue& kv : range) {
      if (kv.key == key) return &kv;
    }
  }
  return nullptr;
}

}    // namespace

Answer<TxnAnswer> commit_once(Client& client, const GuardedWrite& write, steady_clock::time_point until) {
  const Revision known = client.revision();
  for (;;) {
    auto answer = client.commit(write.txn, until);
    if (answer && answer->succeeded) return answer;
    const bool in_doubt = !answer && answer.error().in_doubt;
    if (!answer && !in_doubt) return answer;
    if (in_doubt) {
      const Trouble trouble = answer.error();
      answer = client.commit({.then = write.txn.otherwise}, until);
      if (!answer) return trouble;
      answer->succeeded = false;
    }
    const KeyValue* now = find(*answer, write.key);
    // Not only when in doubt: something on the way may have sent it twice.
    if (write.call != 0 && now != nullptr && call_of(*now) == write.call) {
      answer->succeeded = true;
      answer->revision = now->modified;
      return answer;
    }
    if (!in_doubt) return answer;
    switch (fate_of(write, now, known)) {
      case Fate::done:
        answer->succeeded = true;
        return answer;
      case Fate::never:
        return answer;
      case Fate::unknown:
        return Trouble{.in_doubt = true, .what = "an answer was lost, and what it was cannot be told"};
      case Fate::not_yet:
        break;    // once more: the same guard lets at most one of them happen
    }
  }
}

}    // namespace keyrack::etcd
