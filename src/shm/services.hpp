// The two services over a segment.
#pragma once

#include <keyrack/backend.hpp>

#include "shm/options.hpp"

namespace keyrack::shm {

Opened<LockService> open_lock_service(const Options&);
Opened<NameManager> open_name_manager(const Options&);

}    // namespace keyrack::shm
