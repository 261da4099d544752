// keyrack stats, verify: how a segment fares, and whether it is sound.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"
#include "words.hpp"

#include <algorithm>

namespace keyrack::command {
namespace {

struct StatsOptions {
  std::string format;
};

struct VerifyOptions {};

int stats(const CommandLine& line, const StatsOptions& options) {
  int status = kDone;
  const auto inspector = open_inspector_of(line, "stats", status);
  if (!inspector) return status;
  const auto snapshot = inspector->snapshot();
  if (!snapshot) return fail(line.url, snapshot.error());

  std::vector<std::pair<std::string_view, std::uint64_t>> figures = {
      {"slots", snapshot->segment.slots},       {"used", snapshot->segment.used},
      {"sessions", snapshot->segment.sessions}, {"session_slots", snapshot->segment.session_slots},
      {"bytes", snapshot->segment.bytes},       {"waiters", snapshot->waiters.size()},
  };
  for (const Counter& counter : kCounters) figures.emplace_back(counter.name, snapshot->counters.*counter.value);

  Output output;
  if (options.format == "json") {
    Json json(output);
    json.begin_object();
    for (const auto& [name, value] : figures) json.member(name, value);
    json.end_object();
    output.print("\n");
  } else {
    for (const auto& [name, value] : figures) output.print("{} {}\n", name, value);
  }
  return output.finish();
}

int verify(const CommandLine& line, const VerifyOptions&) {
  int status = kDone;
  const auto inspector = open_inspector_of(line, "verify", status);
  if (!inspector) return status;
  Output output;
  const std::vector<Finding> findings = inspector->verify();
  for (const Finding& finding : findings) {
    output.print("{}: {}{}{}\n", printable(finding.place), printable(finding.what), finding.remedy.empty() ? "" : "; ",
                 printable(finding.remedy));
  }
  if (!findings.empty()) {
    output.drain();
    return complain(kFailure, "{}: {} broken; keep a copy if you want to know why, then remove it with keyrack rm",
                    line.url,
                    findings.size() == 1 ? "an invariant is" : fmt::format("{} invariants are", findings.size()));
  }
  const auto snapshot = inspector->snapshot(true);
  if (!snapshot) return fail(line.url, snapshot.error());
  output.print("{} records, {} names, {} sessions: every invariant holds\n", snapshot->locks.size(),
               snapshot->names.size(), snapshot->sessions.size());
  return output.finish();
}

}    // namespace

void add_health(CommandLine& line) {
  {
    auto [command, options] = add_command("stats", "figures of a segment and what was counted since it was made",
                                          "keyrack stats", line, stats);
    command.add_format(options->format, {"text", "json"});
  }
  add_command("verify", "check every invariant of a segment", "keyrack verify --url shm://orders", line, verify);
}

}    // namespace keyrack::command
