#include "image/erase.h"

#include <algorithm>
#include <cmath>

#include "image/philox.h"
#include "image/portable_math.h"

namespace stoker {
namespace {

// Normal numbers by their position, four to a block of Philox.
class NormalStream {
 public:
  explicit NormalStream(uint64_t key)
      : key_{static_cast<uint32_t>(key), static_cast<uint32_t>(key >> 32)} {}

  float Next() {
    if (used_ == block_.size()) {
      block_ = Philox4x32(
          {static_cast<uint32_t>(blocks_), static_cast<uint32_t>(blocks_ >> 32), 0, 0}, key_);
      ++blocks_;
      used_ = 0;
    }
    return static_cast<float>(NormalQuantile((block_[used_++] + 0.5) * 0x1p-32));
  }

 private:
  const std::array<uint32_t, 2> key_;
  PhiloxBlock block_{};
  size_t used_ = 4;
  uint64_t blocks_ = 0;
};

template <typename T>
T Element(float value);
template <>
float Element<float>(float value) {
  return value;
}
template <>
uint8_t Element<uint8_t>(float value) {
  return static_cast<uint8_t>(std::min(255.0F, std::max(0.0F, value)));
}

template <typename T>
void EraseElements(const Erasure& erasure, Size size, const SampleFormat& format, T* slot) {
  NormalStream normal(erasure.noise_key);
  const Rect& rect = erasure.rect;
  const auto channels = static_cast<ptrdiff_t>(format.channels);
  for (ptrdiff_t c = 0; c < channels; ++c) {
    const float value = erasure.value[static_cast<size_t>(c)];
    const float noise = erasure.noise[static_cast<size_t>(c)];
    for (int y = rect.top; y < rect.bottom(); ++y) {
      for (int x = rect.left; x < rect.right(); ++x) {
        const ptrdiff_t pixel = static_cast<ptrdiff_t>(y) * size.width + x;
        const ptrdiff_t at =
            format.channels_last ? pixel * channels + c : c * size.pixels() + pixel;
        slot[at] = Element<T>(noise == 0.0F ? value : value + noise * normal.Next());
      }
    }
  }
}

}  // namespace

void Erase(const Erasure& erasure, Size size, const SampleFormat& format, void* slot) {
  if (format.type == ElementType::kFloat32) {
    EraseElements(erasure, size, format, static_cast<float*>(slot));
  } else {
    EraseElements(erasure, size, format, static_cast<uint8_t*>(slot));
  }
}

double NormalQuantile(double p) {
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
           (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
  }
  double r = std::sqrt(-PortableLog(q < 0.0 ? p : 1.0 - p));
  double x = 0.0;
  if (r <= 5.0) {
    r -= 1.6;
    x = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
        ((0.12021132975 * r + 0.73700164250) * r + 1.0);
  } else {
    r -= 5.0;
    x = (((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150) /
        ((0.012258202635 * r + 0.24197894225) * r + 1.0);
  }
  return q < 0.0 ? -x : x;
}

}  // namespace stoker
