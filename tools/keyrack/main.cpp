// keyrack: locks and names of a host from the command line. Each group of commands has a file.
#include "command_line.hpp"
#include "commands.hpp"
#include "failure.hpp"

#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <exception>
#include <new>
#include <string_view>

namespace keyrack::command {
namespace {

/// A segment that is cut short while it is in use: what is missing cannot be read, and there is no way back.
void end_on_missing_memory(int) {
  constexpr std::string_view kLine = "keyrack: the segment was cut short while it was in use; keyrack rm removes it\n";
  (void)!::write(STDERR_FILENO, kLine.data(), kLine.size());
  ::_exit(kFailure);
}

}    // namespace
}    // namespace keyrack::command

int main(int argc, char** argv) {
  using namespace keyrack::command;
  std::setlocale(LC_CTYPE, "C.UTF-8");    // texts are UTF-8 here, whatever language the user speaks
  std::signal(SIGBUS, end_on_missing_memory);
  try {
    return run_command_line({argv + std::min(argc, 1), argv + argc}, {add_run, add_locks, add_names, add_dump, add_top,
                                                                      add_waits, add_watch, add_health, add_segments});
  } catch (const std::bad_alloc&) {
    return complain(kFailure, "out of memory; end what needs it, or raise the limit that ulimit -a shows");
  } catch (const std::exception& error) {
    return complain(kFailure, "{}", error.what());
  }
}
