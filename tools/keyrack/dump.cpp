// keyrack dump: every record of a segment, for people, programs, spreadsheets and monitoring.
#include "commands.hpp"
#include "failure.hpp"
#include "filter.hpp"
#include "output.hpp"
#include "page.hpp"
#include "services.hpp"
#include "words.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <type_traits>
#include <utility>

namespace keyrack::command {
namespace {

struct DumpOptions {
  std::string format;
  Filter filter;
  ImageFile file;
  std::optional<std::string> sort;
  std::vector<std::string> columns;
  bool held = false, stale = false, waiting = false, all = false;
};

/// Leaves what is asked for; the segment's own figures and its sessions stay as they are.
void narrow(Snapshot& snapshot, const DumpOptions& options) {
  if (options.held || options.stale || options.waiting) {
    std::erase_if(snapshot.locks, [&](const LockPicture& lock) {
      const bool held = lock.state == LockState::held;
      return !(options.held && held) && !(options.waiting && lock.waiters > 0) &&
             !(options.stale && !held && lock.state != LockState::idle);
    });
    std::erase_if(snapshot.names, [&](const NamePicture& name) { return !options.held || name.free; });
  }
  if (options.filter) {
    const auto differs = [&](const std::string& text) { return !passes(options.filter, text); };
    std::erase_if(snapshot.locks, [&](const LockPicture& lock) { return differs(lock.signature); });
    std::erase_if(snapshot.names, [&](const NamePicture& name) { return differs(name.family + "/" + name.name); });
    std::erase_if(snapshot.waiters, [&](const WaiterPicture& waiter) { return differs(waiter.signature); });
  }
}

/// RFC 4180: in quotes where it has to be, quotes doubled.
std::string csv_field(std::string field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) quoted.append(c == '"' ? 2 : 1, c);
  return quoted + '"';
}

// What the columns hold, by type: how it is shown to people, written to CSV, and put into order.

struct Painted {
  std::string_view text;
  Colour colour;
};

template <class Value>
constexpr bool kIsOptional = false;
template <class Value>
constexpr bool kIsOptional<std::optional<Value>> = true;

void show(Table& table, std::string_view text) { table.cell(text); }
void show(Table& table, Painted word) { table.cell(word.text, word.colour); }
void show(Table& table, std::integral auto number) { table.cell(number); }
void show(Table& table, std::chrono::milliseconds time) { table.cell(people(time)); }
void show(Table& table, std::chrono::system_clock::time_point when) { table.cell(iso_time(when)); }
template <class Value>
void show(Table& table, const std::optional<Value>& maybe) {
  maybe ? show(table, *maybe) : table.cell("");
}

void write_field(Output& output, const std::string& text) { output.write(csv_field(utf8(text))); }
void write_field(Output& output, std::string_view word) { output.write(word); }
void write_field(Output& output, Painted word) { output.write(word.text); }
void write_field(Output& output, std::integral auto number) {
  const fmt::format_int digits(number);
  output.write({digits.data(), digits.size()});
}
void write_field(Output& output, std::chrono::milliseconds time) { write_field(output, time.count()); }
void write_field(Output& output, std::chrono::system_clock::time_point when) { output.write(iso_time(when)); }
template <class Value>
void write_field(Output& output, const std::optional<Value>& maybe) {
  if (maybe) write_field(output, *maybe);
}

/// What is not there comes last, whichever way.
template <class Value>
bool is_before(const Value& a, const Value& b, bool descending) {
  if constexpr (kIsOptional<Value>) {
    return a && b ? is_before(*a, *b, descending) : a.has_value() && !b;
  } else if constexpr (std::is_same_v<Value, Painted>) {
    return is_before(a.text, b.text, descending);
  } else {
    return descending ? b < a : a < b;
  }
}

/// One column of one kind of record.
template <class Record>
struct Field {
  std::string_view name;     ///< in CSV, --columns and --sort: that of the JSON member, where there is one
  std::string_view title;    ///< in the table
  bool right, is_text;
  void (*show)(Table&, const Record&);
  void (*write)(Output&, const Record&);
  bool (*is_before)(const Record&, const Record&, bool descending);
};

/// The column whose content is a member, or what a function makes of a record.
template <class Record, auto kContent>
constexpr Field<Record> field(std::string_view name, std::string_view title) {
  using Value = std::remove_cvref_t<decltype(std::invoke(kContent, std::declval<const Record&>()))>;
  constexpr bool kIsText = std::is_same_v<Value, std::string>;
  constexpr bool kIsWord = std::is_same_v<Value, std::string_view> || std::is_same_v<Value, Painted>;
  constexpr bool kIsTime = std::is_same_v<Value, std::chrono::system_clock::time_point> ||
                           std::is_same_v<Value, std::optional<std::chrono::system_clock::time_point>>;
  return {name,
          title,
          !kIsText && !kIsWord && !kIsTime,
          kIsText,
          [](Table& table, const Record& one) { command::show(table, std::invoke(kContent, one)); },
          [](Output& output, const Record& one) { write_field(output, std::invoke(kContent, one)); },
          [](const Record& a, const Record& b, bool descending) {
            return command::is_before<Value>(std::invoke(kContent, a), std::invoke(kContent, b), descending);
          }};
}

Painted lock_state(const LockPicture& lock) { return {to_string(lock.state), colour_of(lock.state)}; }
std::string_view lock_lifetime(const LockPicture& lock) { return lifetime_of(lock); }

std::uint64_t number_of(const NamePicture& name) {
  std::uint64_t number = 0;
  std::from_chars(name.name.data(), name.name.data() + name.name.size(), number);
  return number;
}
Painted name_state(const NamePicture& name) { return {state_of(name), name.free ? Colour::plain : Colour::green}; }
std::string_view name_lifetime(const NamePicture& name) { return name.free ? "" : lifetime_of(name); }
std::optional<std::int32_t> name_pid(const NamePicture& name) {
  return name.free ? std::nullopt : std::optional(name.pid);
}
std::optional<std::chrono::system_clock::time_point> name_updated(const NamePicture& name) {
  return name.free ? std::nullopt : std::optional(name.updated_at);
}

Painted session_state(const SessionPicture& session) {
  return {state_of(session), session.alive ? Colour::green : Colour::red};
}

template <std::uint64_t Counters::*counter>
std::uint64_t counted(const SessionPicture& session) {
  return session.counters.*counter;
}

constexpr std::array kLockFields = {
    field<LockPicture, &LockPicture::signature>("signature", "LOCK"),
    field<LockPicture, &LockPicture::signee>("signee", "SIGNEE"),
    field<LockPicture, &LockPicture::level>("level", "LEVEL"),
    field<LockPicture, &lock_state>("state", "STATE"),
    field<LockPicture, &lock_lifetime>("lifetime", "LIFETIME"),
    field<LockPicture, &LockPicture::token>("token", "TOKEN"),
    field<LockPicture, &LockPicture::pid>("pid", "PID"),
    field<LockPicture, &LockPicture::held_for>("held_for_ms", "HELD"),
    field<LockPicture, &LockPicture::expires_in>("expires_in_ms", "EXPIRES"),
    field<LockPicture, &LockPicture::waiters>("waiters", "WAITERS"),
};
constexpr std::array kNameFields = {
    field<NamePicture, &NamePicture::family>("family", "FAMILY"),
    field<NamePicture, &number_of>("name", "NAME"),
    field<NamePicture, &name_state>("state", "STATE"),
    field<NamePicture, &name_lifetime>("lifetime", "LIFETIME"),
    field<NamePicture, &name_pid>("pid", "PID"),
    field<NamePicture, &NamePicture::created_at>("created_at", "CREATED"),
    field<NamePicture, &name_updated>("updated_at", "UPDATED"),
};
constexpr std::array kWaiterFields = {
    field<WaiterPicture, &WaiterPicture::signature>("signature", "WAITS FOR"),
    field<WaiterPicture, &WaiterPicture::signee>("signee", "SIGNEE"),
    field<WaiterPicture, &WaiterPicture::level>("level", "LEVEL"),
    field<WaiterPicture, &WaiterPicture::pid>("pid", "PID"),
    field<WaiterPicture, &WaiterPicture::session>("slot", "SESSION"),
    field<WaiterPicture, &WaiterPicture::waited>("waited_ms", "WAITED"),
};
constexpr std::array kSessionFields = {
    field<SessionPicture, &SessionPicture::slot>("slot", "SESSION"),
    field<SessionPicture, &SessionPicture::pid>("pid", "PID"),
    field<SessionPicture, &session_state>("state", "STATE"),
    field<SessionPicture, &SessionPicture::command>("command", "COMMAND"),
    field<SessionPicture, &SessionPicture::locks_held>("locks_held", "LOCKS"),
    field<SessionPicture, &SessionPicture::names_held>("names_held", "NAMES"),
    field<SessionPicture, &SessionPicture::attached_at>("attached_at", "ATTACHED"),
    field<SessionPicture, &counted<&Counters::grants>>("grants", "GRANTS"),
    field<SessionPicture, &counted<&Counters::refusals>>("refusals", "REFUSALS"),
    field<SessionPicture, &counted<&Counters::waits>>("waits", "WAITS"),
};

/// All columns, in the order of CSV.
constexpr std::string_view kKind = "kind";    // says of what kind a line of CSV is
constexpr std::array<std::string_view, 24> kColumns = {
    kKind,         "pid",           "state",      "lifetime",   "signature", "signee",     "level",      "token",
    "held_for_ms", "expires_in_ms", "waiters",    "family",     "name",      "created_at", "updated_at", "slot",
    "command",     "attached_at",   "locks_held", "names_held", "waited_ms", "grants",     "refusals",   "waits"};

template <class Visit>
void for_each_kind(Snapshot& snapshot, Visit&& visit) {
  visit("lock", snapshot.locks, kLockFields);
  visit("name", snapshot.names, kNameFields);
  visit("waiter", snapshot.waiters, kWaiterFields);
  visit("session", snapshot.sessions, kSessionFields);
}

auto find_field(const auto& fields, std::string_view name) {
  const auto found = std::find_if(fields.begin(), fields.end(), [&](const auto& one) { return one.name == name; });
  return found == fields.end() ? nullptr : &*found;
}

/// COLUMN[,desc].
struct Sorting {
  std::string column;
  bool descending = false;
};
Sorting parse_sorting(const std::string& text) {
  constexpr std::string_view kDescending = ",desc";
  if (!text.ends_with(kDescending)) return {text};
  return {text.substr(0, text.size() - kDescending.size()), true};
}

/// Each kind that has the column; the others stay as they are.
void sort_by(Snapshot& snapshot, const Sorting& order) {
  for_each_kind(snapshot, [&](std::string_view, auto& records, const auto& fields) {
    const auto* by = find_field(fields, order.column);
    if (by == nullptr) return;
    std::stable_sort(records.begin(), records.end(),
                     [&](const auto& a, const auto& b) { return by->is_before(a, b, order.descending); });
  });
}

/// For people. A large segment's records come in no order.
void sort_by_key(std::vector<LockPicture>& locks, std::size_t most) {
  const auto before = [](const LockPicture& a, const LockPicture& b) { return a.signature < b.signature; };
  if (most < locks.size()) {
    std::partial_sort(locks.begin(), locks.begin() + static_cast<std::ptrdiff_t>(most), locks.end(), before);
  } else {
    std::sort(locks.begin(), locks.end(), before);
  }
}

constexpr std::size_t kMostOnPage = 2'000;    // of each kind: a browser can bear them

/// Those of a kind's columns that are asked for, in that order; a null for each that it does not have.
template <class Fields>
auto chosen(const Fields& fields, const std::vector<std::string>& names) {
  std::vector<decltype(fields.data())> found;
  found.reserve(names.size());
  for (const std::string& name : names) found.push_back(find_field(fields, name));
  return found;
}

/// The first records, with the chosen columns of their kind, or all; nothing if the kind has none of them.
template <class Records, class Fields>
std::optional<Table> table_of(const Records& records, const Fields& fields, const std::vector<std::string>& names,
                              std::size_t most) {
  auto shown = chosen(fields, names);
  std::erase(shown, nullptr);
  if (names.empty()) {
    for (const auto& one : fields) shown.push_back(&one);
  }
  if (shown.empty()) return {};
  std::vector<Column> columns;
  columns.reserve(shown.size());
  for (const auto* one : shown) columns.push_back({one->title, one->right, one->is_text});
  const std::size_t rows = std::min(records.size(), most);
  Table table(std::move(columns), rows);
  for (std::size_t i = 0; i < rows; ++i) {
    for (const auto* one : shown) one->show(table, records[i]);
  }
  return table;
}

void write_table(Output& output, Snapshot& snapshot, const DumpOptions& options) {
  output.print("{}, created {}\n", describe(snapshot.segment), iso_time(snapshot.segment.created_at));
  if (options.file) output.print("{}\n", about_copy(snapshot));
  for_each_kind(snapshot, [&](std::string_view, const auto& records, const auto& fields) {
    const auto table = table_of(records, fields, options.columns, records.size());
    if (!table || table->empty()) return;
    output.print("\n");
    table->write(output);
  });
}

void write_html(Output& output, Snapshot& snapshot, const Occupancy& occupancy, const DumpOptions& options) {
  std::vector<PageTable> tables;
  for_each_kind(snapshot, [&](std::string_view kind, const auto& records, const auto& fields) {
    tables.push_back({fmt::format("{}s", kind), *table_of(records, fields, {}, kMostOnPage),
                      std::min(records.size(), kMostOnPage), records.size()});
  });
  write_page(output, snapshot, occupancy, tables, options.file.has_value());
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
      .member("high_water", segment.high_water)
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
        .member("grants", session.counters.grants)
        .member("refusals", session.counters.refusals)
        .member("waits", session.counters.waits)
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
  json.end_object();
  write_times(json, snapshot);
  json.end_object();
  output.print("\n");
}

/// One line per record. What a kind does not have is empty; a kind that has none of what is asked for is left out.
void write_csv(Output& output, Snapshot& snapshot, const DumpOptions& options) {
  const std::vector<std::string> columns =
      options.columns.empty() ? std::vector<std::string>(kColumns.begin(), kColumns.end()) : options.columns;
  output.print("{}\n", fmt::join(columns, ","));
  for_each_kind(snapshot, [&](std::string_view kind, const auto& records, const auto& fields) {
    const auto written = chosen(fields, columns);
    if (std::all_of(written.begin(), written.end(), [](const auto* one) { return one == nullptr; })) return;
    for (const auto& record : records) {
      for (std::size_t i = 0; i < written.size(); ++i) {
        if (i > 0) output.write(",");
        if (columns[i] == kKind) output.write(kind);
        if (written[i] != nullptr) written[i]->write(output, record);
      }
      output.write("\n");
      output.drain_if_large();
    }
  });
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
  gauge("slots_high_water", "No more records than these were ever in use.", snapshot.segment.high_water);
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
    if (!counter.cause.empty()) continue;
    family(counter.name, "counter", counter.help);
    output.print("keyrack_{}_total{{{}}} {}\n", counter.name, segment, snapshot.counters.*counter.value);
  }
  family("transfers", "counter", "Locks taken from another signee.");
  for (const Counter& counter : kCounters) {
    if (counter.cause.empty()) continue;
    output.print("keyrack_transfers_total{{{},cause=\"{}\"}} {}\n", segment, counter.cause,
                 snapshot.counters.*counter.value);
  }
  for (const TimesName& times : kTimes) {
    const Histogram& histogram = snapshot.*times.times;
    const std::string name = fmt::format("{}_seconds", times.name);
    family(name, "histogram", times.help);
    std::uint64_t below = 0;
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
      below += histogram.counts[i];
      const bool last = i + 1 == histogram.counts.size();
      const std::string limit = last ? "+Inf" : fmt::format("{}", std::ldexp(1e-6, static_cast<int>(i)));
      output.print("keyrack_{}_bucket{{{},le=\"{}\"}} {}\n", name, segment, limit, below);
    }
    output.print("keyrack_{}_count{{{}}} {}\n", name, segment, below);
    output.print("keyrack_{}_sum{{{}}} {}\n", name, segment, std::chrono::duration<double>(histogram.sum).count());
  }
  output.print("# EOF\n");
}

int dump(const CommandLine& line, const DumpOptions& options) {
  const bool table = options.format == "table", csv = options.format == "csv";
  if (!options.columns.empty() && !table && !csv) {
    return complain(kUsage, "--columns goes with --format table and csv, {} has them all", options.format);
  }
  if (table && std::find(options.columns.begin(), options.columns.end(), kKind) != options.columns.end()) {
    return complain(kUsage, "--columns: kind is for --format csv; in the table each kind has its own part");
  }
  if (options.sort && options.format == "openmetrics") return complain(kUsage, "--sort: openmetrics shows no records");
  int status = kDone;
  const auto inspector = open_inspector_of(line, options.file, "dump", status);
  if (!inspector) return status;
  const bool html = options.format == "html";
  auto snapshot = inspector->snapshot(options.all || options.waiting || html);
  if (!snapshot) return fail_to_read(line, options.file, snapshot.error());
  const Occupancy occupancy(*snapshot);
  if (html && !options.all) {
    std::erase_if(snapshot->locks,
                  [](const LockPicture& lock) { return lock.state == LockState::idle && lock.waiters == 0; });
  }
  narrow(*snapshot, options);
  if (table) sort_by_key(snapshot->locks, snapshot->locks.size());
  if (html) sort_by_key(snapshot->locks, options.sort ? snapshot->locks.size() : kMostOnPage);
  if (options.sort) sort_by(*snapshot, parse_sorting(*options.sort));
  Output output;
  if (options.format == "json") {
    write_json(output, *snapshot);
  } else if (csv) {
    write_csv(output, *snapshot, options);
  } else if (options.format == "openmetrics") {
    write_openmetrics(output, *snapshot);
  } else if (html) {
    write_html(output, *snapshot, occupancy, options);
  } else {
    write_table(output, *snapshot, options);
  }
  return output.finish();
}

/// Empty if there is such a column, else what to say.
std::string fault_of_column(const std::string& name) {
  if (std::find(kColumns.begin(), kColumns.end(), name) != kColumns.end()) return "";
  return fmt::format("{} is no column; there are {}", name, fmt::join(kColumns, ", "));
}

std::string fault_of_order(const std::string& text) {
  const std::string column = parse_sorting(text).column;
  return column == kKind ? "by kind it is in order anyway" : fault_of_column(column);
}

}    // namespace

void add_dump(CommandLine& line) {
  auto [command, options] = add_command("dump", "every record of a segment, without disturbing anyone",
                                        "keyrack dump --waiting --sort held_for_ms,desc --filter 'job/*'", line, dump);
  command.add_format(options->format, {"table", "json", "csv", "openmetrics", "html"});
  command.add("--filter", options->filter, "only keys, and names as FAMILY/NAME, that match").type_name("GLOB");
  add_file(command, options->file);
  command.add_flag("--held", options->held, "only what is held now");
  command.add_flag("--stale", options->stale, "only what the next asker takes: stale and abandoned locks");
  command.add_flag("--waiting", options->waiting, "only locks that somebody waits for; with the others: these, too");
  command.add_flag("--all", options->all, "idle locks, too: unlocked, and kept for speed");
  command
      .add("--columns", options->columns,
           "only these columns of the table or CSV, in this order, by their names in CSV")
      .type_name("A,B,C")
      .split_at_commas()
      .check(fault_of_column);
  command.add("--sort", options->sort, "in the order of this column, in all that have it")
      .type_name("COLUMN[,desc]")
      .check(fault_of_order);
}

}    // namespace keyrack::command
