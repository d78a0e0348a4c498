#include "own_coefficients.h"

#include <algorithm>
#include <memory>

#include "codec/jpeg/entropy_decoder.h"
#include "codec/jpeg/scan_data.h"
#include "harness.h"

namespace stoker::fuzz {
namespace {

// The blocks of the MCU row `mcu_row`.
McuLayout Layout(const JpegHeader& header, const HuffmanTables& tables, const OwnCoefficients& out,
                 int mcu_row) {
  McuLayout layout;
  for (int c = 0; c < header.components; ++c) {
    const JpegComponent& k = header.component[static_cast<size_t>(c)];
    for (int y = 0; y < k.v; ++y) {
      const int16_t* const row = out.block(c, mcu_row * k.v + y, 0);
      for (int x = 0; x < k.h; ++x) {
        layout.block[static_cast<size_t>(layout.blocks)] = {
            c, row - out.values.data() + ptrdiff_t{x} * kBlockCoefficients,
            ptrdiff_t{k.h} * kBlockCoefficients, &tables.dc(k.dc_table), &tables.ac(k.ac_table)};
        ++layout.blocks;
      }
    }
  }
  return layout;
}

// Decodes a run of MCUs, and skips the same ones, which must come to the same.
bool Run(const McuLayout& layout, int first, int count, const uint8_t* begin, const uint8_t* end,
         EntropyLane* lane, int16_t* coefficients) {
  EntropyLane skipping = *lane;
  // Behind the end of the data the one may notice what the other leaves to its caller.
  const auto within = [&](const EntropyLane& at) {
    return at.reader.position(begin) <= (end - begin) * 8;
  };
  const bool decoded = DecodeMcus(layout, first, count, end, lane, coefficients) && within(*lane);
  const bool skipped = SkipMcus(layout, count, end, &skipping) && within(skipping);
  if (decoded != skipped) Finding("decoding and skipping disagree on whether the data are good");
  if (decoded && (skipping.dc != lane->dc ||
                  skipping.reader.position(begin) != lane->reader.position(begin))) {
    Finding("decoding and skipping end at different places");
  }
  return decoded;
}

}  // namespace

int64_t CoefficientCount(const JpegHeader& header) {
  int64_t blocks = 0;  // in an MCU
  for (int c = 0; c < header.components; ++c) {
    const JpegComponent& k = header.component[static_cast<size_t>(c)];
    blocks += int64_t{k.h} * k.v;
  }
  return blocks * header.mcus_across() * header.mcus_down() * kBlockCoefficients;
}

bool DecodeCoefficients(ByteSpan jpeg, const JpegHeader& header, OwnCoefficients* out) {
  const auto tables = std::make_unique<HuffmanTables>();
  ScanData scan;
  if (!tables->Build(header) ||
      !scan.Extract({jpeg.data + header.scan_begin, jpeg.size - header.scan_begin})) {
    return false;
  }
  const int across = header.mcus_across();
  const int mcus = across * header.mcus_down();
  const int interval = header.restart_interval > 0 ? header.restart_interval : mcus;
  if (scan.pieces().size() != static_cast<size_t>((mcus + interval - 1) / interval)) return false;

  ptrdiff_t begin = 0;
  for (int c = 0; c < header.components; ++c) {
    const JpegComponent& k = header.component[static_cast<size_t>(c)];
    out->component[static_cast<size_t>(c)] = {begin, across * k.h, header.mcus_down() * k.v};
    begin += ptrdiff_t{across} * k.h * header.mcus_down() * k.v * kBlockCoefficients;
  }
  out->values.assign(static_cast<size_t>(begin), 0);

  EntropyLane lane;
  const uint8_t* end = nullptr;
  for (int mcu = 0; mcu < mcus;) {
    if (mcu % interval == 0) {
      const ScanData::Piece& piece = scan.pieces()[static_cast<size_t>(mcu / interval)];
      lane.reader = BitReader::At(scan.data(), uint64_t{piece.begin} * 8);
      lane.dc = {};
      end = scan.data() + piece.begin + piece.size;
    }
    const int column = mcu % across;
    const int count = std::min(across - column, interval - mcu % interval);
    const McuLayout layout = Layout(header, *tables, *out, mcu / across);
    if (!Run(layout, column, count, scan.data(), end, &lane, out->values.data())) return false;
    mcu += count;
  }
  return true;
}

}  // namespace stoker::fuzz
