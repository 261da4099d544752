// keyrack watch: each change of one key as it happens.
#include "changes.hpp"
#include "child.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"
#include "words.hpp"

#include <csignal>

namespace keyrack::command {
namespace {

using std::chrono::nanoseconds;

struct WatchOptions {
  std::string key, format;
  std::optional<nanoseconds> interval;
  std::optional<std::uint64_t> count;
};

void write_text(Output& output, const Change& change, const std::optional<LockPicture>& lock) {
  output.print("{} {}", iso_time_ms(std::chrono::system_clock::now()), change.kind);
  if (lock) output.print(" token={}", lock->token);
  if (lock && lock->state != LockState::idle) {
    output.print(" signee={} level={} lifetime={} pid={} expires_in={}", printable(lock->signee), lock->level,
                 lifetime_of(*lock), lock->pid, lock->expires_in ? people(*lock->expires_in) : "never");
  }
  if (!change.previous_signee.empty() && (!lock || change.previous_signee != lock->signee)) {
    output.print(" previous_signee={}", printable(change.previous_signee));
  }
  if (change.missed.value_or(0) > 0) output.print(" missed={}", *change.missed);
  output.print("\n");
}

void write_json(Output& output, const WatchOptions& options, const Change& change,
                const std::optional<LockPicture>& lock) {
  const bool held = lock && lock->state != LockState::idle;
  const auto if_held = [&](auto value) { return held ? std::optional(value) : std::nullopt; };
  Json(output)
      .begin_object()
      .member("at", iso_time_ms(std::chrono::system_clock::now()))
      .member("signature", options.key)
      .member("change", change.kind)
      .member("token", lock ? std::optional(lock->token) : std::nullopt)
      .member("signee", if_held(std::string_view(lock ? lock->signee : "")))
      .member("previous_signee",
              change.previous_signee.empty() ? std::nullopt : std::optional(std::string_view(change.previous_signee)))
      .member("level", if_held(lock ? lock->level : 0))
      .member("lifetime", if_held(lock ? lifetime_of(*lock) : ""))
      .member("pid", if_held(lock ? lock->pid : 0))
      .member("expires_in_ms", held ? lock->expires_in : std::nullopt)
      .member("missed", change.missed)
      .end_object();
  output.print("\n");
}

int watch(const CommandLine& line, const WatchOptions& options) {
  const auto interval = options.interval.value_or(std::chrono::milliseconds(10));
  if (interval <= nanoseconds::zero()) return complain(kUsage, "--interval must be longer than nothing");
  int status = kDone;
  const auto inspector = open_inspector_of(line, "watch", status);
  if (!inspector) return status;

  const Signals signals;
  Output output;
  std::optional<LockPicture> before;
  bool first = true;
  for (std::uint64_t seen = 0; !options.count || seen < *options.count;) {
    auto now = inspector->look_at(options.key);
    if (!now) return fail(line, now.error() == Errc::bad_request ? options.key : line.url, now.error());
    std::optional<Change> change = change_between(before, *now);
    if (first) change = Change{*now ? to_string((*now)->state) : to_string(LockState::idle), "", std::nullopt};
    if (change) {
      options.format == "json" ? write_json(output, options, *change, *now) : write_text(output, *change, *now);
      output.drain();
      if (output.failed()) break;
      if (!first) ++seen;
    }
    first = false;
    before = *std::move(now);
    if (options.count && seen >= *options.count) break;
    if (const auto signal = signals.next(interval); signal && signal->si_signo != SIGCHLD) break;
  }
  return output.finish();
}

}    // namespace

void add_watch(CommandLine& line) {
  auto [command, options] =
      add_command("watch", "print the state of KEY, then each change of it as it happens, until interrupted",
                  "keyrack watch job/42 --format json", line, watch);
  command.note(
      "Changes: granted, renewed, transferred (taken over), released, stale (its lease is past), abandoned (its "
      "process\n"
      "died), gone (past its time to live, or its record was taken for another key).\n"
      "It looks every --interval and disturbs nobody. Of what happens between two looks only the last is shown, and\n"
      "missed=N says how many grants and releases were not, at most. Not shown, and not counted: renewals that change\n"
      "nothing, all but the last of several renewals, and what happened to a key that had no record in between.");
  command.add("KEY", options->key, "the lock's key").required();
  command.add_duration("--interval", options->interval, "time between two looks, else 10ms");
  command.add("--count", options->count, "end after so many changes").type_name("N").positive();
  command.add_format(options->format, {"text", "json"});
}

}    // namespace keyrack::command
