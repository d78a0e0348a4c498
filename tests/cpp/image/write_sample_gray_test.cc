// Samples of one channel; see also write_sample_test.cc.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "image/write_sample.h"
#include "support/pixels.h"
#include "support/simd_target_test.h"

namespace stoker {
namespace {

using testing::Pixels;

constexpr size_t kGuardBytes = 64;
constexpr uint8_t kGuard = 0xA5;

SampleFormat GrayFormat(ElementType type, bool channels_last) {
  // The other channels' numbers must not come in anywhere.
  return {type, 1, channels_last, {1.0F / 3.0F, 9e9F, 9e9F}, {-2.1179F, 9e9F, 9e9F}};
}

// An image's red, or a plane's samples; one element at a time.
template <typename PixelAt>
std::vector<uint8_t> Expected(Size size, bool flip_horizontal, bool flip_vertical,
                              const SampleFormat& format, const PixelAt& pixel_at) {
  const bool is_float = format.type == ElementType::kFloat32;
  const auto count = static_cast<size_t>(size.pixels());
  std::vector<uint8_t> slot(count * (is_float ? 4 : 1) + kGuardBytes, kGuard);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const uint8_t pixel = pixel_at(flip_horizontal ? size.width - 1 - x : x,
                                     flip_vertical ? size.height - 1 - y : y);
      const auto at = static_cast<size_t>(y * size.width + x);
      const float product = static_cast<float>(pixel) * format.scale[0];
      const float value = product + format.bias[0];
      if (is_float) std::memcpy(&slot[at * sizeof value], &value, sizeof value);
      if (!is_float) slot[at] = pixel;
    }
  }
  return slot;
}

class WriteGraySampleTest : public testing::SimdTargetTest {
 protected:
  // Expects both writers to make `image` what `pixel_at` says, for all formats and flips.
  template <typename Image, typename PixelAt>
  static void ExpectWritten(const Image& image, Size size, const PixelAt& pixel_at) {
    using Writer = void (*)(const Image&, bool, bool, const SampleFormat&, void*);
    const Writer writers[] = {&WriteSample, &WriteSampleScalar};
    for (int bits = 0; bits < 16; ++bits) {
      const bool flip_horizontal = (bits & 1) != 0;
      const bool flip_vertical = (bits & 2) != 0;
      const SampleFormat format = GrayFormat(
          (bits & 4) != 0 ? ElementType::kFloat32 : ElementType::kUint8, (bits & 8) != 0);
      const auto expected = Expected(size, flip_horizontal, flip_vertical, format, pixel_at);
      ASSERT_EQ(format.SampleBytes(size) + kGuardBytes, expected.size());
      for (const Writer writer : writers) {
        std::vector<uint8_t> slot(expected.size(), kGuard);
        writer(image, flip_horizontal, flip_vertical, format, slot.data());
        ASSERT_EQ(slot, expected) << size.width << " x " << size.height << ", variant " << bits
                                  << (writer == writers[1] ? ", scalar" : "");
      }
    }
  }
};

INSTANTIATE_TEST_SUITE_P(EveryTarget, WriteGraySampleTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

TEST_P(WriteGraySampleTest, TakesRedAloneForEveryWidthFlipTypeAndLayout) {
  for (int width = 1; width <= 70; ++width) {
    for (int height = 1; height <= 3; ++height) {
      const Pixels in = Pixels::Random({width, height}, static_cast<uint32_t>(width), /*gap=*/7);
      ASSERT_NO_FATAL_FAILURE(ExpectWritten(
          in.view(), in.size(), [&](int x, int y) { return in.view().row(y)[x * kChannels]; }));
    }
  }
}

// Of a gray JPEG: its luma.
TEST_P(WriteGraySampleTest, TakesAGrayPlaneAsItIs) {
  for (int width = 1; width <= 70; ++width) {
    for (int height = 1; height <= 3; ++height) {
      const Size size{width, height};
      const Pixels bytes =
          Pixels::Random({(width + 2) / 3, height}, static_cast<uint32_t>(width), /*gap=*/5);
      YccPlanes planes;
      planes.count = 1;
      planes.plane[0].samples = bytes.view().pixels_hwc;
      planes.plane[0].row_bytes = bytes.view().row_bytes;
      planes.plane[0].size = size;
      planes.plane[0].rect = Whole(size);
      ASSERT_NO_FATAL_FAILURE(
          ExpectWritten(planes, size, [&](int x, int y) { return bytes.view().row(y)[x]; }));
    }
  }
}

TEST(GraySampleFormatTest, SampleBytesCountsOneElementAPixel) {
  EXPECT_EQ(GrayFormat(ElementType::kUint8, false).SampleBytes({224, 100}), 224U * 100);
  EXPECT_EQ(GrayFormat(ElementType::kFloat32, true).SampleBytes({224, 100}), 224U * 100 * 4);
}

}  // namespace
}  // namespace stoker
