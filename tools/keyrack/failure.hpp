// Exit statuses, and the one line on standard error that goes with each that is not kDone.
#pragma once

#include <keyrack/errors.hpp>

#include <fmt/format.h>

#include <string_view>
#include <system_error>
#include <utility>

namespace keyrack::command {

enum ExitStatus : int {
  kDone = 0,
  kNotGranted = 1,    ///< held, in use, not found
  kUsage = 2,
  kFailure = 3,
};

ExitStatus status_of(std::error_code);

/// "keyrack: LINE" on standard error, whatever bytes are in it. Gives the status back.
int complain_line(int status, std::string_view line);

template <class... Args>
int complain(int status, fmt::format_string<Args...> format, Args&&... args) {
  return complain_line(status, fmt::format(format, std::forward<Args>(args)...));
}

struct CommandLine;

/// Says what went wrong with `subject` (a key, a family, a URL) and what to do about it there, where the URL is; gives
/// the exit status.
int fail(const CommandLine&, std::string_view subject, std::error_code);
int fail(const CommandLine&, std::string_view subject, const OpenError&);
/// `remedy` is for a lock that somebody holds: what the command at hand can do about that.
int fail(const CommandLine&, std::string_view subject, const Refusal&, std::string_view remedy);

}    // namespace keyrack::command
