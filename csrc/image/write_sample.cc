#include "image/write_sample.h"

#include <cstring>

#include "base/simd_targets.h"
#include "base/ycc_color.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "image/write_sample.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

#include "base/ycc_color-inl.h"

// What is the same for every row of a sample; declared once, seen by every target's code.
#ifndef STOKER_IMAGE_WRITE_SAMPLE_ROW_
#define STOKER_IMAGE_WRITE_SAMPLE_ROW_
namespace stoker {

template <typename T>
inline T Element(uint8_t pixel, const SampleFormat& format, int channel);
template <>
inline uint8_t Element<uint8_t>(uint8_t pixel, const SampleFormat&, int) {
  return pixel;
}
template <>
inline float Element<float>(uint8_t pixel, const SampleFormat& format, int channel) {
  const auto c = static_cast<size_t>(channel);
  return static_cast<float>(pixel) * format.scale[c] + format.bias[c];
}

// Where pixels come from: a row of interleaved RGB, or one of each plane. pixel(x) is for the
// oracle and the kernels' tails.
struct RgbRow {
  const uint8_t* rgb;
  Rgb pixel(int x) const {
    return {rgb[x * kChannels], rgb[x * kChannels + 1], rgb[x * kChannels + 2]};
  }
};
struct YccRow {
  const uint8_t* y;
  const uint8_t* cb;
  const uint8_t* cr;
  Rgb pixel(int x) const { return YccToRgb(y[x], cb[x], cr[x]); }
};
struct GrayRow {
  const uint8_t* gray;
  Rgb pixel(int x) const { return {gray[x], gray[x], gray[x]}; }
};

// Pixels [begin, end) of one row, to three planes or interleaved; the oracle, and the kernels'
// tail.
template <typename Row, typename T>
inline void WriteRowScalar(const Row& row, int begin, int end, int width, bool flip,
                           const SampleFormat& format, size_t plane, T* out) {
  for (int x = begin; x < end; ++x) {
    const auto to = static_cast<size_t>(flip ? width - 1 - x : x);
    const Rgb pixel = row.pixel(x);
    const uint8_t channels[kChannels] = {pixel.r, pixel.g, pixel.b};
    for (int c = 0; c < format.channels; ++c) {
      const T value = Element<T>(channels[c], format, c);
      out[format.channels_last ? to * static_cast<size_t>(format.channels) + static_cast<size_t>(c)
                               : static_cast<size_t>(c) * plane + to] = value;
    }
  }
}

// Calls write_row(row, out) for every row of the output, `out` being where the row begins (in the
// first plane).
template <typename T, typename RowAt, typename WriteRow>
inline void ForEachRow(Size size, bool flip_vertical, const SampleFormat& format, T* out,
                       const RowAt& row_at, const WriteRow& write_row) {
  const auto step = static_cast<size_t>(size.width) *
                    (format.channels_last ? static_cast<size_t>(format.channels) : size_t{1});
  for (int y = 0; y < size.height; ++y) {
    const int from = flip_vertical ? size.height - 1 - y : y;
    write_row(row_at(from), out + static_cast<size_t>(y) * step);
  }
}

// Calls with_rows(size, row_at) with the rows of either kind of image.
template <typename WithRows>
inline void WithRowsOf(const ImageView& in, const WithRows& with_rows) {
  with_rows(in.size, [&in](int y) { return RgbRow{in.row(y)}; });
}
template <typename WithRows>
inline void WithRowsOf(const YccPlanes& in, const WithRows& with_rows) {
  const auto& p = in.plane;
  if (in.count == 1) {
    with_rows(p[0].size, [&p](int y) { return GrayRow{p[0].row(y)}; });
  } else {
    with_rows(p[0].size, [&p](int y) { return YccRow{p[0].row(y), p[1].row(y), p[2].row(y)}; });
  }
}

}  // namespace stoker
#endif  // STOKER_IMAGE_WRITE_SAMPLE_ROW_

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

alignas(16) constexpr uint8_t kReversed[16] = {15, 14, 13, 12, 11, 10, 9, 8,
                                               7,  6,  5,  4,  3,  2,  1, 0};

#if HWY_TARGET != HWY_SCALAR

using D8 = hn::FixedTag<uint8_t, 16>;

HWY_INLINE void StorePixels(hn::Vec<D8> pixels, const SampleFormat& /*format*/, int /*channel*/,
                            uint8_t* out) {
  hn::StoreU(pixels, D8(), out);
}

// Sixteen pixels of one channel to floats, as many at a time as a vector takes.
HWY_INLINE void StorePixels(hn::Vec<D8> pixels, const SampleFormat& format, int channel,
                            float* out) {
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<int32_t, decltype(df)> di;
  const hn::Rebind<uint8_t, decltype(df)> du8;
  alignas(16) uint8_t bytes[16];
  hn::Store(pixels, D8(), bytes);
  const auto c = static_cast<size_t>(channel);
  const auto scale = hn::Set(df, format.scale[c]);
  const auto bias = hn::Set(df, format.bias[c]);
  for (size_t i = 0; i < 16; i += hn::Lanes(df)) {
    const auto value = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(du8, bytes + i)));
    hn::StoreU(hn::Add(hn::Mul(value, scale), bias), df, out + i);
  }
}

// Sixteen pixels, a vector for each channel.
struct Pixels16 {
  hn::Vec<D8> r, g, b;
};
HWY_INLINE Pixels16 LoadPixels(const RgbRow& row, int x) {
  Pixels16 p{hn::Zero(D8()), hn::Zero(D8()), hn::Zero(D8())};
  hn::LoadInterleaved3(D8(), row.rgb + x * kChannels, p.r, p.g, p.b);
  return p;
}
HWY_INLINE Pixels16 LoadPixels(const GrayRow& row, int x) {
  const auto gray = hn::LoadU(D8(), row.gray + x);
  return {gray, gray, gray};
}
template <class D16>
HWY_INLINE Pixels16 LoadYcc(const YccRow& row, int x) {
  const hn::Rebind<uint8_t, D16> d;
  const auto convert = [&](int at) {
    return YccToRgbVector<D16>(hn::LoadU(d, row.y + at), hn::LoadU(d, row.cb + at),
                               hn::LoadU(d, row.cr + at));
  };
  const auto first = convert(x);
  if constexpr (hn::MaxLanes(D16()) == 16) {
    return {first.r, first.g, first.b};
  } else {
    const auto second = convert(x + 8);
    return {hn::Combine(D8(), second.r, first.r), hn::Combine(D8(), second.g, first.g),
            hn::Combine(D8(), second.b, first.b)};
  }
}
HWY_INLINE Pixels16 LoadPixels(const YccRow& row, int x) {
  return LoadYcc<hn::CappedTag<int16_t, 16>>(row, x);
}
HWY_INLINE Pixels16 Mirrored(const Pixels16& p) {
  const auto reversed = hn::Load(D8(), kReversed);
  return {hn::TableLookupBytes(p.r, reversed), hn::TableLookupBytes(p.g, reversed),
          hn::TableLookupBytes(p.b, reversed)};
}

// Sixteen pixels at a time, to three planes.
template <typename Row, typename T>
void WriteRowPlanar(const Row& row, int width, bool flip, const SampleFormat& format, size_t plane,
                    T* out) {
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    Pixels16 p = LoadPixels(row, x);
    if (flip) p = Mirrored(p);
    T* to = out + (flip ? width - 16 - x : x);
    StorePixels(p.r, format, 0, to);
    if (format.channels == 1) continue;
    StorePixels(p.g, format, 1, to + plane);
    StorePixels(p.b, format, 2, to + 2 * plane);
  }
  WriteRowScalar(row, x, width, width, flip, format, plane, out);
}

// Scale and bias of the 48 elements that sixteen interleaved pixels have.
struct Pattern {
  alignas(64) float scale[48];
  alignas(64) float bias[48];

  explicit Pattern(const SampleFormat& format) {
    for (size_t i = 0; i < 48; ++i) {
      scale[i] = format.scale[i % 3];
      bias[i] = format.bias[i % 3];
    }
  }
};

// Sixteen interleaved pixels, 48 elements.
HWY_INLINE void StoreInterleaved(const uint8_t* pixels, const Pattern& /*pattern*/, uint8_t* out) {
  std::memcpy(out, pixels, 48);
}
HWY_INLINE void StoreInterleaved(const uint8_t* pixels, const Pattern& pattern, float* out) {
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<int32_t, decltype(df)> di;
  const hn::Rebind<uint8_t, decltype(df)> du8;
  for (size_t i = 0; i < 48; i += hn::Lanes(df)) {
    const auto value = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(du8, pixels + i)));
    const auto scaled = hn::Mul(value, hn::Load(df, pattern.scale + i));
    hn::StoreU(hn::Add(scaled, hn::Load(df, pattern.bias + i)), df, out + i);
  }
}

// Where sixteen interleaved pixels are: in the row itself, or put together in `scratch`.
HWY_INLINE const uint8_t* Interleaved(const RgbRow& row, int x, bool flip, uint8_t* scratch) {
  if (!flip) return row.rgb + x * kChannels;
  const Pixels16 p = Mirrored(LoadPixels(row, x));
  hn::StoreInterleaved3(p.r, p.g, p.b, D8(), scratch);
  return scratch;
}
template <typename Row>
HWY_INLINE const uint8_t* Interleaved(const Row& row, int x, bool flip, uint8_t* scratch) {
  Pixels16 p = LoadPixels(row, x);
  if (flip) p = Mirrored(p);
  hn::StoreInterleaved3(p.r, p.g, p.b, D8(), scratch);
  return scratch;
}

// Sixteen pixels at a time, to interleaved.
template <typename Row, typename T>
void WriteRowInterleaved(const Row& row, int width, bool flip, const SampleFormat& format,
                         const Pattern& pattern, T* out) {
  alignas(16) uint8_t scratch[48];
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    StoreInterleaved(Interleaved(row, x, flip, scratch), pattern,
                     out + (flip ? width - 16 - x : x) * kChannels);
  }
  WriteRowScalar(row, x, width, width, flip, format, 0, out);
}

#endif  // HWY_TARGET != HWY_SCALAR

template <typename Image, typename T>
void WriteSampleOf(const Image& in, bool flip_horizontal, bool flip_vertical,
                   const SampleFormat& format, T* out) {
  WithRowsOf(in, [&](Size size, const auto& row_at) {
    const auto plane = static_cast<size_t>(size.pixels());
#if HWY_TARGET == HWY_SCALAR
    ForEachRow(size, flip_vertical, format, out, row_at, [&](const auto& row, T* to) {
      WriteRowScalar(row, 0, size.width, size.width, flip_horizontal, format, plane, to);
    });
#else
    const Pattern pattern(format);
    ForEachRow(size, flip_vertical, format, out, row_at, [&](const auto& row, T* to) {
      if (format.channels_last && format.channels > 1) {
        WriteRowInterleaved(row, size.width, flip_horizontal, format, pattern, to);
      } else {
        WriteRowPlanar(row, size.width, flip_horizontal, format, plane, to);
      }
    });
#endif
  });
}

template <typename Image>
void WriteImage(const Image& in, bool flip_horizontal, bool flip_vertical,
                const SampleFormat& format, void* slot) {
  if (format.type == ElementType::kFloat32) {
    WriteSampleOf(in, flip_horizontal, flip_vertical, format, static_cast<float*>(slot));
  } else {
    WriteSampleOf(in, flip_horizontal, flip_vertical, format, static_cast<uint8_t*>(slot));
  }
}

void WriteRgbSimd(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                  const SampleFormat& format, void* slot) {
  WriteImage(in, flip_horizontal, flip_vertical, format, slot);
}

void WriteYccSimd(const YccPlanes& in, bool flip_horizontal, bool flip_vertical,
                  const SampleFormat& format, void* slot) {
  WriteImage(in, flip_horizontal, flip_vertical, format, slot);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stoker {
namespace {

HWY_EXPORT(WriteRgbSimd);
HWY_EXPORT(WriteYccSimd);

template <typename Image, typename T>
void WriteScalarOf(const Image& in, bool flip_horizontal, bool flip_vertical,
                   const SampleFormat& format, T* out) {
  WithRowsOf(in, [&](Size size, const auto& row_at) {
    const auto plane = static_cast<size_t>(size.pixels());
    ForEachRow(size, flip_vertical, format, out, row_at, [&](const auto& row, T* to) {
      WriteRowScalar(row, 0, size.width, size.width, flip_horizontal, format, plane, to);
    });
  });
}

template <typename Image>
void WriteScalar(const Image& in, bool flip_horizontal, bool flip_vertical,
                 const SampleFormat& format, void* slot) {
  if (format.type == ElementType::kFloat32) {
    WriteScalarOf(in, flip_horizontal, flip_vertical, format, static_cast<float*>(slot));
  } else {
    WriteScalarOf(in, flip_horizontal, flip_vertical, format, static_cast<uint8_t*>(slot));
  }
}

}  // namespace

void WriteSample(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                 const SampleFormat& format, void* slot) {
  HWY_DYNAMIC_DISPATCH(WriteRgbSimd)(in, flip_horizontal, flip_vertical, format, slot);
}

void WriteSample(const YccPlanes& planes, bool flip_horizontal, bool flip_vertical,
                 const SampleFormat& format, void* slot) {
  HWY_DYNAMIC_DISPATCH(WriteYccSimd)(planes, flip_horizontal, flip_vertical, format, slot);
}

void WriteSampleScalar(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                       const SampleFormat& format, void* slot) {
  WriteScalar(in, flip_horizontal, flip_vertical, format, slot);
}

void WriteSampleScalar(const YccPlanes& planes, bool flip_horizontal, bool flip_vertical,
                       const SampleFormat& format, void* slot) {
  WriteScalar(planes, flip_horizontal, flip_vertical, format, slot);
}

}  // namespace stoker
#endif  // HWY_ONCE
