// JpegDecoder against TurboDecoder: the same pixels, of the whole image and of a part of it, or the
// same reason for refusing the file. The part is chosen by the input's first four bytes; the file
// follows.
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/jpeg/header.h"
#include "codec/jpeg/jpeg_decoder.h"
#include "codec/jpeg/turbo_decoder.h"
#include "harness.h"

namespace stoker::fuzz {
namespace {

constexpr int64_t kMaxPixels = 1 << 18;

// Where a part lies in an image, in 256ths.
struct Part {
  int left, top, width, height;

  Rect Of(Size size) const {
    const int x = left * size.width / 256;
    const int y = top * size.height / 256;
    return {x, y, 1 + width * (size.width - x - 1) / 255, 1 + height * (size.height - y - 1) / 255};
  }
};
constexpr Part kWhole{0, 0, 255, 255};

struct Result {
  std::string error;  // empty: none
  Rect region;
  std::vector<uint8_t> rgb;
};

template <typename Decoder>
Result Decode(Decoder* decoder, ByteSpan jpeg, const Part& part) {
  Result result;
  try {
    result.region = part.Of(decoder->Open(jpeg));
    ByteBuffer pixels;
    const ImageView image = decoder->Decode(result.region, &pixels);
    if (image.size != result.region.size()) Finding("an image of the wrong size");
    for (int y = 0; y < image.size.height; ++y) {
      const uint8_t* row = image.row(y);
      result.rgb.insert(result.rgb.end(), row, row + ptrdiff_t{image.size.width} * kChannels);
    }
  } catch (const StageError& e) {
    result.error = e.what();
    if (result.error.empty()) Finding("an error without a reason");
  }
  return result;
}

std::string Text(const Result& result) {
  return result.error.empty() ? "pixels" : "\"" + result.error + "\"";
}

void Compare(const Result& own, const Result& turbo, bool took_it) {
  const std::string by = took_it ? " (ours)" : " (left to libjpeg)";
  if (own.error != turbo.error) {
    Finding("JpegDecoder gives " + Text(own) + by + ", TurboDecoder " + Text(turbo));
  }
  if (!own.error.empty()) return;
  if (!(own.region == turbo.region)) Finding("another size" + by);
  for (size_t i = 0; i < own.rgb.size(); ++i) {
    if (own.rgb[i] == turbo.rgb[i]) continue;
    const int pixel = static_cast<int>(i / kChannels);
    const Rect& r = own.region;
    Finding("pixel (" + std::to_string(r.left + pixel % r.width) + ", " +
            std::to_string(r.top + pixel / r.width) + ")" + by + " is " +
            std::to_string(own.rgb[i]) + " for " + std::to_string(turbo.rgb[i]) + " in channel " +
            std::to_string(i % kChannels));
  }
}

void Check(Input in) {
  Part part{};
  part.left = in.Byte();
  part.top = in.Byte();
  part.width = in.Byte();
  part.height = in.Byte();
  const ByteSpan jpeg = in.rest();
  // What our decoder declines at once goes to libjpeg on both sides: nothing to compare, and it
  // may be slow.
  JpegHeader header;
  if (!ParseJpegHeader(jpeg, &header)) return;
  DecodeLimits limits;
  limits.max_pixels = kMaxPixels;
  JpegDecoder own(limits);
  TurboDecoder turbo(limits);
  for (const Part& p : {part, kWhole}) {
    const Result result = Decode(&own, jpeg, p);
    Compare(result, Decode(&turbo, jpeg, p), own.own());
  }
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::SetTargetBy(size);
  stoker::fuzz::Check({data, size});
  return 0;
}
