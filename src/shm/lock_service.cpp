// The lock service on a segment: checks the request, finds this thread's place in the session, and asks the table.
#include "shm/attachment.hpp"
#include "shm/guard.hpp"
#include "shm/services.hpp"
#include "table/locks.hpp"

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

  Result<std::uint64_t, Refusal> lock_until(steady_clock::time_point when) override {
    return guarded([&]() -> Result<std::uint64_t, Refusal> {
      const auto attached = connection_.attachment();
      if (!attached) return refused(attached.error());
      const table::Caller caller = (*attached)->caller();
      table::Ask request = ask(key_, signee(**attached, caller), 0, options_, defaults_);
      request.renews = false;
      auto granted = when == steady_clock::time_point::min() ? table::lock(caller, request)
                                                             : table::lock_until(caller, request, monotonic(when));
      if (!granted) return granted.error();
      return granted->token;
    });
  }

  void unlock(std::uint64_t token) noexcept override {
    try {
      // A forked child's copy is not held by the child.
      Attachment* attachment = connection_.attachment_if_mine();
      if (attachment != nullptr) table::unlock_grant(attachment->session(), key_, token);
    } catch (const table::Corruption&) {    // NOLINT(bugprone-empty-catch): there is nobody to tell
    }
  }

 private:
  static const std::string& signee(const Attachment& attachment, const table::Caller& caller) {
    struct Self {
      std::uint64_t serial = 0;
      std::string signee;
    };
    static thread_local Self self;
    if (self.serial != attachment.serial()) {
      self = {attachment.serial(), thread_signee(caller.session, caller.pid)};
    }
    return self.signee;
  }

  Connection& connection_;
  const std::string signature_;
  const table::Key key_;
  const LockOptions options_;
  const Defaults defaults_;
};

class ShmLockService final : public LockService {
 public:
  ShmLockService(std::shared_ptr<Attachment> attachment, const Options& options)
      : connection_(std::move(attachment)), defaults_{options.duration, options.time_to_live} {}

  Result<LockResponse, Refusal> lock(const LockRequest& request, const LockOptions& options) override {
    return guarded([&]() -> Result<LockResponse, Refusal> {
      if (!is_good(request.signature, request.signee)) return refused(Errc::bad_request);
      const auto attached = connection_.attachment();
      if (!attached) return refused(attached.error());
      return table::lock((*attached)->caller(),
                         ask(table::Key::lock(request.signature), request.signee, request.level, options, defaults_));
    });
  }

  Result<LockResponse, Refusal> lock_until(const LockRequest& request, steady_clock::time_point when,
                                           const LockOptions& options) override {
    return guarded([&]() -> Result<LockResponse, Refusal> {
      if (!is_good(request.signature, request.signee)) return refused(Errc::bad_request);
      const auto attached = connection_.attachment();
      if (!attached) return refused(attached.error());
      return table::lock_until(
          (*attached)->caller(),
          ask(table::Key::lock(request.signature), request.signee, request.level, options, defaults_), monotonic(when));
    });
  }

  Result<UnlockResponse, Refusal> unlock(const UnlockRequest& request) override {
    return guarded([&]() -> Result<UnlockResponse, Refusal> {
      if (!is_good(request.signature, request.signee)) return refused(Errc::bad_request);
      const auto attached = connection_.attachment();
      if (!attached) return refused(attached.error());
      return table::unlock((*attached)->caller(), table::Key::lock(request.signature), request.signee);
    });
  }

  Result<CheckResponse> check(std::string_view signature) override {
    return guarded([&]() -> Result<CheckResponse> {
      if (!is_key(signature)) return make_error_code(Errc::bad_request);
      return table::check(table(), table::Key::lock(signature));
    });
  }

  Result<void> confirm(std::string_view signature, std::uint64_t token) override {
    return guarded([&]() -> Result<void> {
      if (!is_key(signature)) return make_error_code(Errc::bad_request);
      return table::confirm(table(), table::Key::lock(signature), token);
    });
  }

  std::unique_ptr<detail::MutexEngine> make_mutex(std::string_view signature, const LockOptions& options) override {
    if (!is_key(signature)) throw std::system_error(make_error_code(Errc::bad_request), "a mutex's signature");
    return std::make_unique<Mutex>(connection_, signature, options, defaults_);
  }

 private:
  const table::Table& table() const { return connection_.segment()->table(); }
  bool is_key(std::string_view signature) const { return is_text(signature, table().geometry().max_signature); }
  bool is_good(std::string_view signature, std::string_view signee) const {
    return is_key(signature) && is_text(signee, table().geometry().max_signee);
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
