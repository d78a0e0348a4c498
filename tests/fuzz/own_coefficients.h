// All coefficients of a JPEG by the parts of our decoder (header, scan data, Huffman tables and
// MCUs), put together for whole images as baseline_decoder.cc does for the part that is wanted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "codec/jpeg/header.h"

namespace stoker::fuzz {

struct OwnCoefficients {
  struct Component {
    ptrdiff_t begin = 0;  // of its blocks in `values`, which lie row by row
    int blocks_across = 0;
    int blocks_down = 0;
  };
  std::array<Component, kMaxComponents> component;
  std::vector<int16_t> values;

  const int16_t* block(int c, int row, int column) const {
    const Component& k = component[static_cast<size_t>(c)];
    return values.data() + k.begin +
           (ptrdiff_t{row} * k.blocks_across + column) * kBlockCoefficients;
  }
};

// How many coefficients a file with this header has.
int64_t CoefficientCount(const JpegHeader& header);

// False: declined. REQUIRES: `header` is what ParseJpegHeader made of `jpeg`.
bool DecodeCoefficients(ByteSpan jpeg, const JpegHeader& header, OwnCoefficients* out);

}  // namespace stoker::fuzz
