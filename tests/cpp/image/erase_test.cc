#include "image/erase.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace stoker {
namespace {

TEST(NormalQuantileTest, HasTheValuesOfTheTables) {
  EXPECT_EQ(NormalQuantile(0.5), 0.0);
  // R's qnorm.
  EXPECT_NEAR(NormalQuantile(0.6), 0.2533471031357997, 1e-6);
  EXPECT_NEAR(NormalQuantile(0.75), 0.6744897501960817, 1e-6);
  EXPECT_NEAR(NormalQuantile(0.9), 1.2815515655446004, 1e-6);
  EXPECT_NEAR(NormalQuantile(0.975), 1.959963984540054, 1e-6);
  EXPECT_NEAR(NormalQuantile(0.999), 3.090232306167813, 1e-6);
  EXPECT_NEAR(NormalQuantile(1e-10), -6.361340902404056, 1e-6);
  EXPECT_NEAR(NormalQuantile(1e-12), -7.034483825301131, 1e-6);
}

// The inverse of the distribution that libm has, through all three of its ranges.
TEST(NormalQuantileTest, IsTheInverseOfTheDistribution) {
  // Up to 4 only: near 1, p itself has too few digits.
  for (int i = -700; i <= 400; ++i) {
    const double x = i / 100.0;
    EXPECT_NEAR(NormalQuantile(0.5 * std::erfc(-x / std::sqrt(2.0))), x, 2e-6);
  }
}

TEST(NormalQuantileTest, IsOddAroundOneHalfAndRises) {
  double before = -1e9;
  for (int i = 1; i < 4096; ++i) {
    const double p = i / 4096.0;
    EXPECT_EQ(NormalQuantile(p), -NormalQuantile(1.0 - p));
    EXPECT_GT(NormalQuantile(p), before);
    before = NormalQuantile(p);
  }
  // The ends of what the noise is made of.
  EXPECT_LT(NormalQuantile(0.5 * 0x1p-32), -6.0);
  EXPECT_GT(NormalQuantile(1.0 - 0.5 * 0x1p-32), 6.0);
}

constexpr Size kSize{19, 13};
constexpr Rect kRect{4, 2, 9, 7};
constexpr float kBefore = 77.0F;

SampleFormat Format(ElementType type, bool channels_last, int channels = kChannels) {
  SampleFormat format;
  format.type = type;
  format.channels_last = channels_last;
  format.channels = channels;
  return format;
}

// A finished sample that has been erased from.
class Sample {
 public:
  Sample(const SampleFormat& format, const Erasure& erasure, Size size = kSize)
      : format_(format), size_(size), slot_(format.SampleBytes(size) + kBehind, kGuard) {
    for (size_t i = 0; i < elements(); ++i) {
      if (format.type == ElementType::kUint8) {
        slot_[i] = static_cast<uint8_t>(kBefore);
      } else {
        std::memcpy(&slot_[i * sizeof kBefore], &kBefore, sizeof kBefore);
      }
    }
    Erase(erasure, size, format, slot_.data());
    for (size_t i = 0; i < kBehind; ++i) EXPECT_EQ(slot_[slot_.size() - 1 - i], kGuard);
  }

  float At(int c, int x, int y) const {
    const int pixel = y * size_.width + x;
    const auto at =
        static_cast<size_t>(format_.channels_last ? pixel * format_.channels + c
                                                  : c * size_.width * size_.height + pixel);
    if (format_.type == ElementType::kUint8) return slot_[at];
    float value = 0;
    std::memcpy(&value, &slot_[at * sizeof value], sizeof value);
    return value;
  }

 private:
  static constexpr size_t kBehind = 32;
  static constexpr uint8_t kGuard = 0xA5;
  size_t elements() const { return format_.SampleBytes(size_) / format_.element_bytes(); }

  SampleFormat format_;
  Size size_;
  std::vector<uint8_t> slot_;
};

std::vector<SampleFormat> AllFormats() {
  std::vector<SampleFormat> formats;
  for (const ElementType type : {ElementType::kUint8, ElementType::kFloat32}) {
    for (const bool channels_last : {false, true}) {
      for (const int channels : {1, 3}) formats.push_back(Format(type, channels_last, channels));
    }
  }
  return formats;
}

// Calls see(format, c, x, y, inside, value) for each element of each format.
template <typename See>
void ForEachElement(const Erasure& erasure, const See& see) {
  for (const SampleFormat& format : AllFormats()) {
    const Sample sample(format, erasure);
    for (int c = 0; c < format.channels; ++c) {
      for (int y = 0; y < kSize.height; ++y) {
        for (int x = 0; x < kSize.width; ++x) {
          const bool inside = erasure.rect.Contains({x, y, 1, 1});
          see(format, c, x, y, inside, sample.At(c, x, y));
        }
      }
    }
  }
}

TEST(EraseTest, FillsTheRectangleAndNothingElseInEveryLayout) {
  for (const Rect& rect : {kRect, Whole(kSize), Rect{0, 0, 1, 1}, Rect{18, 12, 1, 1},
                           Rect{0, 5, 19, 1}, Rect{7, 0, 1, 13}, Rect{3, 3, 0, 0}}) {
    const Erasure erasure{rect, {3.0F, 1.0F, 250.0F}, {}, 0};
    ForEachElement(erasure, [&](const SampleFormat&, int c, int x, int y, bool inside, float got) {
      const float expected = inside ? erasure.value[static_cast<size_t>(c)] : kBefore;
      ASSERT_EQ(got, expected) << "channel " << c << " at " << x << ", " << y;
    });
  }
}

TEST(EraseTest, FloatsTakeAnyValueAndBytesAreTruncatedAndLimited) {
  const Erasure erasure{kRect, {-2.5F, 254.99F, 300.0F}, {}, 0};
  ForEachElement(
      erasure, [&](const SampleFormat& format, int c, int x, int y, bool inside, float got) {
        if (!inside) return;
        constexpr float kBytes[] = {0.0F, 254.0F, 255.0F};
        const float expected =
            format.type == ElementType::kUint8 ? kBytes[c] : erasure.value[static_cast<size_t>(c)];
        ASSERT_EQ(got, expected) << "channel " << c << " at " << x << ", " << y;
      });
}

TEST(EraseTest, NoiseIsNormalAroundTheValue) {
  const Size size{300, 200};
  const Sample sample(Format(ElementType::kFloat32, false),
                      {Whole(size), {0.0F, 5.0F, -1.0F}, {1.0F, 2.0F, 0.5F}, 42}, size);
  constexpr double kMeans[] = {0.0, 5.0, -1.0};
  constexpr double kDeviations[] = {1.0, 2.0, 0.5};
  for (int c = 0; c < 3; ++c) {
    double sum = 0;
    double squares = 0;
    int within_one = 0;
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        const double z = (sample.At(c, x, y) - kMeans[c]) / kDeviations[c];
        sum += z;
        squares += z * z;
        within_one += std::fabs(z) < 1 ? 1 : 0;
      }
    }
    // Six standard deviations of each, for 60 000 draws.
    const double n = static_cast<double>(size.pixels());
    EXPECT_NEAR(sum / n, 0.0, 6 / std::sqrt(n));
    EXPECT_NEAR(squares / n, 1.0, 6 * std::sqrt(2 / n));
    EXPECT_NEAR(within_one / n, 0.6827, 6 * std::sqrt(0.6827 * 0.3173 / n));
  }
}

// Neighbours, channels and rectangles of other keys have nothing to do with each other.
TEST(EraseTest, NoiseOfOtherElementsIsOtherNoise) {
  const Size size{100, 100};
  const Rect all = Whole(size);
  const SampleFormat format = Format(ElementType::kFloat32, false);
  const Sample one(format, {all, {}, {1, 1, 1}, 7}, size);
  const Sample other(format, {all, {}, {1, 1, 1}, 8}, size);
  const Sample high(format, {all, {}, {1, 1, 1}, 7 + (uint64_t{1} << 32)}, size);
  double next = 0;
  double below = 0;
  double channel = 0;
  double key = 0;
  double high_key = 0;
  for (int y = 0; y < 99; ++y) {
    for (int x = 0; x < 99; ++x) {
      next += one.At(0, x, y) * one.At(0, x + 1, y);
      below += one.At(0, x, y) * one.At(0, x, y + 1);
      channel += one.At(0, x, y) * one.At(1, x, y);
      key += one.At(0, x, y) * other.At(0, x, y);
      high_key += one.At(0, x, y) * high.At(0, x, y);
    }
  }
  // A sum of 9801 products of independent normal numbers; its standard deviation is 99.
  for (const double sum : {next, below, channel, key, high_key}) EXPECT_NEAR(sum, 0, 6 * 99);
}

TEST(EraseTest, NoiseDependsOnTheKeyAndTheElementAlone) {
  const Erasure erasure{kRect, {}, {1, 1, 1}, 99};
  const Sample planar(Format(ElementType::kFloat32, false), erasure);
  ForEachElement(
      erasure, [&](const SampleFormat& format, int c, int x, int y, bool inside, float got) {
        if (!inside || format.type != ElementType::kFloat32) return;
        ASSERT_EQ(got, planar.At(c, x, y)) << "channel " << c << " at " << x << ", " << y;
      });
  // Where the rectangle lies, and how large its image is, do not matter.
  const Sample elsewhere(Format(ElementType::kFloat32, true),
                         {kRect.Shifted(21, 5), {}, {1, 1, 1}, 99}, {50, 40});
  for (int c = 0; c < 3; ++c) {
    for (int y = kRect.top; y < kRect.bottom(); ++y) {
      for (int x = kRect.left; x < kRect.right(); ++x) {
        ASSERT_EQ(elsewhere.At(c, x + 21, y + 5), planar.At(c, x, y));
      }
    }
  }
}

TEST(EraseTest, NoiseOfBytesIsLimitedAndTruncated) {
  const Erasure erasure{kRect, {0, 128, 255}, {100, 100, 100}, 5};
  const Sample floats(Format(ElementType::kFloat32, false), erasure);
  const Sample bytes(Format(ElementType::kUint8, false), erasure);
  int below = 0;
  int above = 0;
  for (int c = 0; c < 3; ++c) {
    for (int y = kRect.top; y < kRect.bottom(); ++y) {
      for (int x = kRect.left; x < kRect.right(); ++x) {
        const float exact = floats.At(c, x, y);
        below += exact < 0 ? 1 : 0;
        above += exact > 255 ? 1 : 0;
        const float limited = std::floor(std::min(255.0F, std::max(0.0F, exact)));
        ASSERT_EQ(bytes.At(c, x, y), limited) << exact;
      }
    }
  }
  EXPECT_GT(below, 10);
  EXPECT_GT(above, 10);
}

}  // namespace
}  // namespace stoker
