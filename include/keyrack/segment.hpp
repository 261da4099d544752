// Segments as files: removing one, and which there are.
#pragma once

#include <keyrack/errors.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack {

/// Gone for new openers; the attached keep theirs. Errors: no_segment, permission_denied, bad_request for a name that
/// no segment can have.
KEYRACK_API Result<void> remove_segment(std::string_view name);

struct SegmentFile {
  std::string name;
  std::uint64_t bytes = 0;
  std::uint32_t uid = 0, mode = 0;    ///< owner, permission bits
};

/// The segments of this host that this process may read, by name: the shared-memory objects that begin as a keyrack
/// segment does. Errors: backend_unavailable where shared memory cannot be listed.
KEYRACK_API Result<std::vector<SegmentFile>> list_segments();

}    // namespace keyrack
