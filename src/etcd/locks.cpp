#include "etcd/locks.hpp"

#include "etcd/guard.hpp"
#include "etcd/guarded_write.hpp"

#include <algorithm>
#include <utility>

namespace keyrack::etcd {
namespace {

/// By the rules, whoever waits; failed: refused.
LockStatus decide(const Attempt& attempt, const Ask& ask, std::uint64_t process, const Clock& clock) {
  const LockSeen& seen = attempt.seen;
  if (!seen.exists(clock)) return LockStatus::ok;
  if (ask.renews && ask.owns(seen.record, process)) return LockStatus::renewed;
  const bool taken = ask.level > seen.level() || ask.force || seen.can_be_taken(clock);
  return taken ? LockStatus::transferred : LockStatus::failed;
}

/// The lease of a record that has a time to live, so that it leaves the store some time after that.
class RecordLease {
 public:
  RecordLease(Client& client, std::optional<nanoseconds> time_to_live, nanoseconds clock_error,
              steady_clock::time_point until)
      : client_(client), until_(until) {
    constexpr std::chrono::seconds kLongest = std::chrono::hours(24) * 365 * 100;
    if (!time_to_live || *time_to_live >= kLongest) return;
    const auto span = std::max(*time_to_live, nanoseconds(0)) + 2 * clock_error;
    ttl_ = std::chrono::ceil<std::chrono::seconds>(span) + std::chrono::seconds(1);
  }
  /// Where it is not used it would live as long as the record.
  ~RecordLease() {
    try {
      end();
    } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): then it does
    }
  }
  RecordLease(const RecordLease&) = delete;
  RecordLease& operator=(const RecordLease&) = delete;

  /// Its whole time begins now; 0: the record needs none.
  Answer<LeaseId> begin() {
    if (ttl_.count() == 0) return LeaseId{0};
    if (id_ != 0) {    // others were faster, and that took a while
      const auto left = client_.keep_alive(id_, until_);
      if (left && left->count() > 0) return id_;
      end();
    }
    const auto id = static_cast<LeaseId>(random_number());
    if (const auto granted = client_.grant(id, ttl_, until_); !granted) return granted.error();
    return id_ = id;
  }
  void end() {
    if (const LeaseId id = std::exchange(id_, 0); id != 0) (void)client_.revoke(id, until_);
  }
  /// A record hangs on it, or may.
  void used() { id_ = 0; }

 private:
  Client& client_;
  const steady_clock::time_point until_;
  std::chrono::seconds ttl_{0};
  LeaseId id_ = 0;
};

/// Ends the lease that a record hung on, which is stored no more; else it lives as long as that would have.
void end_lease_of(Client& client, const std::optional<KeyValue>& record, steady_clock::time_point until) {
  if (record && record->lease != 0) (void)client.revoke(record->lease, until);
}

}    // namespace

Ask make_ask(const LockRequest& request, const LockOptions& wanted, const Options& options) {
  return {.signature = request.signature,
          .signee = request.signee,
          .level = request.level,
          .force = wanted.force,
          .bound = wanted.lifetime == Lifetime::process,
          .duration = wanted.duration ? wanted.duration : options.duration,
          .time_to_live = wanted.time_to_live ? wanted.time_to_live : options.time_to_live};
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

Answer<Attempt> try_lock(Place& place, const Ask& ask, nanoseconds clock_error, const Turn* turn,
                         std::optional<Attempt> seen_before, steady_clock::time_point until) {
  const Keys& keys = place.keys();
  const std::string grant_key = keys.grant(ask.signature), life_key = keys.life(ask.signature);
  if (!seen_before && ask.time_to_live) {    // no guess: a wrong one would have made a lease for nothing
    const auto answer = place.client().commit({.then = reads_of(keys, ask, turn)}, until);
    if (!answer) return answer.error();
    seen_before = attempt_of(*answer, turn);
  }
  RecordLease record_lease(place.client(), ask.time_to_live, clock_error, until);
  for (Attempt attempt = std::move(seen_before).value_or(Attempt());;) {
    const LockSeen& seen = attempt.seen;
    Clock clock{clock_error};
    const LockStatus status = decide(attempt, ask, place.process(), clock);
    const bool in_turn = turn != nullptr && status != LockStatus::renewed && !ask.force;
    attempt.refused = status == LockStatus::failed;
    if (attempt.refused || attempt.place_is_gone || (in_turn && !attempt.ahead.empty())) return attempt;

    std::shared_ptr<Session> session;
    if (ask.bound) {
      auto living = place.session(until);
      if (!living) return living.error();
      session = *std::move(living);
    }
    clock = Clock{clock_error};    // before the lease begins: the record is to be gone first
    const auto lease = record_lease.begin();
    if (!lease) return lease.error();
    GrantRecord record{.call = ask.call,
                       .level = ask.level,
                       .bound = ask.bound,
                       .process = place.process(),
                       .pid = place.pid(),
                       .stale_at = clock.after(ask.duration),
                       .gone_at = clock.after(ask.time_to_live),
                       .signee = std::string(ask.signee)};
    if (status == LockStatus::renewed) record.token = seen.token();

    GuardedWrite write{
        .txn = {}, .key = grant_key, .before = seen.kv, .call = ask.call, .fences = keys.fences(ask.signature)};
    Txn& txn = write.txn;
    txn.guard = seen.guard(keys, ask.signature);
    if (in_turn) txn.guard.push_back({Compare::What::created_is, turn->ahead.key, turn->ahead.end, 0});
    txn.then = {put(grant_key, encode(record), *lease)};
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
      if (answer.error().in_doubt) record_lease.used();
      if (answer.error().code != Errc::lost || steady_clock::now() >= until) return answer.error();
      record_lease.end();    // one of the two leases has ended
      if (session) session->look(until);
      continue;
    }
    if (answer->succeeded) {
      record_lease.used();
      LockSeen granted{.record = std::move(record), .revision = answer->revision};
      granted.kv = {
          .created = seen.kv ? seen.kv->created : answer->revision, .modified = answer->revision, .lease = *lease};
      if (session) granted.life = {.modified = answer->revision};
      LockResponse response{.status = status,
                            .previous_signee = status == LockStatus::transferred ? seen.record.signee : "",
                            .token = granted.token()};
      place.grants().remember(ask.signature, std::move(granted), session);
      end_lease_of(place.client(), seen.kv, until);
      return Attempt{.granted = std::move(response)};
    }
    attempt = attempt_of(*answer, turn);
  }
}

Result<LockResponse, Refusal> lock_now(Place& place, const Ask& ask, const Options& options,
                                       steady_clock::time_point until) {
  auto tried = try_lock(place, ask, options.clock_error, nullptr, {}, until);
  if (!tried) return refused(error_of(tried.error()));
  if (tried->granted) return *std::move(tried->granted);
  return tried->seen.refusal(Errc::forbidden);
}

Answer<Release> release(Place& place, std::string_view signature, const std::function<bool(const LockSeen&)>& wanted,
                        steady_clock::time_point until) {
  const Keys& keys = place.keys();
  const Range state = keys.state(signature);
  // A guess first: as it was granted to this process.
  std::optional<LockSeen> seen = place.grants().find(signature);
  if (seen && !wanted(*seen)) seen.reset();
  for (;;) {
    if (!seen) {
      const auto answer = place.client().commit({.then = {read(state)}}, until);
      if (!answer) return answer.error();
      seen = lock_seen(answer->read.at(0), answer->revision);
    }
    if (!seen->kv || !wanted(*seen)) return Release{.seen = *std::move(seen)};
    const auto answer =
        commit_once(place.client(),
                    {.txn = {.guard = seen->guard(keys, signature), .then = {erase(state)}, .otherwise = {read(state)}},
                     .key = keys.grant(signature),
                     .before = seen->kv,
                     .fences = keys.fences(signature)},
                    until);
    if (!answer) return answer.error();
    if (answer->succeeded) {
      place.grants().forget(signature, seen->token());
      end_lease_of(place.client(), seen->kv, until);
      return Release{.done = true, .seen = *std::move(seen)};
    }
    seen = lock_seen(answer->read.at(0), answer->revision);
  }
}

}    // namespace keyrack::etcd
