// What answers shm:// URLs.
#include "shm/backend.hpp"

#include "shm/services.hpp"

namespace keyrack::shm {

Backend backend() {
  return {
      .protocol = "shm",
      .description = R"(a table in shared memory, for the processes of one host; no server

  shm://NAME[?OPTION=VALUE[&OPTION=VALUE]...]

  NAME is the segment's; bytes that a URL reserves are written %HH. Durations are written 250ms, 10s, 1m30s, 2h.

  slots=65536              records (locks and names) it has room for, 1 to 15000000 (*)
  sessions=1024            attached processes it has room for, 1 to 65535 (*)
  max_signature=128        bytes of a signature or family, 1 to 4096 (*)
  max_signee=64            bytes of a signee, 1 to 4096 (*)
  mode=0600                permission bits of a new segment, octal
  create=true              false: fail where there is no such segment
  duration=none            default lease of locks; none: a grant never goes stale
  time_to_live=none        default time to live of locks
  auto_release_after=none  a name not acquired or kept alive for so long counts as released

  (*) sets the size of a new segment; given for an existing one, it must equal that one's own)",
      .open_lock_service = [](std::string_view rest) -> Opened<LockService> {
        const auto options = parse_options(rest);
        if (!options) return options.error();
        return open_lock_service(*options);
      },
      .open_name_manager = [](std::string_view rest) -> Opened<NameManager> {
        const auto options = parse_options(rest);
        if (!options) return options.error();
        return open_name_manager(*options);
      },
  };
}

}    // namespace keyrack::shm
