#include "codec/jpeg/scan_data.h"

#include <cstring>

namespace stoker {

bool ScanData::Extract(ByteSpan scan) {
  constexpr uint8_t kEndOfImage = 0xD9;
  constexpr uint8_t kRestart0 = 0xD0;
  uint8_t* const out = bytes_.Reserve(scan.size + kPadding);
  uint8_t* to = out;
  size_t piece_begin = 0;
  pieces_.clear();
  const uint8_t* from = scan.begin();
  const auto close_piece = [&] {
    const auto end = static_cast<size_t>(to - out);
    pieces_.push_back({piece_begin, end - piece_begin});
    piece_begin = end;
  };
  while (from < scan.end()) {
    const auto left = static_cast<size_t>(scan.end() - from);
    const auto* ff = static_cast<const uint8_t*>(std::memchr(from, 0xFF, left));
    if (ff == nullptr || ff + 1 >= scan.end()) return false;
    const auto run = static_cast<size_t>(ff - from);
    std::memcpy(to, from, run);
    to += run;
    from = ff + 2;
    const uint8_t marker = ff[1];
    if (marker == 0) {
      *to++ = 0xFF;
    } else if (marker == kRestart0 + pieces_.size() % 8) {
      close_piece();
    } else if (marker == kEndOfImage) {
      close_piece();
      std::memset(to, 0, kPadding);
      return true;
    } else {
      return false;
    }
  }
  return false;
}

void ScanData::ShrinkTo(size_t limit) { bytes_.ShrinkTo(limit); }

}  // namespace stoker
