// keyrack hold, acquire, try-acquire, keep-alive, release, list, reset: pooled names.
#include "child.hpp"
#include "commands.hpp"
#include "failure.hpp"
#include "lookout.hpp"
#include "output.hpp"
#include "services.hpp"

#include <utility>

namespace keyrack::command {
namespace {

struct FamilyOptions {
  std::string family;
};

struct NameOptions {
  std::string family, name;
};

struct ListOptions {
  std::string format;
};

struct NoOptions {};

int hold(const CommandLine& line, const FamilyOptions& options) {
  const Signals signals;
  int status = kDone;
  signals.let_through();
  auto service = open_names(line, status);
  if (!service) return status;
  auto held = service->hold(options.family);
  signals.keep_back();
  if (!held) return fail(line, options.family, held.error());

  const auto tell_loss = [&](std::error_code error) {
    complain(kNotGranted, "{} of {}: {}; hold another", held->name(), options.family, error.message());
  };
  const auto still_held = [&] {
    const std::error_code error = held->status();
    if (error != Errc::lost) return true;    // who cannot be asked has not taken it away
    tell_loss(error);
    return false;
  };
  Lookout lookout(signals,
                  {.interval = interval_of_looks(line), .still_held = still_held, .may_hang = !is_for_segments(line)});
  if (line.child.empty()) {
    Output output;
    output.print("{}\n", held->name());
    if (const int unwritten = output.finish(); unwritten != kDone) return unwritten;
    while (!lookout.lost()) {
      const auto signal = lookout.next();
      if (signal && signal->si_signo != SIGCHLD) break;
    }
  } else {
    status = run_child(signals, {.command = line.child, .environment = {"KEYRACK_NAME=" + held->name()}}, lookout);
  }

  std::error_code error;
  const bool finished = lookout.finish([&] {
    if (const auto released = held->release(); !released) error = released.error();
    service.reset();
  });
  if (lookout.lost()) {
    status = kNotGranted;
  } else if (!finished || error == Errc::backend_unavailable) {
    status = complain(kFailure, "{} of {}: {}; it is free once the end of this process is noticed there", held->name(),
                      options.family, make_error_code(Errc::backend_unavailable).message());
  } else if (error) {
    tell_loss(error);
    status = status_of(error);
  }
  if (!finished) end_process(status);
  return status;
}

int acquire(const CommandLine& line, const FamilyOptions& options) {
  int status = kDone;
  const auto service = open_names(line, status);
  if (!service) return status;
  const auto name = service->acquire(options.family);
  if (!name) return fail(line, options.family, name.error());
  Output output;
  output.print("{}\n", *name);
  return output.finish();
}

/// The calls that take a family and a name, and answer with success or an error.
using NameCall = Result<void> (NameManager::*)(std::string_view family, std::string_view name);

template <NameCall call>
int call_with_name(const CommandLine& line, const NameOptions& options) {
  int status = kDone;
  const auto service = open_names(line, status);
  if (!service) return status;
  const auto answer = (service.get()->*call)(options.family, options.name);
  return answer ? kDone : fail(line, options.family + "/" + options.name, answer.error());
}

int list(const CommandLine& line, const ListOptions& options) {
  int status = kDone;
  const auto service = open_names(line, status);
  if (!service) return status;
  const auto names = service->list();
  if (!names) return fail(line, line.url, names.error());
  Output output;
  if (options.format == "json") {
    Json json(output);
    json.begin_array();
    for (const Name& name : *names) {
      json.begin_object()
          .member("family", name.family)
          .member("name", name.name)
          .member("free", name.free)
          .member("created_at", iso_time(name.created_at));
      json.key("updated_at");
      name.free ? json.value(nullptr) : json.value(iso_time(name.updated_at));
      json.end_object();
    }
    json.end_array();
    output.print("\n");
  } else {
    Table table({{"FAMILY"}, {"NAME", true}, {"STATE"}, {"CREATED"}, {"UPDATED"}});
    for (const Name& name : *names) {
      table.cell(name.family);
      table.cell(name.name);
      table.cell(name.free ? "free" : "held", name.free ? Colour::plain : Colour::green);
      table.cell(iso_time(name.created_at));
      table.cell(name.free ? "" : iso_time(name.updated_at));
    }
    table.write(output);
  }
  return output.finish();
}

int reset(const CommandLine& line, const NoOptions&) {
  int status = kDone;
  const auto service = open_names(line, status);
  if (!service) return status;
  const auto answer = service->reset();
  return answer ? kDone : fail(line, line.url, answer.error());
}

template <NameCall call>
void add_name_call(CommandLine& line, const std::string& name, const std::string& description) {
  auto [command, options] = add_command(name, description, "keyrack " + name + " worker 0", line, call_with_name<call>);
  command.add("FAMILY", options->family, "the family").required();
  command.add("NAME", options->name, "the number within it").required();
}

}    // namespace

void add_names(CommandLine& line) {
  {
    auto [command, options] = add_command(
        "hold", "hold a name: print it and wait to be interrupted, or run CMD, written behind --, with KEYRACK_NAME",
        "keyrack hold worker -- ./worker.sh", line, hold);
    command.add("FAMILY", options->family, "the family").required();
  }
  {
    auto [command, options] = add_command("acquire", "take a name, print it, and leave it taken until released",
                                          "keyrack acquire worker", line, acquire);
    command.add("FAMILY", options->family, "the family").required();
  }
  add_name_call<&NameManager::try_acquire>(line, "try-acquire", "take this very name");
  add_name_call<&NameManager::keep_alive>(line, "keep-alive", "start auto_release_after of a name anew");
  add_name_call<&NameManager::release>(line, "release", "give a name back, whoever has it");
  {
    auto [command, options] =
        add_command("list", "every name ever registered", "keyrack list --format json", line, list);
    command.add_format(options->format, {"table", "json"});
  }
  add_command("reset", "forget all names of all families; whoever holds one learns that it is lost", "keyrack reset",
              line, reset);
}

}    // namespace keyrack::command
