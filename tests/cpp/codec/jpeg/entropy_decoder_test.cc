#include "codec/jpeg/entropy_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "image/simd.h"
#include "support/jpeg_coefficients.h"
#include "support/jpeg_samplings.h"
#include "support/jpeg_writer.h"
#include "support/simd_target_test.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::AcSymbols;
using testing::Bytes;
using testing::DcSymbols;
using testing::GrayFile;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::OwnCoefficients;
using testing::RandomSpec;
using testing::ReadCoefficientsWithLibjpeg;
using testing::Span;

class EntropyDecoderTest : public testing::SimdTargetTest {};

INSTANTIATE_TEST_SUITE_P(EveryTarget, EntropyDecoderTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

// Every sampling with every restart interval, both kinds of tables, and sizes and qualities that
// go round.
TEST_P(EntropyDecoderTest, CoefficientsAreLibjpegs) {
  constexpr int kOneRow = -1;
  uint32_t n = 0;
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    for (const int interval : {0, 1, 3, kOneRow, 100}) {
      for (const bool optimize : {false, true}) {
        for (const Size size : {Size{1, 1}, {7, 9}, {17, 8}, {33, 31}, {65, 15}, {100, 130}}) {
          ++n;
          JpegSpec spec = sampling.Spec(size, n);
          const int mcu_width = 8 * sampling.h;
          const int across = (size.width + mcu_width - 1) / mcu_width;
          spec.restart_interval = interval == kOneRow ? across : interval;
          spec.optimize = optimize;
          spec.quality = 1 + static_cast<int>(n * 37 % 100);
          const Bytes jpeg = MakeJpeg(spec);
          const int chunk = n % 3 == 0 ? 1 << 20 : static_cast<int>(n % 5) + 1;
          ASSERT_EQ(OwnCoefficients(jpeg, chunk), ReadCoefficientsWithLibjpeg(jpeg))
              << sampling.name << ", " << size.width << " x " << size.height << ", restarts every "
              << spec.restart_interval << ", quality " << spec.quality;
        }
      }
    }
  }
}

TEST_P(EntropyDecoderTest, CoefficientsAreLibjpegsAtEveryQuality) {
  for (int quality = 1; quality <= 100; ++quality) {
    JpegSpec spec;
    spec.quality = quality;
    spec.seed = static_cast<uint32_t>(quality);
    spec.optimize = quality % 2 == 0;
    const Bytes jpeg = MakeJpeg(spec);
    ASSERT_EQ(OwnCoefficients(jpeg), ReadCoefficientsWithLibjpeg(jpeg)) << quality;
  }
}

// A block of values up to `bits` bits, of which about `share` of 256 are not zero.
void FillBlock(int bits, uint32_t share, std::mt19937* random, int16_t* block) {
  for (size_t k = 1; k < kBlockCoefficients; ++k) {
    const auto size = static_cast<int>((*random)() % static_cast<unsigned>(bits + 1));
    const int value = static_cast<int>((*random)() % (1U << size));
    const bool zero = (*random)() % 256 >= share;
    block[k] = static_cast<int16_t>(zero ? 0 : (*random)() % 2 == 0 ? value : -value);
  }
}

// What no encoder writes: any code there is, values of 15 bits, runs over sixteen zeros, blocks
// full to the last place (which have no end-of-block code) and such as end shortly before.
TEST_P(EntropyDecoderTest, AnyCodeAndAnyValueAreAsByLibjpeg) {
  std::mt19937 random(1);
  for (int round = 0; round < 150; ++round) {
    GrayFile file;
    file.size = {8 * 6, 8 * 5};
    file.quant.fill(1);
    file.dc = RandomSpec(DcSymbols(), 1 + static_cast<size_t>(round % 3), &random);
    file.ac = RandomSpec(AcSymbols(), 1 + static_cast<size_t>(round % 2), &random);
    file.blocks.resize(6 * 5 * kBlockCoefficients);
    int dc = 0;
    for (size_t at = 0; at < file.blocks.size(); at += kBlockCoefficients) {
      int16_t* const block = &file.blocks[at];
      constexpr int kBits[] = {1, 3, 8, 11, 15};
      constexpr uint32_t kShares[] = {0, 4, 20, 120, 256};
      FillBlock(kBits[random() % 5], kShares[random() % 5], &random, block);
      if (random() % 3 == 0)
        block[63] = static_cast<int16_t>(1 - static_cast<int>(random() % 2) * 2);
      if (random() % 3 == 0) block[kNaturalOrder[62]] = static_cast<int16_t>(random() % 300);
      const int limit = random() % 2 == 0 ? 16000 : 100;
      dc = static_cast<int>(random() % static_cast<unsigned>(2 * limit)) - limit;
      block[0] = static_cast<int16_t>(dc);
    }
    const Bytes jpeg = file.Make();
    ASSERT_EQ(ReadCoefficientsWithLibjpeg(jpeg), file.blocks) << "the test itself, " << round;
    ASSERT_EQ(OwnCoefficients(jpeg, 1 + round % 7), file.blocks) << round;
  }
}

// One component of one block, tables and bits of one's own making.
struct OneBlock {
  std::unique_ptr<DcTable> dc = std::make_unique<DcTable>();
  std::unique_ptr<AcTable> ac = std::make_unique<AcTable>();
  McuLayout layout;
  HuffmanSpec dc_spec, ac_spec;

  explicit OneBlock(uint32_t seed) {
    std::mt19937 random(seed);
    dc_spec = RandomSpec(DcSymbols(), 1, &random);
    ac_spec = RandomSpec(AcSymbols(), 1, &random);
    EXPECT_TRUE(dc->Build(dc_spec));
    EXPECT_TRUE(ac->Build(ac_spec));
    layout.blocks = 1;
    layout.block[0] = {0, 0, kBlockCoefficients, dc.get(), ac.get()};
  }
  // Both ways; they must agree. Behind the bits there are `behind` zeros.
  bool Decodes(const Bytes& bits, int mcus = 1, size_t behind = ScanData::kPadding) const {
    Bytes data = bits;
    data.resize(data.size() + behind);
    std::vector<int16_t> out(static_cast<size_t>(mcus) * kBlockCoefficients);
    EntropyLane decoding;
    decoding.reader = BitReader::At(data.data(), 0);
    EntropyLane skipping = decoding;
    const uint8_t* const end = data.data() + bits.size();
    const bool decoded = DecodeMcus(layout, 0, mcus, end, &decoding, out.data());
    EXPECT_EQ(SkipMcus(layout, mcus, end, &skipping), decoded);
    return decoded;
  }
};

TEST_P(EntropyDecoderTest, ARunBeyondTheBlockIsDamage) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    const OneBlock one(seed);
    const testing::SymbolCodes dc(one.dc_spec);
    const testing::SymbolCodes ac(one.ac_spec);
    for (int place = 1; place < kBlockCoefficients; ++place) {
      for (const int run : {0, 1, 5, 14, 15}) {
        for (const int size : {1, 3, 9, 0}) {
          if (size == 0 && run != 15) continue;  // that would be the end of the block
          testing::BitWriter bits;
          dc.Put(0, &bits);
          for (int k = 1; k < place; ++k) {
            ac.Put(1, &bits);
            bits.Put(static_cast<uint32_t>(k & 1), 1);
          }
          ac.Put(static_cast<uint8_t>(run << 4 | size), &bits);
          bits.Put(5, size);
          if (place + run < kBlockCoefficients - 1) ac.Put(0, &bits);
          ASSERT_EQ(one.Decodes(bits.Padded()), place + run < kBlockCoefficients)
              << place << ", run " << run << ", size " << size;
        }
      }
    }
  }
}

TEST_P(EntropyDecoderTest, WhatIsNoCodeIsDamage) {
  const OneBlock one(1);
  const testing::SymbolCodes dc(one.dc_spec);
  const testing::SymbolCodes ac(one.ac_spec);
  EXPECT_FALSE(one.Decodes(Bytes(40, 0xFF)));  // no DC code is all ones
  testing::BitWriter bits;
  dc.Put(0, &bits);
  for (int i = 0; i < 10; ++i) bits.Put(0xFFFF, 16);  // nor an AC code
  EXPECT_FALSE(one.Decodes(bits.Padded()));
}

// A decoder that ran on would read whatever lies there for as many MCUs as it is asked for.
TEST_P(EntropyDecoderTest, RunningOverTheEndIsSeenBeforeThePaddingEnds) {
  OneBlock one(2);
  // Both codes are the bit 0, so that the zeros of the padding are blocks for ever.
  HuffmanSpec zero;
  zero.counts[1] = 1;
  ASSERT_TRUE(one.dc->Build(zero));
  ASSERT_TRUE(one.ac->Build(zero));
  EXPECT_TRUE(one.Decodes(Bytes(10, 0), 40));
  // Zeros far beyond the padding, so that nothing else could end it.
  constexpr size_t kFar = size_t{1} << 18;
  EXPECT_FALSE(one.Decodes(Bytes(10, 0), 8 * 4000, kFar));
  // The most data a block can take in zeros: 63 values of 15 bits each.
  one.ac_spec = {};
  one.ac_spec.counts[1] = 1;
  one.ac_spec.symbols[0] = 0x0F;
  ASSERT_TRUE(one.ac->Build(one.ac_spec));
  EXPECT_FALSE(one.Decodes(Bytes(10, 0), 1000, kFar));
}

TEST(HuffmanTablesTest, AreRebuiltWhenTheSpecificationChanges) {
  const auto tables = std::make_unique<HuffmanTables>();
  const auto fresh = std::make_unique<HuffmanTables>();
  for (uint32_t seed = 1; seed < 6; ++seed) {
    JpegSpec spec;
    spec.seed = seed;
    spec.optimize = seed % 2 == 0;
    JpegHeader header;
    const Bytes jpeg = MakeJpeg(spec);
    ASSERT_TRUE(ParseJpegHeader(Span(jpeg), &header));
    ASSERT_TRUE(tables->Build(header));
    *fresh = HuffmanTables();
    ASSERT_TRUE(fresh->Build(header));
    for (int id = 0; id < 2; ++id) {
      for (size_t i = 0; i < size_t{1} << kLookupBits; ++i) {
        ASSERT_EQ(tables->ac(id).entry(i), fresh->ac(id).entry(i));
        ASSERT_EQ(tables->dc(id).entry(i), fresh->dc(id).entry(i));
      }
    }
  }
}

// A bad table is refused each time, and leaves no trace.
TEST(HuffmanTablesTest, BadTablesAreRefusedAgainAndAgain) {
  JpegHeader good;
  const Bytes jpeg = MakeJpeg({});
  ASSERT_TRUE(ParseJpegHeader(Span(jpeg), &good));
  const auto tables = std::make_unique<HuffmanTables>();
  for (const bool ac : {false, true}) {
    JpegHeader bad = good;
    (ac ? bad.ac_spec : bad.dc_spec)[1].counts[1] = 2;
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(tables->Build(bad));
    EXPECT_TRUE(tables->Build(good));
    EXPECT_FALSE(tables->Build(bad));
    // A table that nothing refers to may be anything.
    bad = good;
    (ac ? bad.ac_spec : bad.dc_spec)[3].counts[1] = 2;
    EXPECT_TRUE(tables->Build(bad));
  }
}

}  // namespace
}  // namespace stoker
