// Huffman-coded MCUs to coefficients. Decodes runs of MCUs, of which it stores or skips the
// coefficients.
//
// Threads: tables are constant once built; a lane belongs to one thread.
#pragma once

#include <array>
#include <cstdint>

#include "codec/jpeg/bit_reader.h"
#include "codec/jpeg/header.h"
#include "codec/jpeg/huffman_table.h"

namespace stoker {

// The Huffman tables of a scan. Kept from image to image: some share theirs, as the standard ones.
class HuffmanTables {
 public:
  // Builds what the header's components refer to and is not there yet. False: not a code that our
  // decoder takes.
  bool Build(const JpegHeader& header);

  const DcTable& dc(int id) const { return dc_[static_cast<size_t>(id)].table; }
  const AcTable& ac(int id) const { return ac_[static_cast<size_t>(id)].table; }

 private:
  template <typename Table>
  struct Kept {
    HuffmanSpec spec;
    bool built = false;
    Table table;
  };
  template <typename Table>
  static bool Update(const HuffmanSpec& spec, Kept<Table>* kept);

  std::array<Kept<DcTable>, 4> dc_;
  std::array<Kept<AcTable>, 4> ac_;
};

// A place in a scan from which MCUs can be decoded, and all that it takes: where the bits are and
// each component's DC predictor.
struct EntropyLane {
  BitReader reader;
  std::array<int32_t, kMaxComponents> dc{};
};

// The blocks of one MCU in the order of the scan.
struct McuLayout {
  static constexpr int kMaxBlocks = 6;  // 2 × 2 + 1 + 1
  struct Block {
    int component;
    // Where the block's coefficients go, from the first MCU's on: `offset` coefficients behind the
    // destination, and `stride` more for each MCU.
    ptrdiff_t offset;
    ptrdiff_t stride;
    const DcTable* dc;
    const AcTable* ac;
  };
  int blocks = 0;
  std::array<Block, kMaxBlocks> block;
};

// Decodes `count` MCUs and stores their coefficients (natural order, not dequantised) behind
// `coefficients`, which must be zero there, as the MCUs `first` and following of the layout. False:
// the data are damaged (or unusual); lane and coefficients are then of no use. Reads no further
// than ScanData::kPadding bytes behind `end`.
bool DecodeMcus(const McuLayout& layout, int first, int count, const uint8_t* end,
                EntropyLane* lane, int16_t* coefficients);
// The same without storing anything.
bool SkipMcus(const McuLayout& layout, int count, const uint8_t* end, EntropyLane* lane);

}  // namespace stoker
