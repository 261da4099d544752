#include "etcd/place.hpp"

#include "etcd/names.hpp"
#include "os/process.hpp"

#include <unistd.h>

#include <algorithm>
#include <new>
#include <tuple>
#include <utility>

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
  std::unique_lock guard(mutex_);
  if (!begun_.wait_until(guard, until, [this] { return !beginning_; })) {
    return Trouble{.what = "no session could be begun in time"};
  }
  if (session_ && !session_->lost()) return session_;
  std::erase_if(lost_, [](const auto& session) { return session->ended(); });
  if (session_) {
    session_->stop();
    lost_.push_back(std::exchange(session_, nullptr));
  }
  beginning_ = true;
  guard.unlock();
  Answer<std::shared_ptr<Session>> begun = Trouble{.what = "no memory for a session"};
  try {
    begun = Session::begin(client_, session_ttl_, timeout_, until);
  } catch (const std::bad_alloc&) {    // NOLINT(bugprone-empty-catch): that is what it says
  }
  guard.lock();
  beginning_ = false;
  begun_.notify_all();
  if (begun) session_ = *begun;
  return begun;
}

void Place::owe(std::function<bool(steady_clock::time_point)> done) {
  const std::lock_guard guard(mutex_);
  if (session_) session_->owe(std::move(done));
}

void Place::owe_while_under_way(std::function<bool(steady_clock::time_point)> undone) {
  constexpr std::chrono::seconds kUnderWay(30);    // etcd decides within seconds about a request that it took
  owe([undone = std::move(undone), end = steady_clock::now() + kUnderWay](steady_clock::time_point until) {
    return undone(until) && steady_clock::now() > end;
  });
}

Place::~Place() {
  try {
    if (session_) close();
  } catch (const std::exception&) {    // NOLINT(bugprone-empty-catch): then etcd ends the lease
  }
}

/// What hangs on the lease is released by one transaction each, then the lease ends with the places of waiters. Killed
/// or cut off here, or out of time: the rest is abandoned, at once if the lease can be ended, else when etcd ends it.
void Place::close() {
  const std::shared_ptr<Session> session = std::exchange(session_, nullptr);
  const LeaseId lease = session->lease();
  const nanoseconds timeout = timeout_;
  const auto until = steady_clock::now() + timeout;
  const auto released_until = until - timeout / 4;
  session->stop();    // what its thread is asking may take as long, too
  const auto hanging = client_.keys_of(lease, released_until);
  for (const std::string& key : hanging ? *hanging : std::vector<std::string>()) {
    const std::string owner = keys_.owner_of_life(key);
    if (owner.empty()) continue;
    if (keys_.is_name(owner)) {
      (void)free_name(
          client_, owner, [&](const NameSeen& seen) { return seen.life && seen.life->lease == lease; }, released_until);
    } else {
      const Compare ours{Compare::What::lease_is, key, {}, lease};
      (void)client_.commit({.guard = {ours}, .then = {erase({owner}), erase({key})}, .repeatable = true},
                           released_until);
    }
  }
  (void)client_.revoke(lease, until);
}

}    // namespace keyrack::etcd
