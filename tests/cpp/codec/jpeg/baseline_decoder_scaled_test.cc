// BaselineDecoder with dct_scale 2, 4 and 8.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "codec/jpeg/baseline_decoder.h"
#include "support/jpeg_samplings.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSampling;
using testing::kJpegSamplings;
using testing::MakeJpeg;
using testing::Span;

constexpr int kScales[] = {2, 4, 8};

struct Decoded {
  BaselineDecoder decoder;
  YccPlanes planes;

  Decoded(const Bytes& jpeg, const Rect& region, int dct_scale) {
    EXPECT_TRUE(decoder.Open(Span(jpeg)));
    EXPECT_TRUE(decoder.Decode(region, dct_scale, &planes));
  }
};

// By how much plane `c` is smaller: 4:2:0's chroma half as much as luma.
int ScaleOf(const YccPlanes& full, size_t c, int scale) {
  const PlaneView& plane = full.plane[c];
  return plane.h_factor == 2 && plane.v_factor == 2 ? scale / 2 : scale;
}

TEST(ScaledBaselineDecoder, PlanesAreSmallerByTheScaleRoundedUp) {
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const Size size : {Size{1, 1}, {7, 90}, {64, 48}, {131, 97}, {130, 33}}) {
      const Bytes jpeg = MakeJpeg(sampling.Spec(size, 5));
      const Decoded full(jpeg, Whole(size), 1);
      EXPECT_EQ(full.planes.scale, 1);
      for (const int scale : kScales) {
        const Decoded small(jpeg, Whole(size), scale);
        EXPECT_EQ(small.planes.scale, scale);
        ASSERT_EQ(small.planes.count, full.planes.count);
        for (size_t c = 0; c < static_cast<size_t>(full.planes.count); ++c) {
          const PlaneView& f = full.planes.plane[c];
          const PlaneView& s = small.planes.plane[c];
          const int by = ScaleOf(full.planes, c, scale);
          EXPECT_EQ(s.size, (Size{(f.size.width + by - 1) / by, (f.size.height + by - 1) / by}));
          EXPECT_EQ(s.rect, Whole(s.size));
          EXPECT_EQ(s.h_factor * scale, f.h_factor * by);
          EXPECT_EQ(s.v_factor * scale, f.v_factor * by);
          EXPECT_EQ(s.triangle, f.triangle && by == scale) << sampling.name;
        }
      }
    }
  }
}

TEST(ScaledBaselineDecoder, SamplesAreCloseToTheMeanOfThoseTheyStandFor) {
  const Size size{160, 128};
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 6));
    const Decoded full(jpeg, Whole(size), 1);
    for (const int scale : kScales) {
      const Decoded small(jpeg, Whole(size), scale);
      for (size_t c = 0; c < static_cast<size_t>(full.planes.count); ++c) {
        const PlaneView& f = full.planes.plane[c];
        const PlaneView& s = small.planes.plane[c];
        const int by = ScaleOf(full.planes, c, scale);
        double away = 0;
        double shifted = 0;  // against the mean a sample to the right
        for (int y = 0; y < s.size.height; ++y) {
          for (int x = 0; x < s.size.width; ++x) {
            const auto mean = [&](int at) {
              double sum = 0;
              int count = 0;
              for (int j = y * by; j < std::min(f.size.height, (y + 1) * by); ++j) {
                for (int i = at * by; i < std::min(f.size.width, (at + 1) * by); ++i) {
                  sum += f.row(j)[i];
                  ++count;
                }
              }
              return sum / count;
            };
            const double difference = std::fabs(s.row(y)[x] - mean(x));
            // At 8 the block's mean itself; else what the higher frequencies leave.
            ASSERT_LE(difference, by == 8 ? 3 : 64) << sampling.name << " plane " << c;
            away += difference;
            shifted += std::fabs(s.row(y)[x] - mean(x + 1 < s.size.width ? x + 1 : x - 1));
          }
        }
        const auto samples = static_cast<double>(s.size.pixels());
        EXPECT_LE(away / samples, 3.5) << sampling.name << " plane " << c << ", scale " << scale;
        if (by > 1) {
          EXPECT_GE(shifted, 2 * away);
        } else {
          EXPECT_EQ(away, 0);
        }
      }
    }
  }
}

// What is promised: what makes up the luma samples under the region and one more on every side. The
// triangle filter looks at the next luma sample's chroma, too.
Rect Promised(const PlaneView& p, const Rect& region, int scale) {
  const int margin_x = p.h_factor == 2 ? 2 * scale : scale;
  const int margin_y = p.v_factor == 2 ? 2 * scale : scale;
  const int w = scale * p.h_factor;
  const int h = scale * p.v_factor;
  const int left = std::max(0, region.left - margin_x) / w;
  const int top = std::max(0, region.top - margin_y) / h;
  const int right = std::min(p.size.width, (region.right() + margin_x - 1) / w + 1);
  const int bottom = std::min(p.size.height, (region.bottom() + margin_y - 1) / h + 1);
  return {left, top, right - left, bottom - top};
}

TEST(ScaledBaselineDecoder, PartsEqualThoseOfTheWholeWithALumaSampleMoreOnEverySide) {
  std::mt19937 random(7);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  BaselineDecoder decoder;
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const Size size : {Size{131, 97}, {260, 200}}) {
      for (const int interval : {0, 3}) {
        testing::JpegSpec spec = sampling.Spec(size, 8);
        spec.restart_interval = interval;
        const Bytes jpeg = MakeJpeg(spec);
        for (const int scale : kScales) {
          const Decoded whole(jpeg, Whole(size), scale);
          for (int i = 0; i < 60; ++i) {
            const int left = below(size.width);
            const int top = below(size.height);
            const Rect region{left, top, 1 + below(size.width - left),
                              1 + below(size.height - top)};
            YccPlanes planes;
            ASSERT_TRUE(decoder.Open(Span(jpeg)) && decoder.Decode(region, scale, &planes));
            for (size_t c = 0; c < static_cast<size_t>(planes.count); ++c) {
              const PlaneView& p = planes.plane[c];
              const PlaneView& all = whole.planes.plane[c];
              ASSERT_TRUE(Whole(p.size).Contains(p.rect));
              ASSERT_TRUE(p.rect.Contains(Promised(p, region, scale)))
                  << sampling.name << " plane " << c << ", scale " << scale << ", " << region.width
                  << " x " << region.height << " at (" << left << ", " << top << ")";
              for (int y = p.rect.top; y < p.rect.bottom(); ++y) {
                ASSERT_TRUE(
                    std::equal(p.row(y), p.row(y) + p.rect.width, all.row(y) + p.rect.left));
              }
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace stoker
