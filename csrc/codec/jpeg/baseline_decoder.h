// Our own decoder of the common JPEG: 8-bit Huffman-coded sequential, gray or YCbCr at 4:4:4,
// 4:2:2, 4:2:0, 4:4:0 or 4:1:1, restart markers or none. From the file to planes of the part that
// is wanted: entropy decoding stops behind its last row, and only its blocks are transformed.
// Coefficients and samples are libjpeg-turbo's (islow), bit for bit.
//
// It never says what is wrong with a file: what it does not take, it declines, and libjpeg-turbo
// gets the file (jpeg_decoder.h).
//
// One per worker, reused; owns the planes. Threads: one at a time. Throws std::bad_alloc only.
#pragma once

#include <array>

#include "base/bytes.h"
#include "base/planes.h"
#include "base/rect.h"
#include "codec/jpeg/entropy_decoder.h"
#include "codec/jpeg/header.h"
#include "codec/jpeg/scan_data.h"

namespace stoker {

class BaselineDecoder {
 public:
  // Reads the header. False: declined. `jpeg` must outlive the Decode that follows.
  bool Open(ByteSpan jpeg);
  Size size() const { return header_.size; }

  // The planes under `region` (in pixels of the image), with the samples beside it that bringing
  // chroma to luma's resolution looks at. `dct_scale`: 1, or 2, 4 or 8 for planes that are smaller
  // by as much, made of each block's low frequencies alone. 4:2:0's chroma is
  // reduced half as much: it has luma's resolution then, and no factor.
  // False: declined. The planes live until the next Decode.
  // REQUIRES: Open succeeded; `region` is a non-empty part of the image.
  bool Decode(const Rect& region, int dct_scale, YccPlanes* planes);

  void ShrinkTo(size_t limit);

 private:
  // MCU columns and rows to decode.
  struct McuRect {
    int left, top, right, bottom;
    int width() const { return right - left; }
  };
  struct Plane {
    ByteBuffer samples;
    ptrdiff_t row_bytes = 0;
  };

  int PlaneScale(int c, int dct_scale) const;
  McuRect McusUnder(const Rect& region, int dct_scale) const;
  McuLayout Layout(int mcus) const;
  bool Start(int mcu, EntropyLane* lane) const;
  bool Run(int mcu, int count, EntropyLane* lane, const McuLayout& layout, int16_t* coefficients);
  void Transform(int mcu_row, int mcus, int dct_scale);
  void SetViews(const McuRect& mcus, int dct_scale, YccPlanes* planes) const;

  ByteSpan jpeg_;
  JpegHeader header_;
  HuffmanTables tables_;
  ScanData scan_;
  ByteBuffer coefficients_;  // of one MCU row
  std::array<Plane, kMaxComponents> planes_;
};

}  // namespace stoker
