#include "codec/jpeg/planes_to_rgb.h"

#include <algorithm>
#include <cstring>

#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/jpeg/planes_to_rgb.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

#include "base/ycc_color-inl.h"

// Note [Fancy upsampling]
// Across, sample i becomes two pixels: 3/4 of itself and 1/4 of its left or right neighbour. Down,
// the same with the row above or below. Where both are doubled, rows are added up first, to
// 3 · near + far, and rounded once, in the end. Beyond the plane's edge its outermost sample goes
// on. The constants that are added before a shift alternate, so that errors cancel.

#ifndef STOKER_CODEC_JPEG_PLANES_TO_RGB_ROWS_
#define STOKER_CODEC_JPEG_PLANES_TO_RGB_ROWS_
namespace stoker {

// How one chroma row is brought to luma's resolution.
struct ChromaRow {
  const PlaneView* plane;
  int near;  // plane rows, far == near where there is only one to look at
  int far;
  bool upper;  // the upper of the two image rows that `near` becomes

  ChromaRow(const PlaneView& p, int image_row) : plane(&p) {
    near = far = image_row / p.v_factor;
    upper = image_row % 2 == 0;
    if (p.triangle && p.v_factor == 2) {
      far = std::min(p.size.height - 1, std::max(0, upper ? near - 1 : near + 1));
    }
  }
};

}  // namespace stoker
#endif  // STOKER_CODEC_JPEG_PLANES_TO_RGB_ROWS_

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void PlanesToRgbSimd(const YccPlanes& planes, const Rect& region, ByteBuffer* scratch,
                     const MutableImageView& out) {
  PlanesToRgbScalar(planes, region, scratch, out);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

using D16 = hn::CappedTag<int16_t, 32>;
using D8 = hn::Rebind<uint8_t, D16>;

// 3 · near + far for `count` samples, to sums[0 .. count), one vector beyond its end at most.
void AddRows(const uint8_t* near, const uint8_t* far, int count, int16_t* sums) {
  const D16 d16;
  const D8 d8;
  for (int i = 0; i < count; i += static_cast<int>(hn::Lanes(d16))) {
    const auto n = hn::PromoteTo(d16, hn::LoadU(d8, near + i));
    const auto f = hn::PromoteTo(d16, hn::LoadU(d8, far + i));
    hn::StoreU(hn::Add(hn::Add(n, hn::Add(n, n)), f), d16, sums + i);
  }
}

// Two pixels a sample: sums[-1] and sums[count] are the neighbours. kShift: 2 for samples, 4 for
// sums of rows.
template <int kShift>
void DoubleColumns(const int16_t* sums, int count, uint8_t* out) {
  const D16 d16;
  const D8 d8;
  const auto left_half = hn::Set(d16, kShift == 2 ? 1 : 8);
  const auto right_half = hn::Set(d16, kShift == 2 ? 2 : 7);
  for (int i = 0; i < count; i += static_cast<int>(hn::Lanes(d16))) {
    const auto s = hn::LoadU(d16, sums + i);
    const auto s3 = hn::Add(s, hn::Add(s, s));
    const auto left = hn::Add(hn::Add(s3, hn::LoadU(d16, sums + i - 1)), left_half);
    const auto right = hn::Add(hn::Add(s3, hn::LoadU(d16, sums + i + 1)), right_half);
    hn::StoreInterleaved2(hn::DemoteTo(d8, hn::ShiftRight<kShift>(left)),
                          hn::DemoteTo(d8, hn::ShiftRight<kShift>(right)), d8, out + 2 * i);
  }
}

// (3 · near + far + half) >> 2.
void BlendRows(const uint8_t* near, const uint8_t* far, int count, bool upper, uint8_t* out) {
  const D16 d16;
  const D8 d8;
  const auto half = hn::Set(d16, upper ? 1 : 2);
  for (int i = 0; i < count; i += static_cast<int>(hn::Lanes(d16))) {
    const auto n = hn::PromoteTo(d16, hn::LoadU(d8, near + i));
    const auto f = hn::PromoteTo(d16, hn::LoadU(d8, far + i));
    const auto sum = hn::Add(hn::Add(n, hn::Add(n, n)), hn::Add(f, half));
    hn::StoreU(hn::DemoteTo(d8, hn::ShiftRight<2>(sum)), d8, out + i);
  }
}

void WriteRgb(const uint8_t* y, const uint8_t* cb, const uint8_t* cr, int width, uint8_t* rgb) {
  const D8 d8;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D16()));
  int x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    const YccToRgbVector<D16> p(hn::LoadU(d8, y + x), hn::LoadU(d8, cb + x), hn::LoadU(d8, cr + x));
    hn::StoreInterleaved3(p.r, p.g, p.b, d8, rgb + x * kChannels);
  }
  if (x < width) {
    alignas(64) uint8_t tail[kLanes * kChannels];
    const YccToRgbVector<D16> p(hn::LoadU(d8, y + x), hn::LoadU(d8, cb + x), hn::LoadU(d8, cr + x));
    hn::StoreInterleaved3(p.r, p.g, p.b, d8, tail);
    std::memcpy(rgb + x * kChannels, tail, static_cast<size_t>(width - x) * kChannels);
  }
}

void WriteGray(const uint8_t* y, int width, uint8_t* rgb) {
  const D8 d8;
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(D16()));
  int x = 0;
  for (; x + kLanes <= width; x += kLanes) {
    const auto v = hn::LoadU(d8, y + x);
    hn::StoreInterleaved3(v, v, v, d8, rgb + x * kChannels);
  }
  for (; x < width; ++x) std::memset(rgb + x * kChannels, y[x], kChannels);
}

// Scratch for one chroma row: sums with room for neighbours and a vector on either side, and the
// row itself, with a vector behind it.
struct ChromaScratch {
  static constexpr int kMargin = 64;
  int16_t* sums;
  uint8_t* row;

  static size_t Bytes(int width) {
    const auto w = static_cast<size_t>(width) + 2 * kMargin;
    return w * sizeof(int16_t) + 2 * w;
  }
  ChromaScratch(uint8_t* memory, int width)
      : sums(reinterpret_cast<int16_t*>(memory) + kMargin),
        row(memory + (static_cast<size_t>(width) + 2 * kMargin) * sizeof(int16_t)) {}
};

// The chroma samples of the pixels [left, left + width) of an image row.
const uint8_t* UpsampledRow(const ChromaRow& chroma, int left, int width,
                            const ChromaScratch& scratch) {
  const PlaneView& p = *chroma.plane;
  const uint8_t* near = p.row(chroma.near) - p.rect.left;
  const uint8_t* far = p.row(chroma.far) - p.rect.left;
  if (p.h_factor == 1 && p.v_factor == 1) return near + left;
  if (!p.triangle) {
    for (int x = 0; x < width; ++x) scratch.row[x] = near[(left + x) / p.h_factor];
    return scratch.row;
  }
  if (p.h_factor == 1) {
    BlendRows(near + left, far + left, width, chroma.upper, scratch.row);
    return scratch.row;
  }
  const int begin = left / 2;
  const int end = (left + width + 1) / 2;
  const int count = end - begin;
  int16_t* const sums = scratch.sums;
  const bool rows = p.v_factor == 2;
  const auto sum = [&](int i) {
    const int at = std::min(p.size.width - 1, std::max(0, i));
    return static_cast<int16_t>(rows ? 3 * near[at] + far[at] : near[at]);
  };
  if (rows) {
    AddRows(near + begin, far + begin, count, sums);
  } else {
    const D16 d16;
    const D8 d8;
    for (int i = 0; i < count; i += static_cast<int>(hn::Lanes(d16))) {
      hn::StoreU(hn::PromoteTo(d16, hn::LoadU(d8, near + begin + i)), d16, sums + i);
    }
  }
  // A neighbour that no pixel looks at may not be there.
  sums[-1] = left % 2 == 0 ? sum(begin - 1) : int16_t{0};
  sums[count] = (left + width) % 2 == 0 ? sum(end) : int16_t{0};
  if (rows) {
    DoubleColumns<4>(sums, count, scratch.row);
  } else {
    DoubleColumns<2>(sums, count, scratch.row);
  }
  return scratch.row + left % 2;
}

void PlanesToRgbSimd(const YccPlanes& planes, const Rect& region, ByteBuffer* scratch,
                     const MutableImageView& out) {
  const size_t bytes = ChromaScratch::Bytes(region.width);
  uint8_t* const memory = scratch->Reserve(2 * bytes);
  const ChromaScratch cb_scratch(memory, region.width);
  const ChromaScratch cr_scratch(memory + bytes, region.width);
  for (int i = 0; i < region.height; ++i) {
    const int y = region.top + i;
    const PlaneView& luma = planes.plane[0];
    const uint8_t* const luma_row = luma.row(y) - luma.rect.left + region.left;
    if (planes.count == 1) {
      WriteGray(luma_row, region.width, out.row(i));
      continue;
    }
    const uint8_t* const cb =
        UpsampledRow(ChromaRow(planes.plane[1], y), region.left, region.width, cb_scratch);
    const uint8_t* const cr =
        UpsampledRow(ChromaRow(planes.plane[2], y), region.left, region.width, cr_scratch);
    WriteRgb(luma_row, cb, cr, region.width, out.row(i));
  }
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stoker {
namespace {

HWY_EXPORT(PlanesToRgbSimd);

// One chroma sample at luma's resolution.
uint8_t ChromaAt(const ChromaRow& chroma, int x) {
  const PlaneView& p = *chroma.plane;
  const uint8_t* near = p.row(chroma.near) - p.rect.left;
  const uint8_t* far = p.row(chroma.far) - p.rect.left;
  const int column = x / p.h_factor;
  if (!p.triangle) return near[column];
  if (p.h_factor == 1) {
    return static_cast<uint8_t>((3 * near[x] + far[x] + (chroma.upper ? 1 : 2)) >> 2);
  }
  const bool right = x % 2 != 0;
  const int beside = std::min(p.size.width - 1, std::max(0, right ? column + 1 : column - 1));
  if (p.v_factor == 1) {
    return static_cast<uint8_t>((3 * near[column] + near[beside] + (right ? 2 : 1)) >> 2);
  }
  const int here = 3 * near[column] + far[column];
  const int there = 3 * near[beside] + far[beside];
  return static_cast<uint8_t>((3 * here + there + (right ? 7 : 8)) >> 4);
}

}  // namespace

void PlanesToRgb(const YccPlanes& planes, const Rect& region, ByteBuffer* scratch,
                 const MutableImageView& out) {
  HWY_DYNAMIC_DISPATCH(PlanesToRgbSimd)(planes, region, scratch, out);
}

void PlanesToRgbScalar(const YccPlanes& planes, const Rect& region, ByteBuffer* /*scratch*/,
                       const MutableImageView& out) {
  for (int i = 0; i < region.height; ++i) {
    const int y = region.top + i;
    const PlaneView& luma = planes.plane[0];
    uint8_t* rgb = out.row(i);
    for (int x = region.left; x < region.right(); ++x, rgb += kChannels) {
      const uint8_t sample = luma.row(y)[x - luma.rect.left];
      if (planes.count == 1) {
        std::memset(rgb, sample, kChannels);
        continue;
      }
      const Rgb pixel = YccToRgb(sample, ChromaAt(ChromaRow(planes.plane[1], y), x),
                                 ChromaAt(ChromaRow(planes.plane[2], y), x));
      rgb[0] = pixel.r;
      rgb[1] = pixel.g;
      rgb[2] = pixel.b;
    }
  }
}

}  // namespace stoker
#endif  // HWY_ONCE
