#include "codec/jpeg/segments.h"

namespace stoker {
namespace {

bool StandsAlone(uint8_t marker) { return (marker >= kRst0 && marker <= kRst7) || marker == kTem; }

// Markers that libjpeg refuses in a header, and EOI.
bool EndsHeader(uint8_t marker) {
  return marker < kSof0 || marker == kSoi || marker == kEoi ||
         (marker >= kJpg0 && marker <= kJpg13);
}

}  // namespace

JpegSegments::JpegSegments(ByteSpan jpeg)
    : jpeg_(jpeg), ended_(jpeg.size < 4 || jpeg[0] != 0xFF || jpeg[1] != kSoi) {}

bool JpegSegments::End() {
  ended_ = true;
  return false;
}

// Any number of FF, then the code. FF 00 is a byte of data.
bool JpegSegments::FindMarker(uint8_t* marker) {
  for (;;) {
    while (at_ < jpeg_.size && jpeg_[at_] != 0xFF) ++at_;
    while (at_ < jpeg_.size && jpeg_[at_] == 0xFF) ++at_;
    if (at_ >= jpeg_.size) return false;
    *marker = jpeg_[at_++];
    if (*marker != 0) return true;
  }
}

bool JpegSegments::Next(JpegSegment* segment) {
  if (ended_) return false;
  const size_t begin = at_;
  if (!FindMarker(&segment->marker)) return End();
  segment->plain = at_ - begin == 2;
  segment->body = {};
  if (StandsAlone(segment->marker)) {
    segment->plain = false;
    return true;
  }
  if (EndsHeader(segment->marker) || jpeg_.size - at_ < 2) return End();
  const size_t length = static_cast<size_t>(jpeg_[at_]) << 8 | jpeg_[at_ + 1];  // counts itself
  at_ += 2;
  if (length < 2) {
    segment->plain = false;  // libjpeg takes it for 2
  } else {
    if (jpeg_.size - at_ < length - 2) return End();
    segment->body = {jpeg_.data + at_, length - 2};
    at_ += length - 2;
  }
  if (segment->marker == kSos) ended_ = true;
  return true;
}

}  // namespace stoker
