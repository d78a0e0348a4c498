// PNG, all its kinds, by libpng. See still_image.h.
#pragma once

#include "codec/still/still_image.h"

namespace stoker {

Size PngSize(ByteSpan png);
ImageView DecodePng(ByteSpan png, const StillOptions& options, ByteBuffer* pixels);
int PngOrientation(ByteSpan png);

}  // namespace stoker
