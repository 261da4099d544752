// What a shm:// URL asks for: NAME, then options as a query.
#include "shm/options.hpp"

#include "query.hpp"

#include <charconv>

namespace keyrack::shm {
namespace {

using url::bad_url;

url::Setter mode_to(std::uint32_t& target) {
  return [&target](std::string_view value) -> std::string {
    std::uint32_t mode = 0;
    const auto [end, error] = std::from_chars(value.begin(), value.end(), mode, 8);
    if (error != std::errc{} || end != value.end() || mode > 0777) return ": must be octal, 0 to 0777";
    target = mode;
    return {};
  };
}

Result<std::string, OpenError> parse_name(std::string_view encoded) {
  if (encoded.empty()) return bad_url("no name (write shm://NAME)");
  if (const auto slash = encoded.find('/'); slash != encoded.npos) {
    return bad_url("path " + std::string(encoded.substr(slash)) + ": a segment has a name only");
  }
  auto name = url::decode_name(encoded, "name");
  if (name && !is_segment_name(*name)) {
    return bad_url("name " + std::string(encoded) + ": must be 1 to 255 bytes without '/' and NUL, not . nor ..");
  }
  return name;
}

}    // namespace

Result<Options, OpenError> parse_options(std::string_view rest) {
  Options options;
  const auto encoded_name =
      url::parse_options(rest, {
                                   {"slots", url::number_to(options.geometry.slots, 15'000'000)},
                                   {"sessions", url::number_to(options.geometry.sessions, 65'535)},
                                   {"max_signature", url::number_to(options.geometry.max_signature, 4096)},
                                   {"max_signee", url::number_to(options.geometry.max_signee, 4096)},
                                   {"mode", mode_to(options.mode)},
                                   {"create", url::flag_to(options.create)},
                                   {"duration", url::duration_to(options.duration)},
                                   {"time_to_live", url::duration_to(options.time_to_live)},
                                   {"auto_release_after", url::duration_to(options.auto_release_after)},
                               });
  if (!encoded_name) return encoded_name.error();
  auto name = parse_name(*encoded_name);
  if (!name) return name.error();
  options.name = *std::move(name);
  return options;
}

bool is_segment_name(std::string_view name) {
  constexpr std::string_view kForbidden("/\0", 2);
  return !name.empty() && name.size() <= 255 && name.find_first_of(kForbidden) == name.npos && name != "." &&
         name != "..";
}

}    // namespace keyrack::shm
