#include "image/resize_planes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "image/resize_weights.h"
#include "support/jpeg_samplings.h"
#include "support/reference_planes.h"

namespace stoker {
namespace {

using testing::JpegSampling;
using testing::kJpegSamplings;
using testing::NoisePlane;
using testing::PlaneLine;

// The planes of an image of noise.
struct NoiseImage {
  Size size;
  std::vector<NoisePlane> noise;
  YccPlanes planes;
  std::array<std::vector<uint8_t>, 3> bytes;

  NoiseImage(const JpegSampling& sampling, Size image, int scale, int low, int high) : size(image) {
    planes.count = sampling.components;
    planes.scale = scale;
    for (size_t c = 0; c < static_cast<size_t>(planes.count); ++c) {
      PlaneView& p = planes.plane[c];
      p.h_factor = c == 0 ? 1 : sampling.h;
      p.v_factor = c == 0 ? 1 : sampling.v;
      p.size = {Reduced(image.width, p.h_factor, scale), Reduced(image.height, p.v_factor, scale)};
      p.triangle = (p.h_factor == 2 || p.v_factor == 2) && (p.h_factor == 1 || p.size.width > 2);
      noise.emplace_back(p.size, static_cast<uint32_t>(image.width * 3 + image.height) + c, low,
                         high);
    }
  }
  static int Reduced(int pixels, int factor, int scale) {
    return ((pixels + factor - 1) / factor + scale - 1) / scale;
  }
  PlaneLine Line(const PlaneView& p, const Rect& crop, bool across) const {
    const int factor = across ? p.h_factor : p.v_factor;
    return {across ? crop.left : crop.top,
            across ? crop.width : crop.height,
            planes.scale,
            factor,
            p.triangle,
            across ? p.size.width : p.size.height};
  }

  // Gives the samples under `part` and those beside them that upsampling looks at; no others.
  void Show(const Rect& part) {
    for (size_t c = 0; c < static_cast<size_t>(planes.count); ++c) {
      PlaneView& p = planes.plane[c];
      const int w = p.h_factor * planes.scale;
      const int h = p.v_factor * planes.scale;
      const int margin_x = p.h_factor > 1 || planes.scale > 1 ? 1 : 0;
      const int margin_y = p.v_factor > 1 || planes.scale > 1 ? 1 : 0;
      const int left = std::max(0, part.left / w - margin_x);
      const int top = std::max(0, part.top / h - margin_y);
      const int right = std::min(p.size.width, (part.right() - 1) / w + 1 + margin_x);
      const int bottom = std::min(p.size.height, (part.bottom() - 1) / h + 1 + margin_y);
      p.rect = {left, top, right - left, bottom - top};
      p.row_bytes = p.rect.width + 5;
      bytes[c].assign(static_cast<size_t>(p.row_bytes * p.rect.height) + ByteBuffer::kPadding,
                      0xA5);
      for (int y = top; y < bottom; ++y) {
        for (int x = left; x < right; ++x) {
          bytes[c][static_cast<size_t>((y - top) * p.row_bytes + x - left)] = noise[c].at(x, y);
        }
      }
      p.samples = bytes[c].data();
    }
  }
};

// Every plane of the result against the reference: within rounding, twice to 8 bits.
void ExpectResized(PlaneResizer* resizer, NoiseImage* image, const PlaneResize& resize) {
  const int scale = image->planes.scale;
  const auto x = ResizeSupport(resize.crop.width, resize.out.width, resize.window.left,
                               resize.window.right(), resize.interpolation);
  const auto y = ResizeSupport(resize.crop.height, resize.out.height, resize.window.top,
                               resize.window.bottom(), resize.interpolation);
  image->Show(scale > 1 ? resize.crop
                        : Rect{resize.crop.left + x.first, resize.crop.top + y.first,
                               x.second - x.first, y.second - y.first});
  const YccPlanes result = resizer->Resize(resize, image->planes);
  ASSERT_EQ(result.count, image->planes.count);
  ASSERT_EQ(result.scale, 1);
  double away = 0;
  for (size_t c = 0; c < static_cast<size_t>(result.count); ++c) {
    const PlaneView& p = result.plane[c];
    ASSERT_EQ(p.size, resize.window.size());
    ASSERT_EQ(p.rect, Whole(p.size));
    ASSERT_EQ(p.row_bytes % 64, 0);
    ASSERT_GE(p.row_bytes, p.size.width);
    const PlaneView& in = image->planes.plane[c];
    const auto expected =
        ReferencePlaneResize(image->noise[c], image->Line(in, resize.crop, true),
                             image->Line(in, resize.crop, false), resize.out, resize.interpolation);
    for (int row = 0; row < p.size.height; ++row) {
      for (int column = 0; column < p.size.width; ++column) {
        const double want = expected[static_cast<size_t>(resize.window.top + row)]
                                    [static_cast<size_t>(resize.window.left + column)];
        const double difference = std::fabs(p.row(row)[column] - want);
        ASSERT_LE(difference, 1.35) << "plane " << c << " at " << column << ", " << row;
        away += difference;
      }
    }
  }
  const auto samples = static_cast<double>(resize.window.size().pixels() * result.count);
  if (samples >= 200 && resize.crop.size().pixels() >= 100) {  // enough to average
    ASSERT_LE(away / samples, 0.45);
  }
}

std::string Text(const JpegSampling& sampling, Size image, const PlaneResize& r) {
  const auto text = [](const Rect& rect) {
    return std::to_string(rect.width) + " x " + std::to_string(rect.height) + " at (" +
           std::to_string(rect.left) + ", " + std::to_string(rect.top) + ")";
  };
  return std::string(sampling.name) + ", image " + text(Whole(image)) + ", crop " + text(r.crop) +
         ", to " + text(Whole(r.out)) + ", window " + text(r.window);
}

// Bicubic overshoots, and each pass limits what does: noise in the middle stays clear of that.
NoiseImage Noise(const JpegSampling& sampling, Size size, int scale, Interpolation method) {
  return method == Interpolation::kBilinear ? NoiseImage(sampling, size, scale, 0, 255)
                                            : NoiseImage(sampling, size, scale, 80, 176);
}

constexpr Interpolation kMethods[] = {Interpolation::kBilinear, Interpolation::kBicubic};

TEST(PlaneResizerTest, PlanesAreTheResizedUpsampledOnesButForRounding) {
  PlaneResizer resizer(std::make_shared<PlaneWeightCache>());
  // Fewer rows than come out: the pass along rows goes first; and the other way round.
  constexpr Size kOuts[] = {{13, 9}, {7, 50}, {40, 5}, {41, 37}};
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const Interpolation method : kMethods) {
      for (const Size size : {Size{45, 31}, {38, 40}}) {
        NoiseImage image = Noise(sampling, size, 1, method);
        const int w = size.width;
        const int h = size.height;
        for (const Rect& crop : {Whole(size), Rect{0, 0, 20, 17}, Rect{w - 19, h - 14, 19, 14},
                                 Rect{7, 0, 9, h}, Rect{0, 11, w, 8}, Rect{5, 6, 23, 15},
                                 Rect{8, 9, 1, 1}, Rect{w - 1, 3, 1, 20}, Rect{9, h - 2, 13, 2}}) {
          for (const Size out : kOuts) {
            const Rect part{out.width / 3, out.height / 4, (out.width + 1) / 2,
                            (out.height + 2) / 3};
            for (const Rect& window : {Whole(out), part}) {
              const PlaneResize resize{crop, out, window, method, 1};
              ExpectResized(&resizer, &image, resize);
              if (HasFatalFailure()) FAIL() << Text(sampling, size, resize);
            }
          }
        }
      }
    }
  }
}

TEST(PlaneResizerTest, TinyImagesAreResized) {
  PlaneResizer resizer(std::make_shared<PlaneWeightCache>());
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (int width = 1; width <= 6; ++width) {
      for (int height = 1; height <= 6; ++height) {
        const Size size{width, height};
        NoiseImage image = Noise(sampling, size, 1, Interpolation::kBilinear);
        for (const Size out : {Size{1, 1}, {4, 3}, {9, 9}}) {
          const PlaneResize resize{Whole(size), out, Whole(out), Interpolation::kBilinear, 1};
          ExpectResized(&resizer, &image, resize);
          if (HasFatalFailure()) FAIL() << Text(sampling, size, resize);
        }
      }
    }
  }
}

TEST(PlaneResizerTest, ReducedPlanesAreResizedFromBetweenTheirSamples) {
  PlaneResizer resizer(std::make_shared<PlaneWeightCache>());
  std::mt19937 random(3);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const int scale : {2, 4, 8}) {
      const Size size{211 + scale, 160};
      NoiseImage image = Noise(sampling, size, scale, Interpolation::kBilinear);
      for (int i = 0; i < 8; ++i) {
        const int width = 100 + below(size.width - 100);
        const int height = 100 + below(size.height - 100);
        const Rect crop{below(size.width - width + 1), below(size.height - height + 1), width,
                        height};
        const Size out{1 + below(8), 1 + below(8)};
        const PlaneResize resize{crop, out, Whole(out), Interpolation::kBilinear, 1};
        ExpectResized(&resizer, &image, resize);
        if (HasFatalFailure()) FAIL() << Text(sampling, size, resize) << ", scale " << scale;
      }
    }
  }
}

// The columns first where that leaves fewer rows for the other pass. Each pass rounds,
// so that the order shows.
TEST(PlaneResizerTest, ThePassAlongRowsHasAsFewRowsAsMayBe) {
  NoiseImage image = Noise(kJpegSamplings[5], {90, 70}, 1, Interpolation::kBilinear);
  PlaneResizer resizer(std::make_shared<PlaneWeightCache>());
  for (const int height : {10, 49, 51, 120}) {
    const Rect crop{10, 5, 60, 50};
    const Size out{40, height};
    image.Show(crop);
    const PlaneView& in = image.planes.plane[0];
    PlaneWeights across;
    PlaneWeights down;
    across.Compute(image.Line(in, crop, true).Axis(out.width, Interpolation::kBilinear));
    down.Compute(image.Line(in, crop, false).Axis(out.height, Interpolation::kBilinear));
    const YccPlanes result =
        resizer.Resize({crop, out, Whole(out), Interpolation::kBilinear, 1}, image.planes);
    // From the crop's left top on, which is sample 1 of either axis.
    const PlaneRows source{in.samples, in.row_bytes, 1, 1};
    std::vector<uint8_t> between(size_t{64} * 130);
    std::vector<uint8_t> expected(size_t{64} * 130);
    const MutablePlaneRows to{expected.data(), 64, out.width, out.height};
    for (const bool columns_first : {true, false}) {
      if (columns_first) {
        ResizePlaneColumnsScalar(source, down, {between.data(), 64, crop.width, out.height});
        ResizePlaneRowsScalar({between.data(), 64, 1, 0}, across, to);
      } else {
        ResizePlaneRowsScalar(source, across, {between.data(), 64, out.width, crop.height});
        ResizePlaneColumnsScalar({between.data(), 64, 0, 1}, down, to);
      }
      bool same = true;
      for (int y = 0; y < out.height; ++y) {
        const uint8_t* row = result.plane[0].row(y);
        same = same && std::equal(row, row + out.width, expected.data() + ptrdiff_t{64} * y);
      }
      ASSERT_EQ(same, columns_first == (height <= crop.height)) << "to " << height << " rows";
    }
  }
}

TEST(PlaneResizerTest, ResultsDoNotDependOnTheCacheNorOnWhatWasDoneBefore) {
  PlaneResizer cached(std::make_shared<PlaneWeightCache>());
  PlaneResizer uncached(std::make_shared<PlaneWeightCache>(0));
  for (const JpegSampling& sampling : kJpegSamplings) {
    NoiseImage image = Noise(sampling, {90, 70}, 1, Interpolation::kBilinear);
    for (const Rect& crop : {Rect{10, 20, 70, 30}, Rect{1, 1, 3, 60}, Rect{30, 30, 30, 30}}) {
      const PlaneResize resize{crop, {40, 30}, {0, 0, 40, 30}, Interpolation::kBicubic, 1};
      image.Show(crop);
      PlaneResizer fresh(std::make_shared<PlaneWeightCache>());
      const YccPlanes expected = fresh.Resize(resize, image.planes);
      for (PlaneResizer* resizer : {&cached, &uncached, &cached, &uncached}) {
        const YccPlanes result = resizer->Resize(resize, image.planes);
        for (size_t c = 0; c < static_cast<size_t>(result.count); ++c) {
          for (int y = 0; y < 30; ++y) {
            ASSERT_TRUE(std::equal(result.plane[c].row(y), result.plane[c].row(y) + 40,
                                   expected.plane[c].row(y)));
          }
        }
        resizer->ShrinkTo(0);
      }
    }
  }
}

}  // namespace
}  // namespace stoker
