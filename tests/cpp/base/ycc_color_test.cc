#include "base/ycc_color.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

namespace stoker {
namespace {

// jdcolor.c: build_ycc_rgb_table and ycc_rgb_convert.
Rgb Libjpeg(int y, int cb, int cr) {
  const auto fix = [](double x) { return static_cast<int64_t>(x * 65536 + 0.5); };
  constexpr int64_t kHalf = 1 << 15;
  const int64_t u = cb - 128;
  const int64_t v = cr - 128;
  const auto limit = [](int64_t x) { return static_cast<uint8_t>(std::clamp<int64_t>(x, 0, 255)); };
  return {limit(y + ((fix(1.40200) * v + kHalf) >> 16)),
          limit(y + ((-fix(0.71414) * v - fix(0.34414) * u + kHalf) >> 16)),
          limit(y + ((fix(1.77200) * u + kHalf) >> 16))};
}

TEST(YccColor, EveryTripleIsAsByLibjpeg) {
  int different = 0;
  for (int cb = 0; cb < 256; ++cb) {
    for (int cr = 0; cr < 256; ++cr) {
      for (int y = 0; y < 256; ++y) {
        const Rgb expected = Libjpeg(y, cb, cr);
        const Rgb result =
            YccToRgb(static_cast<uint8_t>(y), static_cast<uint8_t>(cb), static_cast<uint8_t>(cr));
        different +=
            result.r != expected.r || result.g != expected.g || result.b != expected.b ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(different, 0);
}

}  // namespace
}  // namespace stoker
