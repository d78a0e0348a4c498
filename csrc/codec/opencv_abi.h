// The plain-C border between the core and libstoker_opencv.so, the library of its own that links
// OpenCV's imgcodecs (and with it over a hundred shared objects). The core loads it at the first
// image that is not a JPEG; see opencv_reader.h.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct StokerOpencvImage {
  // Given by the caller: makes room for `bytes` pixel bytes; never fails by throwing (may return
  // null when memory is short).
  uint8_t* (*reserve)(void* context, size_t bytes);
  void* context;
  // Filled in: RGB, interleaved, rows width * 3 bytes apart.
  int width;
  int height;
  uint8_t* pixels_hwc;
  char error[256];
};

// Decodes any format that imgcodecs knows. Returns 0, or 1 with `error` set. Never throws.
using StokerOpencvDecodeFn = int (*)(const uint8_t* bytes, size_t size, StokerOpencvImage* image);
__attribute__((visibility("default"))) int stoker_opencv_decode(const uint8_t* bytes, size_t size,
                                                                StokerOpencvImage* image);
}
