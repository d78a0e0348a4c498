#include "io/index_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <memory>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "io/file_reader.h"
#include "io/index_reader.h"

namespace stoker {
namespace {

constexpr std::chrono::seconds kLockPatience{10};
constexpr std::chrono::milliseconds kLockPause{20};
constexpr size_t kWriteBytes = size_t{1} << 20;
constexpr uint64_t kMaxBlockPayload = uint64_t{2} << 30;
constexpr const char* kTemporary = ".tmp-";
constexpr time_t kStaleSeconds = 60;

IndexError SystemError(const std::string& path, const char* what, int error) {
  return IndexError(path + ": " + what + ": " + std::generic_category().message(error));
}

void SyncOnce(int fd, const std::string& path) {
  if (fsync(fd) != 0) throw SystemError(path, "cannot flush to disk", errno);
}

std::pair<std::string, std::string> FolderAndName(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {path.substr(0, slash + 1), path.substr(slash + 1)};
}

void SyncFolderOf(const std::string& path) {
  const std::string folder = FolderAndName(path).first;
  const UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) throw SystemError(folder, "cannot open the folder", errno);
  SyncOnce(fd.get(), folder);
}

bool TryLock(int fd) {
  int result = 0;
  do {
    result = flock(fd, LOCK_EX | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

// Closing would not do where the process has forked meanwhile: the child has the file open, too.
void Unlock(const UniqueFd& fd) {
  if (fd.valid()) flock(fd.get(), LOCK_UN);
}

// Whether `path` still names the file that is open.
bool StillAt(int fd, const std::string& path) {
  struct stat open_file {};
  struct stat named {};
  return fstat(fd, &open_file) == 0 && stat(path.c_str(), &named) == 0 &&
         open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

// Writes one block of a file, front to back.
class BlockWriter {
 public:
  BlockWriter(int fd, const std::string& path, uint64_t offset)
      : fd_(fd), path_(path), offset_(offset), at_(offset + sizeof(BlockHeader)) {}

  void Add(uint64_t name, const FileIdentity& file, ByteSpan payload) {
    const IndexRecord record{name, file, static_cast<uint32_t>(at_ + pending_.size() - offset_),
                             static_cast<uint32_t>(payload.size)};
    Put(payload);
    Put(BytesOf(RecordChecksum(record, payload)));
    records_.push_back(record);
  }
  uint64_t bytes() const { return at_ + pending_.size() - offset_; }

  // All but the header, which is returned.
  BlockHeader Finish() {
    Pad(8);
    BlockHeader header{};
    std::memcpy(header.magic, kBlockMagic, sizeof header.magic);
    header.offset = offset_;
    header.records = static_cast<uint32_t>(records_.size());
    header.bucket_bits = BucketBits(records_.size());
    header.directory = bytes();
    std::sort(records_.begin(), records_.end(),
              [](const IndexRecord& a, const IndexRecord& b) { return a.name < b.name; });
    for (const IndexRecord& record : records_) Put(BytesOf(record));
    uint32_t at = 0;
    for (uint64_t bucket = 0; bucket <= uint64_t{1} << header.bucket_bits; ++bucket) {
      while (at < records_.size() && records_[at].name >> (64 - header.bucket_bits) < bucket) ++at;
      Put(BytesOf(at));
    }
    Pad(kIndexAlignment);
    Write();
    header.bytes = bytes();
    header.checksum = BlockChecksum(header);
    return header;
  }
  void WriteHeader(const BlockHeader& header) { WriteAt(offset_, BytesOf(header)); }

  // Also for what is no block.
  void WriteAt(uint64_t offset, ByteSpan bytes) {
    while (bytes.size > 0) {
      const ssize_t done = pwrite(fd_, bytes.data, bytes.size, static_cast<off_t>(offset));
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) throw SystemError(path_, "cannot write", done < 0 ? errno : ENOSPC);
      bytes = {bytes.data + done, bytes.size - static_cast<size_t>(done)};
      offset += static_cast<uint64_t>(done);
    }
  }

 private:
  void Put(ByteSpan bytes) {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    if (pending_.size() >= kWriteBytes) Write();
  }
  void Pad(size_t alignment) {
    pending_.resize(pending_.size() + (alignment - bytes() % alignment) % alignment);
  }
  void Write() {
    WriteAt(at_, {pending_.data(), pending_.size()});
    at_ += pending_.size();
    pending_.clear();
  }

  const int fd_;
  const std::string& path_;
  const uint64_t offset_;
  uint64_t at_;  // in the file, of pending_
  std::vector<uint8_t> pending_;
  std::vector<IndexRecord> records_;
};

// A file beside `path` that is to take its place; removed unless it did. Locked, so that nobody
// takes it for one that a killed process has left.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& path) : path_(path) {
    static std::atomic<unsigned> count{0};
    const std::string stem = path + kTemporary + std::to_string(getpid()) + "-";
    do {
      name_ = stem + std::to_string(count.fetch_add(1, std::memory_order_relaxed));
      fd_ = UniqueFd(open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    } while (!fd_.valid() && (errno == EEXIST || errno == EINTR));
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
  ~TemporaryFile() {
    if (!name_.empty()) unlink(name_.c_str());
    Unlock(fd_);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }

  // The header, for the blocks that follow at the offset returned.
  uint64_t WriteHeader(const std::string& root) {
    IndexHeader header{};
    std::memcpy(header.magic, kIndexMagic, sizeof header.magic);
    header.version = kIndexVersion;
    header.root_bytes = static_cast<uint32_t>(root.size());
    header.first_block = AlignedUp(sizeof header + root.size());
    header.checksum = IndexChecksum(header, root);
    std::vector<uint8_t> bytes(header.first_block);
    std::memcpy(bytes.data(), &header, sizeof header);
    std::copy(root.begin(), root.end(), bytes.begin() + sizeof header);
    BlockWriter(fd(), name_, 0).WriteAt(0, {bytes.data(), bytes.size()});
    return header.first_block;
  }

  // Takes the place of `path`. Without `replace`: false, and nothing done, where that exists.
  bool Rename(bool replace) {
    SyncOnce(fd(), name_);
    if (!replace && !RenameToNew()) return false;
    if (replace && rename(name_.c_str(), path_.c_str()) != 0) {
      throw SystemError(path_, "cannot rename into place", errno);
    }
    name_.clear();
    SyncFolderOf(path_);
    return true;
  }

 private:
  bool RenameToNew() {
    int result = renameat2(AT_FDCWD, name_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
    if (result != 0 && (errno == EINVAL || errno == ENOSYS)) {  // not on every file system
      result = link(name_.c_str(), path_.c_str());
      if (result == 0) unlink(name_.c_str());
    }
    if (result != 0 && errno != EEXIST) throw SystemError(path_, "cannot rename into place", errno);
    return result == 0;
  }

  const std::string& path_;
  std::string name_;  // empty once renamed
  UniqueFd fd_;
};

// Removes temporary files that processes which were killed have left beside `path`.
void RemoveStaleTemporaries(const std::string& path) {
  const auto [folder, name] = FolderAndName(path);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opendir(folder.c_str()), &closedir);
  if (!entries) return;
  const std::string prefix = name + kTemporary;
  while (const dirent* entry = readdir(entries.get())) {
    if (std::string_view(entry->d_name).substr(0, prefix.size()) != prefix) continue;
    const std::string file = folder + "/" + entry->d_name;
    const UniqueFd fd(open(file.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    struct stat info {};
    const bool stale = fd.valid() && fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) &&
                       info.st_mtime < time(nullptr) - kStaleSeconds && TryLock(fd.get());
    if (stale) unlink(file.c_str());
  }
}

// The index at `path`, open and locked.
struct LockedIndex {
  LockedIndex() = default;
  LockedIndex(LockedIndex&&) = default;
  LockedIndex& operator=(LockedIndex&&) = delete;
  ~LockedIndex() { Unlock(fd); }

  UniqueFd fd;
  IndexState state = IndexState::kMissing;
  std::shared_ptr<const IndexReader> reader;  // where it is good
};

LockedIndex Lock(const std::string& path) {
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  for (;;) {
    LockedIndex index;
    index.fd = UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
    if (!index.fd.valid()) {
      if (errno == ENOENT) return index;
      throw SystemError(path, "cannot open", errno);
    }
    if (TryLock(index.fd.get())) {
      // Another writer may have put a new file into its place meanwhile.
      if (!StillAt(index.fd.get(), path)) continue;
      index.reader = IndexReader::Open(path, &index.state);
      return index;
    }
    if (errno != EWOULDBLOCK) throw SystemError(path, "cannot lock", errno);
    if (std::chrono::steady_clock::now() > deadline) {
      throw IndexError(path + ": another process holds its lock");
    }
    std::this_thread::sleep_for(kLockPause);
  }
}

// A new index of `entries` alone. False: somebody else was faster.
bool Create(const std::string& path, const std::string& root,
            const std::vector<const IndexRecord*>& records, const NewEntries& entries,
            bool replace) {
  TemporaryFile file(path);
  BlockWriter block(file.fd(), file.name(), file.WriteHeader(root));
  for (const IndexRecord* record : records) {
    block.Add(record->name, record->file, entries.payload(*record));
  }
  block.WriteHeader(block.Finish());
  return file.Rename(replace);
}

void AppendBlock(const LockedIndex& index, const std::string& path,
                 const std::vector<const IndexRecord*>& records, const NewEntries& entries) {
  const uint64_t end = index.reader->end();
  try {
    BlockWriter block(index.fd.get(), path, end);
    for (const IndexRecord* record : records) {
      block.Add(record->name, record->file, entries.payload(*record));
    }
    const BlockHeader header = block.Finish();
    SyncOnce(index.fd.get(), path);
    block.WriteHeader(header);
    SyncOnce(index.fd.get(), path);
  } catch (const IndexError&) {
    // Best effort, to give the space back; what is left there counts for nothing.
    [[maybe_unused]] const int ignored = ftruncate(index.fd.get(), static_cast<off_t>(end));
    throw;
  }
}

// The blocks of `old`, and `entries` (null: none), in a new file at `path`.
void Merge(const IndexReader& old, const std::string& path, const NewEntries* entries,
           const std::function<bool(uint64_t)>& keep) {
  // The last record of each name counts.
  std::unordered_map<uint64_t, FileIdentity> last;
  last.reserve(old.records());
  old.ForEach([&](const IndexReader::Block&, const IndexRecord& record) {
    if (!keep || keep(record.name)) last[record.name] = record.file;
    return true;
  });
  if (entries != nullptr) {
    for (const IndexRecord& record : entries->records()) last[record.name] = record.file;
  }

  TemporaryFile file(path);
  uint64_t offset = file.WriteHeader(old.root());
  auto block = std::make_unique<BlockWriter>(file.fd(), file.name(), offset);
  const auto add = [&](const IndexRecord& record, ByteSpan payload) {
    const auto found = last.find(record.name);
    if (found == last.end() || !(found->second == record.file)) return;
    last.erase(found);
    if (block->bytes() + payload.size > kMaxBlockPayload) {
      const BlockHeader header = block->Finish();
      block->WriteHeader(header);
      offset += header.bytes;
      block = std::make_unique<BlockWriter>(file.fd(), file.name(), offset);
    }
    block->Add(record.name, record.file, payload);
  };
  if (entries != nullptr) {
    for (const IndexRecord& record : entries->records()) add(record, entries->payload(record));
  }
  IndexReader::Scratch scratch;
  old.ForEach([&](const IndexReader::Block& from, const IndexRecord& record) {
    if (old.ReadPayload(from, record, &scratch)) {
      add(record, {scratch.payload.data(), scratch.payload.size()});
    }
    return true;
  });
  block->WriteHeader(block->Finish());
  file.Rename(/*replace=*/true);
}

// Of records of one file, only the first.
void KeepFirstOfEach(std::vector<const IndexRecord*>* records) {
  std::stable_sort(records->begin(), records->end(), [](const auto* a, const auto* b) {
    return std::tie(a->name, a->file.bytes, a->file.mtime_ns) <
           std::tie(b->name, b->file.bytes, b->file.mtime_ns);
  });
  const auto same = [](const auto* a, const auto* b) {
    return a->name == b->name && a->file == b->file;
  };
  records->erase(std::unique(records->begin(), records->end(), same), records->end());
}

IndexError Refused(const std::string& path, IndexState state) {
  return IndexError(path + " " + IndexStateText(state));
}

}  // namespace

void NewEntries::Add(uint64_t name, const FileIdentity& file, ByteSpan payload) {
  records_.push_back(
      {name, file, static_cast<uint32_t>(payloads_.size()), static_cast<uint32_t>(payload.size)});
  payloads_.insert(payloads_.end(), payload.begin(), payload.end());
}

size_t NewEntries::bytes() const {
  return payloads_.size() + records_.size() * (sizeof(IndexRecord) + kChecksumBytes);
}

ByteSpan NewEntries::payload(const IndexRecord& record) const {
  return {payloads_.data() + record.payload, record.payload_bytes};
}

void AppendToIndex(const std::string& path, const std::string& root, const NewEntries& entries) {
  if (entries.empty()) return;
  RemoveStaleTemporaries(path);
  for (;;) {
    const LockedIndex index = Lock(path);
    const bool none = index.state == IndexState::kMissing || index.state == IndexState::kDamaged;
    if (!none && !index.reader) throw Refused(path, index.state);
    if (!none && index.reader->root() != root) {
      throw IndexError(path + " is the index of another folder, " + index.reader->root());
    }
    IndexReader::Scratch scratch;
    std::vector<const IndexRecord*> missing;
    for (const IndexRecord& record : entries.records()) {
      if (record.payload_bytes > MaxPayloadBytes(record.file)) continue;
      if (none || !index.reader->Find(record.name, record.file, &scratch)) {
        missing.push_back(&record);
      }
    }
    KeepFirstOfEach(&missing);
    if (missing.empty()) return;
    if (none) {
      if (Create(path, root, missing, entries, index.state == IndexState::kDamaged)) return;
      continue;
    }
    if (index.reader->blocks().size() < kMaxIndexBlocks) {
      AppendBlock(index, path, missing, entries);
    } else {
      Merge(*index.reader, path, &entries, nullptr);
    }
    return;
  }
}

void CompactIndex(const std::string& path, const std::function<bool(uint64_t name)>& keep) {
  RemoveStaleTemporaries(path);
  const LockedIndex index = Lock(path);
  if (!index.reader) throw Refused(path, index.state);
  Merge(*index.reader, path, nullptr, keep);
}

}  // namespace stoker
