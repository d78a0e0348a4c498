// What kind of image some bytes are, from the bytes alone (never from a file's name), and how large
// it says it is, before anything is allocated for it.
//
// Threads: any. Throws StageError(kDecode) where a header is damaged.
#pragma once

#include "base/bytes.h"
#include "base/rect.h"

namespace stoker {

enum class ImageFormat { kUnknown, kJpeg, kPng, kWebp, kBmp, kTiff, kPnm };

const char* FormatName(ImageFormat format);

// By signature. Only formats that Stoker decodes; everything else is kUnknown.
ImageFormat SniffFormat(ByteSpan bytes);

// The size that the header of a PNG, WebP, BMP, TIFF or PNM claims.
// REQUIRES: format == SniffFormat(bytes), and neither kUnknown nor kJpeg.
Size SniffSize(ImageFormat format, ByteSpan bytes);

}  // namespace stoker
