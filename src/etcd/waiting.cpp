#include "etcd/waiting.hpp"

#include "etcd/guard.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace keyrack::etcd {
namespace {

/// How long the requests of a wait may take: each the whole timeout, and all of them that much longer than the wait.
struct Limit {
  nanoseconds timeout;
  steady_clock::time_point until;    // when the wait ends

  steady_clock::time_point now() const { return std::min(steady_clock::now(), until) + timeout; }
};

/// One waiter's place in the queue; left when this ends, unless a grant has taken it away.
class QueuePlace {
 public:
  /// `arrival`: the revision at which it was refused first, which no later one can have.
  QueuePlace(Place& place, const Ask& ask, const Limit& limit, Revision arrival)
      : place_(place),
        ask_(ask),
        limit_(limit),
        turn_{.ahead = {},
              .place = place.keys().place(ask.signature, ask.level, arrival, ask.call),
              .waiter = place.keys().waiter(ask.signee, ask.call)} {
    turn_.ahead = place.keys().ahead_of(ask.signature, turn_.place);
  }
  ~QueuePlace() {
    try {
      if (session_) leave();
    } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): then it stays as long as the session
    }
  }
  QueuePlace(const QueuePlace&) = delete;
  QueuePlace& operator=(const QueuePlace&) = delete;

  const Turn& turn() const { return turn_; }
  Revision since() const { return since_; }
  nanoseconds session_ttl() const { return session_->ttl(); }
  void granted() { taken_ = false; }

  /// Takes the place, again if it is gone, and tells what stood there then. Errors: the client's.
  Answer<Attempt> take() {
    for (const auto until = limit_.now();;) {
      auto session = place_.session(until);
      if (!session) return session.error();
      session_ = *std::move(session);
      taken_ = true;
      const WaiterRecord waiter{.call = ask_.call,
                                .level = ask_.level,
                                .process = place_.process(),
                                .signature = std::string(ask_.signature)};
      Txn txn{.then = {put(turn_.place, std::string(ask_.signee), session_->lease()),
                       put(turn_.waiter, encode(waiter), session_->lease())},
              .repeatable = true};
      for (Operation& read : reads_of(place_.keys(), ask_, &turn_)) txn.then.push_back(std::move(read));
      const auto answer = place_.client().commit(txn, until);
      in_doubt_ = in_doubt_ || !answer || answer->repeated;
      if (!answer) {
        if (answer.error().code != Errc::lost || steady_clock::now() >= until) return answer.error();
        (void)session_->look(until);
        continue;
      }
      Attempt attempt = attempt_of(*answer, &turn_);
      if (attempt.place_is_gone) return Trouble{.what = "a place in the queue is not there"};
      since_ = answer->read.at(2).front().created;
      return attempt;
    }
  }

 private:
  void leave() {
    const auto erased = [&client = place_.client(), place = turn_.place,
                         waiter = turn_.waiter](steady_clock::time_point until) {
      return client.commit({.then = {erase({place}), erase({waiter})}, .repeatable = true}, until).has_value();
    };
    const bool left = !taken_ || erased(limit_.now());
    // A place that comes back, or stays, would hold up all behind it for as long as this process lives.
    if (!left || in_doubt_) place_.owe_while_under_way(erased);
  }

  Place& place_;
  const Ask& ask_;
  const Limit limit_;
  Turn turn_;
  std::shared_ptr<Session> session_;
  Revision since_ = 0;
  bool taken_ = false, in_doubt_ = false;
};

/// Looks for a cycle of waiters in which ours came last, all on one revision.
class CycleSearch {
 public:
  CycleSearch(Place& place, const Ask& ask, nanoseconds clock_error, Revision at, Revision since,
              steady_clock::time_point until)
      : place_(place), ask_(ask), clock_{clock_error}, at_(at), since_(since), until_(until) {}

  /// Who is of that level waits for that.
  bool found_from(const LockSeen& held, std::int64_t level) {
    // Nobody waits for that for long.
    if (!held.exists(clock_) || held.can_be_taken(clock_) || level > held.level()) return false;
    const GrantRecord& holder = held.record;
    if (ask_.owns(holder, place_.process())) return true;
    const std::uint64_t process = holder.bound != 0 ? holder.process : 0;    // 0: whoever says so
    if (!seen_.emplace(holder.signee, process).second) return false;
    const auto waiters = read_at(place_.keys().waiters(holder.signee));
    return std::any_of(waiters.begin(), waiters.end(), [&](const KeyValue& kv) {
      const WaiterRecord waiter = decode_waiter(kv);
      if (kv.created >= since_ || (process != 0 && waiter.process != process)) return false;
      return found_from(lock_seen(read_at(place_.keys().state(waiter.signature)), at_), waiter.level);
    });
  }

 private:
  /// Nothing where there is no answer: then no cycle is found this time.
  std::vector<KeyValue> read_at(Range range) {
    range.at = at_;
    auto answer = place_.client().commit({.then = {read(std::move(range))}}, until_);
    return answer ? std::move(answer->read.at(0)) : std::vector<KeyValue>();
  }

  Place& place_;
  const Ask& ask_;
  const Clock clock_;
  const Revision at_, since_;
  const steady_clock::time_point until_;
  std::set<std::pair<std::string, std::uint64_t>> seen_;    // signee and process
};

/// When there may be something new that no watch tells of.
steady_clock::time_point next_look(const Attempt& attempt, const Clock& clock, nanoseconds longest,
                                   steady_clock::time_point until) {
  const auto now = steady_clock::now();
  nanoseconds span = std::min<nanoseconds>(longest, until - now);
  if (attempt.ahead.empty() && attempt.seen.kv) {
    for (const Instant end : {attempt.seen.record.stale_at, attempt.seen.record.gone_at}) {
      if (const auto left = clock.until_past(end)) span = std::min(span, *left + nanoseconds(1));
    }
  }
  return now + std::max(span, nanoseconds(0));
}

}    // namespace

Result<LockResponse, Refusal> wait_for_lock(Place& place, const Ask& ask, const Options& options,
                                            steady_clock::time_point until) {
  const Limit limit{options.timeout, std::max(until, steady_clock::now())};
  const nanoseconds clock_error = options.clock_error;
  const Keys& keys = place.keys();
  const Turn newcomer{.ahead = keys.ahead_of_newcomer(ask.signature, ask.level)};
  auto tried = try_lock(place, ask, clock_error, &newcomer, {}, limit.now());
  if (!tried) return refused(error_of(tried.error()));
  if (tried->granted) return *std::move(tried->granted);

  // Holds it already, and does not renew.
  if (tried->refused && ask.owns(tried->seen.record, place.process())) return refused(Errc::would_deadlock);

  const auto timed_out = [&] {
    const LockSeen& seen = tried->seen;    // nobody has it: then it is the turn of one who waits
    return seen.exists(Clock{clock_error}) ? seen.refusal(Errc::timed_out) : refused(Errc::timed_out);
  };
  if (steady_clock::now() >= until) return timed_out();

  QueuePlace mine(place, ask, limit, tried->seen.revision);
  for (bool take = true;; take = tried->place_is_gone) {
    std::optional<Attempt> seen;    // none: guess that it is free, and our turn
    if (take) {
      tried = mine.take();
      if (!tried) return refused(error_of(tried.error()));
      seen = *std::move(tried);
    }
    tried = try_lock(place, ask, clock_error, &mine.turn(), std::move(seen), limit.now());
    if (!tried) return refused(error_of(tried.error()));
    if (tried->granted) {
      mine.granted();
      return *std::move(tried->granted);
    }
    if (tried->place_is_gone) continue;
    if (steady_clock::now() >= until) return timed_out();
    CycleSearch search(place, ask, clock_error, tried->seen.revision, mine.since(), limit.now());
    if (search.found_from(tried->seen, ask.level)) return refused(Errc::would_deadlock);

    const auto wake = next_look(*tried, Clock{clock_error}, mine.session_ttl(), until);
    const Range watched = tried->ahead.empty() ? keys.state(ask.signature) : Range{tried->ahead};
    place.client().await_change(watched, tried->seen.revision, wake);
  }
}

}    // namespace keyrack::etcd
