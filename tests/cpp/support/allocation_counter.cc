#include "support/allocation_counter.h"

#include <cerrno>

#include "support/countdown.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STOKER_COUNTS_ALLOCATIONS 1
#else
#define STOKER_COUNTS_ALLOCATIONS 0
#endif

namespace {

__attribute__((tls_model("initial-exec"))) thread_local size_t count = 0;
stoker::testing::FaultCountdown countdown;

}  // namespace

#if STOKER_COUNTS_ALLOCATIONS
namespace {

bool Fails() {
  ++count;
  if (!countdown.Fails()) return false;
  errno = ENOMEM;
  return true;
}

}  // namespace

// NOLINTBEGIN(bugprone-reserved-identifier): the names are glibc's.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t items, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) { return Fails() ? nullptr : __libc_malloc(size); }
void* calloc(size_t items, size_t size) { return Fails() ? nullptr : __libc_calloc(items, size); }
void* realloc(void* old, size_t size) { return Fails() ? nullptr : __libc_realloc(old, size); }
void* aligned_alloc(size_t alignment, size_t size) {
  return Fails() ? nullptr : __libc_memalign(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  if (Fails()) return ENOMEM;
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? ENOMEM : 0;
}
}
// NOLINTEND(bugprone-reserved-identifier)
#endif

namespace stoker::testing {

bool CountsAllocations() { return STOKER_COUNTS_ALLOCATIONS != 0; }
size_t AllocationCount() { return count; }
void FailAllocation(int64_t n, bool for_good) { countdown.Start(n, for_good); }
bool StopFailingAllocations() { return countdown.Stop(); }

}  // namespace stoker::testing
