#include "codec/jpeg/baseline_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "support/jpeg_samplings.h"
#include "support/jpeg_writer.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSampling;
using testing::JpegSpec;
using testing::kJpegSamplings;
using testing::MakeJpeg;
using testing::Span;

// The samples of what `view` has, row by row.
Bytes Samples(const PlaneView& view) {
  Bytes out;
  for (int y = view.rect.top; y < view.rect.bottom(); ++y) {
    out.insert(out.end(), view.row(y), view.row(y) + view.rect.width);
  }
  return out;
}

// The planes of a whole image, which outlive the decoder's.
struct WholeImage {
  YccPlanes planes;
  std::array<Bytes, 3> samples;

  WholeImage(const Bytes& jpeg, Size size) {
    BaselineDecoder decoder;
    EXPECT_TRUE(decoder.Open(Span(jpeg)));
    EXPECT_EQ(decoder.size(), size);
    EXPECT_TRUE(decoder.Decode(Whole(size), /*dct_scale=*/1, &planes));
    for (size_t c = 0; c < static_cast<size_t>(planes.count); ++c) {
      PlaneView& p = planes.plane[c];
      EXPECT_EQ(p.rect, Whole(p.size));
      samples[c] = Samples(p);
      p.samples = samples[c].data();
      p.row_bytes = p.size.width;
    }
  }
};

// What the upsampling looks at: the samples under the region, and for chroma of lower resolution
// the ones beside them, as far as the image goes.
Rect Needed(const PlaneView& p, const Rect& region) {
  const int margin_x = p.h_factor > 1 ? 1 : 0;
  const int margin_y = p.v_factor > 1 ? 1 : 0;
  // The neighbour of the first pixel's sample is looked at only for its nearer half.
  const int left = std::max(0, region.left - margin_x) / p.h_factor;
  const int top = std::max(0, region.top - margin_y) / p.v_factor;
  const int right = std::min(p.size.width, (region.right() - 1 + margin_x) / p.h_factor + 1);
  const int bottom = std::min(p.size.height, (region.bottom() - 1 + margin_y) / p.v_factor + 1);
  return {left, top, right - left, bottom - top};
}

void ExpectPartOf(const WholeImage& whole, const YccPlanes& planes, const Rect& region) {
  ASSERT_EQ(planes.count, whole.planes.count);
  for (size_t c = 0; c < static_cast<size_t>(planes.count); ++c) {
    const PlaneView& p = planes.plane[c];
    const PlaneView& all = whole.planes.plane[c];
    ASSERT_EQ(p.size, all.size);
    ASSERT_EQ(p.h_factor, all.h_factor);
    ASSERT_EQ(p.v_factor, all.v_factor);
    ASSERT_EQ(p.triangle, all.triangle);
    ASSERT_TRUE(Whole(p.size).Contains(p.rect));
    ASSERT_TRUE(p.rect.Contains(Needed(p, region))) << "plane " << c;
    ASSERT_GE(p.row_bytes, p.rect.width);
    for (int y = p.rect.top; y < p.rect.bottom(); ++y) {
      ASSERT_TRUE(std::equal(p.row(y), p.row(y) + p.rect.width, all.row(y) + p.rect.left))
          << "plane " << c << ", row " << y;
    }
  }
}

TEST(BaselineDecoder, PlanesHaveTheGeometryOfTheSampling) {
  const Size size{101, 67};
  for (const JpegSampling& s : kJpegSamplings) {
    const WholeImage whole(MakeJpeg(s.Spec(size, 1)), size);
    ASSERT_EQ(whole.planes.count, s.components);
    EXPECT_EQ(whole.planes.plane[0].size, size);
    EXPECT_FALSE(whole.planes.plane[0].triangle);
    for (size_t c = 0; c < static_cast<size_t>(s.components); ++c) {
      const PlaneView& p = whole.planes.plane[c];
      EXPECT_EQ(p.h_factor, c == 0 ? 1 : s.h);
      EXPECT_EQ(p.v_factor, c == 0 ? 1 : s.v);
      if (c == 0) continue;
      EXPECT_EQ(p.size, (Size{(size.width + s.h - 1) / s.h, (size.height + s.v - 1) / s.v}));
      EXPECT_EQ(p.triangle, s.h == 2 || s.v == 2) << s.name;
    }
  }
}

// At every sampling, with restart intervals that end anywhere in a row, crops that begin behind
// restart markers among them. One decoder for all.
TEST(BaselineDecoder, PartsEqualThePartsOfTheWhole) {
  std::mt19937 random(1);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  BaselineDecoder decoder;
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const Size size : {Size{1, 1}, {5, 90}, {64, 48}, {131, 97}, {200, 33}}) {
      for (const int interval : {0, 1, 3, 4, 7, 1000}) {
        JpegSpec spec = sampling.Spec(size, static_cast<uint32_t>(interval + size.width));
        spec.restart_interval = interval;
        const Bytes jpeg = MakeJpeg(spec);
        const WholeImage whole(jpeg, size);
        for (int i = 0; i < 30; ++i) {
          const int left = below(size.width);
          const int top = below(size.height);
          const Rect region{left, top, 1 + below(size.width - left), 1 + below(size.height - top)};
          YccPlanes planes;
          ASSERT_TRUE(decoder.Open(Span(jpeg)));
          ASSERT_TRUE(decoder.Decode(region, /*dct_scale=*/1, &planes));
          ExpectPartOf(whole, planes, region);
          if (HasFatalFailure()) {
            FAIL() << sampling.name << ", " << size.width << " x " << size.height << ", interval "
                   << interval << ", " << region.width << " x " << region.height << " at (" << left
                   << ", " << top << ")";
          }
        }
      }
    }
    decoder.ShrinkTo(0);
  }
}

// One pixel at each side of every block's edge: whether its neighbours' chroma is there.
TEST(BaselineDecoder, SinglePixelsComeWithTheirNeighbours) {
  const Size size{67, 35};
  BaselineDecoder decoder;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 3));
    const WholeImage whole(jpeg, size);
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        if ((x + 1) % 8 > 1 && (y + 1) % 8 > 1) continue;
        YccPlanes planes;
        ASSERT_TRUE(decoder.Open(Span(jpeg)) &&
                    decoder.Decode({x, y, 1, 1}, /*dct_scale=*/1, &planes));
        ExpectPartOf(whole, planes, {x, y, 1, 1});
        if (HasFatalFailure()) FAIL() << sampling.name << " at (" << x << ", " << y << ")";
      }
    }
  }
}

// Only the MCUs that a part needs are decoded: no more than one beside it.
TEST(BaselineDecoder, NoMoreIsDecodedThanAPartNeeds) {
  const Size size{640, 480};
  BaselineDecoder decoder;
  for (const JpegSampling& s : kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(s.Spec(size, 4));
    YccPlanes planes;
    ASSERT_TRUE(decoder.Open(Span(jpeg)) &&
                decoder.Decode({300, 200, 50, 60}, /*dct_scale=*/1, &planes));
    EXPECT_LE(planes.plane[0].rect.width, 50 + 4 * 8 * s.h);
    EXPECT_LE(planes.plane[0].rect.height, 60 + 4 * 8 * s.v);
  }
}

size_t ScanBegin(const Bytes& jpeg) {
  JpegHeader header;
  EXPECT_TRUE(ParseJpegHeader(Span(jpeg), &header));
  return header.scan_begin;
}

bool Decodes(const Bytes& jpeg, const Rect& region) {
  BaselineDecoder decoder;
  YccPlanes planes;
  return decoder.Open(Span(jpeg)) && decoder.Decode(region, /*dct_scale=*/1, &planes);
}

TEST(BaselineDecoder, DataBehindTheLastRowAreNotLookedAt) {
  JpegSpec spec;
  spec.width = spec.height = 128;
  Bytes jpeg = MakeJpeg(spec);
  // No code is all ones. The last bytes are of the last row.
  const size_t end = jpeg.size() - 2;
  for (size_t i = end - 60; i < end; ++i) jpeg[i] = i % 2 == end % 2 ? 0xFF : 0;
  EXPECT_TRUE(Decodes(jpeg, {0, 0, 128, 90}));
  EXPECT_FALSE(Decodes(jpeg, {0, 0, 128, 128}));
  EXPECT_FALSE(Decodes(jpeg, {120, 127, 1, 1}));
}

TEST(BaselineDecoder, TooFewOrTooManyDataAreDeclined) {
  for (const int interval : {0, 1, 4}) {
    JpegSpec spec;
    spec.restart_interval = interval;
    const Bytes jpeg = MakeJpeg(spec);
    const Rect whole{0, 0, spec.width, spec.height};
    const size_t scan = ScanBegin(jpeg);
    ASSERT_TRUE(Decodes(jpeg, whole));
    // Cut anywhere in the scan, with the end marker there again.
    for (size_t size = scan; size + 3 < jpeg.size(); ++size) {
      if (jpeg[size - 1] == 0xFF) continue;
      Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size));
      testing::Append(&cut, {0xFF, 0xD9});
      ASSERT_FALSE(Decodes(cut, whole)) << "cut to " << size << " of " << jpeg.size();
    }
    // A restart marker more than there should be.
    Bytes more(jpeg.begin(), jpeg.end() - 2);
    const int markers = interval == 0 ? 0 : (4 * 3 + interval - 1) / interval - 1;
    testing::Append(&more, {0xFF, static_cast<uint8_t>(0xD0 + markers % 8), 0, 0, 0xFF, 0xD9});
    EXPECT_FALSE(Decodes(more, whole));
  }
}

// Without the last three bytes of restart interval `n`, which may not be the last one.
Bytes WithShortInterval(const Bytes& jpeg, int n) {
  size_t end = ScanBegin(jpeg);
  while (jpeg[end] != 0xFF || jpeg[end + 1] != 0xD0 + n) ++end;
  const auto at = jpeg.begin() + static_cast<std::ptrdiff_t>(end);
  Bytes out(jpeg.begin(), at - 3);
  out.insert(out.end(), at, jpeg.end());
  return out;
}

TEST(BaselineDecoder, OnlyPartsThatNeedItNoticeAnIntervalThatEndsTooEarly) {
  JpegSpec spec;
  spec.width = spec.height = 64;
  spec.restart_interval = 2;  // half a row of MCUs
  const Bytes jpeg = MakeJpeg(spec);
  const Bytes first = WithShortInterval(jpeg, 0);
  EXPECT_FALSE(Decodes(first, {0, 0, 64, 64}));
  EXPECT_FALSE(Decodes(first, {24, 0, 4, 4}));
  EXPECT_TRUE(Decodes(first, {40, 0, 8, 8}));  // from its marker on
  EXPECT_TRUE(Decodes(first, {40, 40, 8, 8}));
  const Bytes second = WithShortInterval(jpeg, 1);
  EXPECT_FALSE(Decodes(second, {0, 0, 64, 64}));
  EXPECT_FALSE(Decodes(second, {60, 0, 4, 4}));
  EXPECT_TRUE(Decodes(second, {0, 0, 16, 64}));  // left out between two rows
}

TEST(BaselineDecoder, IsUsableAfterAFileThatItDeclined) {
  BaselineDecoder decoder;
  const Bytes jpeg = MakeJpeg({});
  Bytes cut = jpeg;
  cut.resize(cut.size() - 200);
  const WholeImage whole(jpeg, {64, 48});
  YccPlanes planes;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(decoder.Open(Span({1, 2, 3})));
    ASSERT_TRUE(decoder.Open(Span(cut)));
    EXPECT_FALSE(decoder.Decode({0, 0, 64, 48}, /*dct_scale=*/1, &planes));
    ASSERT_TRUE(decoder.Open(Span(jpeg)) &&
                decoder.Decode({0, 0, 64, 48}, /*dct_scale=*/1, &planes));
    ExpectPartOf(whole, planes, {0, 0, 64, 48});
  }
}

}  // namespace
}  // namespace stoker
