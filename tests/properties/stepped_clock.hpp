// The clock of the library under test, which can be set forward for all processes at once.
//
// Linked in place of the library's own: os/clock.cpp is not taken from the archive, since all it defines is here. The
// kernel does not know of the steps, so what sleeps until an instant is translated on the way (see CMakeLists.txt).
#pragma once

#include <cstdint>

namespace keyrack::os {

/// For this process and all that it forks from now on. Before the first of them.
void share_clock();

void step_clock(std::int64_t ns);

}    // namespace keyrack::os
