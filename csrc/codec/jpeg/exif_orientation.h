// The orientation that a JPEG's EXIF or XMP segments name, as Pillow finds it: all EXIF segments in
// front of the first scan are one block, the last XMP segment counts, and only where EXIF says
// nothing. So every JPEG that Pillow opens is turned as Pillow's ImageOps.exif_transpose turns it.
// Of those that only libjpeg opens, the segments are found where libjpeg finds them.
//
// Threads: any. Throws std::bad_alloc alone: damage says nothing.
#pragma once

#include "base/bytes.h"

namespace stoker {

// 1 to 8; 1 (upright) where nothing is said.
int JpegExifOrientation(ByteSpan jpeg);

}  // namespace stoker
