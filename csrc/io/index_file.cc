#include "io/index_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <memory>
#include <string_view>
#include <system_error>

namespace stoker {
namespace {

constexpr const char* kTemporary = ".tmp-";
constexpr time_t kStaleSeconds = 60;

void SyncFolderOf(const std::string& path) {
  const std::string folder = FolderOf(path);
  const UniqueFd fd = OpenRetrying(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (!fd.valid()) throw SystemError(folder, "cannot open the folder", errno);
  SyncOnce(fd.get(), folder);
}

}  // namespace

IndexError SystemError(const std::string& path, const char* what, int error) {
  return IndexError(path + ": " + what + ": " + std::generic_category().message(error));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

void WriteAt(int fd, const std::string& path, uint64_t offset, ByteSpan bytes) {
  while (bytes.size > 0) {
    const ssize_t done = pwrite(fd, bytes.data, bytes.size, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) throw SystemError(path, "cannot write", done < 0 ? errno : ENOSPC);
    bytes = {bytes.data + done, bytes.size - static_cast<size_t>(done)};
    offset += static_cast<uint64_t>(done);
  }
}

void SyncOnce(int fd, const std::string& path) {
  int result = 0;
  do {
    result = fsync(fd);
  } while (result != 0 && errno == EINTR);  // a signal: nothing has failed
  if (result != 0) throw SystemError(path, "cannot flush to disk", errno);
}

bool TryLock(int fd) {
  int result = 0;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

void Unlock(const UniqueFd& fd) {
  if (fd.valid()) flock(fd.get(), LOCK_UN);
}

bool IsLink(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 && S_ISLNK(info.st_mode);
}

bool StillAt(int fd, const std::string& path) {
  struct stat open_file {};
  struct stat named {};
  return fstat(fd, &open_file) == 0 && stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

TemporaryFile::TemporaryFile(const std::string& path) : path_(path) {
  static std::atomic<unsigned> count{0};
  const std::string stem = path + kTemporary + std::to_string(getpid()) + "-";
  do {
    name_ = stem + std::to_string(count.fetch_add(1, std::memory_order_relaxed));
    fd_ = OpenRetrying(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  } while (!fd_.valid() && errno == EEXIST);
  if (!fd_.valid()) {
    const int error = errno;
    name_.clear();
    throw SystemError(path, "cannot make a temporary file beside it", error);
  }
  if (!TryLock(fd_.get())) {
    const int error = errno;
    unlink(name_.c_str());
    throw SystemError(path, "cannot lock", error);
  }
}

TemporaryFile::~TemporaryFile() {
  if (!name_.empty()) unlink(name_.c_str());
  Unlock(fd_);
}

bool TemporaryFile::Rename(bool replace) {
  SyncOnce(fd(), name_);
  if (!replace && !RenameToNew()) return false;
  if (replace && rename(name_.c_str(), path_.c_str()) != 0) {
    throw SystemError(path_, "cannot rename into place", errno);
  }
  name_.clear();
  SyncFolderOf(path_);
  return true;
}

bool TemporaryFile::RenameToNew() {
  int result = renameat2(AT_FDCWD, name_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
  if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {  // not on every file system
    result = link(name_.c_str(), path_.c_str());
    if (result == 0) unlink(name_.c_str());
  }
  if (result != 0 && errno != EEXIST) throw SystemError(path_, "cannot rename into place", errno);
  return result == 0;
}

void RemoveStaleTemporaries(const std::string& path) {
  const std::string folder = FolderOf(path);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(folder.c_str()), &closedir);
  if (!entries) return;
  const std::string prefix = path.substr(path.rfind('/') + 1) + kTemporary;
  while (const dirent* entry = readdir(entries.get())) {
    if (std::string_view(entry->d_name).substr(0, prefix.size()) != prefix) continue;
    const std::string file = folder + "/" + entry->d_name;
    const UniqueFd fd = OpenRetrying(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat info {};
    const bool stale = fd.valid() && fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) &&
                       info.st_mtime < time(nullptr) - kStaleSeconds && TryLock(fd.get());
    if (stale) unlink(file.c_str());
  }
}

}  // namespace stoker
