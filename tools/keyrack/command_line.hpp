// What every command gets: the command line under construction, and the means to open what the URL names.
#pragma once

#include "shm/options.hpp"

#include <keyrack/keyrack.hpp>

#include <CLI/CLI.hpp>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace keyrack::command {

struct CommandLine {
  CLI::App& app;
  const std::vector<std::string>& words;    ///< as given, without CMD
  std::string url = "shm://default";
  std::vector<std::string> child = {};    ///< CMD …: what follows `--`, for the commands that run one
  std::function<int()> action = {};       ///< set by the command that was given; its result is the exit status
};

/// A new command whose options are kept in an Options; `action` gets them once the line is parsed.
template <class Options>
std::pair<CLI::App*, Options*> add_command(const std::string& name, const std::string& description,
                                           const std::string& example, CommandLine& line,
                                           int (*action)(const CommandLine&, const Options&)) {
  auto options = std::make_shared<Options>();
  CLI::App* command = line.app.add_subcommand(name, description);
  command->footer("Example: " + example);
  command->callback(
      [&line, options, action] { line.action = [&line, options, action] { return action(line, *options); }; });
  return {command, options.get()};
}

/// An option that takes a duration, as in URLs; a minus in front makes it negative, which calls define, too.
CLI::Option* add_duration(CLI::App*, const std::string& name, std::optional<std::chrono::nanoseconds>&,
                          const std::string& description);

/// --format with these values, the first of which is the default.
CLI::Option* add_format(CLI::App*, std::string&, const std::vector<std::string>& values);

/// The service that the URL names; without one the reason is told, and `status` is what to exit with.
std::unique_ptr<LockService> open_locks(const CommandLine&, int& status);
std::unique_ptr<NameManager> open_names(const CommandLine&, int& status);

/// The segment that the URL names, for a command that works on segments only.
std::optional<shm::Options> segment_of(const CommandLine&, std::string_view command, int& status);
std::unique_ptr<Inspector> open_inspector_of(const CommandLine&, std::string_view command, int& status);

// One for each group of commands.
void add_run(CommandLine&);
void add_locks(CommandLine&);
void add_names(CommandLine&);
void add_dump(CommandLine&);
void add_top(CommandLine&);
void add_health(CommandLine&);
void add_segments(CommandLine&);

}    // namespace keyrack::command
