#include "io/index_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "io/file_reader.h"
#include "io/index_file.h"
#include "io/index_reader.h"

namespace stoker {
namespace {

constexpr std::chrono::seconds kLockPatience{10};
constexpr std::chrono::milliseconds kLockPause{20};
constexpr size_t kWriteBytes = size_t{1} << 20;
constexpr uint64_t kMaxBlockPayload = uint64_t{2} << 30;

// Writes one block of a file, front to back.
class BlockWriter {
 public:
  BlockWriter(int fd, const std::string& path, uint64_t offset, const IndexKey& key)
      : fd_(fd), path_(path), offset_(offset), key_(key), at_(offset + sizeof(BlockHeader)) {}

  void Add(uint64_t name, const FileIdentity& file, ByteSpan payload) {
    const IndexRecord record{name, file, static_cast<uint32_t>(at_ + pending_.size() - offset_),
                             static_cast<uint32_t>(payload.size)};
    Put(payload);
    Put(BytesOf(RecordTag(key_, record, payload)));
    records_.push_back(record);
  }
  void Add(const std::vector<const IndexRecord*>& records, const NewEntries& entries) {
    for (const IndexRecord* record : records) {
      Add(record->name, record->file, entries.payload(*record));
    }
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
  void WriteHeader(const BlockHeader& header) { WriteAt(fd_, path_, offset_, BytesOf(header)); }

 private:
  void Put(ByteSpan bytes) {
    pending_.insert(pending_.end(), bytes.begin(), bytes.end());
    if (pending_.size() >= kWriteBytes) Write();
  }
  void Pad(size_t alignment) {
    pending_.resize(pending_.size() + (alignment - bytes() % alignment) % alignment);
  }
  void Write() {
    WriteAt(fd_, path_, at_, {pending_.data(), pending_.size()});
    at_ += pending_.size();
    pending_.clear();
  }

  const int fd_;
  const std::string& path_;
  const uint64_t offset_;
  const IndexKey& key_;
  uint64_t at_;  // in the file, of pending_
  std::vector<uint8_t> pending_;
  std::vector<IndexRecord> records_;
};

// The header of a new index; returns the offset of its first block.
uint64_t WriteIndexHeader(const TemporaryFile& file, const std::string& root) {
  IndexHeader header{};
  std::memcpy(header.magic, kIndexMagic, sizeof header.magic);
  header.version = kIndexVersion;
  header.root_bytes = static_cast<uint32_t>(root.size());
  header.first_block = AlignedUp(sizeof header + root.size());
  header.checksum = IndexChecksum(header, root);
  std::vector<uint8_t> bytes(header.first_block);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::copy(root.begin(), root.end(), bytes.begin() + sizeof header);
  WriteAt(file.fd(), file.name(), 0, {bytes.data(), bytes.size()});
  return header.first_block;
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

LockedIndex Lock(const std::string& path, const IndexKey& key) {
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  for (;;) {
    LockedIndex index;
    index.fd = OpenRetrying(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (!index.fd.valid()) {
      const int error = errno;
      if (error != ENOENT || IsLink(path)) throw SystemError(path, "cannot open", error);
      return index;
    }
    if (TryLock(index.fd.get())) {
      // Another writer may have put a new file into its place meanwhile.
      if (!StillAt(index.fd.get(), path)) continue;
      index.reader = IndexReader::Open(path, key, &index.state);
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
            const IndexKey& key, bool replace) {
  TemporaryFile file(path);
  BlockWriter block(file.fd(), file.name(), WriteIndexHeader(file, root), key);
  block.Add(records, entries);
  block.WriteHeader(block.Finish());
  return file.Rename(replace);
}

void AppendBlock(const LockedIndex& index, const std::string& path,
                 const std::vector<const IndexRecord*>& records, const NewEntries& entries,
                 const IndexKey& key) {
  const uint64_t end = index.reader->end();
  try {
    BlockWriter block(index.fd.get(), path, end, key);
    block.Add(records, entries);
    const BlockHeader header = block.Finish();
    SyncOnce(index.fd.get(), path);
    block.WriteHeader(header);
    SyncOnce(index.fd.get(), path);
  } catch (...) {
    // Best effort, to give the space back; what is left there counts for nothing.
    [[maybe_unused]] const int ignored = ftruncate(index.fd.get(), static_cast<off_t>(end));
    throw;
  }
}

// The blocks of `old`, and `entries` (null: none), in a new file at `path`.
void Merge(const IndexReader& old, const std::string& path, const NewEntries* entries,
           const std::function<bool(uint64_t)>& keep, const IndexKey& key) {
  // The last record of each name counts.
  std::unordered_map<uint64_t, FileIdentity> last;
  last.reserve(old.records());
  old.ForEach([&](const IndexReader::Block&, const IndexRecord& record) {
    if (!keep || keep(record.name)) last[record.name] = record.file;
  });
  if (entries != nullptr) {
    for (const IndexRecord& record : entries->records()) last[record.name] = record.file;
  }

  TemporaryFile file(path);
  uint64_t offset = WriteIndexHeader(file, old.root());
  auto block = std::make_unique<BlockWriter>(file.fd(), file.name(), offset, key);
  const auto add = [&](const IndexRecord& record, ByteSpan payload) {
    const auto found = last.find(record.name);
    if (found == last.end() || !(found->second == record.file)) return;
    last.erase(found);
    if (block->bytes() + payload.size > kMaxBlockPayload) {
      const BlockHeader header = block->Finish();
      block->WriteHeader(header);
      offset += header.bytes;
      block = std::make_unique<BlockWriter>(file.fd(), file.name(), offset, key);
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
  // The payload first: where there is no memory for the record, nothing refers to it.
  const auto at = static_cast<uint32_t>(payloads_.size());
  payloads_.insert(payloads_.end(), payload.begin(), payload.end());
  records_.push_back({name, file, at, static_cast<uint32_t>(payload.size)});
}

size_t NewEntries::bytes() const {
  return payloads_.size() + records_.size() * (sizeof(IndexRecord) + kTagBytes);
}

ByteSpan NewEntries::payload(const IndexRecord& record) const {
  return {payloads_.data() + record.payload, record.payload_bytes};
}

void AppendToIndex(const std::string& path, const std::string& root, const NewEntries& entries,
                   const IndexKey& key) {
  if (entries.empty()) return;
  RemoveStaleTemporaries(path);
  for (;;) {
    const LockedIndex index = Lock(path, key);
    const bool of_no_use = index.state == IndexState::kDamaged || index.state == IndexState::kOlder;
    const bool none = index.state == IndexState::kMissing || of_no_use;
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
      if (Create(path, root, missing, entries, key, /*replace=*/of_no_use)) return;
      continue;
    }
    if (index.reader->blocks().size() < kMaxIndexBlocks) {
      AppendBlock(index, path, missing, entries, key);
    } else {
      Merge(*index.reader, path, &entries, nullptr, key);
    }
    return;
  }
}

void CompactIndex(const std::string& path, const std::function<bool(uint64_t name)>& keep,
                  const IndexKey& key) {
  RemoveStaleTemporaries(path);
  const LockedIndex index = Lock(path, key);
  if (!index.reader) throw Refused(path, index.state);
  Merge(*index.reader, path, nullptr, keep, key);
}

}  // namespace stoker
