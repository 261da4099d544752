// The lock service on a segment: checks the request, finds this thread's place in the session, and asks the table.
#include "os/probe.hpp"
#include "shm/attachment.hpp"
#include "shm/guard.hpp"
#include "shm/services.hpp"
#include "table/quick.hpp"

#include <keyrack/named_mutex.hpp>

#include <sys/syscall.h>
#include <unistd.h>
#include <algorithm>

#include <cerrno>

namespace keyrack::shm {

namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

static_assert(std::is_same_v<steady_clock::duration, nanoseconds>);    // and CLOCK_MONOTONIC, as the table's

std::int64_t monotonic(steady_clock::time_point when) {
  return when == steady_clock::time_point::max() ? table::kForever : when.time_since_epoch().count();
}

Refusal refused(const std::error_code& code) { return {code, {}, 0, 0, 0}; }

[[gnu::always_inline]] inline void trace_grant(std::string_view key, std::string_view signee, std::uint64_t token) {
  KEYRACK_PROBE(grant, KEYRACK_PROBE_TEXT(key), KEYRACK_PROBE_TEXT(signee), token);
}

void trace(std::string_view key, std::string_view signee, const Result<LockResponse, Refusal>& answer) {
  if (!answer) {
    KEYRACK_PROBE(refusal, KEYRACK_PROBE_TEXT(key), KEYRACK_PROBE_TEXT(signee));
  } else if (answer->status != LockStatus::renewed) {
    trace_grant(key, signee, answer->token);
  }
}

struct Defaults {
  std::optional<nanoseconds> duration, time_to_live;
};

table::Ask ask(const table::Key& key, std::string_view signee, std::int32_t level, const LockOptions& options,
               const Defaults& defaults) {
  return {.key = key,
          .signee = signee,
          .level = level,
          .force = options.force,
          .process_bound = options.lifetime == Lifetime::process,
          .renews = true,
          .duration = options.duration ? options.duration : defaults.duration,
          .time_to_live = options.time_to_live ? options.time_to_live : defaults.time_to_live};
}

/// This thread as a signee: "worker:4711:4713@3.17", the command, the process, the thread, and the session.
std::string thread_signee(const table::Session& session, std::int32_t pid) {
  std::string thread(1, ':');
  thread.append(std::to_string(pid)).append(1, ':').append(std::to_string(::syscall(SYS_gettid))).append(1, '@');
  thread.append(std::to_string(session.id.slot)).append(1, '.').append(std::to_string(session.id.generation));
  const std::size_t room = session.table.geometry().max_signee;
  const std::string command = program_invocation_short_name;
  if (thread.size() >= room) return thread.substr(thread.size() - room);
  return command.substr(0, room - thread.size()) + thread;
}

/// Locks one key for NamedMutex. Each thread asks as a signee of its own, so that cycles of threads are found.
class Mutex final : public detail::MutexEngine {
 public:
  Mutex(Connection& connection, std::string_view signature, const LockOptions& options, const Defaults& defaults)
      : connection_(connection),
        signature_(signature),
        key_(table::Key::lock(signature_)),
        options_(options),
        defaults_(defaults) {}

  std::uint64_t lock_again() noexcept override {
    const table::Tick since =
        table().rough_tick(os::monotonic_coarse_ns());    // first: less is to be kept over the call
    table::ThreadMemory* mine = connection_.memory();
    const std::uint64_t token = mine != nullptr ? table::lock_remembered(*mine, number_, since) : 0;
    if (token != 0) trace_grant(signature_, mine->claimants.self(), token);
    return token;
  }

  Result<std::uint64_t, Refusal> lock_until(steady_clock::time_point when) override {
    return guarded([&]() -> Result<std::uint64_t, Refusal> {
      const auto attached = connection_.attachment();
      if (!attached) return refused(attached.error());
      const table::Caller caller = (*attached)->caller();
      table::ClaimantCache& claimants = caller.memory.claimants;
      if (claimants.self().empty()) claimants.name_self(thread_signee(caller.session, caller.pid));
      table::Ask request = ask(key_, claimants.self(), 0, options_, defaults_);
      request.renews = false;
      auto granted = when == steady_clock::time_point::min() ? table::lock(caller, request)
                                                             : table::lock_until(caller, request, monotonic(when));
      trace(signature_, request.signee, granted);
      if (!granted) return granted.error();
      if (plain_) table::remember_mutex(table(), caller.memory, number_, key_);
      return granted->token;
    });
  }

  void unlock(std::uint64_t token) noexcept override {
    table::ThreadMemory* mine = connection_.memory();
    if (mine == nullptr || !table::unlock_remembered(*mine, number_, token)) unlock_grant(token);
  }

 private:
  static std::uint64_t next_number() {
    static std::atomic<std::uint64_t> last{0};
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
  }

  const table::Table& table() const { return connection_.segment()->table(); }

  [[gnu::noinline]] void unlock_grant(std::uint64_t token) noexcept {
    try {
      // A forked child's copy is not held by the child.
      Attachment* attachment = connection_.attachment_if_mine();
      if (attachment != nullptr) table::unlock_grant(attachment->session(), key_, token);
    } catch (const table::Corruption&) {    // NOLINT(bugprone-empty-catch): there is nobody to tell
    }
  }

  Connection& connection_;
  const std::string signature_;
  const table::Key key_;
  const LockOptions options_;
  const Defaults defaults_;
  const bool plain_ = options_.lifetime == Lifetime::process && !options_.duration && !options_.time_to_live &&
                      !defaults_.duration && !defaults_.time_to_live;
  const std::uint64_t number_ = next_number();    // of this object, as threads remember it
};

class ShmLockService final : public LockService {
 public:
  ShmLockService(std::shared_ptr<Attachment> attachment, const Options& options)
      : connection_(std::move(attachment)), defaults_{options.duration, options.time_to_live} {}

  Result<LockResponse, Refusal> lock(const LockRequest& request, const LockOptions& options) override {
    table::CellMemo* memo = nullptr;
    if (const std::uint64_t token = lock_remembered(request, options, memo)) return table::granted(token);
    return by_rules<LockResponse>(request, [&](const table::Caller& caller) {
      auto answer = lock_by_rules(caller, memo, request, options);
      trace(request.signature, request.signee, answer);
      return answer;
    });
  }

  Result<LockResponse, Refusal> lock_until(const LockRequest& request, steady_clock::time_point when,
                                           const LockOptions& options) override {
    table::CellMemo* memo = nullptr;
    if (const std::uint64_t token = lock_remembered(request, options, memo)) return table::granted(token);
    return by_rules<LockResponse>(request, [&](const table::Caller& caller) {
      auto answer = table::lock_until(
          caller, ask(table::Key::lock(request.signature), request.signee, request.level, options, defaults_),
          monotonic(when));
      trace(request.signature, request.signee, answer);
      return answer;
    });
  }

  Result<UnlockResponse, Refusal> unlock(const UnlockRequest& request) override {
    table::ThreadMemory* mine = remembering(request);
    if (mine != nullptr && table::unlock_remembered(table(), *mine, request.signature, request.signee)) {
      return UnlockResponse{UnlockStatus::ok};
    }
    return by_rules<UnlockResponse>(request, [&](const table::Caller& caller) {
      return table::unlock(caller, table::Key::lock(request.signature), request.signee);
    });
  }

  Result<CheckResponse> check(std::string_view signature) override {
    return guarded([&]() -> Result<CheckResponse> {
      Result<CheckResponse> answer;
      table::ThreadMemory* mine = connection_.memory();
      if (mine != nullptr && table::check_remembered(table(), *mine, signature, *answer)) return answer;
      if (!fits(signature) || !table::check(table(), table::Key::lock(signature), *answer, mine)) {
        answer = make_error_code(is_key(signature) ? Errc::not_found : Errc::bad_request);
      }
      return answer;
    });
  }

  Result<void> confirm(std::string_view signature, std::uint64_t token) override {
    return guarded([&]() -> Result<void> {
      if (!fits(signature)) return make_error_code(Errc::bad_request);
      auto good = table::confirm(table(), table::Key::lock(signature), token);
      if (!good && !is_key(signature)) return make_error_code(Errc::bad_request);
      return good;
    });
  }

  std::unique_ptr<detail::MutexEngine> make_mutex(std::string_view signature, const LockOptions& options) override {
    if (!is_key(signature)) throw std::system_error(make_error_code(Errc::bad_request), "a mutex's signature");
    return std::make_unique<Mutex>(connection_, signature, options, defaults_);
  }

 private:
  const table::Table& table() const { return connection_.segment()->table(); }
  bool is_key(std::string_view signature) const { return is_text(signature, table().geometry().max_signature); }

  /// Have they a length that can be? The table looks for NULs when it has to.
  bool fits(std::string_view signature) const { return signature.size() - 1 < table().geometry().max_signature; }
  bool fits(std::string_view signature, std::string_view signee) const {
    return fits(signature) && signee.size() - 1 < table().geometry().max_signee;
  }

  /// What this thread remembers, if it may help: not of a request that is bad.
  template <class Request>
  table::ThreadMemory* remembering(const Request& request) const {
    return request.signee.empty() ? nullptr : connection_.memory();
  }

  table::Wish wish(const LockRequest& request, const LockOptions& options) const {
    return table::wish_of(table(), request.signee,
                          table::Rank::of(request.level, request.signee.size(), options.lifetime == Lifetime::process),
                          options.duration ? options.duration : defaults_.duration,
                          options.time_to_live ? options.time_to_live : defaults_.time_to_live);
  }

  /// The token; 0: not so. `memo`: what this thread remembers of the key, if it does.
  [[gnu::always_inline]] std::uint64_t lock_remembered(const LockRequest& request, const LockOptions& options,
                                                       table::CellMemo*& memo) const {
    table::ThreadMemory* mine = remembering(request);
    if (mine != nullptr) memo = mine->keys.find(request.signature);
    if (memo == nullptr) return 0;
    const std::uint64_t token = table::lock_remembered(*mine, *memo, [&] { return wish(request, options); });
    if (token != 0) trace_grant(request.signature, request.signee, token);
    return token;
  }

  Result<LockResponse, Refusal> lock_by_rules(const table::Caller& caller, table::CellMemo* memo,
                                              const LockRequest& request, const LockOptions& options) const {
    if (memo != nullptr) {
      if (Refusal refusal;
          !options.force && table::refused_remembered(caller, *memo, request.signee, request.level, refusal)) {
        return refusal;
      }
      const std::uint64_t token = table::lock_remembered_anew(caller, *memo, [&] { return wish(request, options); });
      if (token != 0) return table::granted(token);
    }
    return table::lock(caller,
                       ask(table::Key::lock(request.signature), request.signee, request.level, options, defaults_));
  }

  template <class Response, class Request, class Call>
  [[gnu::noinline]] Result<Response, Refusal> by_rules(const Request& request, Call&& call) {
    return guarded([&]() -> Result<Response, Refusal> {
      if (!fits(request.signature, request.signee)) return refused(Errc::bad_request);
      const auto attached = connection_.attachment();
      if (!attached) return refused(attached.error());
      return call((*attached)->caller());
    });
  }

  Connection connection_;
  const Defaults defaults_;
};

}    // namespace

Opened<LockService> open_lock_service(const Options& options) {
  auto segment = open_segment(options);
  if (!segment) return segment.error();
  auto attachment = Attachment::to(*segment);
  if (!attachment) return attachment.error();
  return std::unique_ptr<LockService>(std::make_unique<ShmLockService>(*attachment, options));
}

}    // namespace keyrack::shm
