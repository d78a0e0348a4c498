#include "codec/still/bmp_reader.h"

#include <gtest/gtest.h>

#include "support/still_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::ExpectRgb;
using testing::Refusal;

TEST(BmpReader, ReadsEverySmallWidth) {
  for (int width = 1; width <= 20; ++width) {
    const Bytes rgb = testing::MakeRgb(width, 5, static_cast<uint32_t>(width));
    ExpectRgb(testing::MakeBmp(width, 5, rgb), {width, 5}, rgb);
  }
}

// Header of 40 bytes, one row of 16 bits: white is 255, whatever the bits of each colour.
Bytes Bmp16(uint32_t compression, const std::vector<uint32_t>& masks, uint16_t pixel) {
  Bytes out = {'B', 'M'};
  const auto begin = static_cast<uint32_t>(54 + 4 * masks.size());
  for (const uint32_t value :
       {begin + 4, 0U, begin, 40U, 1U, 1U, 1U | 16U << 16, compression, 4U, 0U, 0U, 0U, 0U}) {
    testing::Put(&out, value, 4, false);
  }
  for (const uint32_t mask : masks) testing::Put(&out, mask, 4, false);
  testing::Put(&out, pixel, 4, false);
  return out;
}

TEST(BmpReader, ScalesFiveAndSixBits) {
  ExpectRgb(Bmp16(0, {}, 0x7FFF), {1, 1}, {255, 255, 255});
  ExpectRgb(Bmp16(3, {0xF800, 0x7E0, 0x1F}, 0x8410), {1, 1}, {131, 129, 131});
  EXPECT_NE(Refusal(Bmp16(3, {0xF00, 0xF0, 0xF}, 0)), "");
  EXPECT_NE(Refusal(Bmp16(7, {}, 0)), "");
}

TEST(BmpReader, CutFilesAreRefused) {
  const Bytes file = testing::MakeBmp(4, 7, testing::MakeRgb(4, 7, 1));
  for (size_t size = 26; size < file.size(); ++size) {
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(Refusal(cut), "") << size;
  }
}

}  // namespace
}  // namespace stoker
