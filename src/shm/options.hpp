// What a shm:// URL asks for.
#pragma once

#include <keyrack/errors.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace keyrack::shm {

/// Geometry as asked for: what is not given is the default of a new segment, and whatever an existing one has.
struct GeometryRequest {
  std::optional<std::uint32_t> slots, sessions, max_signature, max_signee;
};

struct Options {
  std::string name;
  GeometryRequest geometry;
  std::uint32_t mode = 0600;
  bool create = true;
  std::optional<std::chrono::nanoseconds> duration, time_to_live, auto_release_after;
};

/// `rest` is what follows "shm://". Errors: bad_url, the detail names the offending part.
Result<Options, OpenError> parse_options(std::string_view rest);

/// A file name that a segment can have: 1 to 255 bytes, no '/', no NUL, neither "." nor "..".
bool is_segment_name(std::string_view);

}    // namespace keyrack::shm
