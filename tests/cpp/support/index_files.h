// Decode indexes for tests: entries to put into them, and files written by hand from the layout in
// io/index_format.h, with what no writer writes. All checksums are right unless a test spoils them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "io/index_format.h"
#include "io/index_reader.h"
#include "io/index_writer.h"
#include "support/test_images.h"

namespace stoker::testing {

// Whose index it is.
inline constexpr IndexKey kTestKey{0x0123456789abcdef, 0xfedcba9876543210};

struct IndexEntry {
  uint64_t name = 0;
  FileIdentity file;
  Bytes payload;
};

// Entry number i; `version`: what the file was changed to since.
inline IndexEntry EntryOf(int i, int version = 0) {
  IndexEntry entry;
  entry.name = HashName("class/" + std::to_string(i) + ".jpg");
  entry.file = {static_cast<uint64_t>(20'000 + i % 1000 * 16), 1'600'000'000'000'000'000 + version};
  entry.payload.resize(static_cast<size_t>(24 + i * 7 % 300));
  for (size_t at = 0; at < entry.payload.size(); ++at) {
    entry.payload[at] = static_cast<uint8_t>(HashBytes(BytesOf(at), entry.name) >> (version % 8));
  }
  return entry;
}

inline std::vector<IndexEntry> EntriesOf(int first, int count, int version = 0) {
  std::vector<IndexEntry> entries;
  for (int i = first; i < first + count; ++i) entries.push_back(EntryOf(i, version));
  return entries;
}

inline void AppendEntries(const std::string& path, const std::vector<IndexEntry>& entries,
                          const std::string& root = "/data") {
  NewEntries added;
  for (const IndexEntry& entry : entries) added.Add(entry.name, entry.file, Span(entry.payload));
  AppendToIndex(path, root, added, kTestKey);
}

// What an IndexError of `body` says; fails the test where there is none.
inline std::string ErrorOf(const std::function<void()>& body) {
  try {
    body();
  } catch (const IndexError& e) {
    return e.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

inline IndexState StateOf(const std::string& path) {
  IndexState state{};
  IndexReader::Open(path, kTestKey, &state);
  return state;
}

// Fails the test where there is none.
inline std::shared_ptr<const IndexReader> OpenIndex(const std::string& path) {
  IndexState state{};
  auto index = IndexReader::Open(path, kTestKey, &state);
  EXPECT_TRUE(index != nullptr) << path << " " << IndexStateText(state);
  EXPECT_EQ(state == IndexState::kGood, index != nullptr);
  return index;
}

enum class Found { kRight, kNothing, kWrong };

inline Found Lookup(const IndexReader& index, const IndexEntry& entry) {
  IndexReader::Scratch scratch;
  if (!index.Find(entry.name, entry.file, &scratch)) return Found::kNothing;
  return scratch.payload == entry.payload ? Found::kRight : Found::kWrong;
}

inline size_t CountFound(const IndexReader& index, const std::vector<IndexEntry>& entries,
                         Found what = Found::kRight) {
  return static_cast<size_t>(
      std::count_if(entries.begin(), entries.end(),
                    [&](const IndexEntry& entry) { return Lookup(index, entry) == what; }));
}

inline void ExpectAll(const std::string& path, const std::vector<IndexEntry>& entries) {
  const auto index = OpenIndex(path);
  if (index) {
    EXPECT_EQ(CountFound(*index, entries), entries.size());
  }
}

inline Bytes ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Names of what lies in a folder, sorted.
inline std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

template <typename T>
void AppendPod(const T& pod, Bytes* out) {
  const ByteSpan bytes = BytesOf(pod);
  out->insert(out->end(), bytes.begin(), bytes.end());
}

// An index's beginning. `change` comes before the checksum is made.
inline Bytes HandMadeHeader(const std::string& root,
                            const std::function<void(IndexHeader*)>& change = nullptr) {
  IndexHeader header{};
  std::memcpy(header.magic, "STOKRIDX", sizeof header.magic);
  header.version = kIndexVersion;
  header.root_bytes = static_cast<uint32_t>(root.size());
  header.first_block = (64 + root.size() + 63) / 64 * 64;
  if (change) change(&header);
  header.checksum = IndexChecksum(header, root);
  Bytes bytes((sizeof header + root.size() + 63) / 64 * 64);
  std::memcpy(bytes.data(), &header, sizeof header);
  std::copy(root.begin(), root.end(), bytes.begin() + sizeof header);
  return bytes;
}

// A block in its parts, which a test may change before Make puts them one behind the other.
struct HandMadeBlock {
  Bytes payloads;  // begin at offset 64 of the block; `directory` comes behind them
  std::vector<IndexRecord> records;
  std::vector<uint32_t> buckets;
  int bucket_bits = 1;

  // Keeps to what is promised; the names must come in order.
  void Add(const IndexEntry& entry) {
    AddRecord({entry.name, entry.file, static_cast<uint32_t>(64 + payloads.size()),
               static_cast<uint32_t>(entry.payload.size())});
    payloads.insert(payloads.end(), entry.payload.begin(), entry.payload.end());
    AppendPod(RecordTag(kTestKey, records.back(), Span(entry.payload)), &payloads);
  }
  // A record alone. The buckets are counted anew.
  void AddRecord(const IndexRecord& record) {
    records.push_back(record);
    buckets.assign((size_t{1} << bucket_bits) + 1, 0);
    for (size_t b = 0; b < buckets.size(); ++b) {
      while (buckets[b] < records.size() && records[buckets[b]].name >> (64 - bucket_bits) < b) {
        ++buckets[b];
      }
      if (b + 1 < buckets.size()) buckets[b + 1] = buckets[b];
    }
  }
  size_t directory() const { return (64 + payloads.size() + 7) / 8 * 8; }

  // For the end of `file`.
  Bytes Make(const Bytes& file, const std::function<void(BlockHeader*)>& change = nullptr) const {
    const size_t buckets_at = directory() + records.size() * sizeof(IndexRecord);
    Bytes bytes((buckets_at + buckets.size() * sizeof(uint32_t) + 63) / 64 * 64);
    std::copy(payloads.begin(), payloads.end(), bytes.begin() + 64);
    if (!records.empty()) {
      std::memcpy(bytes.data() + directory(), records.data(), buckets_at - directory());
    }
    if (!buckets.empty()) {
      std::memcpy(bytes.data() + buckets_at, buckets.data(), buckets.size() * sizeof(uint32_t));
    }
    BlockHeader header{};
    std::memcpy(header.magic, "STOKRBLK", sizeof header.magic);
    header.bytes = bytes.size();
    header.offset = file.size();
    header.records = static_cast<uint32_t>(records.size());
    header.bucket_bits = static_cast<uint32_t>(bucket_bits);
    header.directory = directory();
    if (change) change(&header);
    header.checksum = BlockChecksum(header);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
  }
  void AppendTo(Bytes* file, const std::function<void(BlockHeader*)>& change = nullptr) const {
    const Bytes bytes = Make(*file, change);
    file->insert(file->end(), bytes.begin(), bytes.end());
  }
};

// Entries sorted as a block wants them.
inline std::vector<IndexEntry> SortedByName(std::vector<IndexEntry> entries) {
  std::sort(entries.begin(), entries.end(),
            [](const IndexEntry& a, const IndexEntry& b) { return a.name < b.name; });
  return entries;
}

}  // namespace stoker::testing
