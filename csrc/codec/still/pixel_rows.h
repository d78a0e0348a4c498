// What the readers of still images share: the pixels they fill, errors, and rows of samples turned
// into RGB as Pillow's convert("RGB") turns them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "base/image_view.h"
#include "codec/limits.h"

namespace stoker {

[[noreturn]] inline void RefuseImage(const std::string& reason) {
  throw StageError(Stage::kDecode, reason);
}

// A size as a header claims it. Throws where no image can have it.
inline Size ClaimedSize(int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX) {
    RefuseImage("its header claims " + std::to_string(width) + " x " + std::to_string(height) +
                " pixels");
  }
  return {static_cast<int>(width), static_cast<int>(height)};
}

// Room for an image of `size`, once that is within the limits.
inline MutableImageView ReserveImage(Size size, const DecodeLimits& limits, ByteBuffer* pixels) {
  CheckPixels(size, limits);
  const auto row_bytes = static_cast<size_t>(size.width) * kChannels;
  return {pixels->Reserve(row_bytes * static_cast<size_t>(size.height)), size,
          static_cast<ptrdiff_t>(row_bytes)};
}

// Colours by number. What a file's own table does not name is black, as in Pillow.
struct Palette {
  std::array<std::array<uint8_t, kChannels>, 256> rgb{};
};

// Number i is gray of level i.
inline Palette GrayRamp() {
  Palette palette;
  for (size_t i = 0; i < palette.rgb.size(); ++i) palette.rgb[i].fill(static_cast<uint8_t>(i));
  return palette;
}

// The `i`-th sample of `bits` (1, 2, 4 or 8) in a row that begins with the most significant bits.
inline uint8_t PackedSample(const uint8_t* row, int i, int bits) {
  const int shift = 8 - bits - i * bits % 8;
  return static_cast<uint8_t>(row[i * bits / 8] >> shift & ((1 << bits) - 1));
}

inline void PaletteRowToRgb(const uint8_t* row, int width, int bits, const Palette& palette,
                            uint8_t* rgb) {
  for (int x = 0; x < width; ++x, rgb += kChannels) {
    const auto& color = palette.rgb[PackedSample(row, x, bits)];
    std::copy(color.begin(), color.end(), rgb);
  }
}

// Gray of `bits` to eight bits; `invert`: 0 is white.
inline void GrayRowToRgb(const uint8_t* row, int width, int bits, bool invert, uint8_t* rgb) {
  const int scale = 255 / ((1 << bits) - 1);
  for (int x = 0; x < width; ++x, rgb += kChannels) {
    const int gray = PackedSample(row, x, bits) * scale;
    std::fill_n(rgb, kChannels, static_cast<uint8_t>(invert ? 255 - gray : gray));
  }
}

// A gray sample of 16 bits as one of eight (StillOptions::clip_gray16).
inline uint8_t Gray16ToByte(unsigned value, bool clip) {
  return static_cast<uint8_t>(clip ? std::min(value, 255U) : value >> 8);
}

}  // namespace stoker
