// What the commands share in reading their options and opening what the URL names.
#include "command_line.hpp"

#include "duration.hpp"
#include "failure.hpp"

#include <utility>

namespace keyrack::command {
namespace {

template <class Service>
std::unique_ptr<Service> value_of(Opened<Service> opened, std::string_view subject, int& status) {
  if (opened) return *std::move(opened);
  status = fail(subject, opened.error());
  return nullptr;
}

}    // namespace

CLI::Option* add_duration(CLI::App* command, const std::string& name, std::optional<std::chrono::nanoseconds>& target,
                          const std::string& description) {
  const auto parse = [&target, name](const std::string& text) {
    const bool negative = text.starts_with('-');
    target = parse_duration(std::string_view(text).substr(negative ? 1 : 0));
    if (negative && target) target = -*target;
    if (!target) throw CLI::ValidationError(name, text + " is not a duration (write 250ms, 10s, 1m30s)");
  };
  return command->add_option_function<std::string>(name, parse, description)->type_name("D");
}

CLI::Option* add_format(CLI::App* command, std::string& target, const std::vector<std::string>& values) {
  target = values.front();
  return command->add_option("--format", target, "how to print it, else " + target)->check(CLI::IsMember(values));
}

std::unique_ptr<LockService> open_locks(const CommandLine& line, int& status) {
  return value_of(open_lock_service(line.url), line.url, status);
}

std::unique_ptr<NameManager> open_names(const CommandLine& line, int& status) {
  return value_of(open_name_manager(line.url), line.url, status);
}

std::optional<shm::Options> segment_of(const CommandLine& line, std::string_view command, int& status) {
  constexpr std::string_view kProtocol = "shm://";
  if (!line.url.starts_with(kProtocol)) {
    status = complain(kUsage, "{} works on shm:// only, not on {}", command, line.url);
    return std::nullopt;
  }
  auto options = shm::parse_options(std::string_view(line.url).substr(kProtocol.size()));
  if (options) return *std::move(options);
  status = fail(line.url, options.error());
  return std::nullopt;
}

std::unique_ptr<Inspector> open_inspector_of(const CommandLine& line, std::string_view command, int& status) {
  const auto segment = segment_of(line, command, status);
  return segment ? value_of(open_inspector(segment->name), line.url, status) : nullptr;
}

}    // namespace keyrack::command
