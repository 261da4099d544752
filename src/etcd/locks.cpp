#include "etcd/locks.hpp"

#include "etcd/guarded_write.hpp"

namespace keyrack::etcd {
namespace {

/// By the rules, whoever waits; failed: refused.
LockStatus decide(const Attempt& attempt, const Ask& ask, std::uint64_t process, const Clock& clock) {
  const LockSeen& seen = attempt.seen;
  if (!seen.exists(clock)) return LockStatus::ok;
  if (ask.owns(seen.record, process)) return LockStatus::renewed;
  const bool taken = ask.level > seen.level() || ask.force || seen.can_be_taken(clock);
  return taken ? LockStatus::transferred : LockStatus::failed;
}

/// A lease for a record that has a time to live, so that it leaves the store some time after that; 0: it stays.
Answer<LeaseId> lease_for(Client& client, const Ask& ask, nanoseconds clock_error, steady_clock::time_point until) {
  constexpr std::chrono::seconds kLongest = std::chrono::hours(24) * 365 * 100;
  if (!ask.time_to_live || *ask.time_to_live >= kLongest) return 0;
  const auto span = std::max(*ask.time_to_live, nanoseconds(0)) + 2 * clock_error;
  const auto lease = static_cast<LeaseId>(random_number());
  const auto granted =
      client.grant(lease, std::chrono::ceil<std::chrono::seconds>(span) + std::chrono::seconds(1), until);
  if (!granted) return granted.error();
  return lease;
}

}    // namespace

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

std::vector<Operation> reads_of(const Keys& keys, const Ask& ask, const Turn* turn) {
  std::vector<Operation> reads{read(keys.state(ask.signature))};
  if (turn == nullptr) return reads;
  Range last = turn->ahead;
  last.last_only = true;
  reads.push_back(read(std::move(last)));
  if (!turn->place.empty()) reads.push_back(read({turn->place}));
  return reads;
}

Attempt attempt_of(const TxnAnswer& answer, const Turn* turn) {
  Attempt attempt{.seen = lock_seen(answer.read.at(0), answer.revision)};
  if (turn == nullptr) return attempt;
  if (const auto& ahead = answer.read.at(1); !ahead.empty()) attempt.ahead = ahead.front().key;
  attempt.place_is_gone = !turn->place.empty() && answer.read.at(2).empty();
  return attempt;
}

void end_lease_of(Client& client, const std::optional<KeyValue>& record, steady_clock::time_point until) {
  if (record && record->lease != 0) (void)client.revoke(record->lease, until);
}

Answer<Attempt> try_lock(Place& place, const Ask& ask, nanoseconds clock_error, const Turn* turn,
                         std::optional<Attempt> seen_before, steady_clock::time_point until) {
  const Keys& keys = place.keys();
  const std::string grant_key = keys.grant(ask.signature), life_key = keys.life(ask.signature);
  if (!seen_before && ask.time_to_live) {    // no guess: a wrong one would have made a lease for nothing
    const auto answer = place.client().commit({.then = reads_of(keys, ask, turn)}, until);
    if (!answer) return answer.error();
    seen_before = attempt_of(*answer, turn);
  }
  LeaseId record_lease = 0;
  for (Attempt attempt = std::move(seen_before).value_or(Attempt());;) {
    const LockSeen& seen = attempt.seen;
    const Clock clock{clock_error};
    const LockStatus status = decide(attempt, ask, place.process(), clock);
    const bool in_turn = turn != nullptr && status != LockStatus::renewed && !ask.force;
    attempt.refused = status == LockStatus::failed;
    if (attempt.refused || attempt.place_is_gone || (in_turn && !attempt.ahead.empty())) {
      if (record_lease != 0) (void)place.client().revoke(record_lease, until);
      return attempt;
    }

    std::shared_ptr<Session> session;
    if (ask.bound) {
      auto living = place.session(until);
      if (!living) return living.error();
      session = *std::move(living);
    }
    if (record_lease == 0) {
      const auto lease = lease_for(place.client(), ask, clock_error, until);
      if (!lease) return lease.error();
      record_lease = *lease;
    }
    GrantRecord record{.call = ask.call,
                       .level = ask.level,
                       .bound = ask.bound,
                       .process = place.process(),
                       .pid = place.pid(),
                       .stale_at = clock.after(ask.duration),
                       .gone_at = clock.after(ask.time_to_live),
                       .signee = std::string(ask.signee)};
    if (status == LockStatus::renewed) record.token = seen.token();

    GuardedWrite write{.txn = {}, .key = grant_key, .before = seen.kv, .call = ask.call};
    Txn& txn = write.txn;
    txn.guard = seen.guard(keys, ask.signature);
    if (in_turn) txn.guard.push_back({Compare::What::created_is, turn->ahead.key, turn->ahead.end, 0});
    txn.then = {put(grant_key, encode(record), record_lease)};
    if (session) {
      txn.then.push_back(put(life_key, "", session->lease()));
    } else if (seen.life) {
      txn.then.push_back(erase({life_key}));
    }
    if (turn != nullptr && !turn->place.empty()) {
      txn.guard.push_back({Compare::What::exists, turn->place});
      txn.then.push_back(erase({turn->place}));
      txn.then.push_back(erase({turn->waiter}));
    }
    txn.otherwise = reads_of(keys, ask, turn);

    const auto answer = commit_once(place.client(), write, until);
    if (!answer) {
      if (answer.error().code != Errc::lost || steady_clock::now() >= until) return answer.error();
      record_lease = 0;    // one of the two leases has ended
      if (session) session->look(until);
      continue;
    }
    if (answer->succeeded) {
      LockResponse response{
          .status = status,
          .previous_signee = status == LockStatus::transferred ? seen.record.signee : "",
          .token = status == LockStatus::renewed ? record.token : static_cast<std::uint64_t>(answer->revision)};
      place.granted(ask.signature, response.token, session, std::min(record.stale_at, record.gone_at));
      end_lease_of(place.client(), seen.kv, until);
      return Attempt{.granted = std::move(response)};
    }
    attempt = attempt_of(*answer, turn);
  }
}

}    // namespace keyrack::etcd
