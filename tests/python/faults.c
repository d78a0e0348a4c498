// Preloaded into a process: makes its n-th allocation, system call or thread fail, once or for
// good. Calls count that come from the code that fault_add_range names: Stoker's own, and what the
// C++ runtime and libjpeg do for it; of oneTBB the threads alone. What is the interpreter's or
// torch's own is not tried.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kNone, kMemory, kOpen, kRead, kPread, kFstat, kMmap, kThread };

static atomic_int failing = kNone;
static atomic_int for_good;
static atomic_long left;
static int failing_error;
// Address ranges of the code whose calls count.
static struct {
  char *begin, *end;
  int threads_only;
} ranges[16];
static int range_count;

void fault_add_range(void* begin, void* end, int threads_only) {
  ranges[range_count].begin = begin;
  ranges[range_count].end = end;
  ranges[range_count].threads_only = threads_only;
  ++range_count;
}

void fault_begin(int kind, long n, int stay, int error) {
  left = n;
  for_good = stay;
  failing_error = error;
  failing = kind;
}

// Whether a call has failed.
int fault_end(void) {
  failing = kNone;
  return left < 0;
}

static int fails(int kind, void* caller) {
  if (atomic_load_explicit(&failing, memory_order_relaxed) != kind) return 0;
  int counts = 0;
  for (int i = 0; i < range_count; ++i) {
    if (ranges[i].threads_only && kind != kThread) continue;
    counts |= (char*)caller >= ranges[i].begin && (char*)caller < ranges[i].end;
  }
  if (!counts) return 0;
  const long before = atomic_fetch_sub(&left, 1);
  if (before != 0 && !(before < 0 && for_good)) return 0;
  errno = failing_error;
  return 1;
}
#define FAILS(kind) fails(kind, __builtin_return_address(0))

void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) { return FAILS(kMemory) ? NULL : __libc_malloc(size); }
void* calloc(size_t n, size_t size) { return FAILS(kMemory) ? NULL : __libc_calloc(n, size); }
void* realloc(void* p, size_t size) { return FAILS(kMemory) ? NULL : __libc_realloc(p, size); }
void* aligned_alloc(size_t a, size_t size) {
  return FAILS(kMemory) ? NULL : __libc_memalign(a, size);
}
int posix_memalign(void** out, size_t a, size_t size) {
  if (FAILS(kMemory)) return ENOMEM;
  *out = __libc_memalign(a, size);
  return *out == NULL ? ENOMEM : 0;
}

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if (flags & O_CREAT) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
  }
  if (FAILS(kOpen)) return -1;
  return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
ssize_t read(int fd, void* out, size_t bytes) {
  return FAILS(kRead) ? -1 : syscall(SYS_read, fd, out, bytes);
}
ssize_t pread(int fd, void* out, size_t bytes, off_t at) {
  return FAILS(kPread) ? -1 : syscall(SYS_pread64, fd, out, bytes, at);
}
int fstat(int fd, struct stat* info) {
  return FAILS(kFstat) ? -1 : syscall(SYS_newfstatat, fd, "", info, AT_EMPTY_PATH);
}
void* mmap(void* at, size_t bytes, int protection, int flags, int fd, off_t offset) {
  if (FAILS(kMmap)) return MAP_FAILED;
  return (void*)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) {
  if (FAILS(kThread)) return failing_error;
  int (*create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*) =
      (int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*))dlsym(RTLD_NEXT,
                                                                                 "pthread_create");
  return create(thread, attributes, body, argument);
}
