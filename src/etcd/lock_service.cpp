// The lock service on etcd: checks the request, and makes it a transaction.
#include "etcd/guard.hpp"
#include "etcd/guarded_write.hpp"
#include "etcd/services.hpp"
#include "etcd/waiting.hpp"

namespace keyrack::etcd {
namespace {

class EtcdLockService final : public LockService {
 public:
  explicit EtcdLockService(const Options& options) : connection_(options) {}

  Result<LockResponse, Refusal> lock(const LockRequest& request, const LockOptions& options) override {
    return checked<LockResponse>(request, [&](Place& place) -> Result<LockResponse, Refusal> {
      auto tried = try_lock(place, ask(request, options), clock_error(), nullptr, {}, connection_.deadline());
      if (!tried) return refused(error_of(tried.error()));
      if (tried->granted) return *std::move(tried->granted);
      return tried->seen.refusal(Errc::forbidden);
    });
  }

  Result<LockResponse, Refusal> lock_until(const LockRequest& request, steady_clock::time_point until,
                                           const LockOptions& options) override {
    return checked<LockResponse>(
        request, [&](Place& place) { return wait_for_lock(place, ask(request, options), this->options(), until); });
  }

  Result<UnlockResponse, Refusal> unlock(const UnlockRequest& request) override {
    return checked<UnlockResponse>(request, [&](Place& place) -> Result<UnlockResponse, Refusal> {
      const auto until = connection_.deadline();
      const Keys& keys = place.keys();
      const Range state = keys.state(request.signature);
      const Ask asked{.signature = request.signature, .signee = request.signee};
      auto answer = place.client().commit({.then = {read(state)}}, until);
      for (;;) {
        if (!answer) return refused(error_of(answer.error()));
        const LockSeen seen = lock_seen(answer->read.at(0), answer->revision);
        if (!seen.exists(Clock{clock_error()})) return UnlockResponse{UnlockStatus::no_lock};
        if (!asked.owns(seen.record, place.process())) return seen.refusal(Errc::forbidden);
        const std::string grant_key = keys.grant(request.signature);
        answer = commit_once(
            place.client(),
            {.txn = {.guard = seen.guard(keys, request.signature), .then = {erase(state)}, .otherwise = {read(state)}},
             .key = grant_key,
             .before = seen.kv},
            until);
        if (!answer || !answer->succeeded) continue;
        place.released(request.signature);
        end_lease_of(place.client(), seen.kv, until);
        return UnlockResponse{UnlockStatus::ok};
      }
    });
  }

  Result<CheckResponse> check(std::string_view signature) override {
    return looked_at(signature, {}, [&](const LockSeen& seen, const Clock& clock) -> Result<CheckResponse> {
      if (!seen.exists(clock)) return make_error_code(Errc::not_found);
      CheckResponse told{.signee = seen.record.signee,
                         .level = seen.level(),
                         .token = seen.token(),
                         .pid = static_cast<std::int32_t>(seen.record.pid)};
      const Instant end = seen.record.stale_at;
      if (end == kNever) return told;
      told.expires_in = nanoseconds(end - clock.now);
      // No longer believed, but not to be taken either.
      if (!clock.is_past(end)) told.expires_in = std::max(*told.expires_in, nanoseconds(0));
      return told;
    });
  }

  Result<void> confirm(std::string_view signature, std::uint64_t token) override {
    return looked_at(signature, token, [&](const LockSeen& seen, const Clock& clock) -> Result<void> {
      const bool in_force = seen.kv && seen.token() == token && !seen.abandoned() &&
                            !clock.is_past_for_its_owner(seen.record.stale_at) &&
                            !clock.is_past_for_its_owner(seen.record.gone_at);
      if (in_force) return {};
      return make_error_code(Errc::lost);
    });
  }

 private:
  const Options& options() const { return connection_.options(); }
  nanoseconds clock_error() const { return options().clock_error; }

  Ask ask(const LockRequest& request, const LockOptions& wanted) const {
    return {.signature = request.signature,
            .signee = request.signee,
            .level = request.level,
            .force = wanted.force,
            .bound = wanted.lifetime == Lifetime::process,
            .duration = wanted.duration ? wanted.duration : options().duration,
            .time_to_live = wanted.time_to_live ? wanted.time_to_live : options().time_to_live};
  }

  template <class Response, class Request, class Call>
  Result<Response, Refusal> checked(const Request& request, Call&& call) {
    if (!is_text(request.signature, options().max_signature) || !is_text(request.signee, options().max_signee)) {
      return refused(Errc::bad_request);
    }
    return guarded([&]() -> Result<Response, Refusal> { return call(*connection_.place()); });
  }

  /// Of a grant that is bound to this process, `token`, it is known when it can be ours no longer.
  template <class Call>
  auto looked_at(std::string_view signature, std::optional<std::uint64_t> token, Call&& call)
      -> decltype(call(LockSeen(), Clock{{}})) {
    using Told = decltype(call(LockSeen(), Clock{{}}));
    if (!is_text(signature, options().max_signature)) return make_error_code(Errc::bad_request);
    return guarded([&]() -> Told {
      Place& place = *connection_.place();
      const auto believed = token ? place.believed_until(signature, *token) : std::nullopt;
      const auto until = connection_.deadline();
      const auto answer = place.client().commit({.then = {read(place.keys().state(signature))}},
                                                believed ? no_longer_than(*believed, until) : until);
      if (!answer && believed && steady_clock::now() >= *believed) return make_error_code(Errc::lost);
      if (!answer) return error_of(answer.error());
      return call(lock_seen(answer->read.at(0), answer->revision), Clock{clock_error()});
    });
  }

  Connection connection_;
};

}    // namespace

Opened<LockService> open_lock_service(const Options& options) {
  return std::unique_ptr<LockService>(std::make_unique<EtcdLockService>(options));
}

}    // namespace keyrack::etcd
