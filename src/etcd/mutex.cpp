#include "etcd/mutex.hpp"

#include "etcd/guard.hpp"
#include "etcd/waiting.hpp"
#include "unique_signee.hpp"

#include <string>
#include <utility>

namespace keyrack::etcd {
namespace {

/// Of this thread; in a forked child another one.
std::string& thread_signee() {
  static thread_local std::pair<pid_t, std::string> own;
  if (const pid_t pid = ::getpid(); own.first != pid || own.second.empty()) own = {pid, unique_signee()};
  return own.second;
}

class Mutex final : public detail::MutexEngine {
 public:
  Mutex(Connection& connection, std::string_view signature, const LockOptions& wanted)
      : connection_(connection), signature_(signature), wanted_(wanted) {}

  Result<std::uint64_t, Refusal> lock_until(steady_clock::time_point when) override {
    return guarded([&]() -> Result<std::uint64_t, Refusal> {
      Place& place = *connection_.place();
      Ask ask = make_ask({.signature = signature_, .signee = thread_signee()}, wanted_, connection_.options());
      ask.renews = false;
      const bool waits = when != steady_clock::time_point::min();
      auto granted = waits ? wait_for_lock(place, ask, connection_.options(), when)
                           : lock_now(place, ask, connection_.options(), connection_.deadline());
      if (granted) return granted->token;
      // It may have been granted, or be granted yet, and nobody would know. This thread waits for that like anybody.
      if (granted.error().code == Errc::backend_unavailable) {
        thread_signee().clear();
        place.owe_while_under_way([&place, signature = signature_, call = ask.call](steady_clock::time_point until) {
          return release_by(
              place, signature, [call](const LockSeen& seen) { return seen.record.call == call; }, until);
        });
      }
      return granted.error();
    });
  }

  void unlock(std::uint64_t token) noexcept override {
    try {
      const std::shared_ptr<Place> place = connection_.place_if_mine();
      if (!place) return;    // a forked child's copy is not held by the child
      const auto done = [&place = *place, signature = signature_, token](steady_clock::time_point until) {
        const auto ours = [&place, token](const LockSeen& seen) {
          return seen.token() == token && seen.record.process == place.process();
        };
        return release_by(place, signature, ours, until);
      };
      if (!done(connection_.deadline())) place->owe(done);
    } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): there is nobody to tell
    }
  }

 private:
  /// False: there was no answer.
  static bool release_by(Place& place, const std::string& signature, const std::function<bool(const LockSeen&)>& wanted,
                         steady_clock::time_point until) {
    try {
      return release(place, signature, wanted, until).has_value();
    } catch (const Corruption&) {
      return true;    // nothing that is ours
    }
  }

  Connection& connection_;
  const std::string signature_;
  const LockOptions wanted_;
};

}    // namespace

std::unique_ptr<detail::MutexEngine> make_mutex(Connection& connection, std::string_view signature,
                                                const LockOptions& wanted) {
  return std::make_unique<Mutex>(connection, signature, wanted);
}

}    // namespace keyrack::etcd
