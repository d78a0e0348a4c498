// What writing an index asks of the file system: locks, whole writes, flushes to disk, and files
// that take another's place at once.
//
// An fsync that failed is not tried again: the system may have forgotten by then what it should
// have saved. Threads: any; a TemporaryFile belongs to one. Failures are IndexError with the file's
// name and the system's own words.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include "base/bytes.h"
#include "io/file_reader.h"

namespace stoker {

class IndexError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// For `error`, a value of errno.
IndexError SystemError(const std::string& path, const char* what, int error);

// The folder that `path` lies in: "." for a bare name, "/" for what lies in the root.
std::string FolderOf(const std::string& path);

// `path` is for the error's text in these two.
void WriteAt(int fd, const std::string& path, uint64_t offset, ByteSpan bytes);
void SyncOnce(int fd, const std::string& path);

// Takes the lock of an open file (flock) where it is free; errno says why not.
bool TryLock(int fd);
// Closing would not do where the process has forked meanwhile: the child has the file open, too.
void Unlock(const UniqueFd& fd);

// Whether `path` is a symbolic link, to whatever.
bool IsLink(const std::string& path);

// Whether `path` still names the file that is open.
bool StillAt(int fd, const std::string& path);

// A file beside `path` that is to take its place; removed unless it did. Locked, so that nobody
// takes it for one that a killed process has left.
class TemporaryFile {
 public:
  // `path` must outlive this.
  explicit TemporaryFile(const std::string& path);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }

  // Flushes it, takes the place of `path`, and flushes the folder. Without `replace`: false, and
  // nothing done, where `path` exists.
  bool Rename(bool replace);

 private:
  bool RenameToNew();

  const std::string& path_;
  std::string name_;  // empty once renamed
  UniqueFd fd_;
};

// Removes temporary files that processes which were killed have left beside `path`.
void RemoveStaleTemporaries(const std::string& path);

}  // namespace stoker
