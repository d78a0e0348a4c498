#include "codec/image_decoder.h"

#include <string>

#include "base/error.h"
#include "codec/jpeg/exif_orientation.h"
#include "codec/opencv_reader.h"
#include "codec/orientation.h"

namespace stoker {

ImageDecoder::ImageDecoder(const DecodeOptions& options)
    : options_(options), jpeg_(options.limits) {}

Size ImageDecoder::Open(ByteSpan bytes, CheckpointUse* checkpoints) {
  format_ = SniffFormat(bytes);
  orientation_ = 1;
  if (format_ == ImageFormat::kJpeg) {
    stored_size_ = jpeg_.Open(bytes, checkpoints);
    if (options_.apply_exif_orientation) orientation_ = JpegExifOrientation(bytes);
    return UprightSize(stored_size_, orientation_);
  }
  if (format_ == ImageFormat::kUnknown) {
    throw StageError(Stage::kDecode,
                     bytes.size == 0
                         ? "the file is empty"
                         : "not an image of a known format (JPEG, PNG, WebP, BMP, TIFF, PNM)");
  }
  CheckPixels(SniffSize(format_, bytes), options_.limits);
  try {
    whole_ = DecodeWithOpencv(bytes, &pixels_);
  } catch (const StageError& e) {
    throw StageError(Stage::kDecode, std::string(FormatName(format_)) + ": " + e.what());
  }
  stored_size_ = whole_.size;
  return stored_size_;
}

ImageView ImageDecoder::Decode(const Rect& region) {
  if (format_ != ImageFormat::kJpeg) return whole_.Crop(region);
  if (orientation_ == 1) return jpeg_.Decode(region, &pixels_);
  const ImageView stored = jpeg_.Decode(StoredRect(region, stored_size_, orientation_), &pixels_);
  const ptrdiff_t row_bytes = ptrdiff_t{region.width} * kChannels;
  const MutableImageView upright{
      upright_.Reserve(static_cast<size_t>(row_bytes) * static_cast<size_t>(region.height)),
      region.size(), row_bytes};
  MakeUpright(stored, orientation_, upright);
  return upright;
}

bool ImageDecoder::DecodePlanes(const Rect& region, int dct_scale, YccPlanes* planes) {
  return format_ == ImageFormat::kJpeg && orientation_ == 1 &&
         jpeg_.DecodePlanes(region, dct_scale, planes);
}

void ImageDecoder::ShrinkTo(size_t limit) {
  pixels_.ShrinkTo(limit);
  upright_.ShrinkTo(limit);
  jpeg_.ShrinkTo(limit);
}

}  // namespace stoker
