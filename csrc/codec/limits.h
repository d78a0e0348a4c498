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

inline void CheckPixels(Size size, const DecodeLimits& limits) {
  if (size.pixels() <= limits.max_pixels) return;
  throw StageError(Stage::kDecode, "its header claims " + std::to_string(size.width) + " x " +
                                       std::to_string(size.height) +
                                       " pixels, more than the limit of " +
                                       std::to_string(limits.max_pixels));
}

}  // namespace stoker
