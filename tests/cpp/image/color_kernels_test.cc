#include "image/color_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/pixels.h"
#include "support/reference_colors.h"
#include "support/simd_target_test.h"

namespace stoker {
namespace {

using testing::Pixels;
using testing::ReferenceBlend;
using testing::ReferenceHue;
using testing::ReferenceLuma;
using testing::SamePixels;

// Dimmer, unchanged, brighter, and beyond both ends.
constexpr float kFactors[] = {0.0F, 0.5F, 1.0F, 1.7F, 3.0F, -0.3F};

Pixels One(int r, int g, int b) {
  Pixels pixel({1, 1});
  uint8_t* p = pixel.mutable_view().row(0);
  p[0] = static_cast<uint8_t>(r);
  p[1] = static_cast<uint8_t>(g);
  p[2] = static_cast<uint8_t>(b);
  return pixel;
}

// Pixels that have each value of a channel, and of its neighbours others.
Pixels AllValues() {
  Pixels in({256, 1});
  for (int x = 0; x < 256; ++x) {
    uint8_t* p = in.mutable_view().row(0) + x * kChannels;
    p[0] = static_cast<uint8_t>(x);
    p[1] = static_cast<uint8_t>(255 - x);
    p[2] = static_cast<uint8_t>(x * 7);
  }
  return in;
}

class ColorKernelsTest : public testing::SimdTargetTest {
 protected:
  // Expects `kernel(out)` to write `expected`, and nothing behind any row of its result.
  template <typename Kernel>
  static void ExpectWrites(const Pixels& expected, const Kernel& kernel) {
    Pixels out(expected.size(), /*gap=*/11);
    kernel(out.mutable_view());
    EXPECT_TRUE(SamePixels(out.view(), expected.view()));
    EXPECT_TRUE(out.GuardsAreIntact());
  }
};

INSTANTIATE_TEST_SUITE_P(EveryTarget, ColorKernelsTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

TEST_P(ColorKernelsTest, EveryWidthIsTheScalarOneAndNothingBehindItIsWritten) {
  for (int width = 0; width <= 70; ++width) {
    for (int height = 0; height <= 3; ++height) {
      SCOPED_TRACE(std::to_string(width) + " x " + std::to_string(height));
      const Size size{width, height};
      const Pixels in = Pixels::Random(size, static_cast<uint32_t>(width), /*gap=*/7);
      for (const float factor : kFactors) {
        for (const uint8_t gray : {uint8_t{0}, uint8_t{77}, uint8_t{255}}) {
          Pixels expected(size, /*gap=*/5);
          BlendWithConstantScalar(in.view(), gray, factor, expected.mutable_view());
          EXPECT_TRUE(expected.GuardsAreIntact());
          ExpectWrites(expected, [&](const MutableImageView& out) {
            BlendWithConstant(in.view(), gray, factor, out);
          });
        }
        Pixels expected(size, /*gap=*/5);
        BlendWithLumaScalar(in.view(), factor, expected.mutable_view());
        EXPECT_TRUE(expected.GuardsAreIntact());
        ExpectWrites(expected,
                     [&](const MutableImageView& out) { BlendWithLuma(in.view(), factor, out); });
      }
      Pixels turned(size, /*gap=*/9);
      ShiftHue(in.view(), 40, turned.mutable_view());
      EXPECT_TRUE(turned.GuardsAreIntact());
      EXPECT_EQ(SumOfLuma(in.view()), SumOfLumaScalar(in.view()));
      if (HasFailure()) return;
    }
  }
}

// Neither in 32 bits of a row nor in 32 bits of all of them.
TEST_P(ColorKernelsTest, TheSumOfLumaDoesNotWrap) {
  const Size size{1000, 1};
  Pixels white(size);
  std::fill_n(white.mutable_view().row(0), size.width * kChannels, uint8_t{255});
  // One row, seen as very many of them.
  const ImageView tall{white.view().row(0), {size.width, 20000}, 0};
  EXPECT_EQ(SumOfLuma(tall), uint64_t{255} * 1000 * 20000);
  EXPECT_EQ(MeanLuma(tall), 255);
  std::vector<uint8_t> row(size_t{3'000'000} * kChannels + ByteBuffer::kPadding, 255);
  const ImageView wide{row.data(), {3'000'000, 1}, 0};
  EXPECT_EQ(SumOfLuma(wide), uint64_t{255} * 3'000'000);
}

// Pillow's Blend.c.
TEST_P(ColorKernelsTest, BlendsAllValuesWithAllGraysAsPillowDoes) {
  const Pixels in = AllValues();
  for (const float factor : kFactors) {
    for (int gray = 0; gray < 256; ++gray) {
      Pixels out({256, 1});
      BlendWithConstant(in.view(), static_cast<uint8_t>(gray), factor, out.mutable_view());
      for (int i = 0; i < 256 * kChannels; ++i) {
        ASSERT_EQ(out.view().row(0)[i], ReferenceBlend(gray, in.view().row(0)[i], factor))
            << "gray " << gray << ", factor " << factor;
      }
    }
  }
}

TEST_P(ColorKernelsTest, BlendsWithEachPixelsOwnLumaAsPillowDoes) {
  for (uint32_t seed = 0; seed < 8; ++seed) {
    const Pixels in = seed == 0 ? AllValues() : Pixels::Random({333, 2}, seed);
    for (const float factor : kFactors) {
      Pixels out(in.size());
      BlendWithLuma(in.view(), factor, out.mutable_view());
      for (int y = 0; y < in.size().height; ++y) {
        for (int x = 0; x < in.size().width; ++x) {
          const uint8_t* p = in.view().row(y) + x * kChannels;
          const int luma = ReferenceLuma(p[0], p[1], p[2]);
          for (int c = 0; c < kChannels; ++c) {
            ASSERT_EQ(out.view().row(y)[x * kChannels + c], ReferenceBlend(luma, p[c], factor));
          }
        }
      }
    }
  }
}

TEST_P(ColorKernelsTest, AFactorOfOneChangesNothing) {
  const Pixels in = Pixels::Random({70, 5}, 3);
  Pixels out(in.size());
  BlendWithConstant(in.view(), 99, 1.0F, out.mutable_view());
  EXPECT_TRUE(SamePixels(out.view(), in.view()));
  BlendWithLuma(in.view(), 1.0F, out.mutable_view());
  EXPECT_TRUE(SamePixels(out.view(), in.view()));
}

TEST(LumaTest, IsTheWeightedSumRounded) {
  for (int r = 0; r < 256; r += 3) {
    for (int g = 0; g < 256; g += 5) {
      for (int b = 0; b < 256; b += 3) {
        ASSERT_EQ(Luma(static_cast<uint8_t>(r), static_cast<uint8_t>(g), static_cast<uint8_t>(b)),
                  ReferenceLuma(r, g, b));
      }
    }
  }
  for (int v = 0; v < 256; ++v) {
    const auto gray = static_cast<uint8_t>(v);
    EXPECT_EQ(Luma(gray, gray, gray), v);
  }
  EXPECT_EQ(Luma(255, 0, 0), 76);
  EXPECT_EQ(Luma(0, 255, 0), 150);
  EXPECT_EQ(Luma(0, 0, 255), 29);
}

// Pillow: int(mean + 0.5).
TEST(MeanLumaTest, RoundsHalvesUp) {
  const auto mean = [](const std::vector<uint8_t>& grays) {
    Pixels in({static_cast<int>(grays.size()), 1});
    for (size_t i = 0; i < grays.size() * kChannels; ++i) {
      in.mutable_view().row(0)[i] = grays[i / kChannels];
    }
    return int{MeanLuma(in.view())};
  };
  EXPECT_EQ(mean({7}), 7);
  EXPECT_EQ(mean({255, 255, 255}), 255);
  EXPECT_EQ(mean({10, 11}), 11);
  EXPECT_EQ(mean({10, 10, 11}), 10);
  EXPECT_EQ(mean({10, 11, 11}), 11);
  EXPECT_EQ(mean({0, 0, 0, 1}), 0);
  EXPECT_EQ(mean({0, 1, 0, 1}), 1);
}

TEST(ShiftHueTest, LeavesGraysAsTheyAre) {
  for (int v = 0; v < 256; ++v) {
    for (const int shift : {0, 1, 85, 128, 255}) {
      const Pixels in = One(v, v, v);
      Pixels out({1, 1});
      ShiftHue(in.view(), static_cast<uint8_t>(shift), out.mutable_view());
      ASSERT_TRUE(SamePixels(out.view(), in.view())) << v << ", shift " << shift;
    }
  }
}

TEST(ShiftHueTest, AThirdOfATurnMakesRedGreenAndGreenBlue) {
  const auto shifted = [](const Pixels& in, int shift) {
    Pixels out({1, 1});
    ShiftHue(in.view(), static_cast<uint8_t>(shift), out.mutable_view());
    return out;
  };
  // In Pillow's HSV, 255 is a whole turn; but the sum wraps at 256.
  EXPECT_TRUE(SamePixels(shifted(One(255, 0, 0), 85).view(), One(0, 255, 0).view()));
  EXPECT_TRUE(SamePixels(shifted(One(0, 255, 0), 85).view(), One(0, 0, 255).view()));
  EXPECT_TRUE(SamePixels(shifted(One(0, 0, 255), 86).view(), One(255, 0, 0).view()));
  EXPECT_TRUE(SamePixels(shifted(One(255, 0, 0), 0).view(), One(255, 0, 0).view()));
  // Half a turn: 128 is a little more of 255.
  EXPECT_TRUE(SamePixels(shifted(One(255, 0, 0), 128).view(), One(0, 252, 255).view()));
}

// Bit for bit, on a cube of colours that has all six sixths and both ends, and on noise.
TEST(ShiftHueTest, IsPillowsWayToHsvAndBack) {
  std::vector<Pixels> images;
  for (int r = 0; r <= 255; r += 5) {
    Pixels face({52, 52});
    for (int g = 0; g < 52; ++g) {
      for (int b = 0; b < 52; ++b) {
        uint8_t* p = face.mutable_view().row(g) + b * kChannels;
        p[0] = static_cast<uint8_t>(r);
        p[1] = static_cast<uint8_t>(g * 5);
        p[2] = static_cast<uint8_t>(b * 5);
      }
    }
    images.push_back(face);
  }
  images.push_back(Pixels::Random({200, 200}, 4));
  for (const int shift : {0, 1, 25, 64, 85, 127, 128, 200, 255}) {
    for (const Pixels& in : images) {
      Pixels out(in.size());
      ShiftHue(in.view(), static_cast<uint8_t>(shift), out.mutable_view());
      ASSERT_TRUE(SamePixels(out.view(), ReferenceHue(in, shift).view())) << "shift " << shift;
    }
  }
}

}  // namespace
}  // namespace stoker
