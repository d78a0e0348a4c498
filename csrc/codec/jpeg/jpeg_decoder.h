// JPEG: the one place that decides which decoder takes a file. Ours (baseline_decoder.h) takes the
// common kind; libjpeg-turbo (turbo_decoder.h) all that ours declines: progressive, arithmetic,
// CMYK, rare samplings, and everything damaged, of which it alone says whether it is an error or
// only worth a warning. Both give the same pixels.
//
// One per worker, reused. Threads: one at a time. Fails with StageError(kDecode).
#pragma once

#include "base/bytes.h"
#include "base/image_view.h"
#include "base/planes.h"
#include "base/rect.h"
#include "codec/jpeg/baseline_decoder.h"
#include "codec/jpeg/turbo_decoder.h"
#include "codec/limits.h"

namespace stoker {

class JpegDecoder {
 public:
  explicit JpegDecoder(const DecodeLimits& limits) : limits_(limits), turbo_(limits) {}

  // Reads the header and returns the stored size (EXIF orientation not applied). `jpeg` must
  // outlive the decoding that follows.
  // `checkpoints`: see baseline_decoder.h.
  Size Open(ByteSpan jpeg, CheckpointUse* checkpoints = nullptr);

  // The RGB pixels of `region` in the exact mode, in `pixels`, valid until that buffer's next use.
  // REQUIRES: Open succeeded since the last Decode, and `region` is a non-empty part of its size.
  ImageView Decode(const Rect& region, ByteBuffer* pixels);

  // The planes under `region`, reduced by `dct_scale` (baseline_decoder.h), valid until the next
  // call of any function. False: this file is not for our decoder, and Decode will do.
  // REQUIRES: as Decode.
  bool DecodePlanes(const Rect& region, int dct_scale, YccPlanes* planes);

  // Whether our own decoder took the last image (so far).
  bool own() const { return own_; }
  void ShrinkTo(size_t limit);

 private:
  Size OpenTurbo();

  const DecodeLimits limits_;
  BaselineDecoder baseline_;
  TurboDecoder turbo_;
  ByteBuffer rows_;
  ByteSpan jpeg_;
  CheckpointUse* checkpoints_ = nullptr;
  bool own_ = false;
};

}  // namespace stoker
