// Opening services by URL, and the backends that answer.
//
// PROTOCOL://REST, options as a query: shm://orders?slots=65536&duration=10s. Durations are written 250ms, 10s,
// 1m30s, 2h. `shm` is registered from the start; its options and their defaults:
//
//   slots=65536             records (locks and names) the table has room for      } count only when the segment
//   sessions=1024           attached processes it has room for                    } is created; given later, they
//   max_signature=128       bytes of a signature or family, at most 4096          } must equal the segment's own,
//   max_signee=64           bytes of a signee, at most 4096                       } else incompatible_segment
//   mode=0600               permission bits of a new segment, octal
//   create=true             false: fail with no_segment where there is none
//   duration=none           default lease of this service; none: a grant never goes stale
//   time_to_live=none       default time to live of this service
//   auto_release_after=none a name not acquired or kept alive for so long counts as released
#pragma once

#include <keyrack/lock_service.hpp>
#include <keyrack/name_manager.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace keyrack {

template <class Service>
using Opened = Result<std::unique_ptr<Service>, OpenError>;

/// Errors: bad_url, unknown_backend, and those of the backend: no_segment, incompatible_segment, corrupt_segment,
/// permission_denied, session_limit, backend_unavailable. Safe from many threads.
KEYRACK_API Opened<LockService> open_lock_service(std::string_view url);
KEYRACK_API Opened<NameManager> open_name_manager(std::string_view url);

struct Backend {
  std::string protocol;       ///< "shm" makes it answer shm://…
  std::string description;    ///< for people: what it is, the form of its URLs and options
  std::function<Opened<LockService>(std::string_view rest)> open_lock_service;    ///< rest: what follows "://"
  std::function<Opened<NameManager>(std::string_view rest)> open_name_manager;
};

/// The same protocol again replaces it. Safe from many threads.
KEYRACK_API void register_backend(Backend);

/// All that are registered, by protocol.
KEYRACK_API std::vector<Backend> backends();

}    // namespace keyrack
