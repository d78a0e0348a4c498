#include "image/resize_kernels.h"

#include <algorithm>
#include <cstring>

#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "image/resize_kernels.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

#include "base/load_blocks-inl.h"

// Note [Sixteen-bit products]
// A weight has up to 24 bits and a pixel 8, but the fast multiply-and-add takes 16-bit factors. So
// Σ w·p = (Σ high·p << kLowBits) + Σ low·p with w = (high << kLowBits) + low: two 16-bit
// multiply-and-adds in place of one 32-bit multiplication, which is slower than both together.
// Either sum may wrap around 2^32; the true one fits 32 bits, so what is put together is exact.

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void ResizeRowsSimd(const ImageView& in, const ResizeWeights& weights, int in_left,
                    const MutableImageView& out) {
  ResizeRowsScalar(in, weights, in_left, out);
}

void ResizeColumnsSimd(const ImageView& in, const ResizeWeights& weights, int in_top,
                       const MutableImageView& out) {
  ResizeColumnsScalar(in, weights, in_top, out);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

// Sums of 16-bit products in 32-bit lanes, lane i holding the products of 16-bit lanes 2i, 2i + 1.
template <class D32>
struct Sums {
  using V = hn::Vec<D32>;
  V low0, low1, high0, high1;

  explicit Sums(D32 d)
      : low0(hn::Zero(d)), low1(hn::Zero(d)), high0(hn::Zero(d)), high1(hn::Zero(d)) {}

  template <class V16>
  HWY_INLINE void Add(D32 d, V16 pixels, V16 low, V16 high) {
    low0 = hn::ReorderWidenMulAccumulate(d, pixels, low, low0, low1);
    high0 = hn::ReorderWidenMulAccumulate(d, pixels, high, high0, high1);
  }
  // The rounded sums, not yet limited to 0..255.
  HWY_INLINE V Rounded(D32 d) const {
    const V low = hn::RearrangeToOddPlusEven(low0, low1);
    const V high = hn::RearrangeToOddPlusEven(high0, high1);
    const V half = hn::Set(d, 1 << (kWeightBits - 1));
    return hn::ShiftRight<kWeightBits>(hn::ShiftLeft<kLowBits>(high) + low + half);
  }
};

// Lanes of one 16-byte block holding pixels p0 … p3 of three bytes each, for TableLookupBytesOr0:
// taps 0 and 1 as (p0.r 0 p1.r 0 | p0.g 0 p1.g 0 | p0.b 0 p1.b 0 | 0 0 0 0), and 2 and 3 likewise.
alignas(16) constexpr uint8_t kTaps01[16] = {0, 128, 3, 128, 1,   128, 4,   128,
                                             2, 128, 5, 128, 128, 128, 128, 128};
alignas(16) constexpr uint8_t kTaps23[16] = {6, 128, 9,  128, 7,   128, 10,  128,
                                             8, 128, 11, 128, 128, 128, 128, 128};

// As many rows at once as the vector has 16-byte blocks: all need the same weights.
template <class D8>
HWY_INLINE void RowsAtOnce(D8 d8, const uint8_t* in, ptrdiff_t in_row_bytes,
                           const ResizeWeights& weights, int in_left, uint8_t* out,
                           ptrdiff_t out_row_bytes) {
  const hn::Repartition<int16_t, D8> d16;
  const hn::Repartition<int32_t, D8> d32;
  const hn::Repartition<uint32_t, D8> du32;
  const hn::Rebind<uint8_t, decltype(d32)> d8_out;
  constexpr size_t kRows = hn::MaxLanes(D8()) / 16;
  const auto taps01 = hn::LoadDup128(d8, kTaps01);
  const auto taps23 = hn::LoadDup128(d8, kTaps23);
  const size_t pairs = static_cast<size_t>(weights.padded_taps) / 2;
  const size_t outputs = weights.runs.size();
  const uint32_t* low = weights.low_pairs.data();
  const uint32_t* high = weights.high_pairs.data();
  for (size_t x = 0; x < outputs; ++x, low += pairs, high += pairs) {
    const ResizeWeights::Run run = weights.runs[x];
    const uint8_t* from = in + static_cast<ptrdiff_t>(run.begin - in_left) * kChannels;
    Sums<decltype(d32)> sums(d32);
    for (int k = 0; k < run.taps; k += kTapGroup, from += kTapGroup * kChannels) {
      const auto pixels = LoadBlocks(d8, from, in_row_bytes);
      const auto p01 = hn::BitCast(d16, hn::TableLookupBytesOr0(pixels, taps01));
      const auto p23 = hn::BitCast(d16, hn::TableLookupBytesOr0(pixels, taps23));
      const uint32_t* l = low + k / 2;
      const uint32_t* h = high + k / 2;
      sums.Add(d32, p01, hn::BitCast(d16, hn::Set(du32, l[0])),
               hn::BitCast(d16, hn::Set(du32, h[0])));
      sums.Add(d32, p23, hn::BitCast(d16, hn::Set(du32, l[1])),
               hn::BitCast(d16, hn::Set(du32, h[1])));
    }
    alignas(16) uint8_t rgb0[kRows * 4];
    hn::Store(hn::DemoteTo(d8_out, sums.Rounded(d32)), d8_out, rgb0);
    uint8_t* to = out + static_cast<ptrdiff_t>(x) * kChannels;
    if (HWY_LIKELY(x + 1 < outputs)) {  // the fourth byte is overwritten by the next pixel
      for (size_t r = 0; r < kRows; ++r, to += out_row_bytes) std::memcpy(to, rgb0 + 4 * r, 4);
    } else {
      for (size_t r = 0; r < kRows; ++r, to += out_row_bytes) std::memcpy(to, rgb0 + 4 * r, 3);
    }
  }
}

void ResizeRowsSimd(const ImageView& in, const ResizeWeights& weights, int in_left,
                    const MutableImageView& out) {
  const hn::CappedTag<uint8_t, 64> wide;
  const hn::FixedTag<uint8_t, 16> narrow;
  constexpr int kRows = static_cast<int>(hn::MaxLanes(wide) / 16);
  int y = 0;
  for (; y + kRows <= in.size.height; y += kRows) {
    RowsAtOnce(wide, in.row(y), in.row_bytes, weights, in_left, out.row(y), out.row_bytes);
  }
  for (; y < in.size.height; ++y) {
    RowsAtOnce(narrow, in.row(y), in.row_bytes, weights, in_left, out.row(y), out.row_bytes);
  }
}

// Lanes(d16) bytes of one output row, from column byte `x` on.
template <class D16>
HWY_INLINE void ColumnChunk(D16 d16, const uint8_t* in, ptrdiff_t row_bytes, int taps,
                            const uint32_t* low, const uint32_t* high, size_t x, uint8_t* out) {
  const hn::RepartitionToWide<D16> d32;
  const hn::Repartition<uint32_t, D16> du32;
  const hn::Rebind<uint8_t, D16> d8;
  Sums<decltype(d32)> lower(d32);
  Sums<decltype(d32)> upper(d32);
  const uint8_t* row = in + x;
  for (int k = 0; k < taps; k += 2, row += 2 * row_bytes, ++low, ++high) {
    // The last of an odd number of taps has weight zero: any row will do for it.
    const uint8_t* next = k + 1 < taps ? row + row_bytes : row;
    const auto a = hn::PromoteTo(d16, hn::LoadU(d8, row));
    const auto b = hn::PromoteTo(d16, hn::LoadU(d8, next));
    const auto l = hn::BitCast(d16, hn::Set(du32, *low));
    const auto h = hn::BitCast(d16, hn::Set(du32, *high));
    lower.Add(d32, hn::InterleaveLower(d16, a, b), l, h);
    upper.Add(d32, hn::InterleaveUpper(d16, a, b), l, h);
  }
  // Interleaving and demoting both go by 16-byte blocks, so the order comes out right.
  const auto both = hn::ReorderDemote2To(d16, lower.Rounded(d32), upper.Rounded(d32));
  hn::StoreU(hn::DemoteTo(d8, both), d8, out + x);
}

void ResizeColumnsSimd(const ImageView& in, const ResizeWeights& weights, int in_top,
                       const MutableImageView& out) {
  const hn::ScalableTag<int16_t> wide;
  const hn::FixedTag<int16_t, 8> narrow;
  const size_t pairs = static_cast<size_t>(weights.padded_taps) / 2;
  const size_t bytes = static_cast<size_t>(out.size.width) * kChannels;
  for (int y = 0; y < out.size.height; ++y) {
    const ResizeWeights::Run run = weights.runs[static_cast<size_t>(y)];
    const uint8_t* from = in.row(run.begin - in_top);
    const uint32_t* low = weights.low_pairs.data() + static_cast<size_t>(y) * pairs;
    const uint32_t* high = weights.high_pairs.data() + static_cast<size_t>(y) * pairs;
    uint8_t* to = out.row(y);
    size_t x = 0;
    for (; x + hn::Lanes(wide) <= bytes; x += hn::Lanes(wide)) {
      ColumnChunk(wide, from, in.row_bytes, run.taps, low, high, x, to);
    }
    for (; x + 8 <= bytes; x += 8) {
      ColumnChunk(narrow, from, in.row_bytes, run.taps, low, high, x, to);
    }
    if (x < bytes) {  // the tail: a whole chunk into a scratch, reading into the rows' padding
      uint8_t tail[8];
      ColumnChunk(narrow, from + x, in.row_bytes, run.taps, low, high, 0, tail);
      std::memcpy(to + x, tail, bytes - x);
    }
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

HWY_EXPORT(ResizeRowsSimd);
HWY_EXPORT(ResizeColumnsSimd);

uint8_t RoundAndClip(uint32_t sum) {
  const int32_t value = static_cast<int32_t>(sum + (1U << (kWeightBits - 1))) >> kWeightBits;
  return static_cast<uint8_t>(std::min(255, std::max(0, value)));
}

// One output: taps of one channel, `step` bytes apart. Sums wrap like the kernels'.
uint8_t WeightedSum(const uint8_t* from, ptrdiff_t step, const int32_t* weights, int taps) {
  uint32_t sum = 0;
  for (int k = 0; k < taps; ++k) {
    sum += static_cast<uint32_t>(weights[k]) * from[k * step];
  }
  return RoundAndClip(sum);
}

}  // namespace

void ResizeRows(const ImageView& in, const ResizeWeights& weights, int in_left,
                const MutableImageView& out) {
  HWY_DYNAMIC_DISPATCH(ResizeRowsSimd)(in, weights, in_left, out);
}

void ResizeColumns(const ImageView& in, const ResizeWeights& weights, int in_top,
                   const MutableImageView& out) {
  HWY_DYNAMIC_DISPATCH(ResizeColumnsSimd)(in, weights, in_top, out);
}

void ResizeRowsScalar(const ImageView& in, const ResizeWeights& weights, int in_left,
                      const MutableImageView& out) {
  for (int y = 0; y < out.size.height; ++y) {
    for (int i = 0; i < out.size.width * kChannels; ++i) {
      const auto x = static_cast<size_t>(i / kChannels);
      const ResizeWeights::Run run = weights.runs[x];
      const uint8_t* from =
          in.row(y) + static_cast<ptrdiff_t>(run.begin - in_left) * kChannels + i % kChannels;
      out.row(y)[i] = WeightedSum(
          from, kChannels, weights.weights.data() + x * static_cast<size_t>(weights.padded_taps),
          run.taps);
    }
  }
}

void ResizeColumnsScalar(const ImageView& in, const ResizeWeights& weights, int in_top,
                         const MutableImageView& out) {
  for (int y = 0; y < out.size.height; ++y) {
    const ResizeWeights::Run run = weights.runs[static_cast<size_t>(y)];
    const int32_t* row =
        weights.weights.data() + static_cast<size_t>(y) * static_cast<size_t>(weights.padded_taps);
    for (int i = 0; i < out.size.width * kChannels; ++i) {
      out.row(y)[i] = WeightedSum(in.row(run.begin - in_top) + i, in.row_bytes, row, run.taps);
    }
  }
}

}  // namespace stoker
#endif  // HWY_ONCE
