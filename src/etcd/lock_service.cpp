// The lock service on etcd: checks the request, and makes it a transaction.
#include "etcd/guard.hpp"
#include "etcd/mutex.hpp"
#include "etcd/services.hpp"
#include "etcd/waiting.hpp"

namespace keyrack::etcd {
namespace {

class EtcdLockService final : public LockService {
 public:
  explicit EtcdLockService(const Options& options) : connection_(options) {}

  Result<LockResponse, Refusal> lock(const LockRequest& request, const LockOptions& options) override {
    return checked<LockResponse>(request, [&](Place& place) -> Result<LockResponse, Refusal> {
      return lock_now(place, make_ask(request, options, this->options()), this->options(), connection_.deadline());
    });
  }

  Result<LockResponse, Refusal> lock_until(const LockRequest& request, steady_clock::time_point until,
                                           const LockOptions& options) override {
    return checked<LockResponse>(request, [&](Place& place) {
      return wait_for_lock(place, make_ask(request, options, this->options()), this->options(), until);
    });
  }

  Result<UnlockResponse, Refusal> unlock(const UnlockRequest& request) override {
    return checked<UnlockResponse>(request, [&](Place& place) -> Result<UnlockResponse, Refusal> {
      const Ask asked{.signature = request.signature, .signee = request.signee};
      bool exists = false;    // by the clock of each look: what was made since must not seem to be from before
      const auto released = release(
          place, request.signature,
          [&](const LockSeen& seen) {
            exists = seen.exists(Clock{clock_error()});
            return exists && asked.owns(seen.record, place.process());
          },
          connection_.deadline());
      if (!released) return refused(error_of(released.error()));
      if (released->done) return UnlockResponse{UnlockStatus::ok};
      if (!released->seen.kv || !exists) return UnlockResponse{UnlockStatus::no_lock};
      return released->seen.refusal(Errc::forbidden);
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

  std::unique_ptr<detail::MutexEngine> make_mutex(std::string_view signature, const LockOptions& wanted) override {
    if (!is_text(signature, options().max_signature)) {
      throw std::system_error(make_error_code(Errc::bad_request), "a mutex's signature");
    }
    return etcd::make_mutex(connection_, signature, wanted);
  }

 private:
  const Options& options() const { return connection_.options(); }
  nanoseconds clock_error() const { return options().clock_error; }

  template <class Response, class Request, class Call>
  Result<Response, Refusal> checked(const Request& request, Call&& call) {
    if (!is_text(request.signature, options().max_signature) || !is_text(request.signee, options().max_signee)) {
      return refused(Errc::bad_request);
    }
    return guarded([&]() -> Result<Response, Refusal> { return call(*connection_.place()); });
  }

  /// Of a grant of this process's, `token`, it is known when it can be ours no longer.
  template <class Call>
  auto looked_at(std::string_view signature, std::optional<std::uint64_t> token, Call&& call)
      -> decltype(call(LockSeen(), Clock{{}})) {
    using Told = decltype(call(LockSeen(), Clock{{}}));
    if (!is_text(signature, options().max_signature)) return make_error_code(Errc::bad_request);
    return guarded([&]() -> Told {
      Place& place = *connection_.place();
      const auto believed = [&] { return token ? place.grants().believed_until(signature, *token) : std::nullopt; };
      const auto before = believed();
      const auto until = connection_.deadline();
      const auto answer = place.client().commit({.then = {read(place.keys().state(signature))}},
                                                before ? no_longer_than(*before, until) : until);
      if (!answer) {
        const auto now = before ? believed() : std::nullopt;    // the session may have been heard of since
        return now && steady_clock::now() >= *now ? make_error_code(Errc::lost) : error_of(answer.error());
      }
      auto told = call(lock_seen(answer->read.at(0), answer->revision), Clock{clock_error()});
      if (token && !told) place.grants().forget(signature, *token);
      return told;
    });
  }

  Connection connection_;
};

}    // namespace

Opened<LockService> open_lock_service(const Options& options) {
  return std::unique_ptr<LockService>(std::make_unique<EtcdLockService>(options));
}

}    // namespace keyrack::etcd
