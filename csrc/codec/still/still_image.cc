#include "codec/still/still_image.h"

#include "codec/still/bmp_reader.h"
#include "codec/still/png_reader.h"
#include "codec/still/pnm_reader.h"
#include "codec/still/tiff_reader.h"
#include "codec/still/webp_reader.h"

namespace stoker {

ImageView DecodeStill(ImageFormat format, ByteSpan bytes, const StillOptions& options,
                      ByteBuffer* pixels) {
  switch (format) {
    case ImageFormat::kPng: return DecodePng(bytes, options, pixels);
    case ImageFormat::kWebp: return DecodeWebp(bytes, options, pixels);
    case ImageFormat::kBmp: return DecodeBmp(bytes, options, pixels);
    case ImageFormat::kTiff: return DecodeTiff(bytes, options, pixels);
    default: return DecodePnm(bytes, options, pixels);
  }
}

Size StillSize(ImageFormat format, ByteSpan bytes) {
  switch (format) {
    case ImageFormat::kPng: return PngSize(bytes);
    case ImageFormat::kWebp: return WebpSize(bytes);
    case ImageFormat::kBmp: return BmpSize(bytes);
    case ImageFormat::kTiff: return TiffSize(bytes);
    default: return PnmSize(bytes);
  }
}

int StillOrientation(ImageFormat format, ByteSpan bytes) {
  switch (format) {
    case ImageFormat::kPng: return PngOrientation(bytes);
    case ImageFormat::kWebp: return WebpOrientation(bytes);
    case ImageFormat::kTiff: return TiffOrientation(bytes);
    default: return 1;
  }
}

}  // namespace stoker
