#include "etcd/place.hpp"

#include "etcd/names.hpp"
#include "os/process.hpp"

#include <unistd.h>

#include <algorithm>
#include <tuple>

namespace keyrack::etcd {

/// The places of this process.
struct Place::Registry {
  /// Whom the same key is not enough to know: with other rights a place is another one.
  using Key = std::tuple<Access, std::string>;

  Registry* inherited;    // the copy of the parent's, never used
  std::mutex mutex;
  std::map<Key, std::weak_ptr<Place>> places;

  static std::atomic<void*>& current() {
    static std::atomic<void*>* const pointer = os::new_fork_cleared_pointer();
    return *pointer;
  }

  /// A forked child starts anew: its parent's may have been locked by a thread that is not here.
  static Registry& of_this_process() {
    static std::atomic<Registry*> latest{nullptr};    // so that none is out of sight of leak checkers
    void* known = current().load();
    while (known == nullptr) {
      auto* fresh = new Registry{latest.load(), {}, {}};
      if (current().compare_exchange_strong(known, fresh)) {
        latest.store(fresh);
        return *fresh;
      }
      delete fresh;
    }
    return *static_cast<Registry*>(known);
  }
};

std::shared_ptr<Place> Place::of(const Options& options) {
  Registry& registry = Registry::of_this_process();
  Access access = options.access;
  std::sort(access.endpoints.begin(), access.endpoints.end());
  const std::lock_guard guard(registry.mutex);
  std::weak_ptr<Place>& known = registry.places[{access, options.prefix}];
  if (auto place = known.lock()) return place;
  std::shared_ptr<Place> place(new Place(options, registry));
  known = place;
  return place;
}

Place::Place(const Options& options, Registry& registry)
    : registry_(registry),
      client_(options.access, options.prefix),
      keys_(options.prefix),
      pid_(::getpid()),
      timeout_(options.timeout),
      session_ttl_(options.session_ttl) {}

bool Place::mine() const { return Registry::current().load(std::memory_order_relaxed) == &registry_; }

Answer<std::shared_ptr<Session>> Place::session(steady_clock::time_point until) {
  const std::lock_guard guard(mutex_);
  if (!session_ || session_->lost()) {
    auto begun = Session::begin(client_, session_ttl_, timeout_, until);
    if (!begun) return begun.error();
    session_ = *std::move(begun);
  }
  return session_;
}

void Place::granted(std::string_view signature, std::uint64_t token, const std::shared_ptr<Session>& session,
                    Instant end) {
  if (!session) return released(signature);
  const std::lock_guard guard(bound_mutex_);
  bound_.insert_or_assign(std::string(signature), Bound{token, session, end});
}

void Place::released(std::string_view signature) {
  const std::lock_guard guard(bound_mutex_);
  if (const auto found = bound_.find(signature); found != bound_.end()) bound_.erase(found);
}

std::optional<steady_clock::time_point> Place::believed_until(std::string_view signature, std::uint64_t token) {
  const std::lock_guard guard(bound_mutex_);
  const auto found = bound_.find(signature);
  if (found == bound_.end() || found->second.token != token) return {};
  return std::min(good_until(found->second.session), as_steady(found->second.end));
}

Place::~Place() {
  try {
    if (session_) close();
  } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): then etcd ends the lease
  }
}

/// What hangs on the lease is released by one transaction each, then the lease ends with the places of waiters. Killed
/// or cut off here: etcd ends the lease, and what is left is abandoned.
void Place::close() {
  const std::shared_ptr<Session> session = std::exchange(session_, nullptr);
  const LeaseId lease = session->lease();
  const auto until = steady_clock::now() + timeout_.load();
  session->stop();    // what its thread is asking may take as long, too
  const auto hanging = client_.keys_of(lease, until);
  for (const std::string& key : hanging ? *hanging : std::vector<std::string>()) {
    const std::string owner = keys_.owner_of_life(key);
    if (owner.empty()) continue;
    if (keys_.is_name(owner)) {
      (void)free_name(
          client_, owner, [&](const NameSeen& seen) { return seen.life && seen.life->lease == lease; }, until);
    } else {
      const Compare ours{Compare::What::lease_is, key, {}, lease};
      (void)client_.commit({.guard = {ours}, .then = {erase({owner}), erase({key})}, .repeatable = true}, until);
    }
  }
  (void)client_.revoke(lease, until);
}

}    // namespace keyrack::etcd
