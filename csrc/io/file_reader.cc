#include "io/file_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>
#include <utility>

#include "base/error.h"

namespace stoker {
namespace {

StageError SystemError(const char* what, int error) {
  return {Stage::kRead, std::string(what) + ": " + std::generic_category().message(error)};
}

int OpenReadOnly(const char* path) {
  int fd = -1;
  do {
    // O_NONBLOCK: a FIFO without a writer would block the worker for ever. Regular files ignore it.
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

UniqueFd OpenFile(const char* path) {
  UniqueFd fd(OpenReadOnly(path));
  if (!fd.valid()) throw SystemError("cannot open the file", errno);
  return fd;
}

FileIdentity IdentifyFile(const UniqueFd& fd) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) throw SystemError("cannot stat the file", errno);
  if (S_ISDIR(info.st_mode)) throw StageError(Stage::kRead, "it is a folder, not a file");
  if (!S_ISREG(info.st_mode)) throw StageError(Stage::kRead, "it is not a regular file");
  constexpr int64_t kNsPerS = 1'000'000'000;
  return {static_cast<uint64_t>(info.st_size),
          int64_t{info.st_mtim.tv_sec} * kNsPerS + info.st_mtim.tv_nsec};
}

ByteSpan ReadFile(const UniqueFd& fd, ByteBuffer* buffer, ReadFn read_fn) {
  return ReadFile(fd, IdentifyFile(fd).bytes, buffer, read_fn);
}

ByteSpan ReadFile(const UniqueFd& fd, uint64_t bytes, ByteBuffer* buffer, ReadFn read_fn) {
  if (read_fn == nullptr) read_fn = &::read;
  const auto size = static_cast<size_t>(bytes);
  uint8_t* data = buffer->Reserve(size);
  size_t done = 0;
  while (done < size) {
    const ssize_t got = read_fn(fd.get(), data + done, size - done);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (got == 0) {
      throw StageError(Stage::kRead, "the file shrank while it was read: " + std::to_string(done) +
                                         " of " + std::to_string(size) + " bytes");
    } else if (errno != EINTR) {
      throw SystemError("cannot read the file", errno);
    }
  }
  return {data, size};
}

ReadAheadSlot::~ReadAheadSlot() { Take(); }

void ReadAheadSlot::Start(const char* path) {
  if (fd_.load(std::memory_order_relaxed) != kEmpty) return;
  UniqueFd fd(OpenReadOnly(path));
  if (!fd.valid()) return;
  posix_fadvise(fd.get(), 0, 0, POSIX_FADV_WILLNEED);  // advice: may fail
  int expected = kEmpty;
  if (fd_.compare_exchange_strong(expected, fd.get(), std::memory_order_acq_rel)) fd.Release();
}

UniqueFd ReadAheadSlot::Take() {
  const int fd = fd_.exchange(kTaken, std::memory_order_acq_rel);
  return UniqueFd(fd >= 0 ? fd : -1);
}

}  // namespace stoker
