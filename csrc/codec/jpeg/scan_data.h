// The entropy-coded data of a scan with its stuffed bytes removed, in one piece for each restart
// interval. T.81, B.1.1.5 and F.1.2.3.
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

  const uint8_t* data() const { return bytes_.data(); }
  const std::vector<Piece>& pieces() const { return pieces_; }
  void ShrinkTo(size_t limit);

 private:
  ByteBuffer bytes_;
  std::vector<Piece> pieces_;
};

}  // namespace stoker
