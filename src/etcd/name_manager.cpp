// The name manager on etcd: checks the request, and makes it a transaction.
#include "etcd/clock.hpp"
#include "etcd/guard.hpp"
#include "etcd/names.hpp"
#include "etcd/place.hpp"
#include "etcd/services.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace keyrack::etcd {
namespace {

using std::chrono::system_clock;

/// The number that a name is, if it is one as it would be written: no sign, no leading zero.
std::optional<std::uint32_t> number_of(std::string_view name) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc{} || end != name.data() + name.size() || (name.size() > 1 && name.front() == '0')) return {};
  return number;
}

/// What decides whether a name is free.
struct Age {
  std::optional<nanoseconds> auto_release_after;
  Clock clock;

  /// When it is too old by its own clock.
  Instant end_of(const NameRecord& record) const {
    if (record.ages == 0 || !auto_release_after) return kNever;
    return Clock{clock.error, record.updated_at}.after(auto_release_after);
  }
  bool is_free(const NameSeen& seen) const {
    const NameRecord& record = seen.record;
    return !seen.kv || record.free != 0 || (record.bound != 0 && !seen.life) || clock.is_past(end_of(record));
  }
};

/// A lending of one name.
struct Lending {
  std::string key;
  std::uint32_t number = 0;
  NameSeen seen = {};    // as it was lent

  std::uint64_t token() const { return seen.token(); }
};

/// Writes the name anew, if it is still as seen.
GuardedWrite rewrite(const std::string& key, const NameSeen& seen, const NameRecord& record) {
  return {.txn = {.guard = seen.guard(key), .then = {put(key, encode(record))}},
          .key = key,
          .before = seen.kv,
          .call = record.call};
}

/// What stands there when that has been done at a revision, and the life was written, too, or not.
NameSeen rewritten(const NameSeen& seen, const NameRecord& record, Revision at, std::optional<KeyValue> life) {
  return {.kv = KeyValue{.created = seen.kv ? seen.kv->created : at, .modified = at},
          .life = std::move(life),
          .record = record};
}

/// Starts the age of a lent name anew; of that lending only, where a token is given. When; none: it is lent no more.
/// `known`: as the caller has seen it last, so that it need not be read first; as it is then. None: reads it.
Answer<std::optional<Instant>> touch(Client& client, const std::string& key, std::optional<std::uint64_t> token,
                                     const std::optional<nanoseconds>& auto_release_after, nanoseconds clock_error,
                                     std::optional<NameSeen>& known, steady_clock::time_point until) {
  const std::optional<Instant> none;
  const Range state = Keys::name_state(key);
  const std::uint64_t call = random_number();
  if (!known) {
    const auto answer = client.commit({.then = {read(state)}}, until);
    if (!answer) return answer.error();
    known = name_seen(answer->read.at(0));
  }
  for (;;) {
    const NameSeen seen = *std::exchange(known, {});
    const Age age{auto_release_after, {clock_error}};
    if (age.is_free(seen) || (token && seen.token() != *token)) return none;
    // Who holds it believes no longer than its own clock says.
    if (token && age.clock.is_past_for_its_owner(age.end_of(seen.record))) return none;
    NameRecord record = seen.record;
    record.call = call;
    record.token = seen.token();
    record.updated_at = age.clock.now;
    GuardedWrite write = rewrite(key, seen, record);
    write.txn.otherwise = {read(state)};
    const auto answer = commit_once(client, write, until);
    if (!answer) return answer.error();
    if (answer->succeeded) {
      known = rewritten(seen, record, answer->revision, seen.life);
      return std::optional(record.updated_at);
    }
    known = name_seen(answer->read.at(0));
  }
}

/// Frees the name, later and by the session's thread, if it is `wanted` still. True: there is nothing more to do.
using Freeing = std::function<bool(steady_clock::time_point until)>;
Freeing freeing(Client& client, const std::string& key, std::function<bool(const NameSeen&)> wanted) {
  return [&client, key, wanted = std::move(wanted)](steady_clock::time_point until) {
    try {
      return free_name(client, key, wanted, until).has_value();
    } catch (const Corruption&) {
      return true;    // nothing that is ours
    }
  };
}

/// A name that is held: the session's lease keeps it, and where names age a beat of its thread keeps it young.
class EtcdGrip final : public HeldName::Grip {
 public:
  EtcdGrip(const std::shared_ptr<Place>& place, const std::shared_ptr<Session>& session, Lending lending,
           const Options& options)
      : place_(place),
        session_(session),
        lending_(std::move(lending)),
        auto_release_after_(options.auto_release_after),
        clock_error_(options.clock_error),
        timeout_(options.timeout),
        known_(std::make_shared<Known>()) {
    known_->updated_at = lending_.seen.record.updated_at;
    if (!auto_release_after_) return;
    const auto interval = std::max<nanoseconds>(*auto_release_after_ / 3, std::chrono::milliseconds(1));
    // The beat may outlive the grip by a moment, and the place lives longer than its session's thread.
    beat_ =
        std::make_shared<Beat>(interval, [&client = place->client(), key = lending_.key, token = lending_.token(),
                                          age = *auto_release_after_, error = clock_error_, known = known_,
                                          seen = std::optional(lending_.seen)](steady_clock::time_point until) mutable {
          try {
            const auto touched = touch(client, key, token, age, error, seen, until);
            if (!touched) return true;
            if (*touched) {
              known->updated_at = **touched;
            } else {
              known->lost = true;
            }
          } catch (const Corruption&) {
            known->lost = true;
          }
          return !known->lost;
        });
    session->add(beat_);
  }
  ~EtcdGrip() override { (void)release(); }

  std::error_code status() const override {
    if (released_) return {};
    if (known_->lost) return Errc::lost;
    return in_use([&](Place& place) { return look(place); });
  }

  /// Also what is believed lost: etcd may have it as ours still, for as long as the session lives. What cannot be asked
  /// for in time is released later: nobody else will.
  Result<void> release() override {
    if (std::exchange(released_, true)) return {};
    if (beat_) beat_->stop();
    bool lost = known_->lost;
    const std::error_code error = in_use([&](Place& place) -> std::error_code {
      const auto freed = free_name(
          place.client(), lending_.key,
          [&](const NameSeen& seen) {
            lost = lost || !is_mine(seen);
            return seen.token() == lending_.token();
          },
          deadline());
      if (!freed) {
        place.owe(freeing(place.client(), lending_.key,
                          [token = lending_.token()](const NameSeen& seen) { return seen.token() == token; }));
        return error_of(freed.error());
      }
      return lost || !*freed ? make_error_code(Errc::lost) : std::error_code();
    });
    if (error) return error;
    return {};
  }

 private:
  bool is_mine(const NameSeen& seen) const {
    const Age age{auto_release_after_, {clock_error_}};
    return seen.kv && !age.is_free(seen) && seen.token() == lending_.token() &&
           !age.clock.is_past_for_its_owner(age.end_of(seen.record));
  }

  steady_clock::time_point deadline() const { return steady_clock::now() + timeout_; }

  /// Until when nobody else can have it, as far as can be told without asking.
  steady_clock::time_point believed_until() const {
    const Instant end = Clock{clock_error_, known_->updated_at}.after(auto_release_after_);    // never, where none ages
    return std::min(good_until(session_), as_steady(end));
  }

  std::error_code look(Place& place) const {
    const auto believed = believed_until();
    const auto answer =
        place.client().commit({.then = {read(Keys::name_state(lending_.key))}}, no_longer_than(believed, deadline()));
    if (answer) {
      if (!is_mine(name_seen(answer->read.at(0)))) known_->lost = true;
    } else if (steady_clock::now() >= believed_until()) {
      known_->lost = true;    // others may have seen us die, or it age
    } else {
      return error_of(answer.error());
    }
    return known_->lost ? make_error_code(Errc::lost) : std::error_code();
  }

  template <class Call>
  std::error_code in_use(Call&& call) const {
    const auto place = place_.lock();    // none: the last service is closed
    if (!place || !place->mine()) return Errc::lost;
    const auto done = guarded([&]() -> Result<void> {
      if (const std::error_code error = call(*place)) return error;
      return {};
    });
    return done ? std::error_code() : done.error();
  }

  const std::weak_ptr<Place> place_;
  const std::weak_ptr<Session> session_;
  const Lending lending_;
  const std::optional<nanoseconds> auto_release_after_;
  const nanoseconds clock_error_, timeout_;
  struct Known {    // by the beat, too
    std::atomic<bool> lost{false};
    std::atomic<Instant> updated_at{0};
  };
  const std::shared_ptr<Known> known_;
  std::shared_ptr<Beat> beat_;
  bool released_ = false;
};

class EtcdNameManager final : public NameManager {
 public:
  explicit EtcdNameManager(const Options& options) : connection_(options) {}

  Result<HeldName> hold(std::string_view family) override {
    return checked(family, [&](Place& place) -> Result<HeldName> {
      std::shared_ptr<Session> session;
      const auto lending = lend_lowest(place, family, &session);
      if (!lending) return error_of(lending.error());
      return held(family, *lending, session);
    });
  }

  Result<std::string> acquire(std::string_view family) override {
    return checked(family, [&](Place& place) -> Result<std::string> {
      const auto lending = lend_lowest(place, family, nullptr);
      if (!lending) return error_of(lending.error());
      return std::to_string(lending->number);
    });
  }

  Result<void> keep_alive(std::string_view family, std::string_view name) override {
    return with_number(family, name, [&](Place& place, const std::string& key) -> Result<void> {
      std::optional<NameSeen> unknown;
      const auto touched = touch(place.client(), key, {}, options().auto_release_after, options().clock_error, unknown,
                                 connection_.deadline());
      if (!touched) return error_of(touched.error());
      return {};
    });
  }

  Result<void> release(std::string_view family, std::string_view name) override {
    return with_number(family, name, [&](Place& place, const std::string& key) -> Result<void> {
      const auto freed = free_name(
          place.client(), key, [](const NameSeen&) { return true; }, connection_.deadline());
      if (!freed) return error_of(freed.error());
      return {};
    });
  }

  Result<HeldName> try_hold(std::string_view family, std::string_view name) override {
    return checked(family, [&](Place& place) -> Result<HeldName> {
      std::shared_ptr<Session> session;
      const auto lending = try_lend(place, family, name, &session);
      if (!lending) return lending.error();
      return held(family, *lending, session);
    });
  }

  Result<void> try_acquire(std::string_view family, std::string_view name) override {
    return checked(family, [&](Place& place) -> Result<void> {
      const auto lending = try_lend(place, family, name, nullptr);
      if (!lending) return lending.error();
      return {};
    });
  }

  Result<std::vector<Name>> list() override {
    return guarded([&]() -> Result<std::vector<Name>> {
      Place& place = *connection_.place();
      const auto answer = place.client().commit({.then = {read(place.keys().names())}}, connection_.deadline());
      if (!answer) return error_of(answer.error());
      const Age age = this->age();
      std::vector<Name> names;
      each_name(place.keys(), answer->read.at(0), [&](const Keys::Named& named, const NameSeen& seen) {
        const auto time = [](Instant when) {
          return system_clock::time_point(std::chrono::duration_cast<system_clock::duration>(nanoseconds(when)));
        };
        const bool free = age.is_free(seen);
        names.push_back({std::to_string(named.number), named.family, time(seen.record.created_at),
                         free ? system_clock::time_point{} : time(seen.record.updated_at), free});
      });
      return names;
    });
  }

  Result<void> reset() override {
    return guarded([&]() -> Result<void> {
      Place& place = *connection_.place();
      const auto until = connection_.deadline();
      const std::string key = place.keys().reset();
      const NameRecord mark{.call = random_number(), .process = place.process(), .pid = place.pid()};
      auto answer = place.client().commit({.then = {read({key})}}, until);
      for (;;) {
        if (!answer) return error_of(answer.error());
        std::optional<KeyValue> before;
        if (!answer->read.at(0).empty()) before = answer->read[0].front();
        answer = commit_once(place.client(),
                             {.txn = {.guard = {{Compare::What::modified_is, key, {}, before ? before->modified : 0}},
                                      .then = {put(key, encode(mark)), erase(place.keys().names())},
                                      .otherwise = {read({key})}},
                              .key = key,
                              .before = before,
                              .call = mark.call},
                             until);
        if (answer && answer->succeeded) return {};
      }
    });
  }

 private:
  const Options& options() const { return connection_.options(); }
  Age age() const { return {options().auto_release_after, {options().clock_error}}; }

  /// Gives each name with its life, in the order of the keys.
  template <class Visit>
  static void each_name(const Keys& keys, const std::vector<KeyValue>& kvs, Visit&& visit) {
    for (auto kv = kvs.begin(); kv != kvs.end();) {
      const auto begin = kv++;
      while (kv != kvs.end() && kv->key == Keys::name_life(begin->key)) ++kv;
      const NameSeen seen = name_seen({begin, kv});
      if (seen.kv) visit(keys.named(begin->key), seen);    // else a life that outlived a reset
    }
  }

  /// The session that what is lent hangs on, if any.
  Answer<Session*> session_of(Place& place, std::shared_ptr<Session>* session, steady_clock::time_point until) {
    if (session == nullptr) return static_cast<Session*>(nullptr);
    auto living = place.session(until);
    if (!living) return living.error();
    *session = *std::move(living);
    return session->get();
  }

  /// Lends what `choose` finds in what `range` reads, again until nobody was faster.
  template <class Choose>
  Answer<Lending> lend_chosen(Place& place, const Range& range, std::shared_ptr<Session>* session,
                              const Choose& choose) {
    const auto until = connection_.deadline();
    const std::uint64_t call = random_number();
    auto answer = place.client().commit({.then = {read(range)}}, until);
    for (;;) {
      if (!answer) return answer.error();
      auto chosen = choose(*answer);
      if (!chosen) return Lending{};    // an empty key: there is none
      const auto holder = session_of(place, session, until);
      if (!holder) return holder.error();
      const NameSeen& seen = chosen->seen;
      const Clock clock{options().clock_error};
      const NameRecord record{.call = call,
                              .bound = *holder != nullptr,
                              .ages = session == nullptr || options().auto_release_after,
                              .process = place.process(),
                              .pid = place.pid(),
                              .created_at = seen.kv ? seen.record.created_at : clock.now,
                              .updated_at = clock.now};
      GuardedWrite write = rewrite(chosen->key, seen, record);
      const std::string life = Keys::name_life(chosen->key);
      write.txn.then.push_back(*holder != nullptr ? put(life, "", (*holder)->lease()) : erase({life}));
      for (Compare& compare : chosen->guard) write.txn.guard.push_back(std::move(compare));
      write.txn.otherwise = {read(range)};
      answer = commit_once(place.client(), write, until);
      if (answer && answer->succeeded) {
        std::optional<KeyValue> written;
        if (*holder != nullptr) written = KeyValue{.modified = answer->revision};
        return Lending{chosen->key, chosen->number, rewritten(seen, record, answer->revision, std::move(written))};
      }
      if (answer || *holder == nullptr) continue;
      if (answer.error().in_doubt) {    // lent after all, it would stay so for as long as this process lives
        place.owe_while_under_way(
            freeing(place.client(), chosen->key, [call](const NameSeen& lent) { return lent.record.call == call; }));
      } else if (answer.error().code == Errc::lost && steady_clock::now() < until) {
        (void)(*holder)->look(until);
        answer = place.client().commit({.then = {read(range)}}, until);
      }
    }
  }

  struct Choice {
    std::string key;
    std::uint32_t number = 0;
    NameSeen seen = {};
    std::vector<Compare> guard = {};
  };

  Answer<Lending> lend_lowest(Place& place, std::string_view family, std::shared_ptr<Session>* session) {
    const Keys& keys = place.keys();
    return lend_chosen(place, keys.family(family), session, [&](const TxnAnswer& answer) -> std::optional<Choice> {
      const Age age = this->age();
      Choice choice;
      std::uint32_t count = 0;
      each_name(keys, answer.read.at(0), [&](const Keys::Named& named, const NameSeen& seen) {
        if (named.number != count++) throw Corruption("a family has gaps");
        if (choice.key.empty() && age.is_free(seen)) choice = {keys.name(family, named.number), named.number, seen};
      });
      if (choice.key.empty()) {
        choice = {.key = keys.name(family, count), .number = count};
        // The one before is still there, so there was no reset.
        if (count > 0) choice.guard.push_back({Compare::What::exists, keys.name(family, count - 1)});
      }
      // No lower one has come free since.
      if (choice.number > 0) {
        choice.guard.push_back({Compare::What::modified_below, keys.name(family, 0), choice.key, answer.revision + 1});
      }
      return choice;
    });
  }

  /// Errors: bad_request, not_exist, in_use, the client's.
  Result<Lending> try_lend(Place& place, std::string_view family, std::string_view name,
                           std::shared_ptr<Session>* session) {
    if (!is_text(name, options().max_signature)) return make_error_code(Errc::bad_request);
    const auto number = number_of(name);
    if (!number) return make_error_code(Errc::not_exist);
    const std::string key = place.keys().name(family, *number);
    std::error_code why;
    const auto lending =
        lend_chosen(place, Keys::name_state(key), session, [&](const TxnAnswer& answer) -> std::optional<Choice> {
          NameSeen seen = name_seen(answer.read.at(0));
          why = !seen.kv ? Errc::not_exist : Errc::in_use;
          if (!seen.kv || !age().is_free(seen)) return {};
          return Choice{key, *number, std::move(seen)};
        });
    if (!lending) return error_of(lending.error());
    if (lending->key.empty()) return why;
    return *lending;
  }

  HeldName held(std::string_view family, const Lending& lending, const std::shared_ptr<Session>& session) {
    return {std::string(family), std::to_string(lending.number),
            std::make_unique<EtcdGrip>(connection_.place(), session, lending, options())};
  }

  template <class Call>
  auto checked(std::string_view family, Call&& call) -> decltype(call(std::declval<Place&>())) {
    if (!is_text(family, options().max_signature)) return make_error_code(Errc::bad_request);
    return guarded([&]() -> decltype(call(std::declval<Place&>())) { return call(*connection_.place()); });
  }

  /// What is no number is no name, and no error.
  template <class Call>
  Result<void> with_number(std::string_view family, std::string_view name, Call&& call) {
    return checked(family, [&](Place& place) -> Result<void> {
      if (!is_text(name, options().max_signature)) return make_error_code(Errc::bad_request);
      const auto number = number_of(name);
      return number ? call(place, place.keys().name(family, *number)) : Result<void>();
    });
  }

  Connection connection_;
};

}    // namespace

Opened<NameManager> open_name_manager(const Options& options) {
  return std::unique_ptr<NameManager>(std::make_unique<EtcdNameManager>(options));
}

}    // namespace keyrack::etcd
