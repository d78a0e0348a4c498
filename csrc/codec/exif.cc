#include "codec/exif.h"

#include <bitset>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace stoker {
namespace {

constexpr uint16_t kOrientationTag = 0x0112;
constexpr int kUpright = 1;
constexpr int kNotSaid = 0;

// TIFF's types of a value.
enum Type : uint16_t {
  kByte = 1,
  kAscii = 2,
  kShort = 3,
  kLong = 4,
  kRational = 5,
  kSignedByte = 6,
  kUndefined = 7,
  kSignedShort = 8,
  kSignedLong = 9,
  kSignedRational = 10,
  kFloat = 11,
  kDouble = 12,
  kIfd = 13,
  kLong8 = 16,
};

// Of one value; 0: a type that is not known, whose entries are passed over.
uint64_t TypeBytes(uint16_t type) {
  switch (type) {
    case kByte:
    case kAscii:
    case kSignedByte:
    case kUndefined: return 1;
    case kShort:
    case kSignedShort: return 2;
    case kLong:
    case kSignedLong:
    case kFloat:
    case kIfd: return 4;
    case kRational:
    case kSignedRational:
    case kDouble:
    case kLong8: return 8;
    default: return 0;
  }
}

int IfOneOfEight(double value) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    if (value == orientation) return orientation;
  }
  return kUpright;
}

// The first directory of a TIFF structure.
class Directory {
 public:
  // REQUIRES: `tiff` has at least 8 bytes.
  explicit Directory(ByteSpan tiff) : tiff_(tiff), big_endian_(tiff[0] == 'M') {}

  // As Pillow reads it: the first entry of the tag that has a value counts; an entry whose value
  // lies beyond the end of the block ends the directory; values that together would be longer than
  // the block are passed over.
  int Orientation() const {
    const uint64_t begin = Get(4, 4);
    if (!Has(begin, 2)) return kNotSaid;
    const uint64_t entries = Get(begin, 2);
    std::bitset<1 << 16> known;  // the tags that have a value
    uint64_t far_bytes = 0;
    for (uint64_t i = 0; i < entries; ++i) {
      const uint64_t entry = begin + 2 + 12 * i;
      if (!Has(entry, 12)) return kNotSaid;
      const auto tag = static_cast<uint16_t>(Get(entry, 2));
      const auto type = static_cast<uint16_t>(Get(entry + 2, 2));
      const uint64_t bytes = Get(entry + 4, 4) * TypeBytes(type);
      if (known[tag] || bytes == 0) continue;
      uint64_t value = entry + 8;
      if (bytes > 4) {
        far_bytes += bytes;
        if (far_bytes > tiff_.size) continue;
        value = Get(entry + 8, 4);
        if (!Has(value, bytes)) return kNotSaid;
      }
      if (tag == kOrientationTag) return ValueAt(value, type);
      known[tag] = true;
    }
    return kNotSaid;
  }

 private:
  bool Has(uint64_t at, uint64_t bytes) const {
    return at <= tiff_.size && tiff_.size - at >= bytes;
  }

  // REQUIRES: Has(at, bytes).
  uint64_t Get(uint64_t at, int bytes) const {
    uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      value = value << 8 | tiff_[at + static_cast<uint64_t>(big_endian_ ? i : bytes - 1 - i)];
    }
    return value;
  }

  // The first of an entry's values. Numbers of any type count; text and raw bytes do not.
  int ValueAt(uint64_t at, uint16_t type) const {
    switch (type) {
      case kShort: return IfOneOfEight(static_cast<double>(Get(at, 2)));
      case kLong:
      case kIfd: return IfOneOfEight(static_cast<double>(Get(at, 4)));
      case kLong8: return IfOneOfEight(static_cast<double>(Get(at, 8)));
      case kSignedByte: return IfOneOfEight(static_cast<int8_t>(Get(at, 1)));
      case kSignedShort: return IfOneOfEight(static_cast<int16_t>(Get(at, 2)));
      case kSignedLong: return IfOneOfEight(static_cast<int32_t>(Get(at, 4)));
      case kRational:
        return Quotient(static_cast<int64_t>(Get(at, 4)), static_cast<int64_t>(Get(at + 4, 4)));
      case kSignedRational:
        return Quotient(static_cast<int32_t>(Get(at, 4)), static_cast<int32_t>(Get(at + 4, 4)));
      case kFloat: return IfOneOfEight(Float<float>(static_cast<uint32_t>(Get(at, 4))));
      case kDouble: return IfOneOfEight(Float<double>(Get(at, 8)));
      default: return kUpright;
    }
  }

  static int Quotient(int64_t numerator, int64_t denominator) {
    if (denominator == 0 || numerator % denominator != 0) return kUpright;
    const int64_t whole = numerator / denominator;
    return IfOneOfEight(static_cast<double>(whole));
  }

  template <typename Number, typename Bits>
  static double Float(Bits bits) {
    static_assert(sizeof(Number) == sizeof(Bits));
    Number number;
    std::memcpy(&number, &bits, sizeof number);
    return number;
  }

  const ByteSpan tiff_;
  const bool big_endian_;
};

bool StartsWith(ByteSpan bytes, std::string_view text) {
  return bytes.size >= text.size() && std::memcmp(bytes.data, text.data(), text.size()) == 0;
}

// What Pillow takes for a TIFF structure in an EXIF block: both byte orders, with the two bytes
// behind them in either order. BigTIFF's header does not fit in here ("II+\0" is refused; "MM\0+"
// is read as if it were a plain one).
bool IsTiff(ByteSpan bytes) {
  using std::literals::operator""sv;
  if (bytes.size < 8) return false;
  for (const std::string_view magic : {"MM\0*"sv, "II*\0"sv, "MM*\0"sv, "II\0*"sv, "MM\0+"sv}) {
    if (StartsWith(bytes, magic)) return true;
  }
  return false;
}

}  // namespace

int ExifOrientation(ByteSpan exif) {
  constexpr std::string_view kPrefix("Exif\0\0", 6);
  for (int i = 0; i < 2 && StartsWith(exif, kPrefix); ++i) {
    exif = {exif.data + kPrefix.size(), exif.size - kPrefix.size()};
  }
  if (exif.size == 0) return kNotSaid;
  return IsTiff(exif) ? Directory(exif).Orientation() : kUpright;
}

// The first match of tiff:Orientation(="|>)([0-9]), as in Pillow.
int XmpOrientation(ByteSpan xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  const std::string_view text(reinterpret_cast<const char*>(xmp.data), xmp.size);
  for (size_t at = text.find(kName); at != text.npos; at = text.find(kName, at)) {
    at += kName.size();
    std::string_view rest = text.substr(at);
    if (rest.substr(0, 2) == "=\"") {
      rest.remove_prefix(2);
    } else if (rest.substr(0, 1) == ">") {
      rest.remove_prefix(1);
    } else {
      continue;
    }
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return IfOneOfEight(rest[0] - '0');
  }
  return kNotSaid;
}

}  // namespace stoker
