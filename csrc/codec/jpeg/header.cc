#include "codec/jpeg/header.h"

#include <algorithm>
#include <cstring>

#include "codec/jpeg/segments.h"

namespace stoker {
namespace {

// Reads big-endian numbers from one segment; past its end it reads zeros and ok() turns false.
class SegmentReader {
 public:
  explicit SegmentReader(ByteSpan bytes) : bytes_(bytes) {}
  int Byte() {
    if (at_ >= bytes_.size) {
      ok_ = false;
      return 0;
    }
    return bytes_[at_++];
  }
  int Short() {
    const int high = Byte();
    return high << 8 | Byte();
  }
  size_t left() const { return bytes_.size - at_; }
  bool ok() const { return ok_; }

 private:
  ByteSpan bytes_;
  size_t at_ = 0;
  bool ok_ = true;
};

class HeaderParser {
 public:
  HeaderParser(ByteSpan jpeg, JpegHeader* header) : jpeg_(jpeg), header_(*header) {}

  bool Parse() {
    header_ = JpegHeader{};
    JpegSegments segments(jpeg_);
    JpegSegment segment;
    while (segments.Next(&segment)) {
      if (!segment.plain || !Segment(segment.marker, segment.body)) return false;
      if (segment.marker == kSos) {
        header_.scan_begin = segments.end();
        return Complete();
      }
    }
    return false;
  }

 private:
  bool Segment(uint8_t marker, ByteSpan segment) {
    switch (marker) {
      case kSof0:
      case kSof1: return Frame(segment);
      case kDht: return HuffmanTables(segment);
      case kDqt: return QuantTables(segment);
      case kDri: return RestartInterval(segment);
      case kSos: return Scan(segment);
      case kApp0:
        if (segment.size < 14 || std::memcmp(segment.data, "JFIF", 5) != 0) return true;
        jfif_ = true;
        return segment[5] == 1;  // the major revision: libjpeg warns of others
      case kApp14:
        if (segment.size >= 12 && std::memcmp(segment.data, "Adobe", 5) == 0) {
          adobe_transform_ = segment[11];
        }
        return true;
      default: return (marker > kApp0 && marker <= kApp15) || marker == kCom;
    }
  }

  bool Frame(ByteSpan segment) {
    SegmentReader in(segment);
    if (have_frame_ || in.Byte() != 8) return false;
    have_frame_ = true;
    header_.size.height = in.Short();
    header_.size.width = in.Short();
    header_.components = in.Byte();
    if (header_.components != 1 && header_.components != 3) return false;
    for (int c = 0; c < header_.components; ++c) {
      JpegComponent& k = header_.component[static_cast<size_t>(c)];
      ids_[static_cast<size_t>(c)] = in.Byte();
      const int sampling = in.Byte();
      k.h = sampling >> 4;
      k.v = sampling & 15;
      k.quant_table = in.Byte();
      if (k.quant_table > 3 || k.h < 1 || k.h > 4 || k.v < 1 || k.v > 4) return false;
    }
    const Size size = header_.size;
    return in.ok() && in.left() == 0 && size.width > 0 && size.height > 0 &&
           size.width <= kMaxJpegSide && size.height <= kMaxJpegSide && Sampling();
  }

  bool Sampling() {
    JpegComponent& first = header_.component[0];
    if (header_.components == 1) {
      first.h = first.v = 1;  // a scan of one component has one block an MCU, whatever it says
      return true;
    }
    for (int c = 1; c < header_.components; ++c) {
      const JpegComponent& k = header_.component[static_cast<size_t>(c)];
      if (k.h != 1 || k.v != 1) return false;
    }
    header_.max_h = first.h;
    header_.max_v = first.v;
    const int factors = first.h * 10 + first.v;
    return factors == 11 || factors == 21 || factors == 22 || factors == 12 || factors == 41;
  }

  bool QuantTables(ByteSpan segment) {
    SegmentReader in(segment);
    while (in.left() > 0) {
      const int id = in.Byte();
      if (id > 3) return false;  // 16-bit tables too
      for (const uint8_t natural : kNaturalOrder) {
        header_.quant[static_cast<size_t>(id)][natural] = static_cast<uint16_t>(in.Byte());
      }
      have_quant_[static_cast<size_t>(id)] = true;
    }
    return in.ok();
  }

  bool HuffmanTables(ByteSpan segment) {
    SegmentReader in(segment);
    while (in.left() > 0) {
      const int id = in.Byte();
      if ((id & 0xEF) > 3) return false;
      const bool ac = (id & 0x10) != 0;
      HuffmanSpec spec{};
      int total = 0;
      for (size_t length = 1; length <= 16; ++length) {
        spec.counts[length] = static_cast<uint8_t>(in.Byte());
        total += spec.counts[length];
      }
      if (total > 256) return false;
      for (int i = 0; i < total; ++i) {
        spec.symbols[static_cast<size_t>(i)] = static_cast<uint8_t>(in.Byte());
      }
      (ac ? header_.ac_spec : header_.dc_spec)[static_cast<size_t>(id & 3)] = spec;
      (ac ? have_ac_ : have_dc_)[static_cast<size_t>(id & 3)] = true;
    }
    return in.ok();
  }

  bool RestartInterval(ByteSpan segment) {
    SegmentReader in(segment);
    header_.restart_interval = in.Short();
    return in.ok() && in.left() == 0;
  }

  bool Scan(ByteSpan segment) {
    SegmentReader in(segment);
    if (!have_frame_ || in.Byte() != header_.components) return false;
    for (int c = 0; c < header_.components; ++c) {
      JpegComponent& k = header_.component[static_cast<size_t>(c)];
      if (in.Byte() != ids_[static_cast<size_t>(c)]) return false;
      const int tables = in.Byte();
      k.dc_table = tables >> 4;
      k.ac_table = tables & 15;
      if (k.dc_table > 3 || k.ac_table > 3) return false;
    }
    // The whole spectrum at full precision.
    return in.Byte() == 0 && in.Byte() == 63 && in.Byte() == 0 && in.ok() && in.left() == 0;
  }

  // Whether all that the scan refers to is there, and the colours are gray or YCbCr by libjpeg's
  // rules (jdapimin.c: default_decompress_parms).
  bool Complete() {
    if (header_.restart_interval >= header_.mcus_across() * header_.mcus_down()) {
      header_.restart_interval = 0;  // never reached
    }
    for (int c = 0; c < header_.components; ++c) {
      const JpegComponent& k = header_.component[static_cast<size_t>(c)];
      if (!have_quant_[static_cast<size_t>(k.quant_table)] ||
          !have_dc_[static_cast<size_t>(k.dc_table)] ||
          !have_ac_[static_cast<size_t>(k.ac_table)]) {
        return false;
      }
    }
    if (header_.components == 1) return true;
    if (ids_[0] == ids_[1] || ids_[0] == ids_[2] || ids_[1] == ids_[2]) return false;
    if (jfif_) return true;
    if (adobe_transform_ >= 0) return adobe_transform_ == 1;
    return !(ids_[0] == 'R' && ids_[1] == 'G' && ids_[2] == 'B');
  }

  const ByteSpan jpeg_;
  JpegHeader& header_;
  bool have_frame_ = false;
  bool jfif_ = false;
  int adobe_transform_ = -1;
  std::array<int, kMaxComponents> ids_{};
  std::array<bool, 4> have_quant_{};
  std::array<bool, 4> have_dc_{};
  std::array<bool, 4> have_ac_{};
};

}  // namespace

const std::array<uint8_t, kBlockCoefficients> kNaturalOrder = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,   //
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,  //
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,  //
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
};

McuRect McusUnder(const Rect& region, int dct_scale, Size size, int max_h, int max_v) {
  // The triangle filter looks one chroma sample beyond the region: the one under the next pixel.
  // Samples of reduced planes straddle the region's edge.
  const int straddle = dct_scale > 1 ? dct_scale : 0;
  const int margin_x = straddle + (max_h > 1 ? dct_scale : 0);
  const int margin_y = straddle + (max_v > 1 ? dct_scale : 0);
  const int right = std::min(size.width, region.right() + margin_x);
  const int bottom = std::min(size.height, region.bottom() + margin_y);
  const int w = max_h * kBlockSize;
  const int h = max_v * kBlockSize;
  return {std::max(0, region.left - margin_x) / w, std::max(0, region.top - margin_y) / h,
          (right + w - 1) / w, (bottom + h - 1) / h};
}

bool ParseJpegHeader(ByteSpan jpeg, JpegHeader* header) {
  return HeaderParser(jpeg, header).Parse();
}

}  // namespace stoker
