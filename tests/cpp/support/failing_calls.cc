#include "support/failing_calls.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "support/countdown.h"

#include <dlfcn.h>

#if defined(__GLIBC__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define STOKER_COUNTS_CALLS 1
#else
#define STOKER_COUNTS_CALLS 0
#endif

namespace {

using stoker::testing::SystemCall;

stoker::testing::FaultCountdown countdown;
SystemCall failing = SystemCall::kOpen;
int failing_error = 0;

}  // namespace

#if STOKER_COUNTS_CALLS
namespace {

bool Fails(SystemCall call) {
  if (call != failing || !countdown.Fails()) return false;
  errno = failing_error;
  return true;
}

}  // namespace

#pragma GCC visibility push(default)  // for the libraries that call them
extern "C" {

int open(const char* path, int flags, ...) {
  mode_t mode = 0;
  if ((flags & O_CREAT) != 0) {
    va_list more;
    va_start(more, flags);
    mode = va_arg(more, mode_t);
    va_end(more);
  }
  if (Fails(SystemCall::kOpen)) return -1;
  return static_cast<int>(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
ssize_t read(int fd, void* out, size_t bytes) {
  return Fails(SystemCall::kRead) ? -1 : syscall(SYS_read, fd, out, bytes);
}
ssize_t pread(int fd, void* out, size_t bytes, off_t at) {
  return Fails(SystemCall::kPread) ? -1 : syscall(SYS_pread64, fd, out, bytes, at);
}
int fstat(int fd, struct stat* info) noexcept {
  return Fails(SystemCall::kFstat) ? -1 : static_cast<int>(syscall(SYS_fstat, fd, info));
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                   void* argument) noexcept {
  if (Fails(SystemCall::kThread)) return failing_error;
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return create(thread, attributes, body, argument);
}
}
#pragma GCC visibility pop
#endif

namespace stoker::testing {

bool CountsSystemCalls() { return STOKER_COUNTS_CALLS != 0; }
void FailCall(SystemCall call, int64_t n, bool for_good, int error) {
  failing = call;
  failing_error = error;
  countdown.Start(n, for_good);
}
bool StopFailingCalls() { return countdown.Stop(); }

}  // namespace stoker::testing
