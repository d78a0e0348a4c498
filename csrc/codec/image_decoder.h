// One decoder for every format: says how large an image is, then decodes the part that is asked
// for. Content decides the format, never the file's name.
//
// One per worker, reused; owns the pixels it returns. Threads: one at a time. Fails with
// StageError(kDecode).
#pragma once

#include "base/bytes.h"
#include "base/image_view.h"
#include "base/planes.h"
#include "base/rect.h"
#include "codec/jpeg/jpeg_decoder.h"
#include "codec/limits.h"
#include "codec/sniff.h"

namespace stoker {

struct DecodeOptions {
  DecodeLimits limits;
  // Turn an image upright as its EXIF or XMP orientation says. (A TIFF's is always applied, as in
  // Pillow.)
  bool apply_exif_orientation = true;
  // Of gray samples of 16 bits (codec/still/still_image.h).
  bool clip_gray16 = false;
};

class ImageDecoder {
 public:
  explicit ImageDecoder(const DecodeOptions& options);

  // The size of the upright image in `bytes`, which must outlive the Decode that follows.
  // `checkpoints`: what to do about them in a JPEG (baseline_decoder.h); outlives that Decode, too.
  Size Open(ByteSpan bytes, CheckpointUse* checkpoints = nullptr);
  // The upright pixels of `region`, valid until the next Open.
  // REQUIRES: Open succeeded and Decode has not been called since; `region` is a non-empty part of
  // its size.
  ImageView Decode(const Rect& region);
  // The planes under `region`, for the fast pixel mode, valid until the next call; reduced in the
  // DCT domain by `dct_scale`, 1, 2, 4 or 8 (baseline_decoder.h). False: the image has none to give
  // (another format, a JPEG for libjpeg-turbo, one to be turned), and Decode will do.
  // REQUIRES: as Decode.
  bool DecodePlanes(const Rect& region, int dct_scale, YccPlanes* planes);

  ImageFormat format() const { return format_; }
  // Of the image as it is stored, not turned upright.
  Size stored_size() const { return stored_size_; }
  // Gives scratch memory above `limit` bytes back, after an unusually large image.
  void ShrinkTo(size_t limit);

 private:
  void OpenStill(ByteSpan bytes);
  ImageView DecodeStored(const Rect& region);

  const DecodeOptions options_;
  JpegDecoder jpeg_;
  ByteBuffer pixels_;
  ByteBuffer upright_;
  ImageFormat format_ = ImageFormat::kUnknown;
  int orientation_ = 1;
  Size stored_size_;
  ImageView whole_;  // as it is stored, for formats without partial decoding
};

}  // namespace stoker
