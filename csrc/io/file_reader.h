// Reading whole files: one open, one read into a reused buffer, and a hint to the kernel for the
// files that come next.
//
// Threads: any; a ReadAheadSlot is shared by the two workers that may meet on it. Failures are
// StageError(kRead) with the system's own words.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/bytes.h"

namespace stoker {

// A file descriptor, owned.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept;
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int Release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_ = -1;
};

// What a file's contents are recognised by without reading them.
struct FileIdentity {
  uint64_t bytes = 0;
  int64_t mtime_ns = 0;  // last change of the contents, since 1970

  friend bool operator==(const FileIdentity& a, const FileIdentity& b) {
    return a.bytes == b.bytes && a.mtime_ns == b.mtime_ns;
  }
};

// Of a file that is open. Throws StageError where it is not a regular file.
FileIdentity IdentifyFile(const UniqueFd& fd);

// The signature of read(2), so that tests can pass one that is interrupted or returns little.
using ReadFn = ssize_t (*)(int fd, void* out, size_t bytes);

// open(2), tried again where a signal interrupts it.
UniqueFd OpenRetrying(const char* path, int flags, unsigned mode = 0);

// Called where the process, or the system, has no descriptor left: gives some back, or waits for
// some, and says whether to try again. `attempt` counts from 0.
using MakeRoom = std::function<bool(int attempt)>;

// Opens a file for reading, without ever waiting (for the other end of a pipe, say). Throws
// StageError where that fails; what is no regular file fails in ReadFile. `make_room` may be empty.
UniqueFd OpenFile(const char* path, const MakeRoom& make_room = {});

// The first `bytes` of a file, in `buffer`, valid until the buffer's next use. Goes on after short
// reads and EINTR; a file that shrinks meanwhile is an error.
ByteSpan ReadFile(const UniqueFd& fd, uint64_t bytes, ByteBuffer* buffer, ReadFn read_fn = nullptr);

struct FileRange {
  uint64_t begin;
  uint64_t bytes;
};

// As the first `bytes` of a file, but only those within `parts` are read; what lies between them is
// undefined.
ByteSpan ReadFileParts(const UniqueFd& fd, uint64_t bytes, const std::vector<FileRange>& parts,
                       ByteBuffer* buffer);

// Asks the kernel to fetch a part of a file; 0 bytes: to its end. Only advice: nothing fails.
void AdviseWillNeed(const UniqueFd& fd, const FileRange& part);

// All of it.
ByteSpan ReadFile(const UniqueFd& fd, ByteBuffer* buffer, ReadFn read_fn = nullptr);

// A file that somebody opened ahead of its turn and told the kernel to fetch. The worker whose turn
// it is takes the descriptor, so the file is opened once; whichever side comes second cleans up.
class ReadAheadSlot {
 public:
  ReadAheadSlot() = default;
  ReadAheadSlot(const ReadAheadSlot&) = delete;
  ReadAheadSlot& operator=(const ReadAheadSlot&) = delete;
  ~ReadAheadSlot();

  // Opens `path`, starts the kernel's read-ahead and keeps the descriptor for Take(). Does nothing
  // where Take() was there first. An error is not reported: it comes again at the sample's turn.
  void Start(const char* path);
  // The same in steps: an invalid descriptor where there is nothing (more) to do (`no_room`:
  // because there is no descriptor left); and what was opened, after AdviseWillNeed.
  UniqueFd Open(const char* path, bool* no_room) const;
  void Keep(UniqueFd fd);
  // The descriptor, or an invalid one where Start() has not happened (and now never will).
  UniqueFd Take();

 private:
  static constexpr int kEmpty = -1;
  static constexpr int kTaken = -2;
  std::atomic<int> fd_{kEmpty};
};

}  // namespace stoker
