#include "codec/jpeg/jpeg_decoder.h"

#include "codec/jpeg/planes_to_rgb.h"

namespace stoker {

Size JpegDecoder::Open(ByteSpan jpeg, CheckpointUse* checkpoints) {
  jpeg_ = jpeg;
  checkpoints_ = checkpoints;
  own_ = baseline_.Open(jpeg, checkpoints);
  if (!own_) return OpenTurbo();
  CheckPixels(baseline_.size(), limits_);
  return baseline_.size();
}

Size JpegDecoder::OpenTurbo() {
  if (checkpoints_ != nullptr) checkpoints_->RequireWhole();
  return turbo_.Open(jpeg_);
}

bool JpegDecoder::DecodePlanes(const Rect& region, int dct_scale, YccPlanes* planes) {
  if (!own_) return false;
  own_ = baseline_.Decode(region, dct_scale, planes);
  if (!own_) OpenTurbo();
  return own_;
}

ImageView JpegDecoder::Decode(const Rect& region, ByteBuffer* pixels) {
  YccPlanes planes;
  if (!DecodePlanes(region, /*dct_scale=*/1, &planes)) return turbo_.Decode(region, pixels);
  const ptrdiff_t row_bytes = ptrdiff_t{region.width} * kChannels;
  const MutableImageView out{
      pixels->Reserve(static_cast<size_t>(row_bytes) * static_cast<size_t>(region.height)),
      region.size(), row_bytes};
  PlanesToRgb(planes, region, &rows_, out);
  return out;
}

void JpegDecoder::ShrinkTo(size_t limit) {
  baseline_.ShrinkTo(limit);
  rows_.ShrinkTo(limit);
}

}  // namespace stoker
