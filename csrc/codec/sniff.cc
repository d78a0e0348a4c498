#include "codec/sniff.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"

namespace stoker {
namespace {

// Reads integers out of a span; anything outside it counts as an error of the header.
class Fields {
 public:
  Fields(ByteSpan bytes, bool big_endian, const char* format)
      : bytes_(bytes), big_endian_(big_endian), format_(format) {}

  uint32_t Get(size_t offset, int width) const {
    if (offset > bytes_.size || bytes_.size - offset < static_cast<size_t>(width)) Fail();
    uint32_t value = 0;
    for (int i = 0; i < width; ++i) {
      const size_t at = offset + static_cast<size_t>(big_endian_ ? i : width - 1 - i);
      value = value << 8 | bytes_[at];
    }
    return value;
  }
  [[noreturn]] void Fail() const {
    throw StageError(Stage::kDecode,
                     std::string("the ") + format_ + " header is damaged or cut short");
  }
  Size Checked(int64_t width, int64_t height) const {
    if (width <= 0 || height <= 0 || width > INT32_MAX || height > INT32_MAX) Fail();
    return {static_cast<int>(width), static_cast<int>(height)};
  }

 private:
  ByteSpan bytes_;
  bool big_endian_;
  const char* format_;
};

bool StartsWith(ByteSpan bytes, const char* signature, size_t size, size_t offset = 0) {
  return bytes.size >= offset + size && std::memcmp(bytes.data + offset, signature, size) == 0;
}

bool IsSpace(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

Size PngSize(ByteSpan bytes) {
  const Fields f(bytes, true, "PNG");
  if (!StartsWith(bytes, "IHDR", 4, 12)) f.Fail();
  return f.Checked(f.Get(16, 4), f.Get(20, 4));
}

Size BmpSize(ByteSpan bytes) {
  const Fields f(bytes, false, "BMP");
  if (f.Get(14, 4) == 12) return f.Checked(f.Get(18, 2), f.Get(20, 2));  // OS/2
  // Negative heights mean rows from top to bottom.
  return f.Checked(static_cast<int32_t>(f.Get(18, 4)),
                   std::llabs(static_cast<int32_t>(f.Get(22, 4))));
}

Size WebpSize(ByteSpan bytes) {
  const Fields f(bytes, false, "WebP");
  if (StartsWith(bytes, "VP8X", 4, 12)) {
    return f.Checked((f.Get(24, 4) & 0xFFFFFF) + 1, (f.Get(26, 4) >> 8) + 1);
  }
  if (StartsWith(bytes, "VP8L", 4, 12)) {
    const uint32_t bits = f.Get(21, 4);
    return f.Checked((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1);
  }
  if (!StartsWith(bytes, "VP8 ", 4, 12)) f.Fail();
  return f.Checked(f.Get(26, 2) & 0x3FFF, f.Get(28, 2) & 0x3FFF);
}

Size TiffSize(ByteSpan bytes) {
  const Fields f(bytes, bytes[0] == 'M', "TIFF");
  const size_t directory = f.Get(4, 4);
  const uint32_t entries = f.Get(directory, 2);
  int64_t width = 0;
  int64_t height = 0;
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    const uint32_t tag = f.Get(entry, 2);
    const int width_bytes = f.Get(entry + 2, 2) == 3 ? 2 : 4;  // SHORT or LONG
    if (tag == 256) width = f.Get(entry + 8, width_bytes);
    if (tag == 257) height = f.Get(entry + 8, width_bytes);
  }
  return f.Checked(width, height);
}

Size PnmSize(ByteSpan bytes) {
  const Fields f(bytes, true, "PNM");
  size_t at = 2;
  int64_t values[2] = {0, 0};
  for (int64_t& value : values) {
    while (at < bytes.size && (IsSpace(bytes[at]) || bytes[at] == '#')) {
      if (bytes[at] == '#') {
        while (at < bytes.size && bytes[at] != '\n') ++at;
      } else {
        ++at;
      }
    }
    while (at < bytes.size && bytes[at] >= '0' && bytes[at] <= '9' && value <= INT32_MAX) {
      value = value * 10 + (bytes[at++] - '0');
    }
  }
  return f.Checked(values[0], values[1]);
}

}  // namespace

const char* FormatName(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg: return "JPEG";
    case ImageFormat::kPng: return "PNG";
    case ImageFormat::kWebp: return "WebP";
    case ImageFormat::kBmp: return "BMP";
    case ImageFormat::kTiff: return "TIFF";
    case ImageFormat::kPnm: return "PNM";
    case ImageFormat::kUnknown: break;
  }
  return "unknown";
}

ImageFormat SniffFormat(ByteSpan bytes) {
  if (StartsWith(bytes, "\xFF\xD8\xFF", 3)) return ImageFormat::kJpeg;
  if (StartsWith(bytes, "\x89PNG\r\n\x1A\n", 8)) return ImageFormat::kPng;
  if (StartsWith(bytes, "RIFF", 4) && StartsWith(bytes, "WEBP", 4, 8)) return ImageFormat::kWebp;
  if (StartsWith(bytes, "BM", 2) && bytes.size >= 26) return ImageFormat::kBmp;
  if (StartsWith(bytes, "II*\0", 4) || StartsWith(bytes, "MM\0*", 4)) return ImageFormat::kTiff;
  if (bytes.size > 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      (IsSpace(bytes[2]) || bytes[2] == '#')) {
    return ImageFormat::kPnm;
  }
  return ImageFormat::kUnknown;
}

Size SniffSize(ImageFormat format, ByteSpan bytes) {
  switch (format) {
    case ImageFormat::kPng: return PngSize(bytes);
    case ImageFormat::kWebp: return WebpSize(bytes);
    case ImageFormat::kBmp: return BmpSize(bytes);
    case ImageFormat::kTiff: return TiffSize(bytes);
    case ImageFormat::kPnm: return PnmSize(bytes);
    case ImageFormat::kJpeg:
    case ImageFormat::kUnknown: break;
  }
  throw StageError(Stage::kDecode, "its header cannot be read");
}

}  // namespace stoker
