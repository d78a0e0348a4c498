// The entropy-coded data of a scan with its stuffed bytes removed: all of it, in one piece for each
// restart interval, or only the parts that are asked for. T.81, B.1.1.5 and F.1.2.3.
//
// One per worker, reused; owns the copy. Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace stoker {

class ScanData {
 public:
  // Readable bytes behind the last piece, so that a bit reader that overruns damaged data stays
  // within the buffer until its owner's next check: more than an MCU's ten blocks of 64
  // coefficients can take, at 31 bits each.
  static constexpr size_t kPadding = 4096;

  struct Piece {
    size_t begin;  // in data()
    size_t size;   // bytes
  };

  // Copies the data that begin at `scan`, the rest of the file. False, and nothing usable, unless
  // an end-of-image marker closes them and the restart markers count up as they should: libjpeg
  // has its ways with such data.
  bool Extract(ByteSpan scan);

  // The same for parts, one behind the other: BeginParts, then Append for each, then EndParts.
  // `bytes`: no less than all parts have together.
  void BeginParts(size_t bytes);
  // False, and nothing usable, where the part has a marker in it (or ends within a stuffed pair).
  bool Append(ByteSpan part);
  // One byte as it is, of which the last bits of a part are the first ones.
  void AppendByte(uint8_t byte) { *end_++ = byte; }
  void EndParts();

  const uint8_t* data() const { return bytes_.data(); }
  const uint8_t* end() const { return end_; }
  size_t size() const { return static_cast<size_t>(end_ - bytes_.data()); }
  const std::vector<Piece>& pieces() const { return pieces_; }

  // Where in data() the bytes are behind which a stuffed one was removed by Extract; ascending.
  const std::vector<size_t>& stuffed() const { return stuffed_; }

  void ShrinkTo(size_t limit);

 private:
  const uint8_t* CopyToMarker(const uint8_t* from, const uint8_t* end);

  ByteBuffer bytes_;
  uint8_t* end_ = nullptr;  // behind what has been copied
  std::vector<Piece> pieces_;
  std::vector<size_t> stuffed_;
};

}  // namespace stoker
