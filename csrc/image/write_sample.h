// The last pass over a sample: flips, conversion, normalisation and layout, straight into its slot
// of the batch. Kernels with a scalar oracle; all give the same bits.
//
// Threads: any; pure.
#pragma once

#include <array>
#include <cstddef>

#include "base/image_view.h"
#include "base/planes.h"

namespace stoker {

enum class ElementType : uint8_t { kUint8, kFloat32 };

// How a slot is filled. A float element is pixel · scale[c] + bias[c]: one multiplication and one
// addition in float32, never contracted. For torchvision's ToDtype(scale=True) and Normalize that
// is scale = 1 / (255 · std), bias = −mean / std.
struct SampleFormat {
  ElementType type = ElementType::kUint8;
  int channels = kChannels;    // 3, or 1: red alone, of pixels that are gray
  bool channels_last = false;  // (height, width, channels) in place of (channels, height, width)
  std::array<float, 3> scale{1.0F, 1.0F, 1.0F};
  std::array<float, 3> bias{0.0F, 0.0F, 0.0F};

  size_t element_bytes() const { return type == ElementType::kFloat32 ? sizeof(float) : 1; }
  size_t SampleBytes(Size size) const {
    return static_cast<size_t>(size.pixels()) * static_cast<size_t>(channels) * element_bytes();
  }
};

// Writes `in`, mirrored as asked, to `slot`: format.SampleBytes(in.size) bytes, aligned to the
// element. `in`'s rows must be followed by ByteBuffer::kPadding readable bytes.
void WriteSample(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                 const SampleFormat& format, void* slot);
void WriteSampleScalar(const ImageView& in, bool flip_horizontal, bool flip_vertical,
                       const SampleFormat& format, void* slot);

// The same from planes that have all luma's resolution, `planes.plane[0].size`: converts colours on
// the way (ycc_color.h), or repeats gray.
void WriteSample(const YccPlanes& planes, bool flip_horizontal, bool flip_vertical,
                 const SampleFormat& format, void* slot);
void WriteSampleScalar(const YccPlanes& planes, bool flip_horizontal, bool flip_vertical,
                       const SampleFormat& format, void* slot);

}  // namespace stoker
