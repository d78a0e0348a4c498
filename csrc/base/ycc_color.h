// JPEG's YCbCr to RGB as libjpeg computes it (jdcolor.c): 16-bit fixed point, each term of red and
// blue rounded on its own, those of green together. ITU-T T.871.
//
// The scalar form; ycc_color-inl.h has the same on vectors.
#pragma once

#include <algorithm>
#include <cstdint>

namespace stoker {

// x · 2^16, rounded; those of more than 16 bits less a multiple of 2^16.
inline constexpr int kCrToRed = 26345;     // 1.40200 − 1
inline constexpr int kCbToBlue = -14942;   // 1.77200 − 2
inline constexpr int kCbToGreen = -22554;  // −0.34414
inline constexpr int kCrToGreen = 18734;   // −0.71414 + 1

struct Rgb {
  uint8_t r, g, b;
};

inline Rgb YccToRgb(uint8_t y, uint8_t cb_sample, uint8_t cr_sample) {
  const int cb = cb_sample - 128;
  const int cr = cr_sample - 128;
  const auto limit = [](int x) { return static_cast<uint8_t>(std::min(255, std::max(0, x))); };
  constexpr int kHalf = 1 << 15;
  return {limit(y + cr + ((kCrToRed * cr + kHalf) >> 16)),
          limit(y - cr + ((kCbToGreen * cb + kCrToGreen * cr + kHalf) >> 16)),
          limit(y + 2 * cb + ((kCbToBlue * cb + kHalf) >> 16))};
}

}  // namespace stoker
