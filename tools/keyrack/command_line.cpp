// Reads the command line with CLI11.
#include "command_line.hpp"

#include "duration.hpp"
#include "failure.hpp"

#include <keyrack/keyrack.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <string_view>

namespace keyrack::command {
namespace {

/// The command: the first word that is neither an option nor the URL.
std::string_view command_in(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--url") {
      ++i;
    } else if (!words[i].starts_with('-')) {
      return words[i];
    }
  }
  return "";
}

/// Takes `-- CMD …` off the words. CMD is not the parser's: whatever is in it stays as it is.
std::vector<std::string> take_child(std::vector<std::string>& words) {
  const std::string_view command = command_in(words);
  if (command != "run" && command != "hold") return {};
  const auto mark = std::find(words.begin(), words.end(), "--");
  if (mark == words.end()) return {};
  std::vector<std::string> child(mark + 1, words.end());
  words.erase(mark, words.end());
  return child;
}

}    // namespace

Argument& Argument::required() {
  option_->required();
  return *this;
}

Argument& Argument::excludes(const Argument& other) {
  option_->excludes(other.option_);
  return *this;
}

Argument& Argument::type_name(const std::string& name) {
  option_->type_name(name);
  return *this;
}

Argument& Argument::one_of(const std::vector<std::string>& values) {
  option_->check(CLI::IsMember(values));
  return *this;
}

Argument& Argument::positive() {
  option_->check(CLI::PositiveNumber);
  return *this;
}

Argument& Argument::split_at_commas() {
  option_->delimiter(',');
  return *this;
}

Argument& Argument::check(std::string (*fault)(const std::string& value)) {
  option_->check(fault);
  return *this;
}

Argument Command::add(const std::string& name, std::string& target, const std::string& description) {
  return Argument(app_->add_option(name, target, description));
}

Argument Command::add(const std::string& name, std::optional<std::string>& target, const std::string& description) {
  return Argument(app_->add_option(name, target, description));
}

Argument Command::add(const std::string& name, std::vector<std::string>& target, const std::string& description) {
  return Argument(app_->add_option(name, target, description));
}

Argument Command::add(const std::string& name, std::int32_t& target, const std::string& description) {
  return Argument(app_->add_option(name, target, description));
}

Argument Command::add(const std::string& name, std::optional<std::uint64_t>& target, const std::string& description) {
  return Argument(app_->add_option(name, target, description));
}

Argument Command::add_flag(const std::string& name, bool& target, const std::string& description) {
  return Argument(app_->add_flag(name, target, description));
}

Argument Command::add_duration(const std::string& name, std::optional<std::chrono::nanoseconds>& target,
                               const std::string& description) {
  const auto parse = [&target, name](const std::string& text) {
    const bool negative = text.starts_with('-');
    target = parse_duration(std::string_view(text).substr(negative ? 1 : 0));
    if (negative && target) target = -*target;
    if (!target) throw CLI::ValidationError(name, text + " is not a duration (write 250ms, 10s, 1m30s)");
  };
  return Argument(app_->add_option_function<std::string>(name, parse, description)->type_name("D"));
}

Argument Command::add_format(std::string& target, const std::vector<std::string>& values) {
  target = values.front();
  return add("--format", target, "how to print it, else " + target).one_of(values);
}

void Command::note(const std::string& text) { app_->footer(text + "\n" + app_->get_footer()); }

Command add_command(const std::string& name, const std::string& description, const std::string& example,
                    CommandLine& line, std::function<int()> action) {
  CLI::App* command = line.app.add_subcommand(name, description);
  command->footer("Example: " + example);
  command->callback([&line, action = std::move(action)] { line.action = action; });
  return Command(command);
}

int run_command_line(std::vector<std::string> words, const std::vector<void (*)(CommandLine&)>& add_commands) {
  CLI::App app("Locks and names for the processes of this host, in shared memory, with no server.", "keyrack");
  std::vector<std::string> child = take_child(words);
  CommandLine line{.app = app, .words = std::move(words), .child = std::move(child)};

  app.set_version_flag("--version", "keyrack " KEYRACK_VERSION);
  app.add_option("--url", line.url, "where the locks and names are, else shm://default")->envname("KEYRACK_URL");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit status: 0 done; 1 not granted (held, in use, not found); 2 wrong usage; 3 any other failure.\n"
      "Durations are written 250ms, 10s, 1m30s, 2h. Bytes that are not UTF-8 are shown as \\xNN.\n"
      "Example: keyrack run --url shm://orders nightly-report -- ./report.sh");
  for (const auto& add : add_commands) add(line);

  try {
    app.parse(std::vector<std::string>(line.words.rbegin(), line.words.rend()));    // it takes them off the end
  } catch (const CLI::Success& asked) {                                             // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    const auto given = app.get_subcommands();
    if (!given.empty()) return complain(kUsage, "{}; see keyrack {} --help", error.what(), given.front()->get_name());
    const std::string command(command_in(line.words));
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    const std::string what = !missing          ? error.what()
                             : command.empty() ? "no command is given"
                                               : command + " is no command";
    return complain(kUsage, "{}; see keyrack --help", what);
  }
  return line.action();
}

}    // namespace keyrack::command
