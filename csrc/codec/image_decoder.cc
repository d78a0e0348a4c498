#include "codec/image_decoder.h"

#include <string>

#include "base/error.h"
#include "codec/jpeg/exif_orientation.h"
#include "codec/orientation.h"
#include "codec/still/still_image.h"

namespace stoker {

ImageDecoder::ImageDecoder(const DecodeOptions& options)
    : options_(options), jpeg_(options.limits) {}

Size ImageDecoder::Open(ByteSpan bytes, CheckpointUse* checkpoints) {
  format_ = SniffFormat(bytes);
  orientation_ = 1;
  if (format_ == ImageFormat::kUnknown) {
    throw StageError(Stage::kDecode,
                     bytes.size == 0
                         ? "the file is empty"
                         : "not an image of a known format (JPEG, PNG, WebP, BMP, TIFF, PNM)");
  }
  if (format_ == ImageFormat::kJpeg) {
    stored_size_ = jpeg_.Open(bytes, checkpoints);
    if (options_.apply_exif_orientation) orientation_ = JpegExifOrientation(bytes);
  } else {
    OpenStill(bytes);
  }
  return UprightSize(stored_size_, orientation_);
}

void ImageDecoder::OpenStill(ByteSpan bytes) {
  try {
    whole_ = DecodeStill(format_, bytes, {options_.limits, options_.clip_gray16}, &pixels_);
  } catch (const StageError& e) {
    throw StageError(Stage::kDecode, std::string(FormatName(format_)) + ": " + e.what());
  }
  stored_size_ = whole_.size;
  if (options_.apply_exif_orientation || format_ == ImageFormat::kTiff) {
    orientation_ = StillOrientation(format_, bytes);
  }
}

ImageView ImageDecoder::DecodeStored(const Rect& region) {
  return format_ == ImageFormat::kJpeg ? jpeg_.Decode(region, &pixels_) : whole_.Crop(region);
}

ImageView ImageDecoder::Decode(const Rect& region) {
  if (orientation_ == 1) return DecodeStored(region);
  const ImageView stored = DecodeStored(StoredRect(region, stored_size_, orientation_));
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
