#include "memory_backend.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

namespace keyrack::testing {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr std::size_t kSignatureBytesMax = 128, kSigneeBytesMax = 64;

using Deadline = std::optional<steady_clock::time_point>;    // none: never

Deadline deadline(const std::optional<nanoseconds>& span) {
  const auto now = steady_clock::now();
  if (!span || *span > steady_clock::time_point::max() - now) return std::nullopt;
  return *span < nanoseconds(0) ? steady_clock::time_point::min() : now + *span;
}

bool past(const Deadline& when) { return when && steady_clock::now() >= *when; }

bool is_text(std::string_view text, std::size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max && text.find('\0') == text.npos;
}

struct LockRecord {
  std::string signee;
  std::int32_t level = 0;
  std::uint64_t token = 0;
  Deadline stale_at, gone_at;
  bool bound = false;
};

struct Waiter {
  std::string signature, signee;
  bool victim = false;
};

struct NameRecord {
  system_clock::time_point created_at, updated_at;
  steady_clock::time_point alive_at;
  bool free = true;
  std::uint64_t lending = 0;    // which one it is: tells a holder whether the name is still its own
  bool held = false;
};

// The state that all services of a place share.
struct Place {
  explicit Place(Defect broken) : defect(broken) {}

  bool has(Defect one) const { return defect == one; }

  const Defect defect;
  std::mutex mutex;
  std::condition_variable changed;
  int services = 0;

  std::map<std::string, LockRecord, std::less<>> locks;
  std::uint64_t last_token = 0;
  std::vector<Waiter*> waiters;

  std::map<std::string, std::map<std::size_t, NameRecord>, std::less<>> families;
  std::uint64_t last_lending = 0;

  void open() {
    const std::lock_guard guard(mutex);
    ++services;
  }

  void close() {
    const std::lock_guard guard(mutex);
    if (--services > 0) return;
    if (!has(Defect::close_keeps_bound)) std::erase_if(locks, [](const auto& each) { return each.second.bound; });
    for (auto& [family, names] : families) {
      for (auto& [number, name] : names) {
        if (name.held) free_name(name);
      }
    }
  }

  static void free_name(NameRecord& name) {
    name.free = true;
    name.held = false;
    name.updated_at = {};
  }
};

class MemoryLocks final : public LockService {
 public:
  MemoryLocks(std::shared_ptr<Place> place, const ServiceOptions& options)
      : place_(std::move(place)), options_(options) {
    place_->open();
  }
  ~MemoryLocks() override { place_->close(); }

  Result<LockResponse, Refusal> lock(const LockRequest& request, const LockOptions& options) override {
    const std::lock_guard guard(place_->mutex);
    return ask(request, options);
  }

  Result<LockResponse, Refusal> lock_until(const LockRequest& request, steady_clock::time_point until,
                                           const LockOptions& options) override {
    std::unique_lock guard(place_->mutex);
    Waiter me{std::string(request.signature), std::string(request.signee)};
    std::optional<Result<LockResponse, Refusal>> got;
    for (bool first = true;; first = false) {
      if (first || !has(Defect::waits_once) || steady_clock::now() >= until) got = ask(request, options);
      if (*got || got->error().code != Errc::forbidden) break;
      if (steady_clock::now() >= until) {
        Refusal refusal = got->error();
        refusal.code = Errc::timed_out;
        got = refusal;
        break;
      }
      if (first) {
        place_->waiters.push_back(&me);
        if (!has(Defect::no_deadlocks_found)) break_cycle(me);
      }
      if (me.victim) {
        got = Refusal{.code = Errc::would_deadlock, .holder = {}};
        break;
      }
      if (has(Defect::spins)) {
        guard.unlock();
        guard.lock();
      } else {
        // Leases and lives end without a word, so nobody sleeps for long.
        place_->changed.wait_until(guard, std::min(until, steady_clock::now() + std::chrono::milliseconds(5)));
      }
    }
    std::erase(place_->waiters, &me);
    return *got;
  }

  Result<UnlockResponse, Refusal> unlock(const UnlockRequest& request) override {
    const std::lock_guard guard(place_->mutex);
    const auto key = key_of(request.signature);
    if (!key || !is_text(request.signee, kSigneeBytesMax)) return Refusal{.code = Errc::bad_request, .holder = {}};
    LockRecord* record = find(*key);
    if (!record) return UnlockResponse{UnlockStatus::no_lock};
    const bool anybody = has(Defect::anybody_unlocks) || (has(Defect::anybody_unlocks_stale) && past(record->stale_at));
    if (record->signee != request.signee && !anybody) return refusal(*record);
    place_->locks.erase(place_->locks.find(*key));
    place_->changed.notify_all();
    return UnlockResponse{UnlockStatus::ok};
  }

  Result<CheckResponse> check(std::string_view signature) override {
    const std::lock_guard guard(place_->mutex);
    const auto key = key_of(signature);
    if (!key) return make_error_code(Errc::bad_request);
    const LockRecord* record = find(*key);
    if (!record || (has(Defect::check_hides_stale) && past(record->stale_at))) return make_error_code(Errc::not_found);
    CheckResponse told{.signee = record->signee, .level = record->level, .token = record->token, .pid = ::getpid()};
    if (record->stale_at) {
      told.expires_in = *record->stale_at == steady_clock::time_point::min() ? nanoseconds(-1)
                                                                             : *record->stale_at - steady_clock::now();
    }
    return told;
  }

  Result<void> confirm(std::string_view signature, std::uint64_t token) override {
    const std::lock_guard guard(place_->mutex);
    const auto key = key_of(signature);
    if (!key) return make_error_code(Errc::bad_request);
    const LockRecord* record = find(*key);
    const bool in_force =
        record && record->token == token && (!past(record->stale_at) || has(Defect::confirm_ignores_lease));
    return in_force ? Result<void>() : Result<void>(make_error_code(Errc::lost));
  }

 private:
  bool has(Defect one) const { return place_->has(one); }

  std::optional<std::string> key_of(std::string_view signature) const {
    if (has(Defect::truncates_keys)) signature = signature.substr(0, kSignatureBytesMax);
    if (!is_text(signature, kSignatureBytesMax)) return std::nullopt;
    return std::string(signature);
  }

  LockRecord* find(const std::string& key) {
    const auto found = place_->locks.find(key);
    if (found == place_->locks.end()) return nullptr;
    if (!past(found->second.gone_at) || has(Defect::ttl_makes_stale)) return &found->second;
    place_->locks.erase(found);
    return nullptr;
  }

  Refusal refusal(const LockRecord& record) const {
    if (has(Defect::refusal_without_holder)) return {.code = Errc::forbidden, .holder = {}};
    return {Errc::forbidden, record.signee, record.level, ::getpid(), record.token};
  }

  bool outranks(std::int32_t level, const LockRecord& record) const {
    if (has(Defect::equal_level_takes)) return level >= record.level;
    if (has(Defect::unsigned_levels)) {
      return static_cast<std::uint32_t>(level) > static_cast<std::uint32_t>(record.level);
    }
    return level > record.level;
  }

  Result<LockResponse, Refusal> ask(const LockRequest& request, const LockOptions& options) {
    const auto key = key_of(request.signature);
    if (!key || !is_text(request.signee, kSigneeBytesMax)) return Refusal{.code = Errc::bad_request, .holder = {}};
    LockRecord* record = find(*key);
    LockResponse response{.status = LockStatus::ok, .previous_signee = {}};
    if (record && record->signee == request.signee) {
      response.status = LockStatus::renewed;
    } else if (record) {
      const bool is_past = past(record->stale_at) || (has(Defect::ttl_makes_stale) && past(record->gone_at));
      const bool granted = outranks(request.level, *record) || is_past ||
                           (options.force && !has(Defect::force_ignored)) || has(Defect::grants_everything);
      if (!granted) {
        const Refusal refused = refusal(*record);
        if (has(Defect::refusal_changes_level)) record->level = request.level;
        return refused;
      }
      response.status = LockStatus::transferred;
      response.previous_signee = record->signee;
    }
    const bool renewed = response.status == LockStatus::renewed;
    LockRecord& granted = record ? *record : place_->locks[*key];
    if (has(Defect::forgets_tokens)) {
      ++granted.token;
    } else if (!renewed || has(Defect::renewal_draws_token)) {
      granted.token = ++place_->last_token;
    }
    response.token = granted.token;
    granted.signee = request.signee;
    granted.bound = options.lifetime == Lifetime::process;
    if (!renewed || !has(Defect::renewal_keeps_lease)) {
      auto duration = options.duration ? options.duration : options_.duration;
      if (has(Defect::lease_never_ends)) duration.reset();
      if (has(Defect::lease_ends_early) && duration) *duration /= 2;
      auto time_to_live = options.time_to_live ? options.time_to_live : options_.time_to_live;
      if (has(Defect::ttl_ignored)) time_to_live.reset();
      granted.level = request.level;
      granted.stale_at = deadline(duration);
      granted.gone_at = deadline(time_to_live);
    }
    place_->changed.notify_all();
    return response;
  }

  // The newcomer closes the cycle if there is one: follow holder by holder, each of whom must be waiting, too.
  void break_cycle(Waiter& newcomer) {
    std::set<std::string> seen;
    std::vector<Waiter*> chain{&newcomer};
    while (seen.insert(chain.back()->signature).second) {
      const LockRecord* wanted = find(chain.back()->signature);
      if (!wanted) return;
      if (wanted->signee == newcomer.signee) {
        newcomer.victim = true;
        if (has(Defect::everybody_a_victim)) {
          for (Waiter* each : chain) each->victim = true;
          place_->changed.notify_all();
        }
        return;
      }
      const auto next = std::find_if(place_->waiters.begin(), place_->waiters.end(),
                                     [&](const Waiter* each) { return each->signee == wanted->signee; });
      if (next == place_->waiters.end()) return;
      chain.push_back(*next);
    }
  }

  const std::shared_ptr<Place> place_;
  const ServiceOptions options_;
};

class MemoryNames final : public NameManager {
 public:
  MemoryNames(std::shared_ptr<Place> place, const ServiceOptions& options)
      : place_(std::move(place)), age_(options.auto_release_after) {
    place_->open();
  }
  ~MemoryNames() override { place_->close(); }

  Result<HeldName> hold(std::string_view family) override {
    const std::lock_guard guard(place_->mutex);
    const auto number = lend(family);
    if (!number) return number.error();
    return grip(family, *number);
  }

  Result<std::string> acquire(std::string_view family) override {
    const std::lock_guard guard(place_->mutex);
    const auto number = lend(family);
    if (!number) return number.error();
    return std::to_string(*number);
  }

  Result<void> keep_alive(std::string_view family, std::string_view name) override {
    const std::lock_guard guard(place_->mutex);
    const auto found = find(family, name);
    if (!found) return found.error() == Errc::not_exist ? Result<void>() : Result<void>(found.error());
    if (is_free(**found) && !has(Defect::keep_alive_revives)) return {};
    (*found)->free = false;
    touch(**found);
    return {};
  }

  Result<void> release(std::string_view family, std::string_view name) override {
    const std::lock_guard guard(place_->mutex);
    const auto found = find(family, name);
    if (!found) return found.error() == Errc::not_exist ? Result<void>() : Result<void>(found.error());
    Place::free_name(**found);
    return {};
  }

  Result<HeldName> try_hold(std::string_view family, std::string_view name) override {
    const std::lock_guard guard(place_->mutex);
    const auto taken = take(family, name);
    if (!taken) return taken.error();
    return grip(family, *number_of(name));
  }

  Result<void> try_acquire(std::string_view family, std::string_view name) override {
    const std::lock_guard guard(place_->mutex);
    return take(family, name);
  }

  Result<std::vector<Name>> list() override {
    const std::lock_guard guard(place_->mutex);
    std::vector<Name> all;
    for (const auto& [family, names] : place_->families) {
      const auto begin = all.size();
      for (const auto& [number, name] : names) {
        const bool free = is_free(name);
        all.push_back({std::to_string(number), family, name.created_at,
                       free ? system_clock::time_point{} : name.updated_at, free});
      }
      if (has(Defect::list_by_text)) {
        std::sort(all.begin() + static_cast<std::ptrdiff_t>(begin), all.end(),
                  [](const Name& one, const Name& two) { return one.name < two.name; });
      }
    }
    return all;
  }

  Result<void> reset() override {
    const std::lock_guard guard(place_->mutex);
    place_->families.clear();
    return {};
  }

 private:
  // Keeps its name alive by saying so: ages do not count for held names.
  class Grip final : public HeldName::Grip {
   public:
    Grip(std::shared_ptr<Place> place, std::string family, std::size_t number, std::uint64_t lending)
        : place_(std::move(place)), family_(std::move(family)), number_(number), lending_(lending) {}
    ~Grip() override { (void)release(); }

    std::error_code status() const override {
      const std::lock_guard guard(place_->mutex);
      return mine() || place_->has(Defect::reset_unnoticed) ? std::error_code() : make_error_code(Errc::lost);
    }

    Result<void> release() override {
      if (std::exchange(released_, true)) return {};
      const std::lock_guard guard(place_->mutex);
      NameRecord* name = mine();
      if (!name && place_->has(Defect::release_hits_successor)) name = anybodys();
      if (!name) return make_error_code(Errc::lost);
      Place::free_name(*name);
      return {};
    }

   private:
    NameRecord* anybodys() const {
      const auto names = place_->families.find(family_);
      if (names == place_->families.end()) return nullptr;
      const auto found = names->second.find(number_);
      return found == names->second.end() ? nullptr : &found->second;
    }

    NameRecord* mine() const {
      NameRecord* name = anybodys();
      return name && !name->free && name->lending == lending_ ? name : nullptr;
    }

    const std::shared_ptr<Place> place_;
    const std::string family_;
    const std::size_t number_;
    const std::uint64_t lending_;
    bool released_ = false;
  };

  bool has(Defect one) const { return place_->has(one); }

  bool is_free(const NameRecord& name) const {
    const bool kept_alive = name.held && !has(Defect::held_not_kept_alive);
    const bool old = age_ && !has(Defect::age_ignored) && !kept_alive && steady_clock::now() - name.alive_at > *age_;
    return name.free || old;
  }

  static void touch(NameRecord& name) {
    name.updated_at = system_clock::now();
    name.alive_at = steady_clock::now();
  }

  void give(NameRecord& name) {
    name.free = name.held = false;
    name.lending = ++place_->last_lending;
    touch(name);
  }

  HeldName grip(std::string_view family, std::size_t number) {
    NameRecord& name = place_->families.find(family)->second[number];
    name.held = true;
    return {std::string(family), std::to_string(number),
            std::make_unique<Grip>(place_, std::string(family), number, name.lending)};
  }

  Result<std::size_t> lend(std::string_view family) {
    if (!is_text(family, kSignatureBytesMax)) return make_error_code(Errc::bad_request);
    auto& names = place_->families[std::string(family)];
    std::vector<std::size_t> free;
    for (const auto& [number, name] : names) {
      if (is_free(name)) free.push_back(number);
    }
    if (free.empty() && has(Defect::lends_twice) && !names.empty()) free.push_back(0);
    if (free.empty()) {
      free.push_back(names.size());
      names[names.size()].created_at = system_clock::now();
    }
    if (has(Defect::lends_highest)) std::reverse(free.begin(), free.end());
    if (has(Defect::lends_by_text)) {
      std::sort(free.begin(), free.end(),
                [](std::size_t one, std::size_t two) { return std::to_string(one) < std::to_string(two); });
    }
    give(names[free.front()]);
    return free.front();
  }

  std::optional<std::size_t> number_of(std::string_view name) const {
    std::size_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
    if (std::to_string(number) != name && !has(Defect::accepts_leading_zeros)) return std::nullopt;
    return number;
  }

  Result<NameRecord*> find(std::string_view family, std::string_view name) {
    if (!is_text(family, kSignatureBytesMax) || !is_text(name, kSignatureBytesMax)) {
      return make_error_code(Errc::bad_request);
    }
    const auto names = place_->families.find(family);
    const auto number = number_of(name);
    if (names == place_->families.end() || !number) return make_error_code(Errc::not_exist);
    const auto found = names->second.find(*number);
    if (found == names->second.end()) return make_error_code(Errc::not_exist);
    return &found->second;
  }

  Result<void> take(std::string_view family, std::string_view name) {
    const auto found = find(family, name);
    if (!found) return found.error();
    if (!is_free(**found)) return make_error_code(Errc::in_use);
    give(**found);
    return {};
  }

  const std::shared_ptr<Place> place_;
  const std::optional<nanoseconds> age_;
};

class MemoryBootstrap final : public ServiceBootstrap {
 public:
  explicit MemoryBootstrap(Defect defect) : place_(std::make_shared<Place>(defect)) {}

  Opened<LockService> open_lock_service(const ServiceOptions& options) override {
    return std::unique_ptr<LockService>(std::make_unique<MemoryLocks>(place_, options));
  }
  Opened<NameManager> open_name_manager(const ServiceOptions& options) override {
    return std::unique_ptr<NameManager>(std::make_unique<MemoryNames>(place_, options));
  }

  ServiceTraits traits() const override {
    return {.patience = std::chrono::seconds(5), .leeway = std::chrono::milliseconds(300), .processes = false};
  }

 private:
  const std::shared_ptr<Place> place_;
};

}    // namespace

std::unique_ptr<ServiceBootstrap> make_memory_bootstrap(Defect defect) {
  return std::make_unique<MemoryBootstrap>(defect);
}

}    // namespace keyrack::testing
