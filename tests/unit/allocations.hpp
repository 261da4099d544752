// What a test may have happen when its thread allocates. The operators are in allocations.cpp.
#pragma once

#include <atomic>

namespace keyrack::tests {

/// How many more allocations of this thread succeed; negative: all.
extern thread_local int allocations_left;

/// Where this thread waits for another one at its next allocation.
extern thread_local std::atomic<int>* meets_at_allocation;

/// Comes back when two threads are here, to both at about the same moment.
void meet(std::atomic<int>& here);

}    // namespace keyrack::tests
