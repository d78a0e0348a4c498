#include "codec/jpeg/inverse_dct.h"

#include <algorithm>
#include <array>

#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/jpeg/inverse_dct.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

#include "base/load_blocks-inl.h"

// Note [The arithmetic of libjpeg-turbo's islow]
// Its SIMD code keeps 16-bit words between the steps: products with the quantisation factors and
// the sums that enter a multiplication wrap around 2^16, results of the first pass are limited to
// 16 bits and those of the second to 8 bits signed. jidctint.c in C has 32-bit words throughout.
// Both agree on every block that a real encoder makes; we do as the SIMD code does, so that damaged
// files give the same pixels too. It also takes a short cut where the rows 1 to 7 of a block are
// zero, in which the first pass wraps instead of limiting: only blocks with a coefficient beyond
// ±8191 in row 0 can tell, and the kernels leave those to the oracle.

#ifndef STOKER_CODEC_JPEG_INVERSE_DCT_CONSTANTS_
#define STOKER_CODEC_JPEG_INVERSE_DCT_CONSTANTS_
namespace stoker {

constexpr int kConstBits = 13;
constexpr int kPass1Bits = 2;
// x · 2^13, rounded.
constexpr int kF0298 = 2446;
constexpr int kF0390 = 3196;
constexpr int kF0541 = 4433;
constexpr int kF0765 = 6270;
constexpr int kF0899 = 7373;
constexpr int kF1175 = 9633;
constexpr int kF1501 = 12299;
constexpr int kF1847 = 15137;
constexpr int kF1961 = 16069;
constexpr int kF2053 = 16819;
constexpr int kF2562 = 20995;
constexpr int kF3072 = 25172;

}  // namespace stoker
#endif  // STOKER_CODEC_JPEG_INVERSE_DCT_CONSTANTS_

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void InverseDctRowSimd(const int16_t* blocks, int count, const uint16_t* quant, uint8_t* samples,
                       ptrdiff_t row_bytes) {
  InverseDctRowScalar(blocks, count, quant, samples, row_bytes);
}

#else

namespace hn = hwy::HWY_NAMESPACE;

// A vector holds the same row of as many blocks as it has 16-byte parts. Nothing below crosses such
// a part.
template <class D16>
struct Idct {
  using D32 = hn::RepartitionToWide<D16>;
  using V16 = hn::Vec<D16>;
  using V32 = hn::Vec<D32>;

  // (a, b) interleaved, times (ca, cb) summed: a · ca + b · cb, the lower and the upper half.
  struct Wide {
    V32 lower, upper;
  };
  static HWY_INLINE V32 PairSum(V16 ab, V16 constants) {
    const D32 d32;
    V32 rest = hn::Zero(d32);
    const V32 sum = hn::ReorderWidenMulAccumulate(d32, ab, constants, hn::Zero(d32), rest);
    return hn::RearrangeToOddPlusEven(sum, rest);
  }
  static HWY_INLINE Wide Multiply(V16 a, V16 b, int ca, int cb) {
    const D16 d16;
    const hn::Repartition<uint32_t, D16> du32;
    const uint32_t pair = static_cast<uint16_t>(ca) | static_cast<uint32_t>(cb) << 16;
    const V16 constants = hn::BitCast(d16, hn::Set(du32, pair));
    return {PairSum(hn::InterleaveLower(d16, a, b), constants),
            PairSum(hn::InterleaveUpper(d16, a, b), constants)};
  }
  static HWY_INLINE Wide Add(Wide a, Wide b) {
    return {hn::Add(a.lower, b.lower), hn::Add(a.upper, b.upper)};
  }
  // a << kConstBits, widened.
  static HWY_INLINE Wide Shifted(V16 a) {
    const D16 d16;
    const D32 d32;
    const V16 zero = hn::Zero(d16);
    constexpr int kShift = 16 - kConstBits;
    return {hn::ShiftRight<kShift>(hn::BitCast(d32, hn::InterleaveLower(d16, zero, a))),
            hn::ShiftRight<kShift>(hn::BitCast(d32, hn::InterleaveUpper(d16, zero, a)))};
  }
  template <int kShift>
  static HWY_INLINE V16 Descale(V32 lower, V32 upper) {
    const D16 d16;
    const D32 d32;
    const V32 half = hn::Set(d32, 1 << (kShift - 1));
    return hn::ReorderDemote2To(d16, hn::ShiftRight<kShift>(hn::Add(lower, half)),
                                hn::ShiftRight<kShift>(hn::Add(upper, half)));
  }
  template <int kShift>
  static HWY_INLINE void Butterfly(Wide even, Wide odd, V16* sum, V16* difference) {
    *sum = Descale<kShift>(hn::Add(even.lower, odd.lower), hn::Add(even.upper, odd.upper));
    *difference = Descale<kShift>(hn::Sub(even.lower, odd.lower), hn::Sub(even.upper, odd.upper));
  }

  // One dimension, along the eight vectors.
  template <int kShift>
  static HWY_INLINE void Pass(V16* v) {
    const Wide even2 = Multiply(v[2], v[6], kF0541, kF0541 - kF1847);
    const Wide even3 = Multiply(v[2], v[6], kF0541 + kF0765, kF0541);
    const Wide even0 = Shifted(hn::Add(v[0], v[4]));
    const Wide even1 = Shifted(hn::Sub(v[0], v[4]));
    const Wide sum0 = Add(even0, even3);
    const Wide sum1 = Add(even1, even2);
    const Wide sum2 = {hn::Sub(even1.lower, even2.lower), hn::Sub(even1.upper, even2.upper)};
    const Wide sum3 = {hn::Sub(even0.lower, even3.lower), hn::Sub(even0.upper, even3.upper)};

    const V16 z3 = hn::Add(v[7], v[3]);
    const V16 z4 = hn::Add(v[5], v[1]);
    const Wide w3 = Multiply(z3, z4, kF1175 - kF1961, kF1175);
    const Wide w4 = Multiply(z3, z4, kF1175, kF1175 - kF0390);
    const Wide odd0 = Add(Multiply(v[7], v[1], kF0298 - kF0899, -kF0899), w3);
    const Wide odd1 = Add(Multiply(v[5], v[3], kF2053 - kF2562, -kF2562), w4);
    const Wide odd2 = Add(Multiply(v[5], v[3], -kF2562, kF3072 - kF2562), w3);
    const Wide odd3 = Add(Multiply(v[7], v[1], -kF0899, kF1501 - kF0899), w4);

    Butterfly<kShift>(sum0, odd3, &v[0], &v[7]);
    Butterfly<kShift>(sum1, odd2, &v[1], &v[6]);
    Butterfly<kShift>(sum2, odd1, &v[2], &v[5]);
    Butterfly<kShift>(sum3, odd0, &v[3], &v[4]);
  }

  // 8 × 8 words in each part.
  static HWY_INLINE void Transpose(V16* v) {
    const D16 d16;
    const D32 d32;
    const hn::Repartition<int64_t, D16> d64;
    V16 a[8];
    for (int i = 0; i < 4; ++i) {
      a[i] = hn::InterleaveLower(d16, v[2 * i], v[2 * i + 1]);
      a[i + 4] = hn::InterleaveUpper(d16, v[2 * i], v[2 * i + 1]);
    }
    V32 b[8];
    for (int i = 0; i < 8; i += 2) {
      const V32 first = hn::BitCast(d32, a[i]);
      const V32 second = hn::BitCast(d32, a[i + 1]);
      b[i] = hn::InterleaveLower(d32, first, second);
      b[i + 1] = hn::InterleaveUpper(d32, first, second);
    }
    // b: rows 0-3 of columns 01, 23; rows 4-7 of 01, 23; rows 0-3 of 45, 67; rows 4-7 of 45, 67.
    for (int i = 0; i < 4; ++i) {
      const int from = (i & 2) * 2 + (i & 1);
      const auto upper_rows = hn::BitCast(d64, b[from]);
      const auto lower_rows = hn::BitCast(d64, b[from + 2]);
      v[2 * i] = hn::BitCast(d16, hn::InterleaveLower(d64, upper_rows, lower_rows));
      v[2 * i + 1] = hn::BitCast(d16, hn::InterleaveUpper(d64, upper_rows, lower_rows));
    }
  }
};

// As many blocks as the vector has parts.
template <class D16>
HWY_INLINE void Blocks(D16 d16, const int16_t* blocks, const uint16_t* quant, uint8_t* samples,
                       ptrdiff_t row_bytes) {
  using Dct = Idct<D16>;
  const hn::Rebind<uint8_t, D16> d8;
  constexpr size_t kBlocks = hn::MaxLanes(D16()) / 8;
  hn::Vec<D16> v[8];
  for (int r = 0; r < 8; ++r) {
    const auto factors = hn::LoadDup128(d16, reinterpret_cast<const int16_t*>(quant) + r * 8);
    v[r] = hn::Mul(LoadBlocks</*kAligned=*/true>(d16, blocks + r * 8, /*stride=*/64), factors);
  }
  // Note [The arithmetic of libjpeg-turbo's islow]
  if (HWY_UNLIKELY(!hn::AllFalse(
          d16, hn::Or(hn::Gt(v[0], hn::Set(d16, 8191)), hn::Lt(v[0], hn::Set(d16, -8191)))))) {
    InverseDctRowScalar(blocks, static_cast<int>(kBlocks), quant, samples, row_bytes);
    return;
  }
  Dct::template Pass<kConstBits - kPass1Bits>(v);
  Dct::Transpose(v);
  Dct::template Pass<kConstBits + kPass1Bits + 3>(v);
  Dct::Transpose(v);
  const auto center = hn::Set(d16, 128);
  for (int r = 0; r < 8; ++r) {
    hn::StoreU(hn::DemoteTo(d8, hn::SaturatedAdd(v[r], center)), d8, samples + r * row_bytes);
  }
}

void InverseDctRowSimd(const int16_t* blocks, int count, const uint16_t* quant, uint8_t* samples,
                       ptrdiff_t row_bytes) {
  const hn::CappedTag<int16_t, 32> wide;
  const hn::FixedTag<int16_t, 8> narrow;
  constexpr int kWide = static_cast<int>(hn::MaxLanes(wide) / 8);
  int b = 0;
  for (; b + kWide <= count; b += kWide) {
    Blocks(wide, blocks + b * 64, quant, samples + b * 8, row_bytes);
  }
  for (; b < count; ++b) Blocks(narrow, blocks + b * 64, quant, samples + b * 8, row_bytes);
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stoker {
namespace {

HWY_EXPORT(InverseDctRowSimd);

int16_t Wrap(int x) { return static_cast<int16_t>(x); }
int16_t Limit16(int x) { return static_cast<int16_t>(std::min(INT16_MAX, std::max(INT16_MIN, x))); }
int ShiftRounded(uint32_t x, int shift) {
  return static_cast<int32_t>(x + (1U << (shift - 1))) >> shift;
}

// One dimension, along eight values `stride` apart; sums wrap around 2^32 like the kernel's.
void PassScalar(int16_t* v, int stride, int shift) {
  const auto at = [v, stride](int i) { return int{v[i * stride]}; };
  const auto product = [](int a, int b, int ca, int cb) {
    return static_cast<uint32_t>(a * ca) + static_cast<uint32_t>(b * cb);
  };
  const uint32_t even2 = product(at(2), at(6), kF0541, kF0541 - kF1847);
  const uint32_t even3 = product(at(2), at(6), kF0541 + kF0765, kF0541);
  const auto even0 = static_cast<uint32_t>(Wrap(at(0) + at(4)) * (1 << kConstBits));
  const auto even1 = static_cast<uint32_t>(Wrap(at(0) - at(4)) * (1 << kConstBits));
  const int z3 = Wrap(at(7) + at(3));
  const int z4 = Wrap(at(5) + at(1));
  const uint32_t w3 = product(z3, z4, kF1175 - kF1961, kF1175);
  const uint32_t w4 = product(z3, z4, kF1175, kF1175 - kF0390);
  const uint32_t even[4] = {even0 + even3, even1 + even2, even1 - even2, even0 - even3};
  const uint32_t odd[4] = {
      product(at(7), at(1), -kF0899, kF1501 - kF0899) + w4,
      product(at(5), at(3), -kF2562, kF3072 - kF2562) + w3,
      product(at(5), at(3), kF2053 - kF2562, -kF2562) + w4,
      product(at(7), at(1), kF0298 - kF0899, -kF0899) + w3,
  };
  for (int i = 0; i < 4; ++i) {
    v[i * stride] = Limit16(ShiftRounded(even[i] + odd[i], shift));
    v[(7 - i) * stride] = Limit16(ShiftRounded(even[i] - odd[i], shift));
  }
}

void BlockScalar(const int16_t* block, const uint16_t* quant, uint8_t* samples,
                 ptrdiff_t row_bytes) {
  int16_t v[64];
  for (int i = 0; i < 64; ++i) v[i] = Wrap(block[i] * quant[i]);
  if (std::all_of(block + 8, block + 64, [](int16_t x) { return x == 0; })) {
    for (int i = 63; i >= 0; --i) v[i] = Wrap(v[i % 8] * (1 << kPass1Bits));
  } else {
    for (int x = 0; x < 8; ++x) PassScalar(v + x, 8, kConstBits - kPass1Bits);
  }
  for (int y = 0; y < 8; ++y) {
    PassScalar(v + y * 8, 1, kConstBits + kPass1Bits + 3);
    for (int x = 0; x < 8; ++x) {
      const int limited = std::min(127, std::max(-128, int{v[y * 8 + x]}));
      samples[y * row_bytes + x] = static_cast<uint8_t>(limited + 128);
    }
  }
}

// cos((2x + 1) u π / 2N) · √2 for u > 0 and 1 for u = 0, times 2^12, for N = kSide.
template <int kSide>
constexpr std::array<std::array<int, kSide>, kSide> ReducedBasis() {
  if constexpr (kSide == 4) {
    return {{{4096, 5352, 4096, 2217},
             {4096, 2217, -4096, -5352},
             {4096, -2217, -4096, 5352},
             {4096, -5352, 4096, -2217}}};
  } else if constexpr (kSide == 2) {
    return {{{4096, 4096}, {4096, -4096}}};
  } else {
    return {{{4096}}};
  }
}

// samples = Σ_u Σ_v basis[x][u] · basis[y][v] · F(v, u) / 8: the definition, on the frequencies
// that the smaller block has.
template <int kSide>
void ReducedRow(const int16_t* blocks, int count, const uint16_t* quant, uint8_t* samples,
                ptrdiff_t row_bytes) {
  constexpr auto kBasis = ReducedBasis<kSide>();
  for (int b = 0; b < count; ++b, blocks += 64, samples += kSide) {
    int64_t across[kSide][kSide];  // (v, x)
    for (size_t v = 0; v < kSide; ++v) {
      for (size_t x = 0; x < kSide; ++x) {
        across[v][x] = 0;
        for (size_t u = 0; u < kSide; ++u) {
          across[v][x] += int64_t{kBasis[x][u]} * (blocks[v * 8 + u] * quant[v * 8 + u]);
        }
      }
    }
    for (size_t y = 0; y < kSide; ++y) {
      for (size_t x = 0; x < kSide; ++x) {
        int64_t sum = 0;
        for (size_t v = 0; v < kSide; ++v) sum += kBasis[y][v] * across[v][x];
        constexpr int kShift = 12 + 12 + 3;
        const int64_t value = ((sum + (int64_t{1} << (kShift - 1))) >> kShift) + 128;
        samples[static_cast<ptrdiff_t>(y) * row_bytes + static_cast<ptrdiff_t>(x)] =
            static_cast<uint8_t>(std::min<int64_t>(255, std::max<int64_t>(0, value)));
      }
    }
  }
}

}  // namespace

void InverseDctRow(const int16_t* blocks, int count, const uint16_t* quant, uint8_t* samples,
                   ptrdiff_t row_bytes) {
  HWY_DYNAMIC_DISPATCH(InverseDctRowSimd)(blocks, count, quant, samples, row_bytes);
}

void InverseDctRowScalar(const int16_t* blocks, int count, const uint16_t* quant, uint8_t* samples,
                         ptrdiff_t row_bytes) {
  for (int b = 0; b < count; ++b) {
    BlockScalar(blocks + b * 64, quant, samples + b * 8, row_bytes);
  }
}

void ReducedInverseDctRow(const int16_t* blocks, int count, const uint16_t* quant, int side,
                          uint8_t* samples, ptrdiff_t row_bytes) {
  switch (side) {
    case 4: return ReducedRow<4>(blocks, count, quant, samples, row_bytes);
    case 2: return ReducedRow<2>(blocks, count, quant, samples, row_bytes);
    default: return ReducedRow<1>(blocks, count, quant, samples, row_bytes);
  }
}

}  // namespace stoker
#endif  // HWY_ONCE
