#include "codec/jpeg/inverse_dct.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "codec/jpeg/header.h"
#include "image/simd.h"
#include "support/jpeg_coefficients.h"
#include "support/jpeg_writer.h"
#include "support/simd_target_test.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;

constexpr int kMaxBlocks = 17;

struct alignas(64) Blocks {
  std::array<int16_t, size_t{kMaxBlocks} * kBlockCoefficients> values{};
};
using Quant = std::array<uint16_t, kBlockCoefficients>;

enum class Kind { kUsual, kSparse, kDcOnly, kFirstRow, kAny, kExtreme, kMixed };
constexpr Kind kKinds[] = {Kind::kUsual, Kind::kSparse,  Kind::kDcOnly, Kind::kFirstRow,
                           Kind::kAny,   Kind::kExtreme, Kind::kMixed};

int16_t Value(Kind kind, size_t place, std::mt19937* random) {
  const auto any = static_cast<int16_t>((*random)() & 0xFFFF);
  const uint32_t chance = (*random)() % 16;
  switch (kind) {
    case Kind::kUsual: return static_cast<int16_t>(any >> (place == 0 ? 5 : 8));
    case Kind::kSparse: return chance == 0 ? static_cast<int16_t>(any >> 6) : int16_t{0};
    case Kind::kDcOnly: return place == 0 ? any : int16_t{0};
    case Kind::kFirstRow: return place < 8 && chance < 8 ? any : int16_t{0};
    case Kind::kAny: return any;
    case Kind::kExtreme:
      return chance < 6 ? int16_t{0} : chance < 11 ? int16_t{32767} : int16_t{-32767};
    case Kind::kMixed: break;
  }
  return 0;
}

void Fill(Kind kind, std::mt19937* random, int16_t* blocks, int count) {
  for (int b = 0; b < count; ++b) {
    // Blocks of several kinds side by side, which share the kernel's vectors.
    const Kind one = kind == Kind::kMixed ? kKinds[(*random)() % 6] : kind;
    for (size_t i = 0; i < kBlockCoefficients; ++i, ++blocks) *blocks = Value(one, i, random);
  }
}

Quant RandomQuant(uint32_t n, std::mt19937* random) {
  Quant quant;
  for (uint16_t& factor : quant) {
    factor = static_cast<uint16_t>(n % 3 == 0   ? (*random)() % 256
                                   : n % 3 == 1 ? 1 + (*random)() % 16
                                                : (*random)() % 2 * 255);
  }
  return quant;
}

class InverseDctTest : public testing::SimdTargetTest {};

INSTANTIATE_TEST_SUITE_P(EveryTarget, InverseDctTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

TEST_P(InverseDctTest, AnyNumberOfAnyBlocksIsAsByTheOracle) {
  constexpr size_t kGap = 5;  // guard bytes behind a row, which also takes rows out of alignment
  std::mt19937 random(1);
  for (uint32_t round = 0; round < 20; ++round) {
    for (const Kind kind : kKinds) {
      for (int count = 1; count <= kMaxBlocks; ++count) {
        Blocks blocks;
        Fill(kind, &random, blocks.values.data(), count);
        const Quant quant = RandomQuant(round, &random);
        const size_t row_bytes = static_cast<size_t>(count) * kBlockSize + kGap;
        Bytes result(row_bytes * kBlockSize, 0xA5);
        Bytes expected = result;
        InverseDctRow(blocks.values.data(), count, quant.data(), result.data(),
                      static_cast<ptrdiff_t>(row_bytes));
        InverseDctRowScalar(blocks.values.data(), count, quant.data(), expected.data(),
                            static_cast<ptrdiff_t>(row_bytes));
        ASSERT_EQ(result, expected) << "kind " << static_cast<int>(kind) << ", " << count;
        for (size_t y = 1; y <= kBlockSize; ++y) {
          ASSERT_TRUE(std::all_of(&result[y * row_bytes - kGap], &result[0] + y * row_bytes,
                                  [](uint8_t byte) { return byte == 0xA5; }));
        }
      }
    }
  }
}

// The plane of a gray file by the oracle; empty where our decoder does not take it.
Bytes OraclePlane(const Bytes& jpeg) {
  JpegHeader header;
  const std::vector<int16_t> coefficients = testing::OwnCoefficients(jpeg);
  if (coefficients.empty() || !ParseJpegHeader(testing::Span(jpeg), &header)) return {};
  const auto across = static_cast<size_t>(header.mcus_across());
  const auto width = static_cast<size_t>(header.size.width);
  const auto height = static_cast<size_t>(header.size.height);
  const size_t row_bytes = across * kBlockSize;
  const auto down = static_cast<size_t>(header.mcus_down());
  Bytes plane(row_bytes * down * kBlockSize);
  for (size_t y = 0; y < down; ++y) {
    InverseDctRowScalar(&coefficients[y * across * kBlockCoefficients], header.mcus_across(),
                        header.quant[static_cast<size_t>(header.component[0].quant_table)].data(),
                        &plane[y * kBlockSize * row_bytes], static_cast<ptrdiff_t>(row_bytes));
  }
  Bytes out;
  for (size_t y = 0; y < height; ++y) {
    const auto row = plane.begin() + static_cast<std::ptrdiff_t>(y * row_bytes);
    out.insert(out.end(), row, row + static_cast<std::ptrdiff_t>(width));
  }
  return out;
}

// Gray comes out of libjpeg as three equal channels.
Bytes LibjpegPlane(const Bytes& jpeg) {
  int width = 0;
  int height = 0;
  int channels = 0;
  const Bytes rgb = testing::DecodeWithLibjpeg(jpeg, &width, &height, &channels);
  Bytes out;
  for (size_t i = 0; i < rgb.size(); i += 3) out.push_back(rgb[i]);
  return out;
}

TEST(InverseDctOracleTest, IsLibjpegsAtEveryQuality) {
  for (int quality = 1; quality <= 100; ++quality) {
    JpegSpec spec;
    spec.components = 1;
    spec.h_sampling = spec.v_sampling = 1;
    spec.width = 40 + quality % 9;
    spec.quality = quality;
    spec.seed = static_cast<uint32_t>(quality);
    const Bytes jpeg = MakeJpeg(spec);
    ASSERT_EQ(OraclePlane(jpeg), LibjpegPlane(jpeg)) << quality;
  }
}

// Coefficients that no picture has, of up to 15 bits, times any factor: where words overflow, the
// SIMD code of libjpeg-turbo decides.
TEST(InverseDctOracleTest, IsLibjpegsOnAnyCoefficients) {
  std::mt19937 random(2);
  for (uint32_t round = 0; round < 200; ++round) {
    testing::GrayFile file;
    file.size = {8 * 8, 8 * 4};
    const Quant quant = RandomQuant(round, &random);
    for (size_t i = 0; i < quant.size(); ++i) {
      file.quant[i] = static_cast<uint8_t>(std::max<uint16_t>(quant[i], 1));
    }
    file.dc = testing::RandomSpec(testing::DcSymbols(), 1, &random);
    file.ac = testing::RandomSpec(testing::AcSymbols(), 1, &random);
    file.blocks.resize(8 * 4 * kBlockCoefficients);
    Fill(kKinds[round % 7], &random, file.blocks.data(), 8 * 4);
    for (size_t i = 0; i < file.blocks.size(); ++i) {
      int16_t& value = file.blocks[i];
      // A difference of DC values must fit in 15 bits, too.
      if (i % kBlockCoefficients == 0) value = static_cast<int16_t>(value / 2);
      value = std::max<int16_t>(value, -32767);
    }
    const Bytes jpeg = file.Make();
    ASSERT_EQ(OraclePlane(jpeg), LibjpegPlane(jpeg)) << round;
  }
}

// The low frequencies of an 8 × 8 block through the inverse DCT of `side` × `side`, in doubles, and
// scaled so that a constant block stays what it is.
double ReducedSample(const int16_t* block, const Quant& quant, int side, int x, int y) {
  double sum = 0;
  for (int v = 0; v < side; ++v) {
    for (int u = 0; u < side; ++u) {
      const auto at = static_cast<size_t>(v * 8 + u);
      const double basis = std::cos((2 * x + 1) * u * M_PI / (2 * side)) *
                           std::cos((2 * y + 1) * v * M_PI / (2 * side)) *
                           (u > 0 ? std::sqrt(2.0) : 1.0) * (v > 0 ? std::sqrt(2.0) : 1.0);
      sum += basis * block[at] * quant[at] / 8;
    }
  }
  return std::clamp(sum + 128, 0.0, 255.0);
}

TEST(ReducedInverseDctTest, IsTheInverseDctOfTheLowFrequencies) {
  constexpr size_t kGap = 5;
  std::mt19937 random(4);
  for (const int side : {1, 2, 4}) {
    for (int count = 1; count <= kMaxBlocks; ++count) {
      for (uint32_t round = 0; round < 10; ++round) {
        Blocks blocks;
        Quant quant;
        for (uint16_t& factor : quant) factor = static_cast<uint16_t>(1 + random() % 60);
        for (int16_t& value : blocks.values) {
          value = static_cast<int16_t>(static_cast<int>(random() % 41) - 20);
        }
        const size_t row_bytes = static_cast<size_t>(count * side) + kGap;
        Bytes result(row_bytes * static_cast<size_t>(side), 0xA5);
        ReducedInverseDctRow(blocks.values.data(), count, quant.data(), side, result.data(),
                             static_cast<ptrdiff_t>(row_bytes));
        for (size_t y = 0; y < static_cast<size_t>(side); ++y) {
          const uint8_t* row = &result[y * row_bytes];
          for (int x = 0; x < count * side; ++x) {
            const double expected = ReducedSample(&blocks.values[size_t(x / side) * 64], quant,
                                                  side, x % side, static_cast<int>(y));
            ASSERT_NEAR(row[x], expected, 0.55) << "side " << side << " at " << x << ", " << y;
          }
          for (size_t i = 0; i < kGap; ++i) ASSERT_EQ(row[row_bytes - kGap + i], 0xA5);
        }
      }
    }
  }
}

TEST(ReducedInverseDctTest, TheLargestCoefficientsAreLimitedToBlackAndWhite) {
  for (const int side : {1, 2, 4}) {
    for (const int16_t value : {int16_t{32767}, int16_t{-32768}}) {
      Blocks blocks;
      for (size_t v = 0; v < 4; ++v) {
        for (size_t u = 0; u < 4; ++u) blocks.values[v * 8 + u] = u + v == 0 ? value : int16_t{0};
      }
      Quant quant;
      quant.fill(65535);
      Bytes result(16);
      ReducedInverseDctRow(blocks.values.data(), 1, quant.data(), side, result.data(), side);
      for (int i = 0; i < side * side; ++i) {
        ASSERT_EQ(result[static_cast<size_t>(i)], value > 0 ? 255 : 0);
      }
    }
  }
}

}  // namespace
}  // namespace stoker
