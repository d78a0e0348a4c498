// Small files of the formats that are decoded whole, written byte by byte, and what they decode to.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/still/still_image.h"
#include "support/test_images.h"

namespace stoker::testing {

inline void Put(Bytes* out, uint32_t value, int bytes, bool big_endian) {
  for (int i = 0; i < bytes; ++i) {
    const int shift = 8 * (big_endian ? bytes - 1 - i : i);
    out->push_back(static_cast<uint8_t>(value >> shift));
  }
}

// CRC-32 as the PNG specification's annex D gives it.
inline uint32_t Crc(const Bytes& bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (crc % 2 != 0 ? 0xEDB88320 : 0);
  }
  return ~crc;
}

inline void PutChunk(Bytes* png, const std::string& type, const Bytes& payload) {
  Bytes named(type.begin(), type.end());
  named.insert(named.end(), payload.begin(), payload.end());
  Put(png, static_cast<uint32_t>(payload.size()), 4, true);
  png->insert(png->end(), named.begin(), named.end());
  Put(png, Crc(named), 4, true);
}

// A zlib stream of one stored block (RFC 1950, RFC 1951).
inline Bytes Stored(const Bytes& raw) {
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

inline constexpr Size kSize{13, 7};

// Samples in the file's order, two bytes each (the first counts most) where there are 16 bits.
inline Bytes MakePng(const Png& kind, const Bytes& samples, const Bytes& palette_rgb = {},
                     const std::vector<std::pair<std::string, Bytes>>& more = {}) {
  Bytes png = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  Bytes header;
  Put(&header, kSize.width, 4, true);
  Put(&header, kSize.height, 4, true);
  header.insert(header.end(),
                {static_cast<uint8_t>(kind.bits), static_cast<uint8_t>(kind.color_type), 0, 0, 0});
  PutChunk(&png, "IHDR", header);
  if (!palette_rgb.empty()) PutChunk(&png, "PLTE", palette_rgb);
  for (const auto& [name, payload] : more) PutChunk(&png, name, payload);
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
inline Bytes MakeTiff(Size size, const Bytes& rgb, bool big_endian, uint32_t orientation) {
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

// By the format that the bytes begin with.
inline ImageView Decoded(const Bytes& file, ByteBuffer* pixels, const StillOptions& options = {}) {
  return DecodeStill(SniffFormat(Span(file)), Span(file), options, pixels);
}

inline void ExpectRgb(const Bytes& file, Size size, const Bytes& rgb,
                      const StillOptions& options = {}) {
  ByteBuffer pixels;
  const ImageView image = Decoded(file, &pixels, options);
  ASSERT_EQ(image.size, size);
  EXPECT_EQ(StillSize(SniffFormat(Span(file)), Span(file)), size);
  const auto row = static_cast<size_t>(size.width) * kChannels;
  for (int y = 0; y < size.height; ++y) {
    const auto begin = rgb.begin() + static_cast<std::ptrdiff_t>(row) * y;
    ASSERT_EQ(Bytes(image.row(y), image.row(y) + row),
              Bytes(begin, begin + static_cast<std::ptrdiff_t>(row)))
        << "row " << y;
  }
}

// The reason for which a file is refused; "" where it is not.
inline std::string Refusal(const Bytes& file, const StillOptions& options = {}) {
  ByteBuffer pixels;
  try {
    Decoded(file, &pixels, options);
    return "";
  } catch (const StageError& e) {
    EXPECT_EQ(e.stage(), Stage::kDecode);
    return e.what();
  }
}

}  // namespace stoker::testing
