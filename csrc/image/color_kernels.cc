#include "image/color_kernels.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "image/color_kernels.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

// The oracles, and the kernels' tails; declared once, seen by every target's code.
#ifndef STOKER_IMAGE_COLOR_KERNELS_SCALAR_
#define STOKER_IMAGE_COLOR_KERNELS_SCALAR_
namespace stoker {

inline uint8_t Blend(uint8_t gray, uint8_t pixel, float factor) {
  const float value =
      static_cast<float>(gray) + factor * static_cast<float>(int{pixel} - int{gray});
  return static_cast<uint8_t>(std::min(255.0F, std::max(0.0F, value)));
}

inline void BlendBytes(const uint8_t* in, size_t begin, size_t end, uint8_t gray, float factor,
                       uint8_t* out) {
  for (size_t i = begin; i < end; ++i) out[i] = Blend(gray, in[i], factor);
}

inline void BlendPixelsWithLuma(const uint8_t* in, int begin, int end, float factor, uint8_t* out) {
  for (int x = begin; x < end; ++x) {
    const uint8_t* pixel = in + static_cast<ptrdiff_t>(x) * kChannels;
    const uint8_t luma = Luma(pixel[0], pixel[1], pixel[2]);
    for (int c = 0; c < kChannels; ++c) {
      out[static_cast<ptrdiff_t>(x) * kChannels + c] = Blend(luma, pixel[c], factor);
    }
  }
}

inline uint64_t SumPixelsLuma(const uint8_t* in, int begin, int end) {
  uint64_t sum = 0;
  for (int x = begin; x < end; ++x) {
    const uint8_t* pixel = in + static_cast<ptrdiff_t>(x) * kChannels;
    sum += Luma(pixel[0], pixel[1], pixel[2]);
  }
  return sum;
}

}  // namespace stoker
#endif  // STOKER_IMAGE_COLOR_KERNELS_SCALAR_

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {

#if HWY_TARGET == HWY_SCALAR

void ConstantSimd(const ImageView& in, uint8_t gray, float factor, const MutableImageView& out) {
  BlendWithConstantScalar(in, gray, factor, out);
}
void LumaSimd(const ImageView& in, float factor, const MutableImageView& out) {
  BlendWithLumaScalar(in, factor, out);
}
uint64_t SumSimd(const ImageView& in) { return SumOfLumaScalar(in); }

#else

namespace hn = hwy::HWY_NAMESPACE;

using D8 = hn::FixedTag<uint8_t, 16>;
using DF = hn::CappedTag<float, 16>;
using DI = hn::Rebind<int32_t, DF>;
using D8Part = hn::Rebind<uint8_t, DF>;

// gray + factor · (pixel − gray) of as many pixels as a vector of floats takes.
HWY_INLINE hn::Vec<D8Part> BlendPart(hn::Vec<DI> gray, hn::Vec<DI> pixel, hn::Vec<DF> factor) {
  const DF df;
  const auto difference = hn::ConvertTo(df, hn::Sub(pixel, gray));
  const auto value = hn::Add(hn::ConvertTo(df, gray), hn::Mul(factor, difference));
  const auto limited = hn::Min(hn::Set(df, 255.0F), hn::Max(hn::Zero(df), value));
  return hn::DemoteTo(D8Part(), hn::ConvertTo(DI(), limited));
}

void ConstantSimd(const ImageView& in, uint8_t gray, float factor, const MutableImageView& out) {
  const DI di;
  const D8Part d8;
  const auto all_gray = hn::Set(di, gray);
  const auto all_factor = hn::Set(DF(), factor);
  const auto bytes = static_cast<size_t>(in.size.width) * kChannels;
  for (int y = 0; y < in.size.height; ++y) {
    const uint8_t* from = in.row(y);
    uint8_t* to = out.row(y);
    size_t i = 0;
    for (; i + hn::Lanes(d8) <= bytes; i += hn::Lanes(d8)) {
      const auto pixel = hn::PromoteTo(di, hn::LoadU(d8, from + i));
      hn::StoreU(BlendPart(all_gray, pixel, all_factor), d8, to + i);
    }
    BlendBytes(from, i, bytes, gray, factor, to);
  }
}

HWY_INLINE hn::Vec<DI> LumaOf(const uint8_t* r, const uint8_t* g, const uint8_t* b) {
  const DI di;
  const D8Part d8;
  const auto red = hn::Mul(hn::PromoteTo(di, hn::LoadU(d8, r)), hn::Set(di, 19595));
  const auto green = hn::Mul(hn::PromoteTo(di, hn::LoadU(d8, g)), hn::Set(di, 38470));
  const auto blue = hn::Mul(hn::PromoteTo(di, hn::LoadU(d8, b)), hn::Set(di, 7471));
  const auto sum = hn::Add(hn::Add(red, green), hn::Add(blue, hn::Set(di, 0x8000)));
  return hn::ShiftRight<16>(sum);
}

// Sixteen pixels, a row of bytes for each channel.
struct Channels16 {
  alignas(16) uint8_t c[kChannels][16];
};
HWY_INLINE void LoadChannels(const uint8_t* rgb, Channels16* p) {
  auto r = hn::Zero(D8());
  auto g = r;
  auto b = r;
  hn::LoadInterleaved3(D8(), rgb, r, g, b);
  hn::Store(r, D8(), p->c[0]);
  hn::Store(g, D8(), p->c[1]);
  hn::Store(b, D8(), p->c[2]);
}

void LumaSimd(const ImageView& in, float factor, const MutableImageView& out) {
  const DI di;
  const D8Part d8;
  const auto all_factor = hn::Set(DF(), factor);
  for (int y = 0; y < in.size.height; ++y) {
    const uint8_t* from = in.row(y);
    uint8_t* to = out.row(y);
    int x = 0;
    for (; x + 16 <= in.size.width; x += 16) {
      Channels16 p;
      LoadChannels(from + static_cast<ptrdiff_t>(x) * kChannels, &p);
      for (size_t i = 0; i < 16; i += hn::Lanes(d8)) {
        const auto luma = LumaOf(p.c[0] + i, p.c[1] + i, p.c[2] + i);
        for (auto& channel : p.c) {
          const auto pixel = hn::PromoteTo(di, hn::LoadU(d8, channel + i));
          hn::StoreU(BlendPart(luma, pixel, all_factor), d8, channel + i);
        }
      }
      hn::StoreInterleaved3(hn::Load(D8(), p.c[0]), hn::Load(D8(), p.c[1]), hn::Load(D8(), p.c[2]),
                            D8(), to + static_cast<ptrdiff_t>(x) * kChannels);
    }
    BlendPixelsWithLuma(from, x, in.size.width, factor, to);
  }
}

uint64_t SumSimd(const ImageView& in) {
  const DI di;
  uint64_t sum = 0;
  for (int y = 0; y < in.size.height; ++y) {
    const uint8_t* from = in.row(y);
    auto sums = hn::Zero(di);  // a row of 2^31 / 255 pixels at least
    int x = 0;
    for (; x + 16 <= in.size.width; x += 16) {
      Channels16 p;
      LoadChannels(from + static_cast<ptrdiff_t>(x) * kChannels, &p);
      for (size_t i = 0; i < 16; i += hn::Lanes(di)) {
        sums = hn::Add(sums, LumaOf(p.c[0] + i, p.c[1] + i, p.c[2] + i));
      }
    }
    alignas(64) int32_t lanes[16];
    hn::Store(sums, di, lanes);
    for (size_t i = 0; i < hn::Lanes(di); ++i) sum += static_cast<uint64_t>(lanes[i]);
    sum += SumPixelsLuma(from, x, in.size.width);
  }
  return sum;
}

#endif  // HWY_TARGET == HWY_SCALAR

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stoker {
namespace {

HWY_EXPORT(ConstantSimd);
HWY_EXPORT(LumaSimd);
HWY_EXPORT(SumSimd);

struct Hsv {
  uint8_t h, s, v;
};

// Pillow's rgb2hsv (Convert.c, after Python's colorsys), single and double precision where it has
// them.
Hsv RgbToHsv(uint8_t r, uint8_t g, uint8_t b) {
  const uint8_t max = std::max({r, g, b});
  const uint8_t min = std::min({r, g, b});
  if (max == min) return {0, 0, max};
  const auto range = static_cast<float>(max - min);
  const float saturation = range / static_cast<float>(max);
  const float red = static_cast<float>(max - r) / range;
  const float green = static_cast<float>(max - g) / range;
  const float blue = static_cast<float>(max - b) / range;
  float hue = 0;  // in sixths of a turn, −1 to 5
  if (r == max) {
    hue = blue - green;
  } else if (g == max) {
    hue = static_cast<float>(2.0 + double{red} - double{blue});
  } else {
    hue = static_cast<float>(4.0 + double{green} - double{red});
  }
  double turn = double{hue} / 6.0 + 1.0;
  if (turn >= 1.0) turn -= 1.0;
  hue = static_cast<float>(turn);
  return {static_cast<uint8_t>(double{hue} * 255.0),
          static_cast<uint8_t>(double{saturation} * 255.0), max};
}

// Pillow's hsv2rgb looks at a hue as a sixth of the turn, and how far into it.
struct Sixth {
  int number;
  float within;
};

std::array<Sixth, 256> MakeSixths() {
  std::array<Sixth, 256> sixths{};
  for (size_t h = 0; h < sixths.size(); ++h) {
    const double at = static_cast<double>(h) * 6.0 / 255.0;
    const int number = static_cast<int>(at);
    sixths[h] = {number % 6, static_cast<float>(at - number)};
  }
  return sixths;
}

void HsvToRgb(const Hsv& hsv, uint8_t* rgb) {
  static const std::array<Sixth, 256> sixths = MakeSixths();
  const auto store = [rgb](uint8_t r, uint8_t g, uint8_t b) {
    rgb[0] = r;
    rgb[1] = g;
    rgb[2] = b;
  };
  const uint8_t v = hsv.v;
  if (hsv.s == 0) return store(v, v, v);
  const Sixth& sixth = sixths[hsv.h];
  const double s = double{static_cast<float>(hsv.s / 255.0)};
  const double f = double{sixth.within};
  // Never negative, and never above v; C's round() is half away from zero.
  const auto rounded = [](double x) { return static_cast<uint8_t>(x + 0.5); };
  const uint8_t p = rounded(v * (1.0 - s));
  const uint8_t q = rounded(v * (1.0 - s * f));
  const uint8_t t = rounded(v * (1.0 - s * (1.0 - f)));
  switch (sixth.number) {
    case 0: return store(v, t, p);
    case 1: return store(q, v, p);
    case 2: return store(p, v, t);
    case 3: return store(p, q, v);
    case 4: return store(t, p, v);
    default: return store(v, p, q);
  }
}

}  // namespace

void BlendWithConstant(const ImageView& in, uint8_t gray, float factor,
                       const MutableImageView& out) {
  HWY_DYNAMIC_DISPATCH(ConstantSimd)(in, gray, factor, out);
}

void BlendWithConstantScalar(const ImageView& in, uint8_t gray, float factor,
                             const MutableImageView& out) {
  for (int y = 0; y < in.size.height; ++y) {
    BlendBytes(in.row(y), 0, static_cast<size_t>(in.size.width) * kChannels, gray, factor,
               out.row(y));
  }
}

void BlendWithLuma(const ImageView& in, float factor, const MutableImageView& out) {
  HWY_DYNAMIC_DISPATCH(LumaSimd)(in, factor, out);
}

void BlendWithLumaScalar(const ImageView& in, float factor, const MutableImageView& out) {
  for (int y = 0; y < in.size.height; ++y) {
    BlendPixelsWithLuma(in.row(y), 0, in.size.width, factor, out.row(y));
  }
}

uint8_t MeanLuma(const ImageView& in) {
  const double mean = static_cast<double>(SumOfLuma(in)) / static_cast<double>(in.size.pixels());
  return static_cast<uint8_t>(mean + 0.5);
}

uint64_t SumOfLuma(const ImageView& in) { return HWY_DYNAMIC_DISPATCH(SumSimd)(in); }

uint64_t SumOfLumaScalar(const ImageView& in) {
  uint64_t sum = 0;
  for (int y = 0; y < in.size.height; ++y) sum += SumPixelsLuma(in.row(y), 0, in.size.width);
  return sum;
}

void ShiftHue(const ImageView& in, uint8_t shift, const MutableImageView& out) {
  for (int y = 0; y < in.size.height; ++y) {
    const uint8_t* from = in.row(y);
    uint8_t* to = out.row(y);
    for (int x = 0; x < in.size.width; ++x, from += kChannels, to += kChannels) {
      Hsv hsv = RgbToHsv(from[0], from[1], from[2]);
      hsv.h = static_cast<uint8_t>(hsv.h + shift);
      HsvToRgb(hsv, to);
    }
  }
}

}  // namespace stoker
#endif  // HWY_ONCE
