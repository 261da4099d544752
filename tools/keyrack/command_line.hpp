// The command line: commands say here what they take. The parser, CLI11, is seen by command_line.cpp alone: it takes
// longer to compile than all else in this folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace CLI {    // NOLINT(readability-identifier-naming): the parser's name
class App;
class Option;
}    // namespace CLI

namespace keyrack::command {

/// One argument of a command, an option or what is known by its place: what more there is to say of it.
class Argument {
 public:
  explicit Argument(CLI::Option* option) : option_(option) {}
  Argument& required();
  Argument& excludes(const Argument& other);
  Argument& type_name(const std::string& name);
  Argument& one_of(const std::vector<std::string>& values);
  Argument& positive();
  Argument& split_at_commas();
  /// `fault` says what is wrong with a value, or nothing.
  Argument& check(std::string (*fault)(const std::string& value));

 private:
  CLI::Option* option_;
};

/// A command under construction. Names that begin with - are options; others are known by their place.
class Command {
 public:
  explicit Command(CLI::App* app) : app_(app) {}
  Argument add(const std::string& name, std::string&, const std::string& description);
  Argument add(const std::string& name, std::optional<std::string>&, const std::string& description);
  Argument add(const std::string& name, std::vector<std::string>&, const std::string& description);
  Argument add(const std::string& name, std::int32_t&, const std::string& description);
  Argument add(const std::string& name, std::optional<std::uint64_t>&, const std::string& description);
  Argument add_flag(const std::string& name, bool&, const std::string& description);

  /// A duration, as in URLs; a minus in front makes it negative, which calls define, too.
  Argument add_duration(const std::string& name, std::optional<std::chrono::nanoseconds>&,
                        const std::string& description);

  /// --format with these values, the first of which is the default.
  Argument add_format(std::string&, const std::vector<std::string>& values);

  /// In the help, before the example: what its options do not tell. Lines are broken as they are here.
  void note(const std::string& text);

 private:
  CLI::App* app_;
};

struct CommandLine {
  CLI::App& app;
  const std::vector<std::string> words;    ///< as given, without CMD
  const std::vector<std::string> child;    ///< CMD …: what follows `--`, for the commands that run one
  std::string url = "shm://default";
  std::function<int()> action = {};    ///< set by the command that was given; its result is the exit status
};

/// A new command; `action` is what it does.
Command add_command(const std::string& name, const std::string& description, const std::string& example, CommandLine&,
                    std::function<int()> action);

/// A new command whose options are kept in an Options; `action` gets them once the line is parsed.
template <class Options>
std::pair<Command, Options*> add_command(const std::string& name, const std::string& description,
                                         const std::string& example, CommandLine& line,
                                         int (*action)(const CommandLine&, const Options&)) {
  auto options = std::make_shared<Options>();
  return {add_command(name, description, example, line, [&line, options, action] { return action(line, *options); }),
          options.get()};
}

/// Adds the commands, reads the words, and does what they say. The result is the exit status.
int run_command_line(std::vector<std::string> words, const std::vector<void (*)(CommandLine&)>& add_commands);

}    // namespace keyrack::command
