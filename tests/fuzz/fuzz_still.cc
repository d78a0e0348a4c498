// The readers of PNG, WebP, BMP, TIFF and PNM: any bytes are pixels, the same ones twice and within
// the limit, or a reason; an orientation is one of the eight; and a part of the upright image is a
// part of the whole. The last eight bytes choose the part.
#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/image_decoder.h"
#include "codec/still/still_image.h"
#include "harness.h"
#include "support/pixels.h"

namespace stoker::fuzz {
namespace {

constexpr int64_t kMaxPixels = 1 << 16;

// The pixels; none where the bytes are refused.
std::vector<uint8_t> Pixels(ImageFormat format, ByteSpan bytes) {
  StillOptions options;
  options.limits.max_pixels = kMaxPixels;
  ByteBuffer buffer;
  try {
    const ImageView image = DecodeStill(format, bytes, options, &buffer);
    if (image.size.pixels() > kMaxPixels) Finding("more pixels than the limit");
    if (image.size != StillSize(format, bytes)) Finding("two sizes");
    std::vector<uint8_t> packed;
    for (int y = 0; y < image.size.height; ++y) {
      packed.insert(packed.end(), image.row(y), image.row(y) + image.size.width * kChannels);
    }
    return packed;
  } catch (const StageError& e) {
    if (std::strlen(e.what()) == 0) Finding("no reason");
    return {};
  }
}

// A part of the upright image is that part of the whole one.
void CheckPart(ByteSpan bytes, Input in) {
  DecodeOptions options;
  options.limits.max_pixels = kMaxPixels;
  ImageDecoder whole(options);
  ImageDecoder decoder(options);
  try {
    const Size size = whole.Open(bytes);
    if (decoder.Open(bytes) != size) Finding("two upright sizes");
    Rect part;
    part.left = in.Between(0, std::min(size.width, 65'000) - 1);
    part.top = in.Between(0, std::min(size.height, 65'000) - 1);
    part.width = in.Between(1, std::min(size.width - part.left, 65'000));
    part.height = in.Between(1, std::min(size.height - part.top, 65'000));
    const ImageView expected = whole.Decode(Whole(size)).Crop(part);
    const ImageView image = decoder.Decode(part);
    if (!testing::SamePixels(image, expected)) Finding("a part that is not the whole's");
  } catch (const StageError& e) {
    if (std::strlen(e.what()) == 0) Finding("no reason");
  }
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stoker;  // NOLINT: the entry is libFuzzer's
  const ByteSpan bytes{data, size};
  const ImageFormat format = SniffFormat(bytes);
  if (format == ImageFormat::kUnknown || format == ImageFormat::kJpeg) return 0;
  if (fuzz::Pixels(format, bytes) != fuzz::Pixels(format, bytes)) fuzz::Finding("other pixels");
  const int orientation = StillOrientation(format, bytes);
  if (orientation < 1 || orientation > 8) fuzz::Finding("an orientation beyond the eight");
  fuzz::CheckPart(bytes, {data + size - std::min<size_t>(size, 8), std::min<size_t>(size, 8)});
  return 0;
}
