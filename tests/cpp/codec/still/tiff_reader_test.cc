#include "codec/still/tiff_reader.h"

#include <gtest/gtest.h>

#include "support/still_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::ExpectRgb;
using testing::kSize;
using testing::MakeTiff;
using testing::Refusal;
using testing::Span;

TEST(TiffReader, ReadsItAsItIsStoredAndSaysHowItIsTurned) {
  const Bytes rgb = testing::MakeRgb(3, 2, 1);
  for (const bool big_endian : {false, true}) {
    for (uint32_t orientation = 1; orientation <= 8; ++orientation) {
      const Bytes file = MakeTiff({3, 2}, rgb, big_endian, orientation);
      ExpectRgb(file, {3, 2}, rgb);
      EXPECT_EQ(TiffOrientation(Span(file)), static_cast<int>(orientation));
    }
  }
}

TEST(TiffReader, CutFilesAreRefused) {
  const Bytes file = MakeTiff(kSize, testing::MakeRgb(kSize.width, kSize.height, 1), false, 1);
  for (size_t size = 8; size < file.size(); ++size) {
    const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(Refusal(cut), "") << size;
  }
}

TEST(TiffReader, TheLimitIsForTheSizeThatIsDecoded) {
  StillOptions options;
  options.limits.max_pixels = kSize.pixels() - 1;
  const Bytes file = MakeTiff(kSize, testing::MakeRgb(kSize.width, kSize.height, 1), true, 1);
  EXPECT_NE(Refusal(file, options).find("more than the limit"), std::string::npos);
}

}  // namespace
}  // namespace stoker
