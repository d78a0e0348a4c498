// BMP of Windows (with headers of 40 bytes and more) and OS/2 1.x (of 12), of 1, 4, 8, 16, 24 and
// 32 bits, RLE4, RLE8 and bit fields. See still_image.h.
#pragma once

#include "codec/still/still_image.h"

namespace stoker {

Size BmpSize(ByteSpan bmp);
ImageView DecodeBmp(ByteSpan bmp, const StillOptions& options, ByteBuffer* pixels);

}  // namespace stoker
