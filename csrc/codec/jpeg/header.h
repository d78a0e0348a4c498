// The header of a JPEG that our own decoder takes: 8-bit Huffman-coded sequential (SOF0, SOF1), one
// scan with all components, gray or YCbCr. ITU-T T.81, annex B.
//
// Whatever is unusual or wrong is declined, never reported: libjpeg-turbo then decides what it is
// (jpeg_decoder.h). So this parser accepts only headers that libjpeg-turbo reads the same way
// without a warning.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"
#include "base/rect.h"
#include "codec/jpeg/huffman_table.h"

namespace stoker {

inline constexpr int kBlockSize = 8;  // samples along a block's side
inline constexpr int kBlockCoefficients = 64;
inline constexpr int kMaxComponents = 3;
inline constexpr int kMaxJpegSide = 65500;  // libjpeg's JPEG_MAX_DIMENSION

// zigzag → natural order (row · 8 + column). T.81, figure A.6.
extern const std::array<uint8_t, kBlockCoefficients> kNaturalOrder;

struct JpegComponent {
  int h = 1;  // sampling factors: blocks of this component in an MCU, across and down
  int v = 1;
  int quant_table = 0;
  int dc_table = 0;
  int ac_table = 0;
};

struct JpegHeader {
  Size size;
  int components = 0;  // 1 (gray) or 3 (YCbCr)
  std::array<JpegComponent, kMaxComponents> component;
  // The sampling factors of the first component: 1 × 1 (4:4:4), 2 × 1 (4:2:2), 2 × 2 (4:2:0),
  // 1 × 2 (4:4:0) or 4 × 1 (4:1:1). The others have 1 × 1.
  int max_h = 1;
  int max_v = 1;
  int restart_interval = 0;  // in MCUs; 0: none, or none that the scan reaches
  size_t scan_begin = 0;     // of the entropy-coded data in the file

  std::array<std::array<uint16_t, kBlockCoefficients>, 4> quant;  // natural order
  std::array<HuffmanSpec, 4> dc_spec;
  std::array<HuffmanSpec, 4> ac_spec;

  int mcu_width() const { return max_h * kBlockSize; }  // in pixels
  int mcu_height() const { return max_v * kBlockSize; }
  int mcus_across() const { return (size.width + mcu_width() - 1) / mcu_width(); }
  int mcus_down() const { return (size.height + mcu_height() - 1) / mcu_height(); }
  // Of a component's plane, in samples (libjpeg: downsampled_width, downsampled_height).
  Size PlaneSize(int c) const {
    const JpegComponent& k = component[static_cast<size_t>(c)];
    return {(size.width * k.h + max_h - 1) / max_h, (size.height * k.v + max_v - 1) / max_v};
  }
};

// MCU columns and rows of an image.
struct McuRect {
  int left, top, right, bottom;
  int width() const { return right - left; }
  int height() const { return bottom - top; }
};

// The MCUs to decode for the pixels of `region`, at any dct_scale (baseline_decoder.h), of an image
// of `size` whose first component has these sampling factors.
McuRect McusUnder(const Rect& region, int dct_scale, Size size, int max_h, int max_v);

// Reads the header of `jpeg` into `header`; false: not one for our decoder.
bool ParseJpegHeader(ByteSpan jpeg, JpegHeader* header);

}  // namespace stoker
