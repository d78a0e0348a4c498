#include "image/write_sample.h"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "base/ycc_color.h"
#include "image/simd.h"
#include "support/pixels.h"
#include "support/simd_target_test.h"

namespace stoker {
namespace {

using testing::Pixels;

constexpr size_t kGuardBytes = 64;
constexpr uint8_t kGuard = 0xA5;

// Red, green and blue must not be mixed up, nor multiplied and added in one rounding.
SampleFormat Format(ElementType type, bool channels_last) {
  return {
      type, kChannels, channels_last, {1.0F / 3.0F, 0.0123F, -7.7F}, {-2.1179F, 1e-3F, 123.456F}};
}

using Writer = void (*)(const ImageView&, bool, bool, const SampleFormat&, void*);

// What `writer` puts into a slot, with guard bytes behind it.
std::vector<uint8_t> Written(Writer writer, const ImageView& in, bool flip_horizontal,
                             bool flip_vertical, const SampleFormat& format) {
  std::vector<uint8_t> slot(format.SampleBytes(in.size) + kGuardBytes, kGuard);
  writer(in, flip_horizontal, flip_vertical, format, slot.data());
  return slot;
}

template <typename T>
void Put(T value, size_t element, std::vector<uint8_t>* slot) {
  std::memcpy(slot->data() + element * sizeof value, &value, sizeof value);
}

// The same from the header's words, one element at a time.
std::vector<uint8_t> Expected(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                              const SampleFormat& format) {
  const bool is_float = format.type == ElementType::kFloat32;
  const Size size = in.size;
  std::vector<uint8_t> slot(
      static_cast<size_t>(size.pixels()) * 3 * (is_float ? 4 : 1) + kGuardBytes, kGuard);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const uint8_t* pixel = in.row(flip_vertical ? size.height - 1 - y : y) +
                             (flip_horizontal ? size.width - 1 - x : x) * kChannels;
      for (size_t c = 0; c < 3; ++c) {
        const auto at = static_cast<size_t>(y * size.width + x);
        const size_t element =
            format.channels_last ? at * 3 + c : c * static_cast<size_t>(size.pixels()) + at;
        const float product = static_cast<float>(pixel[c]) * format.scale[c];
        if (is_float) Put(product + format.bias[c], element, &slot);
        if (!is_float) Put(pixel[c], element, &slot);
      }
    }
  }
  return slot;
}

class WriteSampleTest : public testing::SimdTargetTest {};

INSTANTIATE_TEST_SUITE_P(EveryTarget, WriteSampleTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

TEST_P(WriteSampleTest, WritesEveryWidthFlipTypeAndLayoutAndNothingBehindTheSlot) {
  for (int width = 1; width <= 70; ++width) {
    for (int height = 1; height <= 3; ++height) {
      const Pixels in = Pixels::Random({width, height}, static_cast<uint32_t>(width), /*gap=*/7);
      for (int bits = 0; bits < 16; ++bits) {
        const bool flip_horizontal = (bits & 1) != 0;
        const bool flip_vertical = (bits & 2) != 0;
        const SampleFormat format =
            Format((bits & 4) != 0 ? ElementType::kFloat32 : ElementType::kUint8, (bits & 8) != 0);
        const auto expected = Expected(in.view(), flip_horizontal, flip_vertical, format);
        ASSERT_EQ(Written(&WriteSample, in.view(), flip_horizontal, flip_vertical, format),
                  expected)
            << width << " x " << height << ", variant " << bits;
        ASSERT_EQ(Written(&WriteSampleScalar, in.view(), flip_horizontal, flip_vertical, format),
                  expected)
            << width << " x " << height << ", variant " << bits;
      }
    }
  }
}

// All 256 pixel values, with the constants of torchvision's Normalize for ImageNet.
TEST_P(WriteSampleTest, FloatsAreOneMultiplicationAndOneAddition) {
  Pixels in({256, 1});
  for (int i = 0; i < 256 * kChannels; ++i) {
    in.mutable_view().row(0)[i] = static_cast<uint8_t>(i / kChannels);
  }
  const float mean[] = {0.485F, 0.456F, 0.406F};
  const float std[] = {0.229F, 0.224F, 0.225F};
  for (const bool channels_last : {false, true}) {
    SampleFormat format;
    format.type = ElementType::kFloat32;
    format.channels_last = channels_last;
    for (size_t c = 0; c < 3; ++c) {
      format.scale[c] = 1.0F / (255.0F * std[c]);
      format.bias[c] = -mean[c] / std[c];
    }
    EXPECT_EQ(Written(&WriteSample, in.view(), false, false, format),
              Expected(in.view(), false, false, format));
  }
}

// Planes of noise, each with rows of its own length, and the pixels that they stand for.
struct Planes {
  std::vector<Pixels> memory;  // a plane uses the bytes of an image a third as wide
  YccPlanes planes;
  Pixels rgb;

  Planes(Size size, int count) : rgb(size) {
    planes.count = count;
    for (int c = 0; c < count; ++c) {
      const Size third{(size.width + 2) / 3, size.height};
      memory.push_back(
          Pixels::Random(third, static_cast<uint32_t>(size.width * 3 + c), /*gap=*/5 + c));
    }
    for (size_t c = 0; c < memory.size(); ++c) {
      const ImageView bytes = memory[c].view();
      PlaneView& p = planes.plane[c];
      p.samples = bytes.pixels_hwc;
      p.row_bytes = bytes.row_bytes;
      p.size = size;
      p.rect = Whole(size);
    }
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        const uint8_t luma = planes.plane[0].row(y)[x];
        const Rgb pixel =
            count == 1 ? Rgb{luma, luma, luma}
                       : YccToRgb(luma, planes.plane[1].row(y)[x], planes.plane[2].row(y)[x]);
        uint8_t* to = rgb.mutable_view().row(y) + x * kChannels;
        to[0] = pixel.r;
        to[1] = pixel.g;
        to[2] = pixel.b;
      }
    }
  }
};

TEST_P(WriteSampleTest, PlanesAreWrittenLikeTheirPixels) {
  using PlanesWriter = void (*)(const YccPlanes&, bool, bool, const SampleFormat&, void*);
  const PlanesWriter writers[] = {&WriteSample, &WriteSampleScalar};
  for (const int count : {1, 3}) {
    for (int width = 1; width <= 70; ++width) {
      for (int height = 1; height <= 3; ++height) {
        const Planes in({width, height}, count);
        for (int bits = 0; bits < 16; ++bits) {
          const bool flip_horizontal = (bits & 1) != 0;
          const bool flip_vertical = (bits & 2) != 0;
          const SampleFormat format = Format(
              (bits & 4) != 0 ? ElementType::kFloat32 : ElementType::kUint8, (bits & 8) != 0);
          const auto expected = Expected(in.rgb.view(), flip_horizontal, flip_vertical, format);
          for (const PlanesWriter writer : writers) {
            std::vector<uint8_t> slot(expected.size(), kGuard);
            writer(in.planes, flip_horizontal, flip_vertical, format, slot.data());
            ASSERT_EQ(slot, expected)
                << count << " planes, " << width << " x " << height << ", variant " << bits
                << (writer == writers[1] ? ", scalar" : "");
          }
        }
      }
    }
  }
}

TEST(SampleFormatTest, SampleBytesCountsThreeElementsAPixel) {
  SampleFormat format;
  EXPECT_EQ(format.SampleBytes({224, 100}), 224U * 100 * 3);
  format.type = ElementType::kFloat32;
  EXPECT_EQ(format.SampleBytes({224, 100}), 224U * 100 * 3 * 4);
  // More than 2^31 pixels' worth.
  EXPECT_EQ(format.SampleBytes({60000, 60000}), size_t{60000} * 60000 * 12);
}

}  // namespace
}  // namespace stoker
