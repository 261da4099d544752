// keyrack lock, unlock, check: one lock, one call.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"

#include <algorithm>
#include <utility>

namespace keyrack::command {
namespace {

using std::chrono::nanoseconds;

struct LockLineOptions {
  std::string key, signee, format;
  std::int32_t level = 0;
  std::optional<nanoseconds> duration, time_to_live, wait;
  bool force = false;
};

struct UnlockLineOptions {
  std::string key, signee, format;
};

struct CheckLineOptions {
  std::string key, format;
};

std::string_view to_string(LockStatus status) {
  switch (status) {
    case LockStatus::ok:
      return "ok";
    case LockStatus::transferred:
      return "transferred";
    case LockStatus::renewed:
      return "renewed";
    case LockStatus::failed:
      break;
  }
  return "failed";
}

std::string_view to_string(UnlockStatus status) {
  return status == UnlockStatus::ok ? "ok" : status == UnlockStatus::no_lock ? "no_lock" : "failed";
}

/// Who is in the way, for programs; failing to write it is told by the caller's own status.
void print_refusal(Output& output, const Refusal& refusal) {
  Json json(output);
  json.begin_object().member("status", "failed").member("reason", refusal.code.message());
  if (!refusal.holder.empty()) {
    json.member("holder", refusal.holder)
        .member("level", refusal.level)
        .member("pid", refusal.pid)
        .member("token", refusal.token);
  }
  json.end_object();
  output.print("\n");
  output.drain();
}

int lock(const CommandLine& line, const LockLineOptions& options) {
  int status = kDone;
  const auto service = open_locks(line, status);
  if (!service) return status;
  const LockRequest request{.signature = options.key, .signee = options.signee, .level = options.level};
  const LockOptions lock_options{
      .force = options.force, .duration = options.duration, .time_to_live = options.time_to_live};
  const auto grant =
      options.wait ? service->lock_for(request, *options.wait, lock_options) : service->lock(request, lock_options);
  Output output;
  const bool json = options.format == "json";
  if (!grant) {
    if (json) print_refusal(output, grant.error());
    return fail(line, options.key, grant.error(), "wait for it with --wait D, or take it with --force");
  }
  if (json) {
    Json(output)
        .begin_object()
        .member("status", to_string(grant->status))
        .member("token", grant->token)
        .member("previous_signee", grant->previous_signee)
        .end_object();
  } else {
    output.print("{} token={}", to_string(grant->status), grant->token);
    if (!grant->previous_signee.empty()) output.print(" previous_signee={}", printable(grant->previous_signee));
  }
  output.print("\n");
  return output.finish();
}

int unlock(const CommandLine& line, const UnlockLineOptions& options) {
  int status = kDone;
  const auto service = open_locks(line, status);
  if (!service) return status;
  const auto answer = service->unlock({.signature = options.key, .signee = options.signee});
  Output output;
  const bool json = options.format == "json";
  if (!answer) {
    if (json) print_refusal(output, answer.error());
    return fail(line, options.key, answer.error(),
                "only its signee unlocks it, and one bound to a process only that process");
  }
  if (json) {
    Json(output).begin_object().member("status", to_string(answer->status)).end_object();
  } else {
    output.print("{}", to_string(answer->status));
  }
  output.print("\n");
  return output.finish();
}

int check(const CommandLine& line, const CheckLineOptions& options) {
  int status = kDone;
  const auto service = open_locks(line, status);
  if (!service) return status;
  const auto grant = service->check(options.key);
  if (!grant) return fail(line, options.key, grant.error());
  Output output;
  if (options.format == "json") {
    Json(output)
        .begin_object()
        .member("signee", grant->signee)
        .member("level", grant->level)
        .member("token", grant->token)
        .member("pid", grant->pid)
        .member("expires_in_ms", grant->expires_in)
        .end_object();
  } else {
    output.print("signee={} level={} token={} pid={} expires_in={}", printable(grant->signee), grant->level,
                 grant->token, grant->pid, grant->expires_in ? people(*grant->expires_in) : "never");
  }
  output.print("\n");
  return output.finish();
}

}    // namespace

void add_locks(CommandLine& line) {
  {
    auto [command, options] = add_command(
        "lock",
        "ask for a lock, and print status, token and previous signee; it stays until unlocked, or its lease ends",
        "keyrack lock job/42 --signee worker-7 --duration 10s", line, lock);
    command.add("KEY", options->key, "the lock's key").required();
    command.add("--signee", options->signee, "who asks").required();
    command.add("--level", options->level, "a higher one takes the lock from a lower one, else 0");
    command.add_duration("--duration", options->duration, "lease, else the URL's; -1s: stale at once");
    command.add_duration("--ttl", options->time_to_live, "after this the record is gone, else the URL's");
    command.add_flag("--force", options->force, "take it whoever holds it");
    command.add_duration("--wait", options->wait, "wait for so long at most, else not at all");
    command.add_format(options->format, {"text", "json"});
  }
  {
    auto [command, options] = add_command("unlock", "give a lock back; no_lock where there is none",
                                          "keyrack unlock job/42 --signee worker-7", line, unlock);
    command.add("KEY", options->key, "the lock's key").required();
    command.add("--signee", options->signee, "who holds it").required();
    command.add_format(options->format, {"text", "json"});
  }
  {
    auto [command, options] =
        add_command("check", "tell who holds a lock", "keyrack check job/42 --format json", line, check);
    command.add("KEY", options->key, "the lock's key").required();
    command.add_format(options->format, {"text", "json"});
  }
}

}    // namespace keyrack::command
