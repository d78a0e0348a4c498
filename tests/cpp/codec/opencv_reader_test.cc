#include "codec/opencv_reader.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "codec/image_decoder.h"
#include "support/quiet_stderr.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::MakeRgb;
using testing::Span;

void Put(Bytes* out, uint32_t value, int bytes, bool big_endian) {
  for (int i = 0; i < bytes; ++i) {
    const int shift = 8 * (big_endian ? bytes - 1 - i : i);
    out->push_back(static_cast<uint8_t>(value >> shift));
  }
}

// CRC-32 as the PNG specification's annex D gives it.
uint32_t Crc(const Bytes& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (crc % 2 != 0 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

void PutChunk(Bytes* png, const std::string& type, const Bytes& payload) {
  Bytes named(type.begin(), type.end());
  named.insert(named.end(), payload.begin(), payload.end());
  Put(png, static_cast<uint32_t>(payload.size()), 4, true);
  png->insert(png->end(), named.begin(), named.end());
  Put(png, Crc(named), 4, true);
}

// A zlib stream of one stored block (RFC 1950, RFC 1951).
Bytes Stored(const Bytes& raw) {
  Bytes out = {0x78, 0x01, 0x01};
  Put(&out, static_cast<uint32_t>(raw.size()), 2, false);
  Put(&out, static_cast<uint32_t>(~raw.size()), 2, false);
  out.insert(out.end(), raw.begin(), raw.end());
  uint32_t a = 1;
  uint32_t b = 0;
  for (const uint8_t byte : raw) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  Put(&out, b << 16 | a, 4, true);
  return out;
}

struct Png {
  int color_type;  // 0 gray, 2 RGB, 3 palette, 4 gray and alpha, 6 RGB and alpha
  int bits;
  int channels;
};

constexpr Size kSize{13, 7};

// Samples in the file's order, two bytes each (the first counts most) where there are 16 bits.
Bytes MakePng(const Png& kind, const Bytes& samples, const Bytes& palette_rgb = {}) {
  Bytes png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  Bytes header;
  Put(&header, kSize.width, 4, true);
  Put(&header, kSize.height, 4, true);
  header.insert(header.end(),
                {static_cast<uint8_t>(kind.bits), static_cast<uint8_t>(kind.color_type), 0, 0, 0});
  PutChunk(&png, "IHDR", header);
  if (!palette_rgb.empty()) PutChunk(&png, "PLTE", palette_rgb);
  Bytes raw;
  const auto row_bytes = static_cast<std::ptrdiff_t>(kSize.width * kind.channels * kind.bits / 8);
  for (int y = 0; y < kSize.height; ++y) {
    raw.push_back(0);  // no filter
    raw.insert(raw.end(), samples.begin() + y * row_bytes, samples.begin() + (y + 1) * row_bytes);
  }
  PutChunk(&png, "IDAT", Stored(raw));
  PutChunk(&png, "IEND", {});
  return png;
}

// One uncompressed strip of RGB (TIFF 6.0).
Bytes MakeTiff(Size size, const Bytes& rgb, bool big_endian, uint32_t orientation) {
  Bytes out(2, big_endian ? 'M' : 'I');
  Put(&out, 42, 2, big_endian);
  Put(&out, 8, 4, big_endian);
  struct Entry {
    uint32_t tag, value;
  };
  const Entry entries[] = {{256, static_cast<uint32_t>(size.width)},
                           {257, static_cast<uint32_t>(size.height)},
                           {258, 8},                    // bits a sample
                           {259, 1},                    // uncompressed
                           {262, 2},                    // RGB
                           {273, 8 + 2 + 10 * 12 + 4},  // where the strip begins
                           {274, orientation},
                           {277, 3},                                   // samples a pixel
                           {278, static_cast<uint32_t>(size.height)},  // rows a strip
                           {279, static_cast<uint32_t>(rgb.size())}};
  Put(&out, static_cast<uint32_t>(std::size(entries)), 2, big_endian);
  for (const Entry& entry : entries) {
    Put(&out, entry.tag, 2, big_endian);
    Put(&out, 4, 2, big_endian);  // LONG
    Put(&out, 1, 4, big_endian);
    Put(&out, entry.value, 4, big_endian);
  }
  Put(&out, 0, 4, big_endian);
  out.insert(out.end(), rgb.begin(), rgb.end());
  return out;
}

void ExpectRgb(const Bytes& file, Size size, const Bytes& rgb) {
  ByteBuffer pixels;
  const ImageView image = DecodeWithOpencv(Span(file), &pixels);
  ASSERT_EQ(image.size, size);
  const auto row = static_cast<size_t>(size.width) * kChannels;
  for (int y = 0; y < size.height; ++y) {
    const auto begin = rgb.begin() + static_cast<std::ptrdiff_t>(row) * y;
    ASSERT_EQ(Bytes(image.row(y), image.row(y) + row),
              Bytes(begin, begin + static_cast<std::ptrdiff_t>(row)))
        << "row " << y;
  }
}

TEST(OpencvReader, ReadsPngsOfEveryKindAsRgb) {
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

TEST(OpencvReader, LooksPalettesUp) {
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

TEST(OpencvReader, ReadsPpmAndBmpOfEverySmallWidth) {
  for (int width = 1; width <= 20; ++width) {
    const Bytes rgb = MakeRgb(width, 5, static_cast<uint32_t>(width));
    ExpectRgb(testing::MakePpm(width, 5, rgb), {width, 5}, rgb);
    ExpectRgb(testing::MakeBmp(width, 5, rgb), {width, 5}, rgb);
  }
}

TEST(OpencvReader, ReadsWebp) {
  // Pillow: lossless, the six pixels below.
  const Bytes webp = {0x52, 0x49, 0x46, 0x46, 0x2E, 0x00, 0x00, 0x00, 0x57, 0x45, 0x42,
                      0x50, 0x56, 0x50, 0x38, 0x4C, 0x21, 0x00, 0x00, 0x00, 0x2F, 0x02,
                      0x40, 0x00, 0x00, 0x85, 0x82, 0xB4, 0x0D, 0x98, 0x31, 0xE5, 0xF3,
                      0x7D, 0x6D, 0x08, 0x08, 0x0A, 0xFE, 0x8F, 0x4E, 0x40, 0x50, 0xE8,
                      0xFF, 0x68, 0xFD, 0x0F, 0xE8, 0x43, 0x13, 0x95, 0x01, 0x00};
  ExpectRgb(webp, {3, 2}, {255, 0, 0, 0, 255, 0, 0, 0, 255, 1, 2, 3, 128, 128, 128, 250, 251, 252});
}

// Two rows of three pixels, so that each of the eight ways gives other bytes.
TEST(OpencvReader, TurnsTiffsUpright) {
  const int upright[8][6] = {{0, 1, 2, 3, 4, 5}, {2, 1, 0, 5, 4, 3}, {5, 4, 3, 2, 1, 0},
                             {3, 4, 5, 0, 1, 2}, {0, 3, 1, 4, 2, 5}, {3, 0, 4, 1, 5, 2},
                             {5, 2, 4, 1, 3, 0}, {2, 5, 1, 4, 0, 3}};
  const Bytes stored = MakeRgb(3, 2, 1);
  for (const bool big_endian : {false, true}) {
    for (uint32_t orientation = 1; orientation <= 8; ++orientation) {
      SCOPED_TRACE(orientation);
      Bytes rgb;
      for (const int from : upright[orientation - 1]) {
        for (int c = 0; c < 3; ++c) rgb.push_back(stored[static_cast<size_t>(3 * from + c)]);
      }
      const Size size = orientation >= 5 ? Size{2, 3} : Size{3, 2};
      ExpectRgb(MakeTiff({3, 2}, stored, big_endian, orientation), size, rgb);
    }
  }
}

TEST(OpencvReader, CutFilesFail) {
  const testing::QuietStderr opencv_comments_on_each;
  const Bytes rgb = MakeRgb(kSize.width, kSize.height, 1);
  ByteBuffer pixels;
  for (const Bytes& file : {MakePng({2, 8, 3}, rgb), testing::MakePpm(13, 7, rgb),
                            testing::MakeBmp(13, 7, rgb), MakeTiff(kSize, rgb, false, 1)}) {
    // The last bytes of a PNG (its IEND chunk) or of a BMP (padding) hold no pixels.
    for (size_t size = 0; size + 20 < file.size(); size += 9) {
      const Bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
      try {
        DecodeWithOpencv(Span(cut), &pixels);
        ADD_FAILURE() << file[0] << file[1] << " was decoded from " << size << " of "
                      << file.size();
        break;
      } catch (const StageError& e) {
        EXPECT_EQ(e.stage(), Stage::kDecode);
        EXPECT_STRNE(e.what(), "");
      }
    }
  }
}

TEST(OpencvReader, ThreadsMayDecodeAtTheSameTime) {
  const Bytes rgb = MakeRgb(kSize.width, kSize.height, 2);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 50; ++k) ExpectRgb(MakePng({2, 8, 3}, rgb), kSize, rgb);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

bool OpencvIsMapped() {
  std::ifstream maps("/proc/self/maps");
  const std::string all{std::istreambuf_iterator<char>(maps), {}};
  return all.find("libopencv") != std::string::npos;
}

// In a process of its own (the "threadsafe" style starts the binary anew), since any other test of
// this one may have loaded the library.
TEST(OpencvReaderDeathTest, OnlyOtherFormatsThanJpegLoadTheLibrary) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto decode = [](const Bytes& file) {
    ImageDecoder decoder({});
    decoder.Decode(Whole(decoder.Open(Span(file))));
  };
  EXPECT_EXIT(
      {
        decode(testing::MakeJpeg({}));
        const bool after_jpeg = OpencvIsLoaded() || OpencvIsMapped();
        decode(testing::MakePpm(2, 2, MakeRgb(2, 2, 1)));
        const bool after_ppm = OpencvIsLoaded() && OpencvIsMapped();
        std::_Exit(!after_jpeg && after_ppm ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace stoker
