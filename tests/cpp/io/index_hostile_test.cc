// Indexes that somebody made to hurt: all checksums are right, and the numbers are not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "io/index_format.h"
#include "io/index_reader.h"
#include "io/index_writer.h"
#include "support/index_files.h"

namespace stoker {
namespace {

using testing::AppendEntries;
using testing::Bytes;
using testing::CountFound;
using testing::EntriesOf;
using testing::EntryOf;
using testing::Found;
using testing::HandMadeBlock;
using testing::HandMadeHeader;
using testing::IndexEntry;
using testing::Lookup;
using testing::OpenIndex;
using testing::SortedByName;
using testing::Span;
using testing::TemporaryFolder;

class HostileIndex : public ::testing::Test {
 protected:
  HostileIndex() {
    first_.bucket_bits = second_.bucket_bits = 2;
    for (const IndexEntry& entry : SortedByName(good_)) first_.Add(entry);
    for (const IndexEntry& entry : SortedByName(hostile_)) second_.Add(entry);
  }
  // An honest block and, behind it, `block`.
  Bytes File(const HandMadeBlock& block,
             const std::function<void(BlockHeader*)>& change = nullptr) const {
    Bytes file = HandMadeHeader("/data");
    first_.AppendTo(&file);
    block.AppendTo(&file, change);
    return file;
  }
  // Expects that the honest block is read, that nothing wrong is found, and that the index can be
  // written to. Returns how many of the hostile block's entries were found.
  size_t Check(const Bytes& file, size_t blocks) {
    const std::string path = folder_.Write("index", file);
    const auto index = OpenIndex(path);
    if (!index) return 0;
    EXPECT_EQ(index->blocks().size(), blocks);
    EXPECT_EQ(CountFound(*index, good_), good_.size());
    EXPECT_EQ(CountFound(*index, hostile_, Found::kWrong), 0U);
    IndexReader::Scratch scratch;
    index->ForEach([&](const IndexReader::Block& block, const IndexRecord& record) {
      index->ReadPayload(block, record, &scratch);
      index->Contains(record.name);
    });
    const size_t found = CountFound(*index, hostile_);
    AppendEntries(path, hostile_);
    testing::ExpectAll(path, good_);
    testing::ExpectAll(path, hostile_);
    CompactIndex(path, nullptr, testing::kTestKey);
    testing::ExpectAll(path, good_);
    testing::ExpectAll(path, hostile_);
    return found;
  }

  const std::vector<IndexEntry> good_ = EntriesOf(0, 20);
  const std::vector<IndexEntry> hostile_ = EntriesOf(20, 20);
  HandMadeBlock first_;
  HandMadeBlock second_;
  const TemporaryFolder folder_;
};

TEST_F(HostileIndex, TheHonestOneIsRead) { EXPECT_EQ(Check(File(second_), 2), hostile_.size()); }

TEST_F(HostileIndex, BlocksThatDoNotFitAreNotThere) {
  const std::vector<std::function<void(BlockHeader*)>> lies = {
      [](BlockHeader* b) { b->bytes = 0; },
      [](BlockHeader* b) { b->bytes = 32; },
      [](BlockHeader* b) { b->bytes += 8; },
      [](BlockHeader* b) { b->bytes += 64; },
      [](BlockHeader* b) { b->bytes = uint64_t{1} << 32; },
      [](BlockHeader* b) { b->bytes = uint64_t{1} << 63; },
      [](BlockHeader* b) { b->bytes = ~uint64_t{63}; },
      [](BlockHeader* b) { b->bytes = ~b->offset + 1; },  // the sum of the two is 0
      [](BlockHeader* b) { b->offset = 0; },
      [](BlockHeader* b) { b->offset -= 64; },
      [](BlockHeader* b) { b->offset += uint64_t{1} << 32; },
      [](BlockHeader* b) { b->records = UINT32_MAX; },
      [](BlockHeader* b) { b->records += 64; },
      [](BlockHeader* b) { b->bucket_bits = 0; },
      [](BlockHeader* b) { b->bucket_bits = 20; },
      [](BlockHeader* b) { b->bucket_bits = 25; },
      [](BlockHeader* b) { b->bucket_bits = 64; },
      [](BlockHeader* b) { b->bucket_bits = UINT32_MAX; },
      [](BlockHeader* b) { b->directory = 0; },
      [](BlockHeader* b) { b->directory = 56; },
      [](BlockHeader* b) { b->directory += 4; },
      [](BlockHeader* b) { b->directory += 640; },
      [](BlockHeader* b) { b->directory = b->bytes; },
      [](BlockHeader* b) { b->directory = b->bytes + 64; },
      [](BlockHeader* b) { b->directory = ~uint64_t{7}; },
      [](BlockHeader* b) { b->magic[0] = 's'; },
  };
  for (size_t i = 0; i < lies.size(); ++i) {
    SCOPED_TRACE("lie " + std::to_string(i));
    Bytes file = File(second_, lies[i]);
    EXPECT_EQ(Check(file, 1), 0U);
    file.resize(file.size() + 48);  // not for lack of room alone
    EXPECT_EQ(Check(file, 1), 0U);
  }
}

TEST_F(HostileIndex, ABlockMayStandOnlyOnce) {
  Bytes file = File(second_);
  const Bytes block = second_.Make(file, [&](BlockHeader* b) { b->offset -= b->bytes; });
  file.insert(file.end(), block.begin(), block.end());
  EXPECT_EQ(Check(file, 2), hostile_.size());
}

TEST_F(HostileIndex, BucketsThatLieLoseEntriesOnly) {
  const auto count = static_cast<uint32_t>(hostile_.size());
  const std::vector<std::vector<uint32_t>> buckets = {
      {0, 0, 0, 0, 0},
      {count, count, count, count, count},
      {count, count - 5, 10, 5, 0},  // backwards
      {5, 0, 5, 0, 5},
      {0, 1000, 2000, 3000, 4000},
      {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
      {0, UINT32_MAX, 0, UINT32_MAX, 0},
      {1, 1U << 31, 1, 1U << 31, 1},
      {count + 1, count + 1, count + 1, count + 1, count + 1},
      {0, count + 1, 0, count + 1, 0},
  };
  for (size_t i = 0; i < buckets.size(); ++i) {
    SCOPED_TRACE("buckets " + std::to_string(i));
    HandMadeBlock block = second_;
    block.buckets = buckets[i];
    EXPECT_LT(Check(File(block), 2), hostile_.size());
  }
  HandMadeBlock overlapping = second_;
  overlapping.buckets = {0, count, 0, count, count};
  EXPECT_LE(Check(File(overlapping), 2), hostile_.size());
}

TEST_F(HostileIndex, UnsortedRecordsLoseEntriesOnly) {
  HandMadeBlock block = second_;
  std::reverse(block.records.begin(), block.records.end());
  EXPECT_LT(Check(File(block), 2), hostile_.size());
}

// A record of another place and length, with the checksum that belongs to what is there.
TEST_F(HostileIndex, PayloadsLieInTheirPlaceOnly) {
  const auto end = static_cast<uint32_t>(second_.directory());
  const std::vector<std::pair<uint32_t, uint32_t>> places = {{0, 100},
                                                             {63, 100},
                                                             {end - 8, 1},
                                                             {end - 30, 23},
                                                             {end, 24},
                                                             {end + 64, 24},
                                                             {UINT32_MAX - 7, 8},
                                                             {UINT32_MAX, UINT32_MAX},
                                                             {64, UINT32_MAX},
                                                             {64, end},
                                                             {UINT32_MAX - 63, 64},
                                                             {1U << 31, 1U << 31},
                                                             {64, UINT32_MAX - 7}};
  for (const auto& [place, bytes] : places) {
    SCOPED_TRACE("payload at " + std::to_string(place) + ", " + std::to_string(bytes) + " bytes");
    HandMadeBlock block = second_;
    IndexRecord& record = block.records[7];
    record.payload = place;
    record.payload_bytes = bytes;
    record.file.bytes = uint64_t{1} << 40;  // large enough for any payload
    Bytes file = File(block);
    const Bytes empty = HandMadeHeader("/data");
    const size_t begin = empty.size() + first_.Make(empty).size();
    // Where the checksum would lie in the file, put the right one.
    const uint64_t checksum_at = begin + uint64_t{place} + bytes;
    if (place >= 64 && checksum_at + 8 <= file.size()) {
      const uint64_t checksum =
          RecordTag(testing::kTestKey, record, {file.data() + begin + place, bytes});
      std::memcpy(file.data() + checksum_at, &checksum, sizeof checksum);
    }
    const auto index = OpenIndex(folder_.Write("index", file));
    ASSERT_TRUE(index);
    IndexReader::Scratch scratch;
    EXPECT_FALSE(index->Find(record.name, record.file, &scratch));
    EXPECT_LE(scratch.payload.capacity(), file.size()) << "takes memory for nothing";
  }
}

TEST_F(HostileIndex, APayloadInTheHeaderIsNone) {
  HandMadeBlock block;
  block.bucket_bits = 1;
  block.payloads.resize(24);
  block.AddRecord({7, {1 << 20, 1}, 0, 80});
  Bytes file = HandMadeHeader("/data");
  const size_t begin = file.size();
  block.AppendTo(&file);
  const uint64_t checksum =
      RecordTag(testing::kTestKey, block.records[0], {file.data() + begin, 80});
  std::memcpy(file.data() + begin + 80, &checksum, sizeof checksum);
  IndexReader::Scratch scratch;
  const auto index = OpenIndex(folder_.Write("index", file));
  EXPECT_FALSE(index->Contains(7));
  EXPECT_FALSE(index->Find(7, {1 << 20, 1}, &scratch));
}

// A sixteenth of the file and 64 bytes is more than any entry is given.
TEST_F(HostileIndex, PayloadsAreMuchSmallerThanTheirFiles) {
  IndexEntry entry = EntryOf(1);
  entry.payload.resize(64 + 100);
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1599}, uint64_t{1600}}) {
    entry.file.bytes = bytes;
    HandMadeBlock block;
    block.Add(entry);
    Bytes file = HandMadeHeader("/data");
    block.AppendTo(&file);
    EXPECT_EQ(Lookup(*OpenIndex(folder_.Write("index", file)), entry),
              bytes < 1600 ? Found::kNothing : Found::kRight);
  }
}

TEST_F(HostileIndex, ALargeBucketIsNotWalkedThrough) {
  HandMadeBlock block;
  IndexEntry last = EntryOf(1);
  for (uint64_t name = 1; name <= 5000; ++name) {
    last.name = name;
    block.Add(last);
  }
  Bytes file = HandMadeHeader("/data");
  block.AppendTo(&file);
  EXPECT_EQ(Lookup(*OpenIndex(folder_.Write("index", file)), last), Found::kNothing);
}

// 512 MiB of records of one name in a sparse file. Each look-up would read them all.
TEST_F(HostileIndex, AHugeBucketTakesNoTime) {
  constexpr uint64_t kRecords = uint64_t{1} << 24;
  Bytes file = HandMadeHeader("/data");
  HandMadeBlock block;
  const uint64_t bytes = AlignedUp(64 + kRecords * sizeof(IndexRecord) + 12);
  block.AppendTo(&file, [&](BlockHeader* header) {
    header->bytes = bytes;
    header->records = kRecords;
    header->directory = 64;
  });
  file.resize(128 + 64);
  const std::string path = folder_.Write("index", file);
  std::filesystem::resize_file(path, 128 + bytes);
  std::fstream out(path, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(128 + 64 + kRecords * sizeof(IndexRecord)));
  const uint32_t buckets[3] = {0, kRecords, kRecords};
  out.write(reinterpret_cast<const char*>(buckets), sizeof buckets);
  out.close();
  const auto index = OpenIndex(path);
  ASSERT_TRUE(index);
  ASSERT_EQ(index->records(), kRecords);
  const auto begin = std::chrono::steady_clock::now();
  IndexReader::Scratch scratch;
  for (uint64_t name = 0; name < 1000; ++name) {
    EXPECT_FALSE(index->Find(name, {0, 0}, &scratch));
    EXPECT_FALSE(index->Contains(name));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

// Header behind header, each a block of nothing.
TEST_F(HostileIndex, ManyTinyBlocksAreNotReadForEver) {
  Bytes file = HandMadeHeader("/data");
  HandMadeBlock block;
  block.buckets = {0, 0, 0};
  const size_t bytes = block.Make(file).size();
  for (int i = 0; i < 20'000; ++i) block.AppendTo(&file);
  const std::string path = folder_.Write("index", file);
  const auto index = OpenIndex(path);
  ASSERT_TRUE(index);
  EXPECT_LE(index->blocks().size(), 4096U);
  EXPECT_EQ(index->end(), 128 + index->blocks().size() * bytes);
  AppendEntries(path, good_);
  testing::ExpectAll(path, good_);
}

}  // namespace
}  // namespace stoker
