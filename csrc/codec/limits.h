// What a decoder refuses, so that a hostile or damaged header cannot exhaust the machine.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/rect.h"

namespace stoker {

struct DecodeLimits {
  // Where Pillow raises DecompressionBombError: twice its Image.MAX_IMAGE_PIXELS.
  int64_t max_pixels = 178'956'970;
  // Scans of a progressive JPEG; each costs a pass over all coefficients.
  int max_scans = 256;
};

// What a file may have at most, of whatever format: a pixel takes most in a PNM that spells out 16
// bits ("65535 65535 65535 "), and what is not pixels gets 64 MB.
inline constexpr int64_t kMaxBytesPerPixel = 18;
inline constexpr int64_t kMaxOtherBytes = int64_t{64} << 20;

inline int64_t MaxFileBytes(const DecodeLimits& limits) {
  constexpr int64_t kMostPixels = (INT64_MAX - kMaxOtherBytes) / kMaxBytesPerPixel;
  const int64_t pixels = limits.max_pixels < kMostPixels ? limits.max_pixels : kMostPixels;
  return (pixels > 0 ? pixels : 0) * kMaxBytesPerPixel + kMaxOtherBytes;
}

// Call it before there is any memory for the file.
inline void CheckFileBytes(uint64_t bytes, const DecodeLimits& limits) {
  const int64_t most = MaxFileBytes(limits);
  if (bytes <= static_cast<uint64_t>(most)) return;
  throw StageError(Stage::kRead, "it has " + std::to_string(bytes) + " bytes, and no image of " +
                                     std::to_string(limits.max_pixels) +
                                     " pixels, the limit, takes more than " + std::to_string(most));
}

inline void CheckPixels(Size size, const DecodeLimits& limits) {
  if (size.pixels() <= limits.max_pixels) return;
  throw StageError(Stage::kDecode, "its header claims " + std::to_string(size.width) + " x " +
                                       std::to_string(size.height) +
                                       " pixels, more than the limit of " +
                                       std::to_string(limits.max_pixels));
}

}  // namespace stoker
