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

// O_NONBLOCK: a FIFO without a writer would block the worker for ever. Regular files ignore it.
UniqueFd OpenReadOnly(const char* path) {
  return OpenRetrying(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

bool NoDescriptorLeft(int error) { return error == EMFILE || error == ENFILE; }

// Calls `read_some` with where the next bytes go and how many are there until all `bytes` are, of a
// file that has `file_bytes`.
template <typename ReadSome>
void ReadFully(uint8_t* to, size_t bytes, size_t file_bytes, const ReadSome& read_some) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = read_some(to + done, done);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (got == 0) {
      throw StageError(Stage::kRead, "the file shrank while it was read: " + std::to_string(done) +
                                         " of " + std::to_string(file_bytes) + " bytes");
    } else if (errno != EINTR) {
      throw SystemError("cannot read the file", errno);
    }
  }
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) close(fd_);
}

UniqueFd& UniqueFd::operator=(UniqueFd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

UniqueFd OpenRetrying(const char* path, int flags, unsigned mode) {
  int fd = -1;
  do {
    fd = open(path, flags, mode);
  } while (fd < 0 && errno == EINTR);
  return UniqueFd(fd);
}

UniqueFd OpenFile(const char* path, const MakeRoom& make_room) {
  for (int attempt = 0;; ++attempt) {
    UniqueFd fd = OpenReadOnly(path);
    if (fd.valid()) return fd;
    const int error = errno;
    if (!NoDescriptorLeft(error) || !make_room || !make_room(attempt)) {
      throw SystemError("cannot open the file", error);
    }
  }
}

FileIdentity IdentifyFile(const UniqueFd& fd) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) throw SystemError("cannot stat the file", errno);
  if (S_ISDIR(info.st_mode)) throw StageError(Stage::kRead, "it is a folder, not a file");
  if (!S_ISREG(info.st_mode)) throw StageError(Stage::kRead, "it is not a regular file");
  // Wraps for times that nobody means (before 1678, after 2262).
  constexpr uint64_t kNsPerS = 1'000'000'000;
  const uint64_t mtime_ns = static_cast<uint64_t>(info.st_mtim.tv_sec) * kNsPerS +
                            static_cast<uint64_t>(info.st_mtim.tv_nsec);
  return {static_cast<uint64_t>(info.st_size), static_cast<int64_t>(mtime_ns)};
}

ByteSpan ReadFile(const UniqueFd& fd, ByteBuffer* buffer, ReadFn read_fn) {
  return ReadFile(fd, IdentifyFile(fd).bytes, buffer, read_fn);
}

ByteSpan ReadFile(const UniqueFd& fd, uint64_t bytes, ByteBuffer* buffer, ReadFn read_fn) {
  if (read_fn == nullptr) read_fn = &::read;
  const auto size = static_cast<size_t>(bytes);
  uint8_t* const data = buffer->Reserve(size);
  ReadFully(data, size, size,
            [&](uint8_t* to, size_t done) { return read_fn(fd.get(), to, size - done); });
  return {data, size};
}

ByteSpan ReadFileParts(const UniqueFd& fd, uint64_t bytes, const std::vector<FileRange>& parts,
                       ByteBuffer* buffer) {
  const auto size = static_cast<size_t>(bytes);
  uint8_t* const data = buffer->Reserve(size);
  for (const FileRange& part : parts) {
    ReadFully(data + part.begin, part.bytes, size, [&](uint8_t* to, size_t done) {
      return pread(fd.get(), to, part.bytes - done, static_cast<off_t>(part.begin + done));
    });
  }
  return {data, size};
}

void AdviseWillNeed(const UniqueFd& fd, const FileRange& part) {
  posix_fadvise(fd.get(), static_cast<off_t>(part.begin), static_cast<off_t>(part.bytes),
                POSIX_FADV_WILLNEED);
}

ReadAheadSlot::~ReadAheadSlot() { Take(); }

void ReadAheadSlot::Start(const char* path) {
  bool no_room = false;
  UniqueFd fd = Open(path, &no_room);
  if (!fd.valid()) return;
  AdviseWillNeed(fd, {0, 0});
  Keep(std::move(fd));
}

UniqueFd ReadAheadSlot::Open(const char* path, bool* no_room) const {
  if (fd_.load(std::memory_order_relaxed) != kEmpty) return UniqueFd();
  UniqueFd fd = OpenReadOnly(path);
  *no_room = !fd.valid() && NoDescriptorLeft(errno);
  return fd;
}

void ReadAheadSlot::Keep(UniqueFd fd) {
  int expected = kEmpty;
  if (fd_.compare_exchange_strong(expected, fd.get(), std::memory_order_acq_rel)) fd.Release();
}

UniqueFd ReadAheadSlot::Take() {
  const int fd = fd_.exchange(kTaken, std::memory_order_acq_rel);
  return UniqueFd(fd >= 0 ? fd : -1);
}

}  // namespace stoker
