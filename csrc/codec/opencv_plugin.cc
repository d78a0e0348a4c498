// libstoker_opencv.so: see opencv_abi.h.
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <opencv2/imgcodecs.hpp>

#include <dlfcn.h>

#include <cstdio>
#include <exception>
#include <stdexcept>

#include "codec/opencv_abi.h"

// Note [libpng's voice]
// OpenCV gives libpng no error handler, so libpng's own one writes to standard error: for damaged
// files, and for harmless oddities of good ones. This library is loaded with a scope of its own in
// which it stands first, so its png_create_read_struct is the one that OpenCV calls: it asks for
// handlers that keep quiet, and is otherwise libpng's. Types are plain: no libpng header is needed.
extern "C" {

using PngHandler = void (*)(void* png, const char* message);

static void StokerPngError(void* png, const char* /*message*/) {
  // As libpng's own handler: back to where OpenCV waits, which reports that decoding failed.
  using LongJump = void (*)(void* png, int value);
  reinterpret_cast<LongJump>(dlsym(RTLD_NEXT, "png_longjmp"))(png, 1);
}

static void StokerPngWarning(void* /*png*/, const char* /*message*/) {}

__attribute__((visibility("default"))) void* png_create_read_struct(const char* version,
                                                                    void* context, PngHandler error,
                                                                    PngHandler warning) {
  using Create = void* (*)(const char*, void*, PngHandler, PngHandler);
  const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "png_create_read_struct"));
  return create(version, context, error != nullptr ? error : &StokerPngError,
                warning != nullptr ? warning : &StokerPngWarning);
}

}  // extern "C"

namespace {

// One row to RGB as Pillow's convert("RGB") does: gray is repeated, alpha dropped, of 16 bits the
// upper eight kept. T is the sample type, kShift what brings it to eight bits.
template <typename T, int kShift>
void RowToRgb(const T* row, int channels, int width, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, row += channels, rgb += 3) {
    // OpenCV's order is B, G, R.
    for (int c = 0; c < 3; ++c) {
      rgb[c] = static_cast<uint8_t>(row[channels >= 3 ? 2 - c : 0] >> kShift);
    }
  }
}

void Decode(const uint8_t* bytes, size_t size, StokerOpencvImage* image) {
  if (size > static_cast<size_t>(INT32_MAX)) throw std::runtime_error("the file is over 2 GB");
  const cv::Mat input(1, static_cast<int>(size), CV_8U, const_cast<uint8_t*>(bytes));
  const cv::Mat decoded = cv::imdecode(input, cv::IMREAD_UNCHANGED);
  if (decoded.empty()) throw std::runtime_error("OpenCV cannot decode it (damaged or truncated)");
  if (decoded.depth() != CV_8U && decoded.depth() != CV_16U) {
    throw std::runtime_error("samples of other than 8 or 16 bits are not supported");
  }
  image->width = decoded.cols;
  image->height = decoded.rows;
  const size_t row_bytes = static_cast<size_t>(decoded.cols) * 3;
  image->pixels_hwc = image->reserve(image->context, row_bytes * static_cast<size_t>(decoded.rows));
  if (image->pixels_hwc == nullptr) throw std::runtime_error("out of memory");
  for (int y = 0; y < decoded.rows; ++y) {
    uint8_t* rgb = image->pixels_hwc + static_cast<size_t>(y) * row_bytes;
    if (decoded.depth() == CV_8U) {
      RowToRgb<uint8_t, 0>(decoded.ptr<uint8_t>(y), decoded.channels(), decoded.cols, rgb);
    } else {
      RowToRgb<uint16_t, 8>(decoded.ptr<uint16_t>(y), decoded.channels(), decoded.cols, rgb);
    }
  }
}

}  // namespace

int stoker_opencv_decode(const uint8_t* bytes, size_t size, StokerOpencvImage* image) {
  try {
    static const bool quiet = [] {
      cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
      return true;
    }();
    static_cast<void>(quiet);
    Decode(bytes, size, image);
    return 0;
  } catch (const std::exception& e) {
    std::snprintf(image->error, sizeof image->error, "%s", e.what());
  } catch (...) {
    std::snprintf(image->error, sizeof image->error, "unknown error");
  }
  return 1;
}
