#include "support/allocation_counter.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STOKER_COUNTS_ALLOCATIONS 1
#else
#define STOKER_COUNTS_ALLOCATIONS 0
#endif

namespace {

__attribute__((tls_model("initial-exec"))) thread_local size_t count = 0;

}  // namespace

#if STOKER_COUNTS_ALLOCATIONS
// NOLINTBEGIN(bugprone-reserved-identifier): the names are glibc's.
extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t items, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);

void* malloc(size_t size) {
  ++count;
  return __libc_malloc(size);
}
void* calloc(size_t items, size_t size) {
  ++count;
  return __libc_calloc(items, size);
}
void* realloc(void* old, size_t size) {
  ++count;
  return __libc_realloc(old, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  ++count;
  return __libc_memalign(alignment, size);
}
}
// NOLINTEND(bugprone-reserved-identifier)
#endif

namespace stoker::testing {

bool CountsAllocations() { return STOKER_COUNTS_ALLOCATIONS != 0; }
size_t AllocationCount() { return count; }

}  // namespace stoker::testing
