// What the URL of the command line names, opened. Without it the reason is told, and `status` is what to exit with.
#pragma once

#include "command_line.hpp"
#include "shm/options.hpp"

#include <keyrack/keyrack.hpp>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace keyrack::command {

std::unique_ptr<LockService> open_locks(const CommandLine&, int& status);
std::unique_ptr<NameManager> open_names(const CommandLine&, int& status);

/// The URL begins with shm://. Elsewhere each call is a request to another process, or another host.
bool is_for_segments(const CommandLine&);
/// How often it is looked whether what is held is lost.
inline std::chrono::milliseconds interval_of_looks(const CommandLine& line) {
  return std::chrono::milliseconds(is_for_segments(line) ? 100 : 1000);
}

/// For a command that works on segments only, whichever. False: the URL is for something else.
bool require_segments(const CommandLine&, std::string_view command, int& status);
/// The segment that the URL names, for a command that works on segments only.
std::optional<shm::Options> segment_of(const CommandLine&, std::string_view command, int& status);
std::unique_ptr<Inspector> open_inspector_of(const CommandLine&, std::string_view command, int& status);

/// --file: a copy of a segment in place of the one that the URL names.
using ImageFile = std::optional<std::string>;
void add_file(Command&, ImageFile&);
std::unique_ptr<Inspector> open_inspector_of(const CommandLine&, const ImageFile&, std::string_view command,
                                             int& status);
/// What errors are about.
inline const std::string& subject_of(const CommandLine& line, const ImageFile& file) { return file ? *file : line.url; }
/// Says that it cannot be read; gives the exit status.
int fail_to_read(const CommandLine&, const ImageFile&, std::error_code);

}    // namespace keyrack::command
