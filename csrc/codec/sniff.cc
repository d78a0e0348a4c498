#include "codec/sniff.h"

#include <cstdint>
#include <cstring>

namespace stoker {
namespace {

bool StartsWith(ByteSpan bytes, const char* signature, size_t size, size_t offset = 0) {
  return bytes.size >= offset + size && std::memcmp(bytes.data + offset, signature, size) == 0;
}

bool IsSpace(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// "II*" and "MM*" are TIFF; "II+" is BigTIFF, whose other byte order Pillow does not know.
bool IsTiff(ByteSpan bytes) {
  return StartsWith(bytes, "II*\0", 4) || StartsWith(bytes, "MM\0*", 4) ||
         StartsWith(bytes, "II+\0", 4);
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
  if (IsTiff(bytes)) return ImageFormat::kTiff;
  if (bytes.size > 3 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '6' &&
      IsSpace(bytes[2])) {
    return ImageFormat::kPnm;
  }
  return ImageFormat::kUnknown;
}

}  // namespace stoker
