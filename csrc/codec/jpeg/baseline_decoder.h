// Our own decoder of the common JPEG: 8-bit Huffman-coded sequential, gray or YCbCr at 4:4:4,
// 4:2:2, 4:2:0, 4:4:0 or 4:1:1, restart markers or none. From the file to planes of the part that
// is wanted: entropy decoding begins at the last restart marker or checkpoint before it and stops
// behind its last row, and only its blocks are transformed. Coefficients and samples are
// libjpeg-turbo's (islow), bit for bit, whatever decoding began at.
//
// It never says what is wrong with a file: what it does not take, it declines, and libjpeg-turbo
// gets the file (jpeg_decoder.h). Nor with checkpoints: it compares its state with each that it
// passes, and after the first difference decodes without any.
//
// One per worker, reused; owns the planes. Threads: one at a time. Throws std::bad_alloc, and as
// CheckpointUse says.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/planes.h"
#include "base/rect.h"
#include "codec/jpeg/checkpoints.h"
#include "codec/jpeg/entropy_decoder.h"
#include "codec/jpeg/header.h"
#include "codec/jpeg/scan_data.h"

namespace stoker {

// What a decoding has to do with checkpoints: what it may use or shall make, and what came of it.
struct CheckpointUse {
  // Decode by these, where they fit. Must outlive the decoding.
  const Checkpoints* use = nullptr;
  // Where data_end is not 0, nothing is there of the file but its header and these bytes of the
  // entropy-coded data: a decoding that cannot go by them alone throws StageError(kDecode).
  uint64_t data_begin = 0;
  uint64_t data_end = 0;
  bool partial() const { return data_end > 0; }
  // For a decoding that needs the whole file: throws that error where it is not there.
  void RequireWhole() const;
  // Make some, which means decoding the file to its end: more than `budget_bytes` hold, so that
  // Checkpoints::PackWithin has a choice.
  Checkpoints* record = nullptr;
  size_t budget_bytes = 0;

  bool used = false;      // all pixels come by `use`
  bool rejected = false;  // `use` was not this file's
  bool recorded = false;  // `record` is complete
  // Where used: about how many bytes of entropy-coded data were decoded, and would have been
  // without.
  uint64_t decoded_bytes = 0;
  uint64_t plain_bytes = 0;
};

class BaselineDecoder {
 public:
  // Reads the header. False: declined. `jpeg` must outlive the Decode that follows, and so must
  // `checkpoints` (null: none), where that Decode reports.
  bool Open(ByteSpan jpeg, CheckpointUse* checkpoints = nullptr);
  Size size() const { return header_.size; }

  // The planes under `region` (in pixels of the image), with the samples beside it that bringing
  // chroma to luma's resolution looks at. `dct_scale`: 1, or 2, 4 or 8 for planes that are smaller
  // by as much, made of each block's low frequencies alone. 4:2:0's chroma is reduced half as much:
  // it has luma's resolution then, and no factor.
  // False: declined. The planes live until the next Decode.
  // REQUIRES: Open succeeded; `region` is a non-empty part of the image.
  bool Decode(const Rect& region, int dct_scale, YccPlanes* planes);

  void ShrinkTo(size_t limit);

 private:
  struct Plane {
    ByteBuffer samples;
    ptrdiff_t row_bytes = 0;
  };

  int PlaneScale(int c, int dct_scale) const;
  McuLayout Layout(int mcus) const;
  void ReservePlanes(const McuRect& mcus, const McuLayout& layout);
  // The entropy-coded data and what follows them.
  ByteSpan Scan() const {
    return {jpeg_.data + header_.scan_begin, jpeg_.size - header_.scan_begin};
  }
  bool ExtractAll();
  bool ExtractRuns(const McuRect& mcus);
  int StartBefore(int mcu) const;
  bool Start(int mcu, EntropyLane* lane) const;
  bool Run(int mcu, int count, EntropyLane* lane, const McuLayout& layout, int16_t* coefficients);
  bool AtCheckpoint(size_t k, const EntropyLane& lane);
  bool DecodeRows(const McuRect& mcus, const McuLayout& layout, int dct_scale, EntropyLane* lane);
  bool DecodeByCheckpoints(const McuRect& mcus, const McuLayout& layout, int dct_scale);
  bool DecodePlainly(const McuRect& mcus, const McuLayout& layout, int dct_scale);
  bool FinishRecord(int mcu, const McuLayout& layout, EntropyLane* lane);
  void Transform(int mcu_row, int mcus, int dct_scale);
  void SetViews(const McuRect& mcus, int dct_scale, YccPlanes* planes) const;

  ByteSpan jpeg_;
  CheckpointUse* checkpoints_ = nullptr;
  JpegHeader header_;
  int mcus_ = 0;  // of the image
  HuffmanTables tables_;
  ScanData scan_;
  ByteBuffer coefficients_;  // of one MCU row
  size_t row_bytes_ = 0;     // of coefficients_
  std::array<Plane, kMaxComponents> planes_;

  // At most one of these is set while rows are decoded.
  const Checkpoints* using_ = nullptr;
  Checkpoints* recording_ = nullptr;
  std::vector<CheckpointRun> runs_;
  std::vector<uint64_t> bit_at_;  // of using_->at[k] in scan_, where a run has it
};

}  // namespace stoker
