// Adjustments of colour on 8-bit RGB, with Pillow's arithmetic: its ImageEnhance, convert("L") and
// HSV (Blend.c, Convert.c), which torchvision's transforms of PIL images use. Equal bit for bit.
// Kernels with a scalar oracle; all give the same bits.
//
// `in` and `out` have the same size and do not overlap. Threads: any; pure. Never fails.
#pragma once

#include <cstdint>

#include "base/image_view.h"

namespace stoker {

// Pillow's luma, ITU-R 601-2: (19595 R + 38470 G + 7471 B) / 2^16, rounded.
inline uint8_t Luma(uint8_t r, uint8_t g, uint8_t b) {
  return static_cast<uint8_t>((19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16);
}

// gray + factor · (pixel − gray), limited to 0..255 and truncated, in float32: Brightness with
// gray = 0, Contrast with gray = MeanLuma(in).
void BlendWithConstant(const ImageView& in, uint8_t gray, float factor,
                       const MutableImageView& out);
void BlendWithConstantScalar(const ImageView& in, uint8_t gray, float factor,
                             const MutableImageView& out);

// The same with each pixel's own luma as gray: Color (saturation); with factor = 0 grayscale.
void BlendWithLuma(const ImageView& in, float factor, const MutableImageView& out);
void BlendWithLumaScalar(const ImageView& in, float factor, const MutableImageView& out);

// The image's mean luma, rounded. REQUIRES: it is not empty.
uint8_t MeanLuma(const ImageView& in);
uint64_t SumOfLuma(const ImageView& in);
uint64_t SumOfLumaScalar(const ImageView& in);

// Turns each pixel's hue by `shift` / 256 of a turn, in Pillow's 8-bit HSV. One scalar loop for all
// targets: Pillow's double precision leaves a vector little to gain.
void ShiftHue(const ImageView& in, uint8_t shift, const MutableImageView& out);

}  // namespace stoker
