#include "io/index_format.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string_view>

#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::Span;

Bytes Numbered(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

// The formula in index_format.h, by Python's integers.
TEST(IndexHash, HasTheValuesOfItsFormula) {
  EXPECT_EQ(HashName(""), 0U);
  EXPECT_EQ(HashName("a"), 0x95DA58F99F363D7DU);
  EXPECT_EQ(HashName("abcdefgh"), 0x2944F91AD72AEF67U);
  EXPECT_EQ(HashName("train/n01440764/n01440764_10026.JPEG"), 0x6AE4E69EB23E2FEAU);
  EXPECT_EQ(HashBytes(BytesOf(std::string_view("hello world"))), 0xCDC493E52DB1DDA4U);
  EXPECT_EQ(HashBytes(BytesOf(std::string_view("hello world")), 0x0123456789ABCDEF),
            0x07036DBCE9DE2CD2U);
  EXPECT_EQ(HashBytes(Span(Bytes(8))), 0xFA2169168863A4DEU);
  EXPECT_EQ(HashBytes(Span(Numbered(40)), 7), 0x70CFF9055490D5F9U);
}

TEST(IndexHash, EveryBitCounts) {
  for (const size_t size : {1, 7, 8, 9, 16, 31, 64, 200}) {
    Bytes bytes = Numbered(size);
    std::set<uint64_t> seen = {HashBytes(Span(bytes))};
    for (size_t bit = 0; bit < size * 8; ++bit) {
      bytes[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
      EXPECT_TRUE(seen.insert(HashBytes(Span(bytes))).second) << size << " bytes, bit " << bit;
      bytes[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    }
    seen = {HashBytes(Span(bytes))};
    for (int bit = 0; bit < 64; ++bit) {
      EXPECT_TRUE(seen.insert(HashBytes(Span(bytes), uint64_t{1} << bit)).second) << "seed " << bit;
    }
  }
}

TEST(IndexHash, ZerosAtTheEndCount) {
  std::set<uint64_t> seen;
  for (size_t size = 0; size < 100; ++size) {
    EXPECT_TRUE(seen.insert(HashBytes(Span(Bytes(size)))).second) << size;
  }
}

// Whatever the alignment: the bytes may begin anywhere.
TEST(IndexHash, DoesNotCareWhereTheBytesLie) {
  const Bytes bytes = Numbered(37);
  for (size_t shift = 0; shift < 8; ++shift) {
    Bytes shifted(shift + bytes.size());
    std::copy(bytes.begin(), bytes.end(), shifted.begin() + static_cast<std::ptrdiff_t>(shift));
    EXPECT_EQ(HashBytes({shifted.data() + shift, bytes.size()}), HashBytes(Span(bytes)));
  }
}

template <typename Pod, typename Checksum>
void ExpectEveryBitCounts(const Pod& pod, size_t bytes, const Checksum& checksum) {
  std::set<uint64_t> seen = {checksum(pod)};
  for (size_t bit = 0; bit < bytes * 8; ++bit) {
    Pod changed = pod;
    reinterpret_cast<uint8_t*>(&changed)[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    EXPECT_TRUE(seen.insert(checksum(changed)).second) << "bit " << bit;
  }
}

TEST(IndexFormat, ChecksumsCoverTheWholeHeader) {
  const auto of_index = [](const IndexHeader& header) { return IndexChecksum(header, "/data"); };
  ExpectEveryBitCounts(IndexHeader{}, offsetof(IndexHeader, checksum), of_index);
  ExpectEveryBitCounts(BlockHeader{}, offsetof(BlockHeader, checksum), &BlockChecksum);
  // But not themselves.
  IndexHeader index{};
  BlockHeader block{};
  const uint64_t before = of_index(index) ^ BlockChecksum(block);
  index.checksum = block.checksum = 42;
  EXPECT_EQ(of_index(index) ^ BlockChecksum(block), before);
}

constexpr IndexKey kKey{0x0706050403020100, 0x0f0e0d0c0b0a0908};

// The vectors of SipHash's authors: bytes 0 to n - 1 by the key 0 to 15.
TEST(IndexFormat, TagsAreSipHash) {
  const auto hash = [](size_t bytes) {
    SipHash sip(kKey);
    const Bytes message = Numbered(bytes);
    const size_t whole = std::min<size_t>(bytes / 8 * 8, 8);
    sip.Add({message.data(), whole});
    sip.Add({message.data() + whole, bytes - whole});
    return sip.Finish();
  };
  EXPECT_EQ(hash(0), 0x726fdb47dd0e0e31U);
  EXPECT_EQ(hash(1), 0x74f839c593dc67fdU);
  EXPECT_EQ(hash(8), 0x93f5f5799a932462U);
  EXPECT_EQ(hash(15), 0xa129ca6149be45e5U);
  EXPECT_EQ(hash(63), 0x958a324ceb064572U);
}

TEST(IndexFormat, TagsNeedTheKey) {
  const IndexRecord record{1, {2, 3}, 64, 30};
  const Bytes payload = Numbered(30);
  std::set<uint64_t> seen = {RecordTag(kKey, record, Span(payload))};
  for (size_t bit = 0; bit < 128; ++bit) {
    IndexKey other = kKey;
    other[bit / 64] ^= uint64_t{1} << bit % 64;
    EXPECT_TRUE(seen.insert(RecordTag(other, record, Span(payload))).second) << "bit " << bit;
  }
}

TEST(IndexFormat, ChecksumsCoverWhatBelongsToTheHeader) {
  const IndexHeader header{};
  EXPECT_NE(IndexChecksum(header, "/data"), IndexChecksum(header, "/date"));
  EXPECT_NE(IndexChecksum(header, "/data"), IndexChecksum(header, "/data/"));
  const Bytes payload = Numbered(30);
  const auto of_record = [&](const IndexRecord& record) {
    return RecordTag(kKey, record, Span(payload));
  };
  ExpectEveryBitCounts(IndexRecord{1, {2, 3}, 4, 5}, sizeof(IndexRecord), of_record);
  const IndexRecord record{1, {2, 3}, 64, 30};
  std::set<uint64_t> seen = {of_record(record)};
  for (size_t bit = 0; bit < payload.size() * 8; ++bit) {
    Bytes changed = payload;
    changed[bit / 8] ^= static_cast<uint8_t>(1U << bit % 8);
    EXPECT_TRUE(seen.insert(RecordTag(kKey, record, Span(changed))).second) << "bit " << bit;
  }
}

// What docs/decode-index.md says, and what every file so far has.
TEST(IndexFormat, FieldsLieWhereFilesHaveThem) {
  EXPECT_EQ(offsetof(IndexHeader, version), 8U);
  EXPECT_EQ(offsetof(IndexHeader, root_bytes), 12U);
  EXPECT_EQ(offsetof(IndexHeader, first_block), 16U);
  EXPECT_EQ(offsetof(IndexHeader, checksum), 56U);
  EXPECT_EQ(offsetof(BlockHeader, bytes), 8U);
  EXPECT_EQ(offsetof(BlockHeader, offset), 16U);
  EXPECT_EQ(offsetof(BlockHeader, records), 24U);
  EXPECT_EQ(offsetof(BlockHeader, bucket_bits), 28U);
  EXPECT_EQ(offsetof(BlockHeader, directory), 32U);
  EXPECT_EQ(offsetof(BlockHeader, checksum), 56U);
  EXPECT_EQ(offsetof(IndexRecord, file), 8U);
  EXPECT_EQ(offsetof(FileIdentity, mtime_ns), 8U);
  EXPECT_EQ(offsetof(IndexRecord, payload), 24U);
  EXPECT_EQ(offsetof(IndexRecord, payload_bytes), 28U);
  EXPECT_EQ(kIndexVersion, 2U);
}

TEST(IndexFormat, BucketsHoldAFewRecords) {
  for (size_t records = 0; records < 100'000; records += 1 + records / 7) {
    const uint32_t bits = BucketBits(records);
    EXPECT_GE(bits, 1U);
    EXPECT_LT(records >> bits, 16U) << records;
    // And take little beside a record's 32 bytes.
    EXPECT_LE(size_t{4} << bits, records + 8) << records;
  }
  EXPECT_EQ(BucketBits(size_t{1} << 40), 24U);
}

TEST(IndexFormat, AlignsUpwards) {
  EXPECT_EQ(AlignedUp(0), 0U);
  EXPECT_EQ(AlignedUp(1), 64U);
  EXPECT_EQ(AlignedUp(64), 64U);
  EXPECT_EQ(AlignedUp(65), 128U);
}

}  // namespace
}  // namespace stoker
