#include "codec/sniff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::MakeJpeg;
using testing::Span;
using testing::WithExifOrientation;

// A header, byte for byte as the format's specification has it, and its format.
struct Header {
  const char* name;
  ImageFormat format;
  Bytes bytes;
};

Bytes Text(const std::string& text) { return {text.begin(), text.end()}; }

// `head`, then each number as `width` bytes.
Bytes With(Bytes head, std::vector<uint32_t> numbers, int width, bool big_endian) {
  for (const uint32_t number : numbers) {
    for (int i = 0; i < width; ++i) {
      const int shift = 8 * (big_endian ? width - 1 - i : i);
      head.push_back(static_cast<uint8_t>(number >> shift));
    }
  }
  return head;
}

Bytes Riff(const std::string& chunk, const Bytes& payload) {
  const auto size = static_cast<uint32_t>(payload.size());
  Bytes out = With(Text("RIFF"), {size + 12}, 4, false);
  const Bytes inner = With(Text("WEBP" + chunk), {size}, 4, false);
  out.insert(out.end(), inner.begin(), inner.end());
  out.insert(out.end(), payload.begin(), payload.end());
  return out;
}

// A TIFF's directory with width and height as `type` 3 (SHORT) or 4 (LONG), behind another tag.
Bytes Tiff(bool big_endian, uint32_t type) {
  const auto put = [&](Bytes* out, std::vector<uint32_t> numbers, int width) {
    *out = With(*out, std::move(numbers), width, big_endian);
  };
  Bytes out = Text(big_endian ? "MM" : "II");
  put(&out, {42}, 2);
  put(&out, {10}, 4);  // the directory's offset
  put(&out, {0xAAAA}, 2);
  put(&out, {3}, 2);
  for (const auto& [tag, value] : {std::pair{254U, 0U}, {256U, 301U}, {257U, 202U}}) {
    put(&out, {tag, type}, 2);
    put(&out, {1}, 4);
    if (type == 3) put(&out, {value, 0}, 2);
    if (type == 4) put(&out, {value}, 4);
  }
  put(&out, {0}, 4);
  return out;
}

const std::vector<Header>& Headers() {
  using F = ImageFormat;
  const Bytes png = With(Text("\x89PNG\r\n\x1A\n"), {13}, 4, true);
  const Bytes ihdr = With(Text("IHDR"), {301, 202}, 4, true);
  Bytes png_header = png;
  png_header.insert(png_header.end(), ihdr.begin(), ihdr.end());
  const Bytes bmp = With(Text("BM"), {0, 0, 54, 40}, 4, false);
  const Bytes os2 = With(Text("BM"), {0, 0, 26, 12}, 4, false);
  const uint32_t vp8l = 300 | 201 << 14;  // both less one, in 14 bits
  static const std::vector<Header> headers = {
      {"PNG", F::kPng, With(png_header, {8, 2, 0, 0, 0}, 1, true)},
      {"BMP", F::kBmp, With(bmp, {301, 202, 0x180001}, 4, false)},
      {"BMP top down", F::kBmp, With(bmp, {301, uint32_t{0} - 202, 0x180001}, 4, false)},
      {"BMP of OS/2", F::kBmp, With(os2, {301, 202, 1, 24}, 2, false)},
      // The upper two bits of each are a scaling that does not concern the size.
      {"WebP VP8", F::kWebp,
       Riff("VP8 ", With({0x10, 0, 0, 0x9D, 1, 0x2A}, {301 | 1 << 14, 202 | 2 << 14}, 2, false))},
      {"WebP VP8L", F::kWebp, Riff("VP8L", With({0x2F}, {vp8l | 1U << 28}, 4, false))},
      {"WebP VP8X", F::kWebp, Riff("VP8X", With({0x10, 0, 0, 0}, {300, 201}, 3, false))},
      {"WebP VP8X of 24 bits", F::kWebp,
       Riff("VP8X", With({0x10, 0, 0, 0}, {0xFFFFFE, 0x10000}, 3, false))},
      {"TIFF little-endian, SHORT", F::kTiff, Tiff(false, 3)},
      {"TIFF little-endian, LONG", F::kTiff, Tiff(false, 4)},
      {"TIFF big-endian, SHORT", F::kTiff, Tiff(true, 3)},
      {"TIFF big-endian, LONG", F::kTiff, Tiff(true, 4)},
      {"BigTIFF", F::kTiff, With(Text("II+"), {0, 8, 0, 0, 0}, 1, false)},
      {"P1", F::kPnm, Text("P1\n301 202\n0 1 ")},
      {"P2", F::kPnm, Text("P2\n301\t202\n255\n")},
      {"P3", F::kPnm, Text("P3 301 202 255 ")},
      {"P4", F::kPnm, Text("P4\r\n301 202\n")},
      {"P5", F::kPnm, Text("P5\n# 9 9\n301 # 8\n#\n 202\n65535\n")},
      {"P6", F::kPnm, Text("P6 #x\n301\n202\n255\n")},
  };
  return headers;
}

// Bytes in a heap block of exactly their size, so that the address sanitizer sees a read beyond.
class Exact {
 public:
  Exact(const Bytes& bytes, size_t size) : size_(size), data_(new uint8_t[size]) {
    std::copy_n(bytes.begin(), size, data_.get());
  }
  ByteSpan span() const { return {data_.get(), size_}; }

 private:
  size_t size_;
  std::unique_ptr<uint8_t[]> data_;
};

TEST(Sniff, KnowsEachHeader) {
  for (const Header& header : Headers()) {
    SCOPED_TRACE(header.name);
    EXPECT_EQ(SniffFormat(Span(header.bytes)), header.format);
  }
}

TEST(Sniff, KnowsJpegs) {
  EXPECT_EQ(SniffFormat(Span(MakeJpeg({}))), ImageFormat::kJpeg);
  EXPECT_EQ(SniffFormat(Span(WithExifOrientation(MakeJpeg({}), 3))), ImageFormat::kJpeg);
}

TEST(Sniff, WhatStokerDoesNotDecodeIsUnknown) {
  for (const char* text :
       {"", "G", "GIF89a....................", "P", "P6", "P7\n1 1\n", "P0\n1 1\n", "Pa\n1 1\n",
        "P63 1 1 ", "P5#x\n1 1\n255\n0", "<svg>........................", "BMW",
        "RIFF....WAVEfmt ................", "%PDF-1.4..................."}) {
    EXPECT_EQ(SniffFormat(Span(Text(text))), ImageFormat::kUnknown) << text;
  }
  EXPECT_EQ(SniffFormat({}), ImageFormat::kUnknown);
}

TEST(Sniff, EveryLengthOfEveryHeaderIsThatFormatOrNone) {
  for (const Header& header : Headers()) {
    for (size_t size = 0; size <= header.bytes.size(); ++size) {
      const Exact cut(header.bytes, size);
      const ImageFormat format = SniffFormat(cut.span());
      EXPECT_TRUE(format == ImageFormat::kUnknown || format == header.format)
          << header.name << " cut to " << size;
    }
  }
}

TEST(Sniff, EachFormatHasAName) {
  EXPECT_STREQ(FormatName(ImageFormat::kJpeg), "JPEG");
  EXPECT_STREQ(FormatName(ImageFormat::kWebp), "WebP");
  EXPECT_STREQ(FormatName(ImageFormat::kPnm), "PNM");
  EXPECT_STREQ(FormatName(ImageFormat::kUnknown), "unknown");
}

}  // namespace
}  // namespace stoker
