// keyrack stats, verify, repair: how a segment fares, whether it is sound, and what can be done if it is not.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"
#include "words.hpp"

#include <algorithm>

namespace keyrack::command {
namespace {

struct LookOptions {
  std::string format;
  ImageFile file;
};

struct RepairOptions {};

int stats(const CommandLine& line, const LookOptions& options) {
  int status = kDone;
  const auto inspector = open_inspector_of(line, options.file, "stats", status);
  if (!inspector) return status;
  const auto snapshot = inspector->snapshot();
  if (!snapshot) return fail_to_read(line, options.file, snapshot.error());

  std::vector<std::pair<std::string_view, std::uint64_t>> figures = {
      {"slots", snapshot->segment.slots},           {"used", snapshot->segment.used},
      {"sessions", snapshot->segment.sessions},     {"session_slots", snapshot->segment.session_slots},
      {"bytes", snapshot->segment.bytes},           {"waiters", snapshot->waiters.size()},
      {"high_water", snapshot->segment.high_water},
  };
  for (const Counter& counter : kCounters) figures.emplace_back(counter.name, snapshot->counters.*counter.value);

  Output output;
  if (options.format == "json") {
    Json json(output);
    json.begin_object();
    for (const auto& [name, value] : figures) json.member(name, value);
    write_times(json, *snapshot);
    json.end_object();
    output.print("\n");
  } else {
    for (const auto& [name, value] : figures) output.print("{} {}\n", name, value);
    for (const TimesName& times : kTimes) {
      for (const unsigned percent : {50, 99}) {
        output.print("{}_us_p{} {}\n", times.name, percent, percentile_us((*snapshot).*times.times, percent));
      }
    }
  }
  return output.finish();
}

/// "record 17 (job/42): its key is not found in its chain; calls on this key may fail".
void write_text(Output& output, const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    output.print("{}{}: {}; {}\n", printable(finding.place),
                 finding.key.empty() ? "" : fmt::format(" ({})", printable(finding.key)), printable(finding.what),
                 printable(finding.remedy));
    output.drain_if_large();
  }
}

void write_json(Output& output, const std::vector<Finding>& findings) {
  Json json(output);
  json.begin_object().member("sound", findings.empty()).key("findings").begin_array();
  for (const Finding& finding : findings) {
    json.begin_object()
        .member("place", finding.place)
        .member("key", finding.key.empty() ? std::nullopt : std::optional(std::string_view(finding.key)))
        .member("what", finding.what)
        .member("remedy", finding.remedy)
        .end_object();
  }
  json.end_array().end_object();
  output.print("\n");
}

std::string count_of(const std::vector<Finding>& findings) {
  return findings.size() == 1 ? "an invariant is broken" : fmt::format("{} invariants are broken", findings.size());
}

int verify(const CommandLine& line, const LookOptions& options) {
  int status = kDone;
  const auto inspector = open_inspector_of(line, options.file, "verify", status);
  if (!inspector) return status;
  Output output;
  const std::vector<Finding> findings = inspector->verify();
  options.format == "json" ? write_json(output, findings) : write_text(output, findings);
  if (!findings.empty()) {
    output.drain();
    return complain(kFailure, "{}: {}; {}", subject_of(line, options.file), count_of(findings),
                    options.file ? "if others worked while it was copied, it may be the copy"
                                 : "keep a copy if you want to know why");
  }
  if (options.format == "json") return output.finish();
  const auto snapshot = inspector->snapshot(true);
  if (!snapshot) return fail_to_read(line, options.file, snapshot.error());
  output.print("{} records, {} names, {} sessions: every invariant holds\n", snapshot->locks.size(),
               snapshot->names.size(), snapshot->sessions.size());
  return output.finish();
}

/// Attaching does what can be done: it clears up after the dead. All else would be a guess.
int repair(const CommandLine& line, const RepairOptions&) {
  int status = kDone;
  const auto segment = segment_of(line, "repair", status);
  const auto inspector = segment ? open_inspector_of(line, "repair", status) : nullptr;
  if (!inspector) return status;
  const auto before = inspector->snapshot();
  if (!before) return fail(line, line.url, before.error());
  if (const auto attached = open_lock_service("shm://" + segment->name + "?create=false"); !attached) {
    return fail(line, line.url, attached.error());
  }
  const auto after = inspector->snapshot();
  if (!after) return fail(line, line.url, after.error());

  Output output;
  bool any = false;
  for (const SessionPicture& dead : before->sessions) {
    if (dead.alive) continue;
    any = true;
    const bool left = std::any_of(after->sessions.begin(), after->sessions.end(), [&](const SessionPicture& session) {
      return session.slot == dead.slot && !session.alive && session.attached_at == dead.attached_at;
    });
    output.print("session {} (pid {}, {}) has died: {}\n", dead.slot, dead.pid, printable(dead.command),
                 left ? "not cleared up after" : "what it left half done is done or undone, its names are free");
  }
  if (!any) output.print("nobody has died without being cleared up after\n");
  const std::vector<Finding> findings = inspector->verify();
  write_text(output, findings);
  if (findings.empty()) return output.finish();
  output.drain();
  return complain(kFailure, "{}: {}, and only a guess could repair that; do as said above", line.url,
                  count_of(findings));
}

}    // namespace

void add_health(CommandLine& line) {
  {
    auto [command, options] = add_command("stats", "figures of a segment and what was counted since it was made",
                                          "keyrack stats", line, stats);
    command.add_format(options->format, {"text", "json"});
    add_file(command, options->file);
  }
  {
    auto [command, options] =
        add_command("verify", "check every invariant of a segment", "keyrack verify --url shm://orders", line, verify);
    command.add_format(options->format, {"text", "json"});
    add_file(command, options->file);
  }
  add_command("repair", "clear up after the dead, and tell what cannot be repaired", "keyrack repair", line, repair);
}

}    // namespace keyrack::command
