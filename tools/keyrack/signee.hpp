// Who holds a lock for a command, where nobody says.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace keyrack::command {

/// "run-USER-PID", with a host "run-USER-HOST-PID": at most 64 bytes, which is what signees usually may have. Of a
/// host's name what is before the first dot; if that is too long, its end, in which names that are given by machines
/// differ.
std::string signee_of(std::string_view user, std::string_view host, pid_t pid);

}    // namespace keyrack::command
