// Counts this thread's calls of malloc and its kin, operator new among them, and makes one of the
// process's fail. The test binary replaces them with functions that count and pass on.
#pragma once

#include <cstddef>
#include <cstdint>

namespace stoker::testing {

// Whether calls are counted: not under sanitizers, which have an allocator of their own.
bool CountsAllocations();
// Calls of this thread since it began.
size_t AllocationCount();

// From now on the `n`-th call of the process (from 0) fails; with `for_good`, all behind it too.
void FailAllocation(int64_t n, bool for_good);
// No call fails any more. Returns whether one has.
bool StopFailingAllocations();

}  // namespace stoker::testing
