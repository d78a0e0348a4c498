#include "codec/jpeg/planes_to_rgb.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "codec/jpeg/baseline_decoder.h"
#include "codec/jpeg/jpeg_decoder.h"
#include "image/simd.h"
#include "support/jpeg_samplings.h"
#include "support/pixels.h"
#include "support/simd_target_test.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSampling;
using testing::kJpegSamplings;
using testing::MakeJpeg;
using testing::Pixels;
using testing::SamePixels;
using testing::Span;

// The planes of an image of noise, in which every third sample is black or white.
class NoisePlanes {
 public:
  NoisePlanes(const JpegSampling& sampling, Size size, uint32_t seed) : random_(seed) {
    whole_.count = sampling.components;
    for (size_t c = 0; c < static_cast<size_t>(sampling.components); ++c) {
      PlaneView& p = whole_.plane[c];
      p.h_factor = c == 0 ? 1 : sampling.h;
      p.v_factor = c == 0 ? 1 : sampling.v;
      p.size = {(size.width + p.h_factor - 1) / p.h_factor,
                (size.height + p.v_factor - 1) / p.v_factor};
      // libjpeg's rule: planes of one or two columns are repeated where columns are doubled.
      p.triangle = (p.h_factor == 2 && p.size.width > 2) || (p.h_factor == 1 && p.v_factor == 2);
      p.rect = Whole(p.size);
      p.row_bytes = p.size.width;
      whole_samples_[c] = Noise(static_cast<size_t>(p.size.pixels()) + ByteBuffer::kPadding);
      p.samples = whole_samples_[c].data();
    }
  }
  const YccPlanes& whole() const { return whole_; }

  // No more than what is promised for `region`, among other noise.
  YccPlanes Under(const Rect& region) {
    YccPlanes planes = whole_;
    for (size_t c = 0; c < static_cast<size_t>(planes.count); ++c) {
      PlaneView& p = planes.plane[c];
      const int margin = c == 0 ? 0 : 1;
      const int left = std::max(0, region.left / p.h_factor - margin);
      const int top = std::max(0, region.top / p.v_factor - margin);
      const int right = std::min(p.size.width, (region.right() - 1) / p.h_factor + 1 + margin);
      const int bottom = std::min(p.size.height, (region.bottom() - 1) / p.v_factor + 1 + margin);
      p.rect = {left, top, right - left, bottom - top};
      p.row_bytes = p.rect.width + 3;
      Bytes& part = part_samples_[c];
      part = Noise(static_cast<size_t>(p.row_bytes) * static_cast<size_t>(p.rect.height) +
                   ByteBuffer::kPadding);
      for (int y = 0; y < p.rect.height; ++y) {
        std::copy_n(whole_.plane[c].row(top + y) + left, p.rect.width,
                    part.begin() + y * p.row_bytes);
      }
      p.samples = part.data();
    }
    return planes;
  }

 private:
  Bytes Noise(size_t size) {
    Bytes bytes(size);
    for (uint8_t& byte : bytes) {
      const auto value = static_cast<uint32_t>(random_()) >> 8;
      byte = value % 3 == 0 ? (value % 2 == 0 ? 0 : 255) : static_cast<uint8_t>(value >> 4);
    }
    return bytes;
  }

  std::minstd_rand random_;
  YccPlanes whole_;
  std::array<Bytes, 3> whole_samples_;
  std::array<Bytes, 3> part_samples_;
};

class PlanesToRgbTest : public testing::SimdTargetTest {};

INSTANTIATE_TEST_SUITE_P(EveryTarget, PlanesToRgbTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

// From no more than the promised samples, both forms give what the oracle gives from all.
void ExpectLikeOracle(NoisePlanes* noise, const Rect& region, const std::string& what) {
  ByteBuffer scratch;
  Pixels expected(region.size());
  PlanesToRgbScalar(noise->whole(), region, &scratch, expected.mutable_view());
  const YccPlanes planes = noise->Under(region);
  for (const auto& convert : {&PlanesToRgb, &PlanesToRgbScalar}) {
    Pixels result(region.size(), 5);
    convert(planes, region, &scratch, result.mutable_view());
    ASSERT_TRUE(SamePixels(result.view(), expected.view()))
        << what << (convert == &PlanesToRgb ? ", kernel" : ", scalar") << ", " << region.width
        << " x " << region.height << " at (" << region.left << ", " << region.top << ")";
    ASSERT_TRUE(result.GuardsAreIntact()) << what;
  }
}

TEST_P(PlanesToRgbTest, EveryWidthAtAnyPlaceIsAsByTheOracle) {
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (int width = 1; width <= 70; ++width) {
      // The whole width, and parts of a wider image: at its left, in its midst, at its right.
      NoisePlanes narrow(sampling, {width, 5}, static_cast<uint32_t>(width));
      ExpectLikeOracle(&narrow, {0, 0, width, 5}, sampling.name);
      if (HasFatalFailure()) return;
      NoisePlanes wide(sampling, {width + 9, 7 + width % 2}, static_cast<uint32_t>(width));
      for (const int left : {0, 1, 2, 3, 5, 8, 9}) {
        ExpectLikeOracle(&wide, {left, left % 4, width, 1 + (left + width) % 4}, sampling.name);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(PlanesToRgbTest, EveryRowOfEverySmallImageIsAsByTheOracle) {
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (int height = 1; height <= 9; ++height) {
      for (const int width : {1, 2, 3, 4, 5, 6, 17}) {
        NoisePlanes noise(sampling, {width, height}, static_cast<uint32_t>(height * 20 + width));
        for (int y = 0; y < height; ++y) {
          ExpectLikeOracle(&noise, {0, y, width, 1}, sampling.name);
          ExpectLikeOracle(&noise, {width - 1, 0, 1, y + 1}, sampling.name);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

Bytes Packed(const ImageView& image) {
  Bytes out;
  for (int y = 0; y < image.size.height; ++y) {
    out.insert(out.end(), image.row(y), image.row(y) + ptrdiff_t{image.size.width} * kChannels);
  }
  return out;
}

TEST_P(PlanesToRgbTest, PixelsAreLibjpegs) {
  JpegDecoder decoder({});
  ByteBuffer pixels;
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (int width = 1; width <= 70; ++width) {
      const Size size{width, 1 + width * 7 % 37};
      const Bytes jpeg = MakeJpeg(sampling.Spec(size, static_cast<uint32_t>(width)));
      int channels = 0;
      Size said;
      const Bytes expected = testing::DecodeWithLibjpeg(jpeg, &said.width, &said.height, &channels);
      ASSERT_EQ(decoder.Open(Span(jpeg)), size);
      ASSERT_EQ(Packed(decoder.Decode(Whole(size), &pixels)), expected)
          << sampling.name << ", " << size.width << " x " << size.height;
      ASSERT_TRUE(decoder.own());
    }
  }
}

TEST(PlanesToRgbOracleTest, PixelsAreLibjpegs) {
  BaselineDecoder decoder;
  ByteBuffer scratch;
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (int width = 1; width <= 40; ++width) {
      const Size size{width, 1 + width * 5 % 23};
      const Bytes jpeg = MakeJpeg(sampling.Spec(size, static_cast<uint32_t>(width) + 100));
      int channels = 0;
      Size said;
      const Bytes expected = testing::DecodeWithLibjpeg(jpeg, &said.width, &said.height, &channels);
      YccPlanes planes;
      ASSERT_TRUE(decoder.Open(Span(jpeg)) &&
                  decoder.Decode(Whole(size), /*dct_scale=*/1, &planes));
      Pixels result(size);
      PlanesToRgbScalar(planes, Whole(size), &scratch, result.mutable_view());
      ASSERT_EQ(Packed(result.view()), expected)
          << sampling.name << ", " << size.width << " x " << size.height;
    }
  }
}

}  // namespace
}  // namespace stoker
