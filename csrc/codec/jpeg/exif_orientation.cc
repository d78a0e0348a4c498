#include "codec/jpeg/exif_orientation.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "codec/exif.h"
#include "codec/jpeg/segments.h"

namespace stoker {
namespace {

constexpr std::string_view kExif("Exif\0\0", 6);
constexpr std::string_view kXmp("http://ns.adobe.com/xap/1.0/\0", 29);

bool StartsWith(ByteSpan bytes, std::string_view text) {
  return bytes.size >= text.size() && std::memcmp(bytes.data, text.data(), text.size()) == 0;
}

ByteSpan Behind(ByteSpan bytes, std::string_view prefix) {
  return {bytes.data + prefix.size(), bytes.size - prefix.size()};
}

// EXIF of a file that may have several segments of it; copied only then.
class ExifBlock {
 public:
  void Add(ByteSpan segment) {
    if (first_.data == nullptr) {
      first_ = segment;
      return;
    }
    if (joined_.empty()) joined_.assign(first_.begin(), first_.end());
    const ByteSpan more = Behind(segment, kExif);
    joined_.insert(joined_.end(), more.begin(), more.end());
  }
  ByteSpan bytes() const {
    return joined_.empty() ? first_ : ByteSpan{joined_.data(), joined_.size()};
  }

 private:
  ByteSpan first_;
  std::vector<uint8_t> joined_;
};

}  // namespace

int JpegExifOrientation(ByteSpan jpeg) {
  ExifBlock exif;
  ByteSpan xmp;
  JpegSegments segments(jpeg);
  JpegSegment segment;
  while (segments.Next(&segment)) {
    if (segment.marker != kApp1) continue;
    if (StartsWith(segment.body, kExif)) exif.Add(segment.body);
    if (StartsWith(segment.body, kXmp)) xmp = Behind(segment.body, kXmp);
  }
  const int orientation = ExifOrientation(exif.bytes());
  return orientation != 0 ? orientation : std::max(1, XmpOrientation(xmp));
}

}  // namespace stoker
