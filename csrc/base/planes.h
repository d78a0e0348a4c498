// A part of a JPEG's image as it is stored: a plane of luma (Y) and, unless it is gray, two of
// chroma (Cb, Cr), each at its own resolution. A view owns nothing; whoever made it says how long
// the samples live.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/rect.h"

namespace stoker {

struct PlaneView {
  const uint8_t* samples = nullptr;  // of `rect`, row by row; the first one is rect's left top
  ptrdiff_t row_bytes = 0;
  Rect rect;  // what is there, in samples of the plane
  Size size;  // of the whole plane
  // Luma samples that one sample stands for, across and down: 1, 2 or 4.
  int h_factor = 1;
  int v_factor = 1;
  // How the plane is brought to luma's resolution: where a factor is 2, by the triangle filter
  // (3/4 of the nearer sample, 1/4 of the farther one: libjpeg's "fancy upsampling"); else by
  // repeating samples.
  bool triangle = false;

  // Row y of the plane: its sample x is at [x − rect.left].
  const uint8_t* row(int y) const { return samples + (y - rect.top) * row_bytes; }
};

struct YccPlanes {
  int count = 0;  // 1: gray; 3: Y, Cb, Cr
  int scale = 1;  // pixels of the image to a luma sample, across and down: 1, or after DCT-domain
                  // scaling 2, 4 or 8; sizes and rectangles of planes are reduced by it
  std::array<PlaneView, 3> plane;
};

}  // namespace stoker
