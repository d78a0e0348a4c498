#include "image/plane_kernels.h"

#include <algorithm>
#include <cstring>

#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "image/plane_kernels.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

#include "base/load_blocks-inl.h"

// Note [Sixteen bits are enough]
// A sample less 128, in the upper byte of a 16-bit word, is (p − 128) · 2^8. The rounding
// fixed-point multiplication (a · b + 2^14) >> 15 by a weight of 14 bits makes (p − 128) · w · 2^7
// of it. The sum of all stays below 2^15 as long as the weights' magnitudes add up to less than 2,
// which holds for both filters. So one multiplication and one addition take as many samples as a
// vector has 16-bit words, with 7 bits to spare for rounding.

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void RowsSimd(const PlaneRows& in, const PlaneWeights& weights, const MutablePlaneRows& out) {
  ResizePlaneRowsScalar(in, weights, out);
}

void ColumnsSimd(const PlaneRows& in, const PlaneWeights& weights, const MutablePlaneRows& out) {
  ResizePlaneColumnsScalar(in, weights, out);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

// Sums to samples: rounded, not yet limited to 0 .. 255.
template <class D16>
HWY_INLINE hn::Vec<D16> Rounded(D16 d16, hn::Vec<D16> sums) {
  // 2^6 to round, and 128 to undo the subtraction, which would not fit before the shift.
  const auto rounded = hn::ShiftRight<7>(hn::SaturatedAdd(sums, hn::Set(d16, 1 << 6)));
  return hn::Add(rounded, hn::Set(d16, 128));
}

// As many rows at once as the vector has 16-byte parts: all need the same weights.
template <class D8>
HWY_INLINE void RowsAtOnce(D8 d8, const PlaneRows& in, int y, const PlaneWeights& weights,
                           uint8_t* out, ptrdiff_t out_row_bytes) {
  const hn::Repartition<int16_t, D8> d16;
  const hn::Rebind<uint8_t, decltype(d16)> d8_out;
  constexpr size_t kRows = hn::MaxLanes(D8()) / 16;
  const auto middle = hn::Set(d8, 128);
  const PlaneWeights::Step* step = weights.steps.data();
  const int* offset = weights.offsets.data();
  for (const PlaneWeights::Group& group : weights.groups) {
    auto sums = hn::Zero(d16);
    auto windows = hn::Zero(d8);
    int loaded = -1;
    for (int s = 0; s < group.count; ++s, ++step, ++offset) {
      if (*offset != loaded) {
        loaded = *offset;
        windows = hn::Xor(LoadBlocks(d8, in.at(loaded, in.top + y), in.row_bytes), middle);
      }
      const auto picked = hn::TableLookupBytesOr0(windows, hn::LoadDup128(d8, step->pick.data()));
      sums = hn::Add(sums, hn::MulFixedPoint15(hn::BitCast(d16, picked),
                                               hn::LoadDup128(d16, step->weights.data())));
    }
    alignas(64) uint8_t outputs[kRows * kPlaneGroup];
    hn::Store(hn::DemoteTo(d8_out, Rounded(d16, sums)), d8_out, outputs);
    uint8_t* to = out;
    for (size_t r = 0; r < kRows; ++r, to += out_row_bytes) {
      std::memcpy(to, outputs + r * kPlaneGroup, kPlaneGroup);
    }
    out += kPlaneGroup;
  }
}

void RowsSimd(const PlaneRows& in, const PlaneWeights& weights, const MutablePlaneRows& out) {
  const hn::CappedTag<uint8_t, 64> wide;
  const hn::FixedTag<uint8_t, 16> narrow;
  constexpr int kRows = static_cast<int>(hn::MaxLanes(wide) / 16);
  const auto out_row = [&](int y) { return out.samples + y * out.row_bytes; };
  int y = 0;
  for (; y + kRows <= out.height; y += kRows) {
    RowsAtOnce(wide, in, y, weights, out_row(y), out.row_bytes);
  }
  for (; y < out.height; ++y) {
    RowsAtOnce(narrow, in, y, weights, out_row(y), out.row_bytes);
  }
}

void ColumnsSimd(const PlaneRows& in, const PlaneWeights& weights, const MutablePlaneRows& out) {
  const hn::CappedTag<uint8_t, 64> d8;
  const hn::Repartition<int16_t, decltype(d8)> d16;
  const hn::Repartition<uint16_t, decltype(d8)> du16;
  constexpr int kStep = static_cast<int>(hn::MaxLanes(hn::CappedTag<uint8_t, 64>()));
  const auto middle = hn::Set(d8, 128);
  const auto upper_byte = hn::Set(d16, static_cast<int16_t>(0xFF00));
  const auto limit = [&](hn::Vec<decltype(d16)> v) {
    return hn::Min(hn::Max(v, hn::Zero(d16)), hn::Set(d16, 255));
  };
  const int16_t* w = weights.weights.data();
  for (int y = 0; y < out.height; ++y, w += weights.taps) {
    const PlaneWeights::Run run = weights.runs[static_cast<size_t>(y)];
    const uint8_t* const from = in.at(in.left, run.begin);
    uint8_t* const to = out.samples + y * out.row_bytes;
    for (int x = 0; x < out.width; x += kStep) {
      auto even = hn::Zero(d16);  // columns x, x + 2, …
      auto odd = hn::Zero(d16);
      const uint8_t* column = from + x;
      for (int k = 0; k < run.taps; ++k, column += in.row_bytes) {
        const auto samples = hn::BitCast(d16, hn::Xor(hn::LoadU(d8, column), middle));
        const auto weight = hn::Set(d16, w[k]);
        even = hn::Add(even, hn::MulFixedPoint15(hn::ShiftLeft<8>(samples), weight));
        odd = hn::Add(odd, hn::MulFixedPoint15(hn::And(samples, upper_byte), weight));
      }
      const auto low = hn::BitCast(du16, limit(Rounded(d16, even)));
      const auto high = hn::ShiftLeft<8>(hn::BitCast(du16, limit(Rounded(d16, odd))));
      hn::StoreU(hn::BitCast(d8, hn::Or(low, high)), d8, to + x);
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

HWY_EXPORT(RowsSimd);
HWY_EXPORT(ColumnsSimd);

// One output: taps `step` bytes apart. Note [Sixteen bits are enough]
uint8_t WeightedSum(const uint8_t* from, ptrdiff_t step, const int16_t* weights, int taps) {
  int sum = 0;
  for (int k = 0; k < taps; ++k) {
    sum += ((from[k * step] - 128) * 256 * weights[k] + (1 << 14)) >> 15;
  }
  const int rounded = (std::min(sum + (1 << 6), INT16_MAX) >> 7) + 128;
  return static_cast<uint8_t>(std::min(255, std::max(0, rounded)));
}

}  // namespace

void ResizePlaneRows(const PlaneRows& in, const PlaneWeights& weights,
                     const MutablePlaneRows& out) {
  HWY_DYNAMIC_DISPATCH(RowsSimd)(in, weights, out);
}

void ResizePlaneColumns(const PlaneRows& in, const PlaneWeights& weights,
                        const MutablePlaneRows& out) {
  HWY_DYNAMIC_DISPATCH(ColumnsSimd)(in, weights, out);
}

void ResizePlaneRowsScalar(const PlaneRows& in, const PlaneWeights& weights,
                           const MutablePlaneRows& out) {
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) {
      const auto i = static_cast<size_t>(x);
      const PlaneWeights::Run run = weights.runs[i];
      out.samples[y * out.row_bytes + x] =
          WeightedSum(in.at(run.begin, in.top + y), 1,
                      weights.weights.data() + i * static_cast<size_t>(weights.taps), run.taps);
    }
  }
}

void ResizePlaneColumnsScalar(const PlaneRows& in, const PlaneWeights& weights,
                              const MutablePlaneRows& out) {
  for (int y = 0; y < out.height; ++y) {
    const auto i = static_cast<size_t>(y);
    const PlaneWeights::Run run = weights.runs[i];
    for (int x = 0; x < out.width; ++x) {
      out.samples[y * out.row_bytes + x] =
          WeightedSum(in.at(in.left + x, run.begin), in.row_bytes,
                      weights.weights.data() + i * static_cast<size_t>(weights.taps), run.taps);
    }
  }
}

}  // namespace stoker
#endif  // HWY_ONCE
