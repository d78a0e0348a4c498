// The layout of a decode index on disk, byte for byte as in docs/decode-index.md, and the hash that
// names and checksums go by; what an entry's tag goes by is in index_key.h. A small key-value
// store: file → packed bytes that this folder does not look into (codec/jpeg/checkpoints.h does).
//
//   header │ root │ block │ block │ …          each block: header │ payloads │ records │ buckets
//
// Little-endian throughout. Nothing that is read from a file is believed before it is checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "base/bytes.h"
#include "io/file_reader.h"
#include "io/index_key.h"

namespace stoker {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "the index's structs are read as they are");

inline constexpr uint32_t kIndexVersion = 2;
inline constexpr size_t kIndexAlignment = 64;  // of blocks
inline constexpr char kIndexMagic[8] = {'S', 'T', 'O', 'K', 'R', 'I', 'D', 'X'};
inline constexpr char kBlockMagic[8] = {'S', 'T', 'O', 'K', 'R', 'B', 'L', 'K'};

// At the file's beginning; `root_bytes` bytes follow: the folder that names are relative to.
struct IndexHeader {
  char magic[8];
  uint32_t version;
  uint32_t root_bytes;
  uint64_t first_block;  // where, in the file
  uint64_t reserved[4];  // 0
  uint64_t checksum;     // of the bytes before it and the root
};
static_assert(sizeof(IndexHeader) == 64 && std::is_trivially_copyable_v<IndexHeader>);

struct BlockHeader {
  char magic[8];
  uint64_t bytes;        // of the whole block, a multiple of kIndexAlignment
  uint64_t offset;       // of the block in the file
  uint32_t records;      // how many
  uint32_t bucket_bits;  // 1 to 24
  uint64_t directory;    // offset of the records in the block; the buckets follow them
  uint64_t reserved[2];  // 0
  uint64_t checksum;     // of the bytes before it
};
static_assert(sizeof(BlockHeader) == 64 && std::is_trivially_copyable_v<BlockHeader>);

// A file. Records are sorted by name, and bucket b, of which there are 2^bucket_bits + 1 as uint32,
// is where the names begin whose uppermost bits are b.
struct IndexRecord {
  uint64_t name;  // HashName
  FileIdentity file;
  uint32_t payload;        // offset in the block; a tag of the record and it stands behind it
  uint32_t payload_bytes;  // without the tag
};
static_assert(sizeof(IndexRecord) == 32 && std::is_trivially_copyable_v<IndexRecord>);

inline constexpr size_t kTagBytes = sizeof(uint64_t);

// h ← seed xor length · P; then for each eight bytes w (the last ones padded with zeros)
// h ← (h xor w) · P, h ← h xor h >> 32. Each step is a bijection of h, so no change within one word
// goes unnoticed.
inline uint64_t HashBytes(ByteSpan bytes, uint64_t seed = 0) {
  constexpr uint64_t kPrime = 0x9E3779B97F4A7C15;
  uint64_t h = seed ^ bytes.size * kPrime;
  for (size_t i = 0; i < bytes.size; i += sizeof h) {
    uint64_t word = 0;
    const size_t left = bytes.size - i;
    std::memcpy(&word, bytes.data + i, left < sizeof word ? left : sizeof word);
    h = (h ^ word) * kPrime;
    h ^= h >> 32;
  }
  return h;
}

template <typename T>
ByteSpan BytesOf(const T& pod, size_t count = sizeof(T)) {
  static_assert(std::is_trivially_copyable_v<T>);
  return {reinterpret_cast<const uint8_t*>(&pod), count};
}

inline ByteSpan BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// A file's name in an index: of its path relative to the index's root.
inline uint64_t HashName(std::string_view path) { return HashBytes(BytesOf(path)); }

inline uint64_t IndexChecksum(const IndexHeader& header, std::string_view root) {
  return HashBytes(BytesOf(root), HashBytes(BytesOf(header, offsetof(IndexHeader, checksum))));
}
inline uint64_t BlockChecksum(const BlockHeader& header) {
  return HashBytes(BytesOf(header, offsetof(BlockHeader, checksum)));
}
inline uint64_t RecordTag(const IndexKey& key, const IndexRecord& record, ByteSpan payload) {
  static_assert(sizeof record % 8 == 0);
  SipHash hash(key);
  hash.Add(BytesOf(record));
  hash.Add(payload);
  return hash.Finish();
}

// How many bits of a name choose among the buckets of so many records.
inline uint32_t BucketBits(size_t records) {
  uint32_t bits = 1;
  while (bits < 24 && (records >> (bits + 4)) != 0) ++bits;
  return bits;
}

// No payload is nearly as large as its file: one that claims to be is not believed, nor written.
inline uint64_t MaxPayloadBytes(const FileIdentity& file) { return 64 + file.bytes / 16; }

inline size_t AlignedUp(size_t bytes) {
  return (bytes + kIndexAlignment - 1) / kIndexAlignment * kIndexAlignment;
}

}  // namespace stoker
