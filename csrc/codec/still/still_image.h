// Images of the formats that are decoded whole: PNG, WebP, BMP, TIFF and PNM. Each has a reader of
// its own, which decodes the variants whose pixels are known to be those of Pillow's
// convert("RGB") and refuses every other one by its header, with the reason
// (docs/formats.md, which a test proves row by row).
//
// The size that is checked against the limits is always the decoder's own: no second parser reads a
// header beside it. What a reader allocates is bounded by that size (and by the file's).
//
// Threads: any. All functions throw StageError(kDecode), and std::bad_alloc.
#pragma once

#include "base/bytes.h"
#include "base/image_view.h"
#include "base/rect.h"
#include "codec/limits.h"
#include "codec/sniff.h"

namespace stoker {

struct StillOptions {
  DecodeLimits limits;
  // Gray samples of 16 bits: false keeps their upper eight bits; true cuts them off at 255, which
  // is what Pillow's convert("RGB") does, so that nearly all of them come out white.
  bool clip_gray16 = false;
};

// The whole image as it is stored (not turned upright), in `pixels`, valid until that buffer's next
// use. REQUIRES: format == SniffFormat(bytes), and neither kUnknown nor kJpeg.
ImageView DecodeStill(ImageFormat format, ByteSpan bytes, const StillOptions& options,
                      ByteBuffer* pixels);

// The size of the stored image, by the format's decoder, without its pixels. REQUIRES: as above.
Size StillSize(ImageFormat format, ByteSpan bytes);

// How the stored image is turned, 1 to 8, by its EXIF or XMP metadata; 1 where they say nothing or
// are damaged. Throws std::bad_alloc only. REQUIRES: as above.
int StillOrientation(ImageFormat format, ByteSpan bytes);

}  // namespace stoker
