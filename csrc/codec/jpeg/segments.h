// The segments of a JPEG's header, one after another, found as libjpeg finds them (jdmarker.c):
// whatever stands between two segments is passed over. The one reader of them, for our decoder's
// header (header.h), which declines what is unusual, and for metadata (exif_orientation.h), which
// are to be found wherever libjpeg finds an image.
//
// Borrows the bytes. Threads: one at a time. Damage is no error: it ends the header.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace stoker {

enum JpegMarker : uint8_t {
  kTem = 0x01,
  kSof0 = 0xC0,
  kSof1 = 0xC1,
  kDht = 0xC4,
  kRst0 = 0xD0,
  kRst7 = 0xD7,
  kSoi = 0xD8,
  kEoi = 0xD9,
  kSos = 0xDA,
  kDqt = 0xDB,
  kDri = 0xDD,
  kApp0 = 0xE0,
  kApp1 = 0xE1,
  kApp14 = 0xEE,
  kApp15 = 0xEF,
  kJpg0 = 0xF0,
  kJpg13 = 0xFD,
  kCom = 0xFE,
};

struct JpegSegment {
  uint8_t marker = 0;
  ByteSpan body;  // what follows the length; nothing where the marker has none
  // Whether it follows the last segment at once, is introduced by one FF and has a length. What is
  // not plain was written by no ordinary encoder.
  bool plain = false;
};

class JpegSegments {
 public:
  explicit JpegSegments(ByteSpan jpeg);

  // The next segment; false behind the header's last, which is SOS in a file that libjpeg reads.
  bool Next(JpegSegment* segment);
  // Where the last segment ended: behind SOS, the entropy-coded data begin there.
  size_t end() const { return at_; }

 private:
  bool FindMarker(uint8_t* marker);
  bool End();

  const ByteSpan jpeg_;
  size_t at_ = 2;
  bool ended_;
};

}  // namespace stoker
