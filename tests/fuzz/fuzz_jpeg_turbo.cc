// TurboDecoder on any bytes: a part of an image equals that part of the whole, and where one is
// refused, the other is. The part is chosen by the input's first four bytes; the file follows.
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/jpeg/turbo_decoder.h"
#include "harness.h"

namespace stoker::fuzz {
namespace {

struct Result {
  std::string error;  // empty: none
  std::vector<uint8_t> rgb;
};

Result Decode(TurboDecoder* decoder, ByteSpan jpeg, const Rect& region) {
  Result result;
  try {
    decoder->Open(jpeg);
    ByteBuffer pixels;
    const ImageView image = decoder->Decode(region, &pixels);
    if (image.size != region.size()) Finding("an image of the wrong size");
    for (int y = 0; y < region.height; ++y) {
      const uint8_t* row = image.row(y);
      result.rgb.insert(result.rgb.end(), row, row + ptrdiff_t{region.width} * kChannels);
    }
  } catch (const StageError& e) {
    result.error = e.what();
    if (result.error.empty()) Finding("an error without a reason");
  }
  return result;
}

void Check(Input in) {
  const int left = in.Byte();
  const int top = in.Byte();
  const int width = in.Byte();
  const int height = in.Byte();
  const ByteSpan jpeg = in.rest();
  DecodeLimits limits;
  limits.max_pixels = 1 << 16;
  limits.max_scans = 64;
  TurboDecoder decoder(limits);
  Size size;
  try {
    size = decoder.Open(jpeg);
  } catch (const StageError&) {
    return;
  }
  const int x = left * size.width / 256;
  const int y = top * size.height / 256;
  const Rect part{x, y, 1 + width * (size.width - x - 1) / 255,
                  1 + height * (size.height - y - 1) / 255};
  const Result whole = Decode(&decoder, jpeg, Whole(size));
  const Result got = Decode(&decoder, jpeg, part);
  if (whole.error.empty() != got.error.empty()) {
    Finding("the whole: \"" + whole.error + "\", a part: \"" + got.error + "\"");
  }
  if (!got.error.empty()) return;
  const size_t row_bytes = static_cast<size_t>(part.width) * kChannels;
  for (int row = 0; row < part.height; ++row) {
    const size_t from = static_cast<size_t>(part.top + row) * static_cast<size_t>(size.width) +
                        static_cast<size_t>(part.left);
    if (std::memcmp(&got.rgb[static_cast<size_t>(row) * row_bytes], &whole.rgb[from * kChannels],
                    row_bytes) != 0) {
      Finding("row " + std::to_string(part.top + row) + " of a part differs");
    }
  }
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::Check({data, size});
  return 0;
}
