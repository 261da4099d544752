// One key as a mutex.
#pragma once

#include "etcd/place.hpp"

#include <keyrack/named_mutex.hpp>

#include <memory>
#include <string_view>

namespace keyrack::etcd {

/// Each thread asks as a signee of its own, so that cycles of threads are found. What it cannot give back in time the
/// session's thread gives back later.
std::unique_ptr<detail::MutexEngine> make_mutex(Connection&, std::string_view signature, const LockOptions&);

}    // namespace keyrack::etcd
