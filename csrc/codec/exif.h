// The orientation that an image's metadata name, by the rules of Pillow's ImageOps.exif_transpose.
// The formats' readers find the blocks; what stands in them is read here.
//
// A reader asks XMP only where EXIF gives 0. Threads: any. Neither function throws or allocates.
#pragma once

#include "base/bytes.h"

namespace stoker {

// `exif`: an EXIF block, a TIFF structure, with or without "Exif\0\0" before it (once or twice).
// 1 to 8; 0 where it has no such tag. A tag that names none of the eight, and a block that is no
// TIFF structure, mean upright (1): Pillow asks XMP after neither.
int ExifOrientation(ByteSpan exif);

// `xmp`: an XMP packet. 1 to 8; 0 where it says nothing of it.
int XmpOrientation(ByteSpan xmp);

}  // namespace stoker
