// Pixels for tests of kernels: random ones to read, and guarded memory to write to.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "base/bytes.h"
#include "base/image_view.h"

namespace stoker::testing {

// An image that owns its pixels. Behind each row are `gap` guard bytes, behind the last also the
// readable padding that kernels are promised; all of them have kGuard in them.
class Pixels {
 public:
  static constexpr uint8_t kGuard = 0xA5;

  explicit Pixels(Size size, int gap = 0)
      : size_(size),
        row_bytes_(static_cast<ptrdiff_t>(size.width) * kChannels + gap),
        bytes_(static_cast<size_t>(row_bytes_ * size.height) + ByteBuffer::kPadding, kGuard) {}

  // Noise in which every third value is black or white, so that sums overshoot.
  static Pixels Random(Size size, uint32_t seed, int gap = 0) {
    Pixels pixels(size, gap);
    std::minstd_rand random(seed + 1);
    for (int y = 0; y < size.height; ++y) {
      uint8_t* row = pixels.mutable_view().row(y);
      std::generate_n(row, size.width * kChannels, [&] {
        const auto value = static_cast<unsigned>(random() >> 8);
        const unsigned extreme = (value >> 12 & 1) * 255;
        return static_cast<uint8_t>(value % 3 == 0 ? extreme : value >> 4);
      });
    }
    return pixels;
  }

  Size size() const { return size_; }
  ImageView view() const { return {bytes_.data(), size_, row_bytes_}; }
  MutableImageView mutable_view() { return {bytes_.data(), size_, row_bytes_}; }

  // Whether nothing has been written behind any row.
  bool GuardsAreIntact() const {
    for (int y = 0; y < size_.height; ++y) {
      const uint8_t* row = view().row(y);
      if (!std::all_of(row + size_.width * kChannels, row + row_bytes_, IsGuard)) return false;
    }
    return std::all_of(bytes_.end() - ByteBuffer::kPadding, bytes_.end(), IsGuard);
  }

 private:
  static bool IsGuard(uint8_t byte) { return byte == kGuard; }

  Size size_;
  ptrdiff_t row_bytes_;
  std::vector<uint8_t> bytes_;
};

// The same size and the same pixels, whatever the row_bytes.
inline bool SamePixels(const ImageView& a, const ImageView& b) {
  if (a.size != b.size) return false;
  for (int y = 0; y < a.size.height; ++y) {
    if (!std::equal(a.row(y), a.row(y) + a.size.width * kChannels, b.row(y))) return false;
  }
  return true;
}

}  // namespace stoker::testing
