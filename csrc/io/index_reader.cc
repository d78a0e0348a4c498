#include "io/index_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "io/index_file.h"

namespace stoker {
namespace {

constexpr uint32_t kMaxRootBytes = 1 << 16;
constexpr size_t kMaxBlocks = 4096;
constexpr size_t kRecordsAtOnce = 32;
// Records of one bucket that are looked at: names are spread evenly, so that an honest index has a
// few dozen at most.
constexpr uint32_t kMaxBucket = 4096;

// Whether nobody has written it who could not as well have written the data beside it or this
// user's own files.
bool Trusted(const struct stat& file, const std::string& path) {
  if ((file.st_mode & S_IWOTH) != 0) return false;
  if (file.st_uid == geteuid() || file.st_uid == 0) return true;
  struct stat folder {};
  return stat(FolderOf(path).c_str(), &folder) == 0 && folder.st_uid == file.st_uid &&
         (folder.st_mode & S_IWOTH) == 0;
}

bool GoodBlock(const BlockHeader& block, uint64_t offset, uint64_t file_bytes) {
  if (std::memcmp(block.magic, kBlockMagic, sizeof kBlockMagic) != 0 ||
      block.checksum != BlockChecksum(block) || block.offset != offset) {
    return false;
  }
  if (block.bytes % kIndexAlignment != 0 || block.bytes < sizeof block ||
      block.bytes > file_bytes - offset || block.bucket_bits < 1 || block.bucket_bits > 24 ||
      block.directory % 8 != 0 || block.directory < sizeof block || block.directory > block.bytes) {
    return false;
  }
  const uint64_t buckets = (uint64_t{1} << block.bucket_bits) + 1;
  return block.records * sizeof(IndexRecord) + buckets * sizeof(uint32_t) <=
         block.bytes - block.directory;
}

}  // namespace

const char* IndexStateText(IndexState state) {
  switch (state) {
    case IndexState::kGood: return "is a decode index";
    case IndexState::kMissing: return "does not exist";
    case IndexState::kUnreadable: return "cannot be read";
    case IndexState::kForeign: return "is not a decode index";
    case IndexState::kNewer: return "is a decode index of a newer version of Stoker";
    case IndexState::kOlder: return "is a decode index of an older version of Stoker";
    case IndexState::kDamaged: return "is damaged";
    case IndexState::kUntrusted:
      return "may have been written by somebody else (owned by another user, or writable by all)";
  }
  return "";
}

std::shared_ptr<const IndexReader> IndexReader::Open(const std::string& path, const IndexKey& key,
                                                     IndexState* state) {
  UniqueFd fd = OpenRetrying(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (!fd.valid()) {
    *state = errno == ENOENT || errno == ENOTDIR ? IndexState::kMissing : IndexState::kUnreadable;
    return nullptr;
  }
  return Open(std::move(fd), path, key, state);
}

std::shared_ptr<const IndexReader> IndexReader::Open(UniqueFd fd, const std::string& path,
                                                     const IndexKey& key, IndexState* state) {
  const std::shared_ptr<IndexReader> reader(new IndexReader(std::move(fd), path, key));
  *state = reader->Load();
  if (*state != IndexState::kGood) return nullptr;
  return reader;
}

IndexState IndexReader::Load() {
  struct stat info {};
  if (fstat(fd_.get(), &info) != 0) return IndexState::kUnreadable;
  if (!S_ISREG(info.st_mode)) return IndexState::kForeign;
  if (!Trusted(info, path_)) return IndexState::kUntrusted;
  const auto file_bytes = static_cast<uint64_t>(info.st_size);

  IndexHeader header{};
  if (!ReadAt(0, &header.magic, sizeof header.magic) ||
      std::memcmp(header.magic, kIndexMagic, sizeof kIndexMagic) != 0) {
    return IndexState::kForeign;
  }
  if (!ReadAt(0, &header, sizeof header)) return IndexState::kDamaged;
  if (header.version > kIndexVersion) return IndexState::kNewer;
  if (header.version < kIndexVersion) return IndexState::kOlder;
  if (header.root_bytes > kMaxRootBytes) return IndexState::kDamaged;
  root_.resize(header.root_bytes);
  if (!ReadAt(sizeof header, root_.data(), root_.size()) ||
      header.checksum != IndexChecksum(header, root_) ||
      header.first_block != AlignedUp(sizeof header + root_.size())) {
    return IndexState::kDamaged;
  }
  // A block that is not whole was never finished, and nothing lies behind it.
  end_ = header.first_block;
  while (blocks_.size() < kMaxBlocks && end_ < file_bytes) {
    Block block{end_, {}};
    if (!ReadAt(end_, &block.header, sizeof block.header) ||
        !GoodBlock(block.header, end_, file_bytes)) {
      break;
    }
    blocks_.push_back(block);
    end_ += block.header.bytes;
  }
  return IndexState::kGood;
}

bool IndexReader::ReadAt(uint64_t offset, void* out, size_t bytes) const {
  auto* to = static_cast<uint8_t*>(out);
  while (bytes > 0) {
    const ssize_t got = pread(fd_.get(), to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return true;
}

// Calls `visit` with the records of this name; stops, and returns true, where it does.
template <typename Visit>
bool IndexReader::VisitBucket(const Block& block, uint64_t name, const Visit& visit) const {
  const BlockHeader& header = block.header;
  const uint64_t records_at = block.offset + header.directory;
  const uint64_t buckets_at = records_at + header.records * sizeof(IndexRecord);
  const uint64_t bucket = name >> (64 - header.bucket_bits);
  std::array<uint32_t, 2> range{};
  if (!ReadAt(buckets_at + bucket * sizeof(uint32_t), range.data(), sizeof range)) return false;
  auto [at, end] = range;
  if (at > end || end > header.records || end - at > kMaxBucket) return false;
  std::array<IndexRecord, kRecordsAtOnce> records;
  while (at < end) {
    const size_t count = std::min<size_t>(end - at, kRecordsAtOnce);
    if (!ReadAt(records_at + at * sizeof(IndexRecord), records.data(),
                count * sizeof(IndexRecord))) {
      return false;
    }
    for (size_t i = 0; i < count; ++i) {
      if (records[i].name == name && visit(records[i])) return true;
    }
    at += static_cast<uint32_t>(count);
  }
  return false;
}

bool IndexReader::ReadPayload(const Block& block, const IndexRecord& record,
                              Scratch* scratch) const {
  if (record.payload < sizeof(BlockHeader) || record.payload_bytes > MaxPayloadBytes(record.file) ||
      uint64_t{record.payload} + record.payload_bytes + kTagBytes > block.header.directory) {
    return false;
  }
  scratch->payload.resize(record.payload_bytes + kTagBytes);
  if (!ReadAt(block.offset + record.payload, scratch->payload.data(), scratch->payload.size())) {
    return false;
  }
  uint64_t tag = 0;
  std::memcpy(&tag, scratch->payload.data() + record.payload_bytes, sizeof tag);
  scratch->payload.resize(record.payload_bytes);
  return tag == RecordTag(key_, record, {scratch->payload.data(), scratch->payload.size()});
}

bool IndexReader::Find(uint64_t name, const FileIdentity& file, Scratch* scratch) const {
  // The newest first: a file that was recorded again has a better entry there.
  for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
    const bool found = VisitBucket(*block, name, [&](const IndexRecord& record) {
      return record.file == file && ReadPayload(*block, record, scratch);
    });
    if (found) return true;
  }
  return false;
}

bool IndexReader::Contains(uint64_t name) const {
  Scratch scratch;
  return std::any_of(blocks_.begin(), blocks_.end(), [&](const Block& block) {
    return VisitBucket(block, name, [&](const IndexRecord& record) {
      return ReadPayload(block, record, &scratch);
    });
  });
}

bool IndexReader::ContainsAnybodys(uint64_t name, const FileIdentity& file) const {
  return std::any_of(blocks_.begin(), blocks_.end(), [&](const Block& block) {
    return VisitBucket(block, name, [&](const IndexRecord& record) { return record.file == file; });
  });
}

void IndexReader::ForEach(
    const std::function<void(const Block&, const IndexRecord&)>& visit) const {
  std::vector<IndexRecord> records(4096);
  for (const Block& block : blocks_) {
    const uint64_t records_at = block.offset + block.header.directory;
    for (uint64_t at = 0; at < block.header.records; at += records.size()) {
      const size_t count = std::min<size_t>(block.header.records - at, records.size());
      if (!ReadAt(records_at + at * sizeof(IndexRecord), records.data(),
                  count * sizeof(IndexRecord))) {
        break;
      }
      for (size_t i = 0; i < count; ++i) visit(block, records[i]);
    }
  }
}

uint64_t IndexReader::records() const {
  uint64_t sum = 0;
  for (const Block& block : blocks_) sum += block.header.records;
  return sum;
}

}  // namespace stoker
