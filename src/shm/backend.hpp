// What answers shm:// URLs.
#pragma once

#include <keyrack/backend.hpp>

namespace keyrack::shm {

Backend backend();

}    // namespace keyrack::shm
