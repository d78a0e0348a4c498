#include "codec/still/still_image.h"

#include <gtest/gtest.h>

#include <random>
#include <thread>
#include <vector>

#include "support/still_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::ExpectRgb;
using testing::kSize;
using testing::MakePng;
using testing::Refusal;
using testing::Span;

TEST(StillImage, ThreadsMayDecodeAtTheSameTime) {
  const Bytes rgb = testing::MakeRgb(kSize.width, kSize.height, 2);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 50; ++k) ExpectRgb(MakePng({2, 8, 3}, rgb), kSize, rgb);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Whatever stands in a file: pixels or a reason.
TEST(StillImage, DamageEndsInAReason) {
  const Bytes rgb = testing::MakeRgb(kSize.width, kSize.height, 1);
  std::mt19937 random(7);
  StillOptions options;
  options.limits.max_pixels = 1 << 20;
  for (const Bytes& good :
       {MakePng({2, 8, 3}, rgb), testing::MakePpm(13, 7, rgb), testing::MakeBmp(13, 7, rgb),
        testing::MakeTiff(kSize, rgb, false, 6)}) {
    for (int i = 0; i < 3000; ++i) {
      Bytes bad = good;
      for (int k = 0; k < 1 + i % 4; ++k) {
        bad[random() % bad.size()] = static_cast<uint8_t>(random());
      }
      if (i % 3 == 0) bad.resize(random() % bad.size());
      const ImageFormat format = SniffFormat(Span(bad));
      if (format == ImageFormat::kUnknown || format == ImageFormat::kJpeg) continue;
      Refusal(bad, options);
      const int orientation = StillOrientation(format, Span(bad));
      EXPECT_TRUE(orientation >= 1 && orientation <= 8) << orientation;
    }
  }
}

}  // namespace
}  // namespace stoker
