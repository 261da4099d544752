// Memory that runs out: the n-th allocation of this process fails, or all from the n-th on.
#pragma once

#include <cstddef>

namespace keyrack::tests {

/// From now on allocations are counted, and the n-th fails (0: none); `for_good`: all that follow, too.
void fail_allocation(std::size_t n, bool for_good);

/// Allocations succeed again. How many there were.
std::size_t stop_failing_allocations();

}    // namespace keyrack::tests
