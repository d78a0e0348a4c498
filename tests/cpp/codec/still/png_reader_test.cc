#include "codec/still/png_reader.h"

#include <gtest/gtest.h>

#include "support/still_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::ExpectRgb;
using testing::kSize;
using testing::MakePng;
using testing::Png;
using testing::Refusal;
using testing::Span;

TEST(PngReader, ReadsPngsOfEveryKindAsRgb) {
  const size_t count = static_cast<size_t>(kSize.pixels());
  for (const Png& kind : {Png{0, 8, 1},
                          {0, 16, 1},
                          {2, 8, 3},
                          {2, 16, 3},
                          {4, 8, 2},
                          {4, 16, 2},
                          {6, 8, 4},
                          {6, 16, 4}}) {
    SCOPED_TRACE(::testing::Message() << "color type " << kind.color_type << ", " << kind.bits);
    const auto channels = static_cast<size_t>(kind.channels);
    const auto width = static_cast<size_t>(kind.bits / 8);
    Bytes samples(count * channels * width);
    for (size_t i = 0; i < samples.size(); ++i) samples[i] = static_cast<uint8_t>(i * 37 + i / 7);
    // Gray is repeated, alpha dropped, and of 16 bits the upper eight stay.
    Bytes rgb;
    for (size_t i = 0; i < count; ++i) {
      for (size_t c = 0; c < 3; ++c) {
        rgb.push_back(samples[(i * channels + (channels >= 3 ? c : 0)) * width]);
      }
    }
    ExpectRgb(MakePng(kind, samples), kSize, rgb);
  }
}

TEST(PngReader, LooksPalettesUp) {
  Bytes palette;
  for (int i = 0; i < 256 * 3; ++i) palette.push_back(static_cast<uint8_t>(i * 31 + i / 3));
  Bytes samples;
  Bytes rgb;
  for (int i = 0; i < kSize.pixels(); ++i) {
    samples.push_back(static_cast<uint8_t>(i * 5));
    for (size_t c = 0; c < 3; ++c) rgb.push_back(palette[size_t{3} * samples.back() + c]);
  }
  ExpectRgb(MakePng({3, 8, 1}, samples, palette), kSize, rgb);
}

// Gray of 16 bits: 0x0123 is 1 by its upper eight bits, and 255 cut off.
TEST(PngReader, CutsGrayOf16BitsOffWhereAsked) {
  Bytes samples(static_cast<size_t>(kSize.pixels()) * 2);
  Bytes upper;
  Bytes clipped;
  for (size_t i = 0; i < samples.size() / 2; ++i) {
    samples[2 * i] = static_cast<uint8_t>(i % 3);
    samples[2 * i + 1] = static_cast<uint8_t>(i * 7);
    upper.insert(upper.end(), 3, samples[2 * i]);
    clipped.insert(clipped.end(), 3, samples[2 * i] > 0 ? uint8_t{255} : samples[2 * i + 1]);
  }
  StillOptions clip;
  clip.clip_gray16 = true;
  ExpectRgb(MakePng({0, 16, 1}, samples), kSize, upper);
  ExpectRgb(MakePng({0, 16, 1}, samples), kSize, clipped, clip);
}

TEST(PngReader, AFlippedBitIsRefused) {
  const Bytes good = MakePng({2, 8, 3}, testing::MakeRgb(kSize.width, kSize.height, 1));
  ASSERT_EQ(Refusal(good), "");
  // Up to the checksum of the pixels; IEND follows.
  for (size_t i = 8; i + 12 < good.size(); ++i) {
    Bytes bad = good;
    bad[i] ^= 4;
    EXPECT_NE(Refusal(bad), "") << "byte " << i;
  }
}

TEST(PngReader, TheLimitIsForTheSizeThatIsDecoded) {
  StillOptions options;
  options.limits.max_pixels = kSize.pixels() - 1;
  const Bytes file = MakePng({2, 8, 3}, testing::MakeRgb(kSize.width, kSize.height, 1));
  EXPECT_NE(Refusal(file, options).find("more than the limit"), std::string::npos);
}

}  // namespace
}  // namespace stoker
