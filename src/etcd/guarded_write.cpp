#include "etcd/guarded_write.hpp"

#include "etcd/records.hpp"

namespace keyrack::etcd {
namespace {

/// Of a write that cannot happen any more: the key as it is now tells that it was not done, and nothing else need be
/// asked. `known`: a revision of the store before it was sent.
bool is_not_done(const GuardedWrite& write, const KeyValue* now, Revision known) {
  const auto& before = write.before;
  if (now != nullptr && now->modified <= known) return true;    // nothing was done, or the guard cannot have held
  if (!write.fences.empty()) return false;
  if (now == nullptr) return !before;
  // Nothing was there, so the guard cannot have held if something was. Else: made once since, and by another. Of what
  // we made and has been deleted again only a reset can have been the end; that counts as not done.
  if (!before) return now->created <= known || now->version == 1;
  return now->created == before->created && now->version == before->version + 1;    // once, and by another
}

/// The same, by what happened to the key since. The revision at which it was done; 0: it was not.
Answer<Revision> done_at(Client& client, const GuardedWrite& write, const KeyValue* now, Revision known,
                         const std::string& fence, steady_clock::time_point until) {
  Range range{write.key};
  Revision since = known;
  if (!write.fences.empty()) {
    range.end = fence + '\0';
  } else if (write.before) {
    since = write.before->modified;    // the first tells: at the second the guard held no more
  } else {
    since = now->created - 1;    // what stands there now began with it, or it has been undone
  }
  const bool all = !write.fences.empty();
  const auto changes = client.changes(
      range, since, [&](const KeyValue& kv) { return !all || kv.key == fence; }, until);
  if (!changes) return changes.error();
  for (const auto& [kv, before] : *changes) {
    if (kv.key != write.key) continue;
    const bool deleted = write.call == 0 && kv.value.empty() && before == write.before->modified;
    if (deleted || (write.call != 0 && call_of(kv) == write.call)) return kv.modified;
  }
  return Revision{0};
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
  const std::string fence =
      (write.fences.empty() ? client.prefix() + "void/" : write.fences) + std::to_string(random_number());
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
  if (is_not_done(write, now, known)) return answer;
  const auto done = done_at(client, write, now, known, fence, until);
  if (!done) return Trouble{.in_doubt = true, .what = "an answer was lost, and what it was cannot be told"};
  answer->succeeded = *done != 0;
  if (answer->succeeded) answer->revision = *done;
  return answer;
}

}    // namespace keyrack::etcd
