// PNM: P1 to P6 (netpbm's formats), binary and plain. See still_image.h.
#pragma once

#include "codec/still/still_image.h"

namespace stoker {

Size PnmSize(ByteSpan pnm);
ImageView DecodePnm(ByteSpan pnm, const StillOptions& options, ByteBuffer* pixels);

}  // namespace stoker
