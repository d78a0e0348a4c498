#include "codec/still/bmp_reader.h"

#include <algorithm>
#include <vector>

#include "codec/still/pixel_rows.h"

namespace stoker {
namespace {

enum Compression : uint32_t { kRaw = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3 };

constexpr size_t kFileHeader = 14;
constexpr uint32_t kOs2Header = 12;

[[noreturn]] void Truncated(size_t bytes) {
  RefuseImage("truncated after " + std::to_string(bytes) + " bytes");
}

uint32_t Little(ByteSpan bytes, size_t at, size_t width) {
  if (at > bytes.size || bytes.size - at < width) Truncated(bytes.size);
  uint32_t value = 0;
  for (size_t i = width; i-- > 0;) value = value << 8 | bytes[at + i];
  return value;
}

// Which of a pixel's bytes are red, green and blue.
struct ByteOrder {
  std::array<uint32_t, 4> masks;  // red, green, blue, alpha
  std::array<int, kChannels> at;
};
// Those bit fields of 32 bits that Pillow knows.
constexpr std::array<ByteOrder, 8> kOrdersOf32 = {{
    {{0xFF0000, 0xFF00, 0xFF, 0}, {2, 1, 0}},
    {{0xFF000000, 0xFF0000, 0xFF00, 0}, {3, 2, 1}},
    {{0xFF000000, 0xFF00, 0xFF, 0}, {3, 1, 0}},
    {{0xFF000000, 0xFF0000, 0xFF00, 0xFF}, {3, 2, 1}},
    {{0xFF, 0xFF00, 0xFF0000, 0xFF000000}, {0, 1, 2}},
    {{0xFF0000, 0xFF00, 0xFF, 0xFF000000}, {2, 1, 0}},
    {{0xFF000000, 0xFF00, 0xFF, 0xFF0000}, {3, 1, 0}},
    {{0, 0, 0, 0}, {2, 1, 0}},
}};

struct BmpHeader {
  Size size;
  bool top_down = false;
  uint32_t bits = 0;
  uint32_t compression = kRaw;
  uint32_t colors = 0;  // in the palette
  size_t palette_begin = 0;
  size_t palette_entry = 4;  // bytes
  size_t data_begin = 0;
  std::array<uint32_t, 4> masks{};

  bool rle() const { return compression == kRle8 || compression == kRle4; }
  bool indexed() const { return bits <= 8; }
  size_t row_bytes() const {
    return static_cast<size_t>((static_cast<uint64_t>(size.width) * bits + 31) / 32 * 4);
  }
  // Of the image's row `y` in the order of the file's rows.
  int FileRow(int y) const { return top_down ? y : size.height - 1 - y; }
};

void ReadOs2Header(ByteSpan bmp, BmpHeader* header) {
  header->size = ClaimedSize(Little(bmp, 18, 2), Little(bmp, 20, 2));
  header->bits = Little(bmp, 24, 2);
  header->palette_entry = 3;
}

void ReadWindowsHeader(ByteSpan bmp, uint32_t header_bytes, BmpHeader* header) {
  // A height of which the uppermost byte is 255 is a negative one: rows from top to bottom.
  const int64_t height = Little(bmp, 22, 4);
  header->top_down = height >> 24 == 0xFF;
  header->size =
      ClaimedSize(Little(bmp, 18, 4), header->top_down ? (int64_t{1} << 32) - height : height);
  header->bits = Little(bmp, 28, 2);
  header->compression = Little(bmp, 30, 4);
  header->colors = Little(bmp, 46, 4);
  if (header->compression != kBitFields) return;
  const bool alpha = header_bytes >= 56;
  for (size_t i = 0; i < (alpha ? 4U : 3U); ++i) header->masks[i] = Little(bmp, 54 + 4 * i, 4);
  // With the shortest header the masks stand behind it.
  if (header_bytes == 40) header->palette_begin += 12;
}

BmpHeader ReadHeader(ByteSpan bmp) {
  BmpHeader header;
  const uint32_t header_bytes = Little(bmp, kFileHeader, 4);
  constexpr uint32_t kWindowsHeaders[] = {40, 52, 56, 64, 108, 124};
  header.palette_begin = kFileHeader + header_bytes;
  if (header_bytes == kOs2Header) {
    ReadOs2Header(bmp, &header);
  } else if (std::count(std::begin(kWindowsHeaders), std::end(kWindowsHeaders), header_bytes) > 0) {
    ReadWindowsHeader(bmp, header_bytes, &header);
  } else {
    RefuseImage("a header of " + std::to_string(header_bytes) + " bytes is not supported");
  }
  if (header.colors == 0 && header.bits <= 8) header.colors = 1U << header.bits;
  header.data_begin = Little(bmp, 10, 4);
  const size_t palette_bytes = header.indexed() ? header.palette_entry * header.colors : 0;
  // Some writers forget the palette.
  if (header.data_begin == kFileHeader + header_bytes) header.data_begin += palette_bytes;
  if (header.data_begin == 0) header.data_begin = header.palette_begin + palette_bytes;
  return header;
}

Palette ReadPalette(ByteSpan bmp, const BmpHeader& header) {
  if (header.colors > 256) RefuseImage("a palette of over 256 colours is not supported");
  Palette palette;
  for (size_t i = 0; i < header.colors; ++i) {
    const uint32_t bgr = Little(bmp, header.palette_begin + i * header.palette_entry, 3);
    palette.rgb[i] = {static_cast<uint8_t>(bgr >> 16), static_cast<uint8_t>(bgr >> 8),
                      static_cast<uint8_t>(bgr)};
  }
  return palette;
}

// Whether the palette's colours are gray of levels 0, 1, 2 …: Pillow then takes the numbers for the
// levels.
bool IsRamp(const BmpHeader& header, const Palette& palette) {
  const Palette ramp = GrayRamp();
  const auto end = palette.rgb.begin() + header.colors;
  return header.colors > 2 && std::equal(palette.rgb.begin(), end, ramp.rgb.begin());
}

// Of these Pillow takes the palette for plain gray, too, and then reads them with another depth.
bool IsAmbiguous(const BmpHeader& header, const Palette& palette) {
  if (header.bits == 1) return header.colors != 2;
  if (header.bits == 4 && !header.rle() && IsRamp(header, palette)) return true;
  using Color = std::array<uint8_t, kChannels>;
  const bool black_first = palette.rgb[0] == Color{0, 0, 0};
  const bool white_second = palette.rgb[1] == Color{255, 255, 255};
  return black_first && (header.colors == 1 || (header.colors == 2 && white_second));
}

// Run-length coded rows, one byte a pixel, in the file's order of rows. (Microsoft's "Bitmap
// Compression"; what is not defined there, as Pillow does it.)
class RleDecoder {
 public:
  RleDecoder(ByteSpan bmp, const BmpHeader& header, uint8_t* out)
      : bmp_(bmp),
        at_(header.data_begin),
        width_(static_cast<size_t>(header.size.width)),
        size_(width_ * static_cast<size_t>(header.size.height)),
        nibbles_(header.compression == kRle4),
        out_(out) {}

  void Decode() {
    while (done_ < size_) {
      const uint8_t count = Next();
      const uint8_t byte = Next();
      if (count > 0) {
        Run(count, byte);
      } else if (byte == 0) {
        Fill((width_ - done_ % width_) % width_);
        x_ = 0;
      } else if (byte == 1) {
        Truncated(bmp_.size);
      } else if (byte == 2) {
        const size_t right = Next();
        Fill(right + Next() * width_);
        x_ = done_ % width_;
      } else {
        Absolute(byte);
      }
    }
  }

 private:
  uint8_t Next() {
    if (at_ >= bmp_.size) Truncated(bmp_.size);
    return bmp_[at_++];
  }
  void Put(uint8_t pixel) {
    if (done_ < size_) out_[done_++] = pixel;
  }
  void Fill(size_t count) {
    count = std::min(count, size_ - done_);
    std::fill_n(out_ + done_, count, uint8_t{0});
    done_ += count;
  }
  void Run(size_t count, uint8_t byte) {
    count = std::min(count, x_ > width_ ? 0 : width_ - x_);
    for (size_t i = 0; i < count; ++i) {
      Put(!nibbles_ ? byte : static_cast<uint8_t>(i % 2 == 0 ? byte >> 4 : byte & 15));
    }
    x_ += count;
  }
  void Absolute(uint8_t count) {
    const size_t pixels = std::min<size_t>(size_ - done_, count);
    const size_t bytes = nibbles_ ? (pixels + 1) / 2 : pixels;
    for (size_t i = 0; i < bytes; ++i) {
      const uint8_t byte = Next();
      Put(nibbles_ ? byte >> 4 : byte);
      if (nibbles_ && 2 * i + 1 < pixels) Put(byte & 15);
    }
    x_ += count;
    at_ += at_ % 2;
  }

  const ByteSpan bmp_;
  size_t at_;
  const size_t width_;
  const size_t size_;
  const bool nibbles_;
  uint8_t* const out_;
  size_t done_ = 0;
  size_t x_ = 0;
};

void ReadRle(ByteSpan bmp, const BmpHeader& header, const Palette& palette,
             const MutableImageView& image) {
  const auto width = static_cast<size_t>(header.size.width);
  std::vector<uint8_t> indices(width * static_cast<size_t>(header.size.height));
  RleDecoder(bmp, header, indices.data()).Decode();
  for (int y = 0; y < header.size.height; ++y) {
    const uint8_t* row = indices.data() + static_cast<size_t>(header.FileRow(y)) * width;
    PaletteRowToRgb(row, header.size.width, 8, palette, image.row(y));
  }
}

// Pixels of 16 bits, scaled from five or six bits as Pillow scales them.
void Row16ToRgb(const uint8_t* row, int width, bool six_green, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, row += 2, rgb += kChannels) {
    const unsigned pixel = row[0] | static_cast<unsigned>(row[1]) << 8;
    const unsigned red = pixel >> (six_green ? 11 : 10) & 31;
    const unsigned green = pixel >> 5 & (six_green ? 63 : 31);
    rgb[0] = static_cast<uint8_t>(red * 255 / 31);
    rgb[1] = static_cast<uint8_t>(green * 255 / (six_green ? 63 : 31));
    rgb[2] = static_cast<uint8_t>((pixel & 31) * 255 / 31);
  }
}

void RowBytesToRgb(const uint8_t* row, int width, int pixel_bytes,
                   const std::array<int, kChannels>& order, uint8_t* rgb) {
  for (int x = 0; x < width; ++x, row += pixel_bytes, rgb += kChannels) {
    for (size_t c = 0; c < kChannels; ++c) rgb[c] = row[order[c]];
  }
}

// How rows of 16, 24 or 32 bits become RGB.
struct TrueColor {
  bool six_green = false;
  std::array<int, kChannels> order{2, 1, 0};
};

TrueColor TrueColorOf(const BmpHeader& header) {
  TrueColor color;
  if (header.compression == kRaw) return color;
  using Masks = std::array<uint32_t, 4>;
  const Masks rgb{header.masks[0], header.masks[1], header.masks[2], 0};
  if (header.bits == 16) {
    color.six_green = rgb == Masks{0xF800, 0x7E0, 0x1F, 0};
    if (color.six_green || rgb == Masks{0x7C00, 0x3E0, 0x1F, 0}) return color;
  } else if (header.bits == 24) {
    if (rgb == Masks{0xFF0000, 0xFF00, 0xFF, 0}) return color;
  } else {
    for (const ByteOrder& known : kOrdersOf32) {
      if (header.masks != known.masks) continue;
      color.order = known.at;
      return color;
    }
  }
  RefuseImage("its bit fields are not supported");
}

// Refuses what is not known to be read as Pillow reads it.
void CheckVariant(const BmpHeader& header) {
  const uint32_t bits = header.bits;
  const bool known = bits == 1 || bits == 4 || bits == 8 || bits == 16 || bits == 24 || bits == 32;
  if (!known) RefuseImage(std::to_string(bits) + " bits a pixel are not supported");
  switch (header.compression) {
    case kRaw: return;
    case kRle8:
      if (bits == 8) return;
      break;
    case kRle4:
      if (bits == 4) return;
      break;
    case kBitFields:
      if (bits > 8) return;
      break;
    default: break;
  }
  RefuseImage("compression " + std::to_string(header.compression) + " of " + std::to_string(bits) +
              " bits a pixel is not supported");
}

// Whether the file is long enough. The last row's padding may be missing, but not where Pillow maps
// the file.
bool CanHold(ByteSpan bmp, const BmpHeader& header) {
  if (header.data_begin >= bmp.size) return false;
  const size_t there = bmp.size - header.data_begin;
  const auto width = static_cast<uint64_t>(header.size.width);
  const auto height = static_cast<size_t>(header.size.height);
  // A pair of bytes stands for 255 pixels, or skips 255 rows and as many pixels.
  if (header.rle()) return there / 2 * (width * 255 + 255) >= width * height;
  const size_t last = header.bits == 8 ? header.row_bytes() : (width * header.bits + 7) / 8;
  return there >= last && (there - last) / header.row_bytes() >= height - 1;
}

}  // namespace

Size BmpSize(ByteSpan bmp) { return ReadHeader(bmp).size; }

ImageView DecodeBmp(ByteSpan bmp, const StillOptions& options, ByteBuffer* pixels) {
  const BmpHeader header = ReadHeader(bmp);
  CheckPixels(header.size, options.limits);
  CheckVariant(header);
  Palette palette;
  if (header.indexed()) {
    palette = ReadPalette(bmp, header);
    if (IsAmbiguous(header, palette)) RefuseImage("its palette is not supported");
    if (IsRamp(header, palette)) palette = GrayRamp();
  }
  const TrueColor color = header.indexed() ? TrueColor{} : TrueColorOf(header);
  if (!CanHold(bmp, header)) Truncated(bmp.size);
  const MutableImageView image = ReserveImage(header.size, options.limits, pixels);
  if (header.rle()) {
    ReadRle(bmp, header, palette, image);
    return image;
  }
  for (int y = 0; y < header.size.height; ++y) {
    const auto file_row = static_cast<size_t>(header.FileRow(y));
    const uint8_t* row = bmp.data + header.data_begin + file_row * header.row_bytes();
    if (header.indexed()) {
      PaletteRowToRgb(row, header.size.width, static_cast<int>(header.bits), palette, image.row(y));
    } else if (header.bits == 16) {
      Row16ToRgb(row, header.size.width, color.six_green, image.row(y));
    } else {
      const int pixel_bytes = static_cast<int>(header.bits / 8);
      RowBytesToRgb(row, header.size.width, pixel_bytes, color.order, image.row(y));
    }
  }
  return image;
}

}  // namespace stoker
