// PNG, WebP, BMP, TIFF and PNM by OpenCV's image readers, loaded at first use. OpenCV's log and
// libpng's are silenced; a line that OpenCV itself writes to standard error about some damaged
// files (TIFF among them) cannot be.
#pragma once

#include "base/bytes.h"
#include "base/image_view.h"

namespace stoker {

// The whole image as RGB, in `pixels`, valid until that buffer's next use. Threads: any. Throws
// StageError(kDecode): the reader's reason, or why libstoker_opencv.so could not be loaded.
ImageView DecodeWithOpencv(ByteSpan bytes, ByteBuffer* pixels);

// Whether the library has been loaded in this process.
bool OpencvIsLoaded();

}  // namespace stoker
