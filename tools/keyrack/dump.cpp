// keyrack dump: every record of a segment, for people, programs, spreadsheets and monitoring.
#include "commands.hpp"
#include "failure.hpp"
#include "output.hpp"
#include "services.hpp"
#include "words.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <utility>

namespace keyrack::command {
namespace {

struct DumpOptions {
  std::string format;
  std::optional<std::string> filter;
  bool held = false, all = false;
};

/// Leaves what is asked for; the segment's own figures and its sessions stay as they are.
void narrow(Snapshot& snapshot, const DumpOptions& options) {
  if (options.held) {
    std::erase_if(snapshot.locks, [](const LockPicture& lock) { return lock.state != LockState::held; });
    std::erase_if(snapshot.names, [](const NamePicture& name) { return name.free; });
  }
  if (options.filter) {
    const auto differs = [&](const std::string& text) {
      return ::fnmatch(options.filter->c_str(), text.c_str(), 0) != 0;
    };
    std::erase_if(snapshot.locks, [&](const LockPicture& lock) { return differs(lock.signature); });
    std::erase_if(snapshot.names, [&](const NamePicture& name) { return differs(name.family + "/" + name.name); });
    std::erase_if(snapshot.waiters, [&](const WaiterPicture& waiter) { return differs(waiter.signature); });
  }
}

void write_table(Output& output, Snapshot& snapshot) {
  // For people in order; a large segment's records come in none.
  std::sort(snapshot.locks.begin(), snapshot.locks.end(),
            [](const LockPicture& a, const LockPicture& b) { return a.signature < b.signature; });
  output.print("{}, created {}\n", describe(snapshot.segment), iso_time(snapshot.segment.created_at));
  const auto section = [&](const Table& table) {
    if (table.empty()) return;
    output.print("\n");
    table.write(output);
  };

  Table locks({{"LOCK"},
               {"SIGNEE"},
               {"LEVEL", true},
               {"STATE"},
               {"LIFETIME"},
               {"TOKEN", true},
               {"PID", true},
               {"HELD", true},
               {"EXPIRES", true},
               {"WAITERS", true}});
  for (const LockPicture& lock : snapshot.locks) {
    locks.cell(lock.signature);
    locks.cell(lock.signee);
    locks.cell(lock.level);
    locks.cell(to_string(lock.state), colour_of(lock.state));
    locks.cell(lifetime_of(lock));
    locks.cell(lock.token);
    locks.cell(lock.pid);
    locks.cell(lock.held_for ? people(*lock.held_for) : "");
    locks.cell(lock.expires_in ? people(*lock.expires_in) : "");
    locks.cell(lock.waiters);
  }
  section(locks);

  Table names({{"FAMILY"}, {"NAME", true}, {"STATE"}, {"LIFETIME"}, {"PID", true}, {"CREATED"}, {"UPDATED"}});
  for (const NamePicture& name : snapshot.names) {
    names.cell(name.family);
    names.cell(name.name);
    names.cell(state_of(name), name.free ? Colour::plain : Colour::green);
    names.cell(name.free ? "" : lifetime_of(name));
    names.cell(name.free ? "" : std::to_string(name.pid));
    names.cell(iso_time(name.created_at));
    names.cell(name.free ? "" : iso_time(name.updated_at));
  }
  section(names);

  Table waiters({{"WAITS FOR"}, {"SIGNEE"}, {"LEVEL", true}, {"PID", true}, {"WAITED", true}});
  for (const WaiterPicture& waiter : snapshot.waiters) {
    waiters.cell(waiter.signature);
    waiters.cell(waiter.signee);
    waiters.cell(waiter.level);
    waiters.cell(waiter.pid);
    waiters.cell(people(waiter.waited));
  }
  section(waiters);

  Table sessions(
      {{"SESSION", true}, {"PID", true}, {"STATE"}, {"COMMAND"}, {"LOCKS", true}, {"NAMES", true}, {"ATTACHED"}});
  for (const SessionPicture& session : snapshot.sessions) {
    sessions.cell(session.slot);
    sessions.cell(session.pid);
    sessions.cell(state_of(session), session.alive ? Colour::green : Colour::red);
    sessions.cell(session.command);
    sessions.cell(session.locks_held);
    sessions.cell(session.names_held);
    sessions.cell(iso_time(session.attached_at));
  }
  section(sessions);
}

void write_json(Output& output, const Snapshot& snapshot) {
  const SegmentPicture& segment = snapshot.segment;
  Json json(output);
  json.begin_object();
  json.key("segment")
      .begin_object()
      .member("name", segment.name)
      .member("layout_version", segment.layout_version)
      .member("slots", segment.slots)
      .member("used", segment.used)
      .member("sessions", segment.sessions)
      .member("session_slots", segment.session_slots)
      .member("max_signature", segment.max_signature)
      .member("max_signee", segment.max_signee)
      .member("bytes", segment.bytes)
      .member("created_at", iso_time(segment.created_at))
      .end_object();
  json.member("taken_from", iso_time(snapshot.taken_from)).member("taken_until", iso_time(snapshot.taken_until));
  json.key("locks").begin_array();
  for (const LockPicture& lock : snapshot.locks) {
    json.begin_object()
        .member("signature", lock.signature)
        .member("signee", lock.signee)
        .member("level", lock.level)
        .member("state", to_string(lock.state))
        .member("lifetime", lifetime_of(lock))
        .member("token", lock.token)
        .member("pid", lock.pid)
        .member("held_for_ms", lock.held_for)
        .member("expires_in_ms", lock.expires_in)
        .member("waiters", lock.waiters)
        .end_object();
  }
  json.end_array();
  json.key("names").begin_array();
  for (const NamePicture& name : snapshot.names) {
    json.begin_object()
        .member("family", name.family)
        .member("name", name.name)
        .member("free", name.free)
        .member("lifetime", lifetime_of(name))
        .member("pid", name.pid)
        .member("created_at", iso_time(name.created_at))
        .member("updated_at", name.free ? std::nullopt : std::optional(iso_time(name.updated_at)))
        .end_object();
  }
  json.end_array();
  json.key("sessions").begin_array();
  for (const SessionPicture& session : snapshot.sessions) {
    json.begin_object()
        .member("slot", session.slot)
        .member("pid", session.pid)
        .member("alive", session.alive)
        .member("command", session.command)
        .member("locks_held", session.locks_held)
        .member("names_held", session.names_held)
        .member("attached_at", iso_time(session.attached_at))
        .end_object();
  }
  json.end_array();
  json.key("waiters").begin_array();
  for (const WaiterPicture& waiter : snapshot.waiters) {
    json.begin_object()
        .member("signature", waiter.signature)
        .member("signee", waiter.signee)
        .member("level", waiter.level)
        .member("pid", waiter.pid)
        .member("session", waiter.session)
        .member("waited_ms", waiter.waited)
        .end_object();
  }
  json.end_array();
  json.key("counters").begin_object();
  for (const Counter& counter : kCounters) json.member(counter.name, snapshot.counters.*counter.value);
  json.end_object().end_object();
  output.print("\n");
}

/// RFC 4180: in quotes where it has to be, quotes doubled.
std::string csv_field(std::string_view text) {
  std::string field = utf8(text);
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

/// One line per record. What a kind does not have is empty.
void write_csv(Output& output, const Snapshot& snapshot) {
  output.print(
      "kind,pid,state,lifetime,signature,signee,level,token,held_for_ms,expires_in_ms,waiters,family,name,created_at,"
      "updated_at,slot,command,attached_at,locks_held,names_held\n");
  const auto milliseconds = [](std::optional<std::chrono::milliseconds> time) {
    return time ? std::to_string(time->count()) : std::string();
  };
  for (const LockPicture& lock : snapshot.locks) {
    output.print("lock,{},{},{},{},{},{},{},{},{},{},,,,,,,,,\n", lock.pid, to_string(lock.state), lifetime_of(lock),
                 csv_field(lock.signature), csv_field(lock.signee), lock.level, lock.token, milliseconds(lock.held_for),
                 milliseconds(lock.expires_in), lock.waiters);
    output.drain_if_large();
  }
  for (const NamePicture& name : snapshot.names) {
    output.print("name,{},{},{},,,,,,,,{},{},{},{},,,,,\n", name.pid, state_of(name), lifetime_of(name),
                 csv_field(name.family), csv_field(name.name), iso_time(name.created_at),
                 name.free ? "" : iso_time(name.updated_at));
    output.drain_if_large();
  }
  for (const SessionPicture& session : snapshot.sessions) {
    output.print("session,{},{},,,,,,,,,,,,,{},{},{},{},{}\n", session.pid, state_of(session), session.slot,
                 csv_field(session.command), iso_time(session.attached_at), session.locks_held, session.names_held);
  }
}

/// The text of a label, escaped as the format wants it.
std::string label(std::string_view text) {
  std::string escaped;
  for (const char c : utf8(text)) {
    if (c == '\\' || c == '"') escaped += '\\';
    escaped += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return escaped;
}

/// Figures only: keys would make a time series of each.
void write_openmetrics(Output& output, const Snapshot& snapshot) {
  const std::string segment = fmt::format("segment=\"{}\"", label(snapshot.segment.name));
  const auto family = [&](std::string_view name, std::string_view type, std::string_view help) {
    output.print("# TYPE keyrack_{0} {1}\n# HELP keyrack_{0} {2}\n", name, type, help);
  };
  const auto gauge = [&](std::string_view name, std::string_view help, std::uint64_t value) {
    family(name, "gauge", help);
    output.print("keyrack_{}{{{}}} {}\n", name, segment, value);
  };
  gauge("slots", "Records the segment has room for.", snapshot.segment.slots);
  gauge("slots_used", "Records that are not free.", snapshot.segment.used);
  gauge("session_slots", "Processes the segment has room for.", snapshot.segment.session_slots);
  gauge("sessions", "Processes that are attached.", snapshot.segment.sessions);
  gauge("waiters", "Calls that wait for a lock.", snapshot.waiters.size());

  family("locks", "gauge", "Locks by state.");
  for (const LockState state : {LockState::held, LockState::stale, LockState::abandoned, LockState::idle}) {
    const auto count = std::count_if(snapshot.locks.begin(), snapshot.locks.end(),
                                     [&](const LockPicture& lock) { return lock.state == state; });
    output.print("keyrack_locks{{{},state=\"{}\"}} {}\n", segment, to_string(state), count);
  }
  family("names", "gauge", "Names by state.");
  const auto free =
      std::count_if(snapshot.names.begin(), snapshot.names.end(), [](const NamePicture& name) { return name.free; });
  output.print("keyrack_names{{{},state=\"held\"}} {}\n", segment,
               snapshot.names.size() - static_cast<std::size_t>(free));
  output.print("keyrack_names{{{},state=\"free\"}} {}\n", segment, free);

  for (const Counter& counter : kCounters) {
    family(counter.name, "counter", counter.help);
    output.print("keyrack_{}_total{{{}}} {}\n", counter.name, segment, snapshot.counters.*counter.value);
  }
  output.print("# EOF\n");
}

int dump(const CommandLine& line, const DumpOptions& options) {
  int status = kDone;
  const auto inspector = open_inspector_of(line, "dump", status);
  if (!inspector) return status;
  auto snapshot = inspector->snapshot(options.all);
  if (!snapshot) return fail(line.url, snapshot.error());
  narrow(*snapshot, options);
  Output output;
  if (options.format == "json") {
    write_json(output, *snapshot);
  } else if (options.format == "csv") {
    write_csv(output, *snapshot);
  } else if (options.format == "openmetrics") {
    write_openmetrics(output, *snapshot);
  } else {
    write_table(output, *snapshot);
  }
  return output.finish();
}

}    // namespace

void add_dump(CommandLine& line) {
  auto [command, options] = add_command("dump", "every record of a segment, without disturbing anyone",
                                        "keyrack dump --format json --filter 'job/*'", line, dump);
  command.add_format(options->format, {"table", "json", "csv", "openmetrics"});
  command.add("--filter", options->filter, "only keys, and names as FAMILY/NAME, that match").type_name("GLOB");
  command.add_flag("--held", options->held, "only what is held now");
  command.add_flag("--all", options->all, "idle locks, too: unlocked, and kept for speed");
}

}    // namespace keyrack::command
