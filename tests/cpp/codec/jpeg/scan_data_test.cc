#include "codec/jpeg/scan_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "support/jpeg_writer.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Append;
using testing::Bytes;
using testing::Span;
using testing::Stuffed;

// Extracts from a heap block of exactly that size, so that the address sanitizer sees a read
// beyond.
bool Extract(ScanData* data, const Bytes& scan) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[scan.size()]);
  std::copy(scan.begin(), scan.end(), exact.get());
  return data->Extract({exact.get(), scan.size()});
}

// Pieces in which every third byte is 0xFF or 0.
std::vector<Bytes> RandomPieces(size_t count, std::mt19937* random) {
  std::vector<Bytes> pieces(count);
  for (Bytes& piece : pieces) {
    piece.resize((*random)() % 200);
    for (uint8_t& byte : piece) {
      const auto value = static_cast<uint32_t>((*random)());
      byte = value % 3 == 0 ? (value % 2 == 0 ? 0 : 0xFF) : static_cast<uint8_t>(value >> 8);
    }
  }
  return pieces;
}

Bytes Joined(const std::vector<Bytes>& pieces) {
  Bytes scan;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0) Append(&scan, {0xFF, static_cast<uint8_t>(0xD0 + (i - 1) % 8)});
    Append(&scan, Stuffed(pieces[i]));
  }
  Append(&scan, {0xFF, 0xD9});
  return scan;
}

void ExpectPieces(const ScanData& data, const std::vector<Bytes>& pieces) {
  ASSERT_EQ(data.pieces().size(), pieces.size());
  size_t begin = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    ASSERT_EQ(data.pieces()[i].begin, begin);
    ASSERT_EQ(data.pieces()[i].size, pieces[i].size());
    ASSERT_TRUE(std::equal(pieces[i].begin(), pieces[i].end(), data.data() + begin)) << i;
    begin += pieces[i].size();
  }
  // What lies behind is readable, and always the same, so that damage decodes the same each time.
  const uint8_t* const end = data.data() + begin;
  ASSERT_TRUE(std::all_of(end, end + ScanData::kPadding, [](uint8_t byte) { return byte == 0; }));
}

TEST(ScanData, IsWithoutStuffedBytesInOnePieceForEachInterval) {
  std::mt19937 random(1);
  ScanData data;  // one for all: what was there before must not show
  for (const size_t count : {1U, 2U, 3U, 8U, 9U, 10U, 40U, 1U, 17U, 2U}) {
    const std::vector<Bytes> pieces = RandomPieces(count, &random);
    ASSERT_TRUE(Extract(&data, Joined(pieces)));
    ExpectPieces(data, pieces);
  }
}

TEST(ScanData, EmptyPiecesArePiecesToo) {
  ScanData data;
  const std::vector<Bytes> pieces = {{}, {1}, {}, {0xFF}, {}};
  ASSERT_TRUE(Extract(&data, Joined(pieces)));
  ExpectPieces(data, pieces);
  ASSERT_TRUE(Extract(&data, {0xFF, 0xD9}));
  ExpectPieces(data, {{}});
}

TEST(ScanData, BytesBehindTheEndOfTheImageAreIgnored) {
  std::mt19937 random(2);
  const std::vector<Bytes> pieces = RandomPieces(3, &random);
  Bytes scan = Joined(pieces);
  Append(&scan, {1, 2, 0xFF, 0xD8, 0xFF, 0xD0, 0xFF});
  ScanData data;
  ASSERT_TRUE(Extract(&data, scan));
  ExpectPieces(data, pieces);
}

TEST(ScanData, IsDeclinedWithoutAnEndMarkerWhereverItIsCut) {
  std::mt19937 random(3);
  const Bytes scan = Joined(RandomPieces(4, &random));
  ScanData data;
  for (size_t size = 0; size < scan.size(); ++size) {
    ASSERT_FALSE(
        Extract(&data, Bytes(scan.begin(), scan.begin() + static_cast<std::ptrdiff_t>(size))));
  }
  ASSERT_TRUE(Extract(&data, scan));
  // What lies behind the file is not part of it.
  const Bytes beyond = {1, 2, 0xFF, 0xD9};
  EXPECT_FALSE(data.Extract({beyond.data(), 3}));
}

TEST(ScanData, IsDeclinedWithAnyOtherMarkerInIt) {
  ScanData data;
  for (int marker = 1; marker < 256; ++marker) {
    // The first restart marker is number 0; a 0xFF behind 0xFF is a fill byte.
    const bool known = marker == 0xD9 || marker == 0xD0;
    const Bytes scan = {1, 2, 0xFF, static_cast<uint8_t>(marker), 3, 0xFF, 0xD9};
    EXPECT_EQ(Extract(&data, scan), known) << marker;
  }
}

TEST(ScanData, IsDeclinedWhereRestartMarkersDoNotCountUp) {
  ScanData data;
  const auto scan_of = [](const std::vector<int>& numbers) {
    Bytes scan = {1};
    for (const int number : numbers) {
      Append(&scan, {0xFF, static_cast<uint8_t>(0xD0 + number), 2});
    }
    Append(&scan, {0xFF, 0xD9});
    return scan;
  };
  EXPECT_TRUE(Extract(&data, scan_of({0, 1, 2, 3, 4, 5, 6, 7, 0, 1})));
  for (const std::vector<int>& wrong : std::vector<std::vector<int>>{{1},
                                                                     {7},
                                                                     {0, 0},
                                                                     {0, 2},
                                                                     {1, 0},
                                                                     {0, 1, 2, 3, 4, 5, 6, 7, 1},
                                                                     {0, 1, 3, 2},
                                                                     {0, 1, 2, 3, 4, 5, 6, 0}}) {
    EXPECT_FALSE(Extract(&data, scan_of(wrong)));
  }
}

// A part of stuffed data begins and ends anywhere but within a stuffed pair.
TEST(ScanData, HasPartsOneBehindTheOther) {
  std::mt19937 random(5);
  ScanData data;  // one for all
  for (int round = 0; round < 200; ++round) {
    Bytes expected;
    std::vector<Bytes> parts(random() % 6);
    size_t bytes = 0;
    std::vector<uint8_t> single;  // behind each part, where there is one
    for (Bytes& part : parts) {
      const Bytes plain = RandomPieces(1, &random)[0];
      part = Stuffed(plain);
      Append(&expected, plain);
      single.push_back(random() % 3 == 0 ? 0xFF : static_cast<uint8_t>(random()));
      expected.push_back(single.back());
      bytes += part.size() + 1;
    }
    data.BeginParts(bytes);
    size_t size = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      ASSERT_EQ(data.size(), size);
      const std::unique_ptr<uint8_t[]> exact(new uint8_t[parts[i].size()]);
      std::copy(parts[i].begin(), parts[i].end(), exact.get());
      ASSERT_TRUE(data.Append({exact.get(), parts[i].size()}));
      data.AppendByte(single[i]);
      size += parts[i].size() + 1;
      size -= static_cast<size_t>(std::count(parts[i].begin(), parts[i].end(), 0xFF));
    }
    data.EndParts();
    ASSERT_EQ(data.size(), expected.size());
    ASSERT_EQ(data.end(), data.data() + expected.size());
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), data.data()));
    ASSERT_TRUE(std::all_of(data.end(), data.end() + ScanData::kPadding,
                            [](uint8_t byte) { return byte == 0; }));
  }
}

TEST(ScanData, PartsWithMarkersOrHalfAPairAreDeclined) {
  ScanData data;
  const auto append = [&](const Bytes& part) {
    const std::unique_ptr<uint8_t[]> exact(new uint8_t[part.size()]);
    std::copy(part.begin(), part.end(), exact.get());
    data.BeginParts(part.size());
    return data.Append({exact.get(), part.size()});
  };
  EXPECT_TRUE(append({}));
  EXPECT_TRUE(append({0}));
  EXPECT_TRUE(append({0xFF, 0, 0xFF, 0}));
  EXPECT_FALSE(append({0xFF}));
  EXPECT_FALSE(append({1, 2, 0xFF, 0, 0xFF}));
  for (int marker = 1; marker < 256; ++marker) {
    EXPECT_FALSE(append({1, 0xFF, static_cast<uint8_t>(marker), 2})) << marker;
    EXPECT_FALSE(append({1, 0xFF, static_cast<uint8_t>(marker)})) << marker;
  }
  // Whole data go on as ever.
  ASSERT_TRUE(Extract(&data, {1, 2, 0xFF, 0xD9}));
  ExpectPieces(data, {{1, 2}});
}

TEST(ScanData, SaysWhereBytesWereStuffed) {
  std::mt19937 random(6);
  ScanData data;
  for (const size_t count : {1U, 5U, 1U}) {
    const std::vector<Bytes> pieces = RandomPieces(count, &random);
    ASSERT_TRUE(Extract(&data, Joined(pieces)));
    std::vector<size_t> expected;
    for (size_t i = 0; i < data.size(); ++i) {
      if (data.data()[i] == 0xFF) expected.push_back(i);
    }
    EXPECT_FALSE(expected.empty());
    EXPECT_EQ(data.stuffed(), expected);
  }
}

TEST(ScanData, IsUsableAfterItHasShrunk) {
  std::mt19937 random(4);
  const std::vector<Bytes> pieces = RandomPieces(5, &random);
  ScanData data;
  ASSERT_TRUE(Extract(&data, Joined(pieces)));
  data.ShrinkTo(0);
  ASSERT_TRUE(Extract(&data, Joined(pieces)));
  ExpectPieces(data, pieces);
}

}  // namespace
}  // namespace stoker
