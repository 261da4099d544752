// keyrack: locks and names of a host from the command line. Options are read here; each group of commands has a file.
#include "command_line.hpp"
#include "failure.hpp"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <exception>
#include <string>
#include <utility>
#include <vector>

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

int main(std::vector<std::string> words) {
  CLI::App app("Locks and names for the processes of this host, in shared memory, with no server.", "keyrack");
  std::vector<std::string> child = take_child(words);
  CommandLine line{.app = app, .words = words, .child = std::move(child)};
  const std::string command(command_in(words));

  app.set_version_flag("--version", "keyrack " KEYRACK_VERSION);
  app.add_option("--url", line.url, "where the locks and names are, else shm://default")->envname("KEYRACK_URL");
  app.require_subcommand(1);
  app.fallthrough();
  app.footer(
      "Exit status: 0 done; 1 not granted (held, in use, not found); 2 wrong usage; 3 any other failure.\n"
      "Durations are written 250ms, 10s, 1m30s, 2h. Bytes that are not UTF-8 are shown as \\xNN.\n"
      "Example: keyrack run --url shm://orders nightly-report -- ./report.sh");
  add_run(line);
  add_locks(line);
  add_names(line);
  add_dump(line);
  add_top(line);
  add_health(line);
  add_segments(line);

  try {
    app.parse(std::vector<std::string>(words.rbegin(), words.rend()));    // it takes them off the end
  } catch (const CLI::Success& asked) {                                   // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    const auto given = app.get_subcommands();
    if (!given.empty()) return complain(kUsage, "{}; see keyrack {} --help", error.what(), given.front()->get_name());
    const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
    const std::string what = !missing          ? error.what()
                             : command.empty() ? "no command is given"
                                               : command + " is no command";
    return complain(kUsage, "{}; see keyrack --help", what);
  }
  return line.action();
}

/// A segment that is cut short while it is in use: what is missing cannot be read, and there is no way back.
void end_on_missing_memory(int) {
  constexpr std::string_view kLine = "keyrack: the segment was cut short while it was in use; keyrack rm removes it\n";
  (void)!::write(STDERR_FILENO, kLine.data(), kLine.size());
  ::_exit(kFailure);
}

}    // namespace
}    // namespace keyrack::command

int main(int argc, char** argv) {
  std::signal(SIGBUS, keyrack::command::end_on_missing_memory);
  try {
    return keyrack::command::main({argv + std::min(argc, 1), argv + argc});
  } catch (const std::exception& error) {
    return keyrack::command::complain(keyrack::command::kFailure, "{}", error.what());
  }
}
