#include "image/write_sample.h"

#include <cstring>

#include "base/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "image/write_sample.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

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

// Pixels [begin, end) of one row, to three planes or interleaved; the oracle, and the kernels'
// tail.
template <typename T>
inline void WriteRowScalar(const uint8_t* row, int begin, int end, int width, bool flip,
                           const SampleFormat& format, size_t plane, T* out) {
  for (int x = begin; x < end; ++x) {
    const auto to = static_cast<size_t>(flip ? width - 1 - x : x);
    for (int c = 0; c < kChannels; ++c) {
      const T value = Element<T>(row[x * kChannels + c], format, c);
      out[format.channels_last ? to * kChannels + static_cast<size_t>(c)
                               : static_cast<size_t>(c) * plane + to] = value;
    }
  }
}

// Calls write_row(row, out) for every row of the output, `out` being where the row begins (in the
// first plane).
template <typename T, typename WriteRow>
inline void ForEachRow(const ImageView& in, bool flip_vertical, const SampleFormat& format, T* out,
                       const WriteRow& write_row) {
  const auto step = static_cast<size_t>(in.size.width) *
                    (format.channels_last ? static_cast<size_t>(kChannels) : size_t{1});
  for (int y = 0; y < in.size.height; ++y) {
    const int from = flip_vertical ? in.size.height - 1 - y : y;
    write_row(in.row(from), out + static_cast<size_t>(y) * step);
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

void StorePixels(hn::Vec<D8> pixels, const SampleFormat& /*format*/, int /*channel*/,
                 uint8_t* out) {
  hn::StoreU(pixels, D8(), out);
}

// Sixteen pixels of one channel to floats, as many at a time as a vector takes.
void StorePixels(hn::Vec<D8> pixels, const SampleFormat& format, int channel, float* out) {
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

// Sixteen pixels at a time, from interleaved to three planes.
template <typename T>
void WriteRowPlanar(const uint8_t* row, int width, bool flip, const SampleFormat& format,
                    size_t plane, T* out) {
  const D8 d8;
  const auto reversed = hn::Load(d8, kReversed);
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    auto r = hn::Zero(d8);
    auto g = hn::Zero(d8);
    auto b = hn::Zero(d8);
    hn::LoadInterleaved3(d8, row + x * kChannels, r, g, b);
    if (flip) {
      r = hn::TableLookupBytes(r, reversed);
      g = hn::TableLookupBytes(g, reversed);
      b = hn::TableLookupBytes(b, reversed);
    }
    T* to = out + (flip ? width - 16 - x : x);
    StorePixels(r, format, 0, to);
    StorePixels(g, format, 1, to + plane);
    StorePixels(b, format, 2, to + 2 * plane);
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
void StoreInterleaved(const uint8_t* pixels, const Pattern& /*pattern*/, uint8_t* out) {
  std::memcpy(out, pixels, 48);
}
void StoreInterleaved(const uint8_t* pixels, const Pattern& pattern, float* out) {
  const hn::CappedTag<float, 16> df;
  const hn::Rebind<int32_t, decltype(df)> di;
  const hn::Rebind<uint8_t, decltype(df)> du8;
  for (size_t i = 0; i < 48; i += hn::Lanes(df)) {
    const auto value = hn::ConvertTo(df, hn::PromoteTo(di, hn::LoadU(du8, pixels + i)));
    const auto scaled = hn::Mul(value, hn::Load(df, pattern.scale + i));
    hn::StoreU(hn::Add(scaled, hn::Load(df, pattern.bias + i)), df, out + i);
  }
}

// Sixteen pixels at a time, from interleaved to interleaved.
template <typename T>
void WriteRowInterleaved(const uint8_t* row, int width, bool flip, const SampleFormat& format,
                         const Pattern& pattern, T* out) {
  const D8 d8;
  const auto reversed = hn::Load(d8, kReversed);
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    const uint8_t* pixels = row + x * kChannels;
    alignas(16) uint8_t mirrored[48];
    if (flip) {
      auto r = hn::Zero(d8);
      auto g = hn::Zero(d8);
      auto b = hn::Zero(d8);
      hn::LoadInterleaved3(d8, pixels, r, g, b);
      hn::StoreInterleaved3(hn::TableLookupBytes(r, reversed), hn::TableLookupBytes(g, reversed),
                            hn::TableLookupBytes(b, reversed), d8, mirrored);
      pixels = mirrored;
    }
    StoreInterleaved(pixels, pattern, out + (flip ? width - 16 - x : x) * kChannels);
  }
  WriteRowScalar(row, x, width, width, flip, format, 0, out);
}

#endif  // HWY_TARGET != HWY_SCALAR

template <typename T>
void WriteSampleOf(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                   const SampleFormat& format, T* out) {
  const auto plane = static_cast<size_t>(in.size.pixels());
  const int width = in.size.width;
#if HWY_TARGET == HWY_SCALAR
  ForEachRow(in, flip_vertical, format, out, [&](const uint8_t* row, T* to) {
    WriteRowScalar(row, 0, width, width, flip_horizontal, format, plane, to);
  });
#else
  const Pattern pattern(format);
  ForEachRow(in, flip_vertical, format, out, [&](const uint8_t* row, T* to) {
    if (format.channels_last) {
      WriteRowInterleaved(row, width, flip_horizontal, format, pattern, to);
    } else {
      WriteRowPlanar(row, width, flip_horizontal, format, plane, to);
    }
  });
#endif
}

void WriteSampleSimd(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                     const SampleFormat& format, void* slot) {
  if (format.type == ElementType::kFloat32) {
    WriteSampleOf(in, flip_horizontal, flip_vertical, format, static_cast<float*>(slot));
  } else {
    WriteSampleOf(in, flip_horizontal, flip_vertical, format, static_cast<uint8_t*>(slot));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stoker {
namespace {

HWY_EXPORT(WriteSampleSimd);

template <typename T>
void WriteScalar(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                 const SampleFormat& format, T* out) {
  const auto plane = static_cast<size_t>(in.size.pixels());
  ForEachRow(in, flip_vertical, format, out, [&](const uint8_t* row, T* to) {
    WriteRowScalar(row, 0, in.size.width, in.size.width, flip_horizontal, format, plane, to);
  });
}

}  // namespace

void WriteSample(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                 const SampleFormat& format, void* slot) {
  HWY_DYNAMIC_DISPATCH(WriteSampleSimd)(in, flip_horizontal, flip_vertical, format, slot);
}

void WriteSampleScalar(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                       const SampleFormat& format, void* slot) {
  if (format.type == ElementType::kFloat32) {
    WriteScalar(in, flip_horizontal, flip_vertical, format, static_cast<float*>(slot));
  } else {
    WriteScalar(in, flip_horizontal, flip_vertical, format, static_cast<uint8_t*>(slot));
  }
}

}  // namespace stoker
#endif  // HWY_ONCE
