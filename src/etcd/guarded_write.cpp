#include "etcd/guarded_write.hpp"

#include "etcd/records.hpp"

namespace keyrack::etcd {
namespace {

enum class Fate { done, not_done, unknown };

/// Of a write that cannot happen any more. `known`: a revision of the store before it was sent.
Fate fate_of(const GuardedWrite& write, const KeyValue* now, Revision known) {
  const auto& before = write.before;
  // A deletion: not of what is still there. What is gone may also have been changed, and then deleted, by others.
  if (write.call == 0) return now != nullptr && now->created == before->created ? Fate::not_done : Fate::unknown;
  if (now == nullptr) return before ? Fate::unknown : Fate::not_done;
  if (call_of(*now) == write.call) return Fate::done;
  if (now->modified <= known) return Fate::not_done;    // the guard cannot have held
  // Nothing was there, so the guard cannot have held if something was. Else: made once since, and by another. Of what
  // we made and has been deleted again only the same signee, or time, can have been the end; that counts as not done.
  if (!before) return now->created <= known || now->version == 1 ? Fate::not_done : Fate::unknown;
  const bool changed_once = now->created == before->created && now->version == before->version + 1;
  return changed_once ? Fate::not_done : Fate::unknown;    // once, and by another
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
  constexpr std::chrono::hours kUnderWay(1);    // longer than any request can be
  const Revision known = client.revision();
  const std::string fence = client.prefix() + "void/" + std::to_string(random_number());
  Txn txn = write.txn;
  txn.guard.push_back({Compare::What::created_is, fence, {}, 0});
  auto answer = client.commit(txn, until);
  if (answer && answer->succeeded) return answer;
  const bool in_doubt = !answer && answer.error().in_doubt;
  if (!answer && !in_doubt) return answer;
  if (in_doubt) {
    // From here on it cannot happen any more; whether it has happened is read in the same step.
    const Trouble trouble = answer.error();
    const auto lease = static_cast<LeaseId>(random_number());
    if (const auto granted = client.grant(lease, kUnderWay, until); !granted) return trouble;
    Txn look{.then = {put(fence, "", lease)}, .repeatable = true};
    look.then.insert(look.then.end(), txn.otherwise.begin(), txn.otherwise.end());
    answer = client.commit(look, until);
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
  const Fate fate = fate_of(write, now, known);
  if (fate != Fate::unknown) {
    answer->succeeded = fate == Fate::done;
    return answer;
  }
  // What happened first tells: the guard held, if it was ours, and did not any more, if it was another one's. Nothing
  // was there before: what stands there now began with it, or it has been undone.
  const Revision since = write.before ? write.before->modified : now->created - 1;
  const auto first = client.first_change(write.key, since, until);
  if (!first) return Trouble{.in_doubt = true, .what = "an answer was lost, and what it was cannot be told"};
  answer->succeeded = write.call == 0 ? first->value.empty() : call_of(*first) == write.call;
  if (answer->succeeded) answer->revision = first->modified;
  return answer;
}

}    // namespace keyrack::etcd
