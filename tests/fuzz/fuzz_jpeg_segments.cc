// The reader of a JPEG's segments against our decoder's header, which goes by it; and orientations,
// of the same bytes taken for a JPEG, for an EXIF block and for an XMP packet.
#include <string>

#include "codec/exif.h"
#include "codec/jpeg/exif_orientation.h"
#include "codec/jpeg/header.h"
#include "codec/jpeg/segments.h"
#include "harness.h"

namespace stoker::fuzz {
namespace {

void CheckRange(const char* of, int orientation, int least) {
  if (orientation >= least && orientation <= 8) return;
  Finding(std::string(of) + " gives " + std::to_string(orientation));
}

void CheckSegments(ByteSpan jpeg) {
  JpegSegments segments(jpeg);
  JpegSegment segment;
  bool plain = true;
  size_t last_end = 2;
  while (segments.Next(&segment)) {
    const size_t end = segments.end();
    if (end > jpeg.size || end < last_end + 2) Finding("a segment that does not go on");
    if (segment.body.size > 0 && segment.body.end() != jpeg.data + end) Finding("a body elsewhere");
    if (segment.plain && segment.body.size + 4 != end - last_end) Finding("a gap that is not seen");
    plain = plain && segment.plain;
    last_end = end;
  }
  JpegHeader header;
  if (!ParseJpegHeader(jpeg, &header)) return;
  if (!plain) Finding("our decoder takes a header that is not plain");
  if (segment.marker != kSos) Finding("our decoder takes a header without a scan");
  if (header.scan_begin != last_end) Finding("the scan begins elsewhere");
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stoker;  // NOLINT: the entry is libFuzzer's
  const ByteSpan bytes{data, size};
  fuzz::CheckSegments(bytes);
  fuzz::CheckRange("a JPEG", JpegExifOrientation(bytes), 1);
  fuzz::CheckRange("EXIF", ExifOrientation(bytes), 0);
  fuzz::CheckRange("XMP", XmpOrientation(bytes), 0);
  return 0;
}
