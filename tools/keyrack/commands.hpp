// The groups of commands; each adds its own to the command line.
#pragma once

#include "command_line.hpp"

namespace keyrack::command {

void add_run(CommandLine&);
void add_locks(CommandLine&);
void add_names(CommandLine&);
void add_dump(CommandLine&);
void add_top(CommandLine&);
void add_waits(CommandLine&);
void add_watch(CommandLine&);
void add_health(CommandLine&);
void add_segments(CommandLine&);

}    // namespace keyrack::command
