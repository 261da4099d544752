// Opens what the URL of the command line names.
#include "services.hpp"

#include "failure.hpp"
#include "query.hpp"

#include <utility>

namespace keyrack::command {
namespace {

constexpr std::string_view kSegments = "shm://";

template <class Service>
std::unique_ptr<Service> value_of(Opened<Service> opened, const CommandLine& line, int& status) {
  if (opened) return *std::move(opened);
  status = fail(line, line.url, opened.error());
  return nullptr;
}

}    // namespace

std::unique_ptr<LockService> open_locks(const CommandLine& line, int& status) {
  return value_of(open_lock_service(line.url), line, status);
}

std::unique_ptr<NameManager> open_names(const CommandLine& line, int& status) {
  return value_of(open_name_manager(line.url), line, status);
}

bool is_for_segments(const CommandLine& line) { return line.url.starts_with(kSegments); }

bool require_segments(const CommandLine& line, std::string_view command, int& status) {
  if (is_for_segments(line)) return true;
  status = complain(kUsage, "{} works on shm:// only, not on {}", command, url::without_password(line.url));
  return false;
}

std::optional<shm::Options> segment_of(const CommandLine& line, std::string_view command, int& status) {
  if (!require_segments(line, command, status)) return std::nullopt;
  auto options = shm::parse_options(std::string_view(line.url).substr(kSegments.size()));
  if (options) return *std::move(options);
  status = fail(line, line.url, options.error());
  return std::nullopt;
}

std::unique_ptr<Inspector> open_inspector_of(const CommandLine& line, std::string_view command, int& status) {
  const auto segment = segment_of(line, command, status);
  return segment ? value_of(open_inspector(segment->name), line, status) : nullptr;
}

void add_file(Command& command, ImageFile& file) {
  command.add("--file", file, "a copy of a segment's file, instead of a segment").type_name("IMAGE");
}

std::unique_ptr<Inspector> open_inspector_of(const CommandLine& line, const ImageFile& file, std::string_view command,
                                             int& status) {
  if (!file) return open_inspector_of(line, command, status);
  auto copy = open_inspector_of_copy(*file);
  if (copy) return *std::move(copy);
  status = complain(kFailure, "{}", copy.error().detail);    // the code's own remedy is for segments
  return nullptr;
}

int fail_to_read(const CommandLine& line, const ImageFile& file, std::error_code code) {
  return file ? complain(status_of(code), "{}: {}", *file, code.message()) : fail(line, line.url, code);
}

}    // namespace keyrack::command
