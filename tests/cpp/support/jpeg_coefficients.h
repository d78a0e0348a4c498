// All coefficients of a JPEG by our own entropy decoder, in the order that
// ReadCoefficientsWithLibjpeg gives them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "codec/jpeg/entropy_decoder.h"
#include "codec/jpeg/header.h"
#include "codec/jpeg/scan_data.h"
#include "support/test_images.h"

namespace stoker::testing {

// Where a lane is: what a skip and a decode must agree on.
inline void ExpectSamePlace(const EntropyLane& a, const EntropyLane& b, const uint8_t* data) {
  ASSERT_EQ(a.reader.position(data), b.reader.position(data));
  ASSERT_EQ(a.dc, b.dc);
}

// Empty where the file is declined. Decodes up to `chunk` MCUs a call, and skips them by another
// lane, which must end at the same place; decoding goes on from where the skip ended.
inline std::vector<int16_t> OwnCoefficients(const Bytes& jpeg, int chunk = 1 << 20) {
  JpegHeader header;
  const auto tables = std::make_unique<HuffmanTables>();
  ScanData scan;
  if (!ParseJpegHeader(Span(jpeg), &header) || !tables->Build(header) ||
      !scan.Extract({jpeg.data() + header.scan_begin, jpeg.size() - header.scan_begin})) {
    return {};
  }
  // The first MCU row; `row_step` is what each further one adds.
  McuLayout layout;
  std::vector<ptrdiff_t> row_step;
  ptrdiff_t base = 0;
  for (int c = 0; c < header.components; ++c) {
    const JpegComponent& k = header.component[static_cast<size_t>(c)];
    const ptrdiff_t row = ptrdiff_t{header.mcus_across()} * k.h * kBlockCoefficients;
    for (int i = 0; i < k.h * k.v; ++i) {
      layout.block[static_cast<size_t>(layout.blocks++)] = {
          c, base + i / k.h * row + ptrdiff_t{i % k.h} * kBlockCoefficients,
          ptrdiff_t{k.h} * kBlockCoefficients, &tables->dc(k.dc_table), &tables->ac(k.ac_table)};
      row_step.push_back(k.v * row);
    }
    base += header.mcus_down() * k.v * row;
  }
  std::vector<int16_t> values(static_cast<size_t>(base));
  const int interval = header.restart_interval;
  const int all = header.mcus_across() * header.mcus_down();
  EntropyLane lane;
  for (int mcu = 0; mcu < all;) {
    const int x = mcu % header.mcus_across();
    int count = std::min(chunk, header.mcus_across() - x);
    if (mcu == 0 || (interval > 0 && mcu % interval == 0)) {
      const auto piece = static_cast<size_t>(interval > 0 ? mcu / interval : 0);
      if (piece >= scan.pieces().size()) return {};
      lane.reader = BitReader::At(scan.data(), scan.pieces()[piece].begin * 8);
      lane.dc = {};
    }
    if (interval > 0) count = std::min(count, interval - mcu % interval);
    const auto piece = static_cast<size_t>(interval > 0 ? mcu / interval : 0);
    const uint8_t* const end = scan.data() + scan.pieces()[piece].begin + scan.pieces()[piece].size;
    EntropyLane skipping = lane;
    const bool skipped = SkipMcus(layout, count, end, &skipping);
    const bool decoded = DecodeMcus(layout, x, count, end, &lane, values.data());
    EXPECT_EQ(skipped, decoded);
    if (!skipped || !decoded) return {};
    ExpectSamePlace(skipping, lane, scan.data());
    lane = skipping;
    mcu += count;
    if (x + count < header.mcus_across()) continue;
    for (size_t b = 0; b < row_step.size(); ++b) layout.block[b].offset += row_step[b];
  }
  return values;
}

}  // namespace stoker::testing
