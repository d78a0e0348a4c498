// WebP, lossy and lossless, and the first frame of an animation, by libwebp. See still_image.h.
#pragma once

#include "codec/still/still_image.h"

namespace stoker {

Size WebpSize(ByteSpan webp);
ImageView DecodeWebp(ByteSpan webp, const StillOptions& options, ByteBuffer* pixels);
int WebpOrientation(ByteSpan webp);

}  // namespace stoker
