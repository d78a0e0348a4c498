// Views of 8-bit RGB pixels, interleaved (height, width, 3), rows row_bytes apart. A view owns
// nothing; whoever made it says how long the pixels live.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/rect.h"

namespace stoker {

inline constexpr int kChannels = 3;

struct ImageView {
  const uint8_t* pixels_hwc = nullptr;
  Size size;
  ptrdiff_t row_bytes = 0;

  const uint8_t* row(int y) const { return pixels_hwc + y * row_bytes; }
  // The part of the view inside `rect`, which must lie within it.
  ImageView Crop(const Rect& rect) const {
    return {row(rect.top) + static_cast<ptrdiff_t>(rect.left) * kChannels, rect.size(), row_bytes};
  }
};

struct MutableImageView {
  uint8_t* pixels_hwc = nullptr;
  Size size;
  ptrdiff_t row_bytes = 0;

  uint8_t* row(int y) const { return pixels_hwc + y * row_bytes; }
  // NOLINTNEXTLINE(google-explicit-constructor): reading what may be written is always fine.
  operator ImageView() const { return {pixels_hwc, size, row_bytes}; }
};

}  // namespace stoker
