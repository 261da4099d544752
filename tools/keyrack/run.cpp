// keyrack run: a command under a lock.
#include "child.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "lookout.hpp"
#include "services.hpp"
#include "signee.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace keyrack::command {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

struct RunOptions {
  std::string key, on_lost = "term";
  std::optional<std::string> signee;
  std::int32_t level = 0;
  std::optional<nanoseconds> wait, duration;
  bool no_wait = false;
};

/// Tells people who it is. A segment is of one host.
std::string default_signee(const CommandLine& line) {
  const passwd* user = ::getpwuid(::geteuid());
  utsname system = {};
  if (!is_for_segments(line)) ::uname(&system);
  return signee_of(user != nullptr ? user->pw_name : fmt::to_string(::geteuid()), system.nodename, ::getpid());
}

/// The lock while CMD runs.
class Held {
 public:
  Held(LockService& service, const LockRequest& request, const LockOptions& options, std::uint64_t token,
       std::string_view told)
      : service_(service), request_(request), options_(options), token_(token), told_(told) {
    // The URL, too, can set a lease; whoever granted it knows.
    const auto now = steady_clock::now();
    if (const auto grant = service_.check(request_.signature); grant && grant->expires_in) {
      lease_ = std::max(*grant->expires_in, nanoseconds::zero());
      renew_at_ = now + *lease_ / 3;
      good_until_ = now + *lease_;
    }
  }

  /// Often enough to renew in time; else `longest`.
  nanoseconds interval(nanoseconds longest) const {
    return lease_ ? std::clamp(*lease_ / 6, nanoseconds(std::chrono::milliseconds(1)), longest) : longest;
  }

  /// Renews it when that is due. When it is lost, that is told, once.
  bool check() {
    if (lost_) return false;
    const std::error_code error = look();
    // Who cannot be asked has not taken it away yet; a lease, though, ends by the clock.
    if (!error || (error != Errc::lost && steady_clock::now() < good_until_)) return true;
    lost_ = true;
    tell();
    return false;
  }

 private:
  std::error_code look() {
    if (const auto confirmed = service_.confirm(request_.signature, token_); !confirmed) return confirmed.error();
    const auto now = steady_clock::now();
    if (!lease_ || now < renew_at_) return {};
    const auto renewed = service_.lock(request_, options_);
    if (!renewed) return renewed.error().code == Errc::forbidden ? make_error_code(Errc::lost) : renewed.error().code;
    if (renewed->token != token_) return Errc::lost;    // somebody had it in between
    renew_at_ = now + *lease_ / 3;
    good_until_ = now + *lease_;
    return {};
  }

  void tell() const {
    const auto grant = service_.check(request_.signature);
    const std::string who = !grant || grant->token == token_
                                ? "nobody has taken it so far"
                                : fmt::format("{} (pid {}) has it", grant->signee, grant->pid);
    complain(kNotGranted, "{}: the lock is lost, {}; {}", request_.signature, who, told_);
  }

  LockService& service_;
  const LockRequest request_;
  const LockOptions options_;
  const std::uint64_t token_;
  const std::string_view told_;    // what follows from the loss
  std::optional<nanoseconds> lease_;
  steady_clock::time_point renew_at_, good_until_ = steady_clock::time_point::max();
  bool lost_ = false;
};

int run(const CommandLine& line, const RunOptions& options) {
  if (line.child.empty()) {
    return complain(kUsage, "no command to run; write it behind --, as in: keyrack run {} -- make", options.key);
  }
  if (options.duration && *options.duration <= nanoseconds::zero()) {
    return complain(kUsage, "--duration must be longer than nothing");
  }
  const Signals signals;
  int status = kDone;
  signals.let_through();
  auto service = open_locks(line, status);
  if (!service) return status;

  const std::string signee = options.signee ? *options.signee : default_signee(line);
  const LockRequest request{.signature = options.key, .signee = signee, .level = options.level};
  // No time to live: the process's own end does what one is for.
  const LockOptions lock_options{
      .duration = options.duration, .time_to_live = nanoseconds::max(), .lifetime = Lifetime::process};
  const auto grant = options.no_wait ? service->lock(request, lock_options)
                     : options.wait  ? service->lock_for(request, *options.wait, lock_options)
                                     : service->lock_until(request, steady_clock::time_point::max(), lock_options);
  if (!grant) {
    return fail(line, options.key, grant.error(),
                options.no_wait ? "leave out --no-wait to wait for it" : "wait longer");
  }

  const bool end_when_lost = options.on_lost == "term";
  Held held(*service, request, lock_options, grant->token,
            end_when_lost ? "SIGTERM goes to the command" : "the command goes on without it");
  signals.keep_back();
  Lookout lookout(signals, {.interval = held.interval(interval_of_looks(line)),
                            .still_held = [&held] { return held.check(); },
                            .may_hang = !is_for_segments(line)});
  status = run_child(signals,
                     {.command = line.child,
                      .environment = {"KEYRACK_TOKEN=" + std::to_string(grant->token), "KEYRACK_KEY=" + options.key},
                      .end_when_lost = end_when_lost},
                     lookout);

  std::error_code error;
  const bool finished = lookout.finish([&] {
    // A loss in the last moments is told, too. If it is lost there is nothing to unlock.
    if (held.check()) {
      if (const auto answer = service->unlock({.signature = options.key, .signee = signee}); !answer) {
        error = answer.error();
      }
    }
    service.reset();
  });
  if (!lookout.lost() && (!finished || error == Errc::backend_unavailable)) {
    complain(kFailure, "{}: {}; the lock is free once the end of this process is noticed there", options.key,
             make_error_code(Errc::backend_unavailable).message());
  }
  if (!finished) end_process(status);
  return status;
}

}    // namespace

void add_run(CommandLine& line) {
  auto [command, options] = add_command("run", "run CMD, written behind --, while holding KEY; exit with CMD's status",
                                        "keyrack run --wait 1m nightly -- ./report.sh --all", line, run);
  command.add("KEY", options->key, "the lock's key").required();
  const Argument wait = command.add_duration("--wait", options->wait, "wait for so long at most, else without limit");
  command.add_flag("--no-wait", options->no_wait, "give up at once if somebody has it").excludes(wait);
  command.add("--level", options->level, "a higher one takes the lock from a lower one, else 0");
  command.add("--signee", options->signee, "who holds it, else run-USER-PID, on etcd run-USER-HOST-PID");
  command.add_duration("--duration", options->duration, "lease, renewed while CMD runs, else the URL's");
  command.add("--on-lost", options->on_lost, "what CMD gets when the lock is taken away, else term")
      .one_of({"term", "ignore"});
}

}    // namespace keyrack::command
