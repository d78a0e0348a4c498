#include "codec/still/pnm_reader.h"

#include <cmath>
#include <cstring>
#include <vector>

#include "codec/still/pixel_rows.h"

namespace stoker {
namespace {

constexpr int kMaxDigits = 10;  // of a number, as in Pillow

bool IsSpace(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// Numbers as Pillow splits them: a comment runs to the end of its line, whose last byte goes with
// it, and does not end a number that stands before it.
class Tokens {
 public:
  Tokens(ByteSpan bytes, size_t at) : bytes_(bytes), at_(at) {}

  // The next number; with it the one space behind it is read. `limit`: the largest allowed.
  int64_t Number(int64_t limit, const char* what) {
    int64_t value = 0;
    int digits = 0;
    for (; at_ < bytes_.size; ++at_) {
      const uint8_t c = bytes_[at_];
      if (c == '#') {
        SkipComment();
      } else if (IsSpace(c)) {
        if (digits > 0) break;
      } else if (c < '0' || c > '9' || ++digits > kMaxDigits) {
        RefuseImage(std::string("its ") + what + " is not a number");
      } else {
        value = value * 10 + (c - '0');
      }
    }
    if (digits == 0) RefuseImage(std::string("it ends before its ") + what);
    if (at_ < bytes_.size) ++at_;
    if (value > limit) {
      RefuseImage(std::string("its ") + what + ", " + std::to_string(value) + ", is more than " +
                  std::to_string(limit));
    }
    return value;
  }

  // The next character that is neither space nor comment; 0 at the end.
  uint8_t Character() {
    for (; at_ < bytes_.size; ++at_) {
      if (bytes_[at_] == '#') {
        SkipComment();
      } else if (!IsSpace(bytes_[at_])) {
        return bytes_[at_++];
      }
    }
    return 0;
  }

  size_t at() const { return at_; }

 private:
  // To the last byte of its line, or of the file.
  void SkipComment() {
    while (at_ + 1 < bytes_.size && bytes_[at_] != '\n' && bytes_[at_] != '\r') ++at_;
  }

  ByteSpan bytes_;
  size_t at_;
};

struct PnmHeader {
  int kind = 0;  // the digit: 1 and 4 bitmaps, 2 and 5 gray, 3 and 6 colours
  Size size;
  int max_value = 1;
  size_t data_begin = 0;

  bool plain() const { return kind <= 3; }
  bool bitmap() const { return kind == 1 || kind == 4; }
  int channels() const { return kind == 3 || kind == 6 ? kChannels : 1; }
  int sample_bytes() const { return max_value < 256 ? 1 : 2; }
  // Of a binary file.
  size_t row_bytes() const {
    const auto width = static_cast<size_t>(size.width);
    return bitmap() ? (width + 7) / 8 : width * static_cast<size_t>(channels() * sample_bytes());
  }
};

PnmHeader ReadHeader(ByteSpan pnm) {
  if (pnm.size < 3 || !IsSpace(pnm[2])) RefuseImage("its header is damaged or cut short");
  PnmHeader header;
  header.kind = pnm[1] - '0';
  Tokens tokens(pnm, 3);
  const int64_t width = tokens.Number(INT32_MAX, "width");
  header.size = ClaimedSize(width, tokens.Number(INT32_MAX, "height"));
  if (!header.bitmap()) {
    header.max_value = static_cast<int>(tokens.Number(65535, "largest value"));
    if (header.max_value == 0) RefuseImage("its largest value is 0");
  }
  header.data_begin = tokens.at();
  return header;
}

// What each sample becomes: scaled from 0 … max_value, half a level to the even one.
std::vector<uint8_t> Levels(const PnmHeader& header, const StillOptions& options) {
  const bool gray16 = header.max_value > 255 && header.channels() == 1;
  const int top = gray16 ? 65535 : 255;
  std::vector<uint8_t> levels(header.max_value < 256 ? 256 : 65536);
  for (size_t value = 0; value < levels.size(); ++value) {
    const double scaled = std::nearbyint(static_cast<double>(value) / header.max_value * top);
    const auto level = static_cast<unsigned>(std::min<double>(top, scaled));
    levels[value] = gray16 ? Gray16ToByte(level, options.clip_gray16) : static_cast<uint8_t>(level);
  }
  return levels;
}

[[noreturn]] void Truncated(size_t bytes) {
  RefuseImage("truncated after " + std::to_string(bytes) + " bytes");
}

// Whether a file of this length can hold its pixels, which is asked before they are given room.
bool CanHold(ByteSpan pnm, const PnmHeader& header) {
  const size_t there = pnm.size - header.data_begin;
  const auto height = static_cast<size_t>(header.size.height);
  // A plain pixel takes a byte at least.
  return there / (header.plain() ? static_cast<size_t>(header.size.width) : header.row_bytes()) >=
         height;
}

void ReadBits(ByteSpan pnm, const PnmHeader& header, const MutableImageView& image) {
  const uint8_t* row = pnm.data + header.data_begin;
  for (int y = 0; y < header.size.height; ++y, row += header.row_bytes()) {
    GrayRowToRgb(row, header.size.width, 1, /*invert=*/true, image.row(y));
  }
}

void ReadBinary(ByteSpan pnm, const PnmHeader& header, const std::vector<uint8_t>& levels,
                const MutableImageView& image) {
  const int channels = header.channels();
  const int width = header.sample_bytes();
  const uint8_t* in = pnm.data + header.data_begin;
  for (int y = 0; y < header.size.height; ++y) {
    uint8_t* rgb = image.row(y);
    if (channels == kChannels && header.max_value == 255) {
      std::memcpy(rgb, in, header.row_bytes());
      in += header.row_bytes();
      continue;
    }
    for (int x = 0; x < header.size.width; ++x, rgb += kChannels) {
      for (int c = 0; c < channels; ++c, in += width) {
        const size_t value = width == 1 ? in[0] : static_cast<size_t>(in[0]) << 8 | in[1];
        rgb[c] = levels[value];
      }
      if (channels == 1) rgb[1] = rgb[2] = rgb[0];
    }
  }
}

void ReadPlainBits(ByteSpan pnm, const PnmHeader& header, const MutableImageView& image) {
  Tokens tokens(pnm, header.data_begin);
  for (int y = 0; y < header.size.height; ++y) {
    uint8_t* rgb = image.row(y);
    for (int x = 0; x < header.size.width; ++x, rgb += kChannels) {
      const uint8_t bit = tokens.Character();
      if (bit == 0) Truncated(pnm.size);
      if (bit != '0' && bit != '1') RefuseImage("a pixel is neither 0 nor 1");
      std::fill_n(rgb, kChannels, bit == '0' ? 255 : 0);
    }
  }
  // Pillow looks at what follows, too.
  for (uint8_t rest = tokens.Character(); rest != 0; rest = tokens.Character()) {
    if (rest != '0' && rest != '1') RefuseImage("something else than pixels stands behind them");
  }
}

void ReadPlain(ByteSpan pnm, const PnmHeader& header, const std::vector<uint8_t>& levels,
               const MutableImageView& image) {
  Tokens tokens(pnm, header.data_begin);
  for (int y = 0; y < header.size.height; ++y) {
    uint8_t* rgb = image.row(y);
    for (int x = 0; x < header.size.width; ++x, rgb += kChannels) {
      for (int c = 0; c < header.channels(); ++c) {
        rgb[c] = levels[static_cast<size_t>(tokens.Number(header.max_value, "pixel"))];
      }
      if (header.channels() == 1) rgb[1] = rgb[2] = rgb[0];
    }
  }
}

}  // namespace

Size PnmSize(ByteSpan pnm) { return ReadHeader(pnm).size; }

ImageView DecodePnm(ByteSpan pnm, const StillOptions& options, ByteBuffer* pixels) {
  const PnmHeader header = ReadHeader(pnm);
  CheckPixels(header.size, options.limits);
  if (!CanHold(pnm, header)) Truncated(pnm.size);
  const MutableImageView image = ReserveImage(header.size, options.limits, pixels);
  if (header.kind == 4) {
    ReadBits(pnm, header, image);
  } else if (header.kind == 1) {
    ReadPlainBits(pnm, header, image);
  } else if (header.plain()) {
    ReadPlain(pnm, header, Levels(header, options), image);
  } else {
    ReadBinary(pnm, header, Levels(header, options), image);
  }
  return image;
}

}  // namespace stoker
