// JPEG by libjpeg-turbo in the exact pixel mode: accurate integer inverse DCT (islow) and fancy
// upsampling, the pixels that Pillow gives. Decodes only what a crop and its margin need, and the
// result equals the crop of a full decode.
//
// One per worker, reused for every image. Threads: one at a
// time. Fails with StageError(kDecode). libjpeg's warnings (a corrupt stretch that it recovers
// from) are no errors, as in Pillow; data that end too early are.
#pragma once

#include <memory>

#include "base/bytes.h"
#include "base/image_view.h"
#include "base/rect.h"
#include "codec/limits.h"

namespace stoker {

class TurboDecoder {
 public:
  explicit TurboDecoder(const DecodeLimits& limits);
  ~TurboDecoder();
  TurboDecoder(const TurboDecoder&) = delete;
  TurboDecoder& operator=(const TurboDecoder&) = delete;

  // Reads the header and returns the stored size (EXIF orientation not applied). `jpeg` must
  // outlive the Decode that follows.
  Size Open(ByteSpan jpeg);

  // The pixels of `region`, in `pixels`, valid until that buffer's next use. Grayscale, CMYK and
  // YCCK come out as RGB like Pillow's convert("RGB").
  // REQUIRES: Open succeeded since the last Decode, and `region` is a non-empty part of its size.
  ImageView Decode(const Rect& region, ByteBuffer* pixels);

 private:
  struct State;  // libjpeg's structures; UniqueTurboDecoder in the .cc
  std::unique_ptr<State> state_;
};

}  // namespace stoker
