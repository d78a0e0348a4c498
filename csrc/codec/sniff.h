// What kind of image some bytes are, from the bytes alone (never from a file's name).
//
// Threads: any.
#pragma once

#include "base/bytes.h"

namespace stoker {

enum class ImageFormat { kUnknown, kJpeg, kPng, kWebp, kBmp, kTiff, kPnm };

const char* FormatName(ImageFormat format);

// By signature. Only formats that Stoker decodes; everything else is kUnknown.
ImageFormat SniffFormat(ByteSpan bytes);

}  // namespace stoker
