// TIFF, the first image of a file, by libtiff; BigTIFF too. See still_image.h.
#pragma once

#include "codec/still/still_image.h"

namespace stoker {

Size TiffSize(ByteSpan tiff);
ImageView DecodeTiff(ByteSpan tiff, const StillOptions& options, ByteBuffer* pixels);
int TiffOrientation(ByteSpan tiff);

}  // namespace stoker
