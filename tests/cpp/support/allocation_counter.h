// Counts this thread's calls of malloc and its kin, operator new among them. The test binary
// replaces them with functions that count and pass on.
#pragma once

#include <cstddef>

namespace stoker::testing {

// Whether calls are counted: not under sanitizers, which have an allocator of their own.
bool CountsAllocations();
// Calls of this thread since it began.
size_t AllocationCount();

}  // namespace stoker::testing
