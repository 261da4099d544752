// The two services on etcd.
#pragma once

#include "etcd/options.hpp"

#include <keyrack/backend.hpp>

namespace keyrack::etcd {

Opened<LockService> open_lock_service(const Options&);
Opened<NameManager> open_name_manager(const Options&);

}    // namespace keyrack::etcd
