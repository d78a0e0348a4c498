#include "codec/jpeg/scan_data.h"

#include <cstring>

namespace stoker {

// Copies data up to the next marker and returns where its 0xFF stands; `end` where none comes, and
// null where the data end within a stuffed pair or a marker.
const uint8_t* ScanData::CopyToMarker(const uint8_t* from, const uint8_t* end) {
  while (from < end) {
    const auto left = static_cast<size_t>(end - from);
    const auto* ff = static_cast<const uint8_t*>(std::memchr(from, 0xFF, left));
    const auto run = ff == nullptr ? left : static_cast<size_t>(ff - from);
    std::memcpy(end_, from, run);
    end_ += run;
    if (ff == nullptr) return end;
    if (ff + 1 >= end) return nullptr;
    if (ff[1] != 0) return ff;
    stuffed_.push_back(size());
    *end_++ = 0xFF;
    from = ff + 2;
  }
  return end;
}

bool ScanData::Extract(ByteSpan scan) {
  constexpr uint8_t kEndOfImage = 0xD9;
  constexpr uint8_t kRestart0 = 0xD0;
  BeginParts(scan.size);
  size_t piece_begin = 0;
  for (const uint8_t* from = scan.begin();;) {
    const uint8_t* const marker = CopyToMarker(from, scan.end());
    if (marker == nullptr || marker == scan.end()) return false;
    const bool restart = marker[1] == kRestart0 + pieces_.size() % 8;
    if (!restart && marker[1] != kEndOfImage) return false;
    pieces_.push_back({piece_begin, size() - piece_begin});
    piece_begin = size();
    if (!restart) break;
    from = marker + 2;
  }
  EndParts();
  return true;
}

void ScanData::BeginParts(size_t bytes) {
  end_ = bytes_.Reserve(bytes + kPadding);
  pieces_.clear();
  stuffed_.clear();
}

bool ScanData::Append(ByteSpan part) {
  return CopyToMarker(part.begin(), part.end()) == part.end();
}

void ScanData::EndParts() { std::memset(end_, 0, kPadding); }

void ScanData::ShrinkTo(size_t limit) { bytes_.ShrinkTo(limit); }

}  // namespace stoker
