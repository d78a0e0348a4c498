#include "codec/jpeg/baseline_decoder.h"

#include <algorithm>
#include <cstring>

#include "codec/jpeg/inverse_dct.h"

namespace stoker {
namespace {

constexpr size_t kBlockBytes = kBlockCoefficients * sizeof(int16_t);

}  // namespace

bool BaselineDecoder::Open(ByteSpan jpeg) {
  jpeg_ = jpeg;
  return ParseJpegHeader(jpeg, &header_);
}

// By how much a component's plane is reduced.
int BaselineDecoder::PlaneScale(int c, int dct_scale) const {
  return c > 0 && dct_scale > 1 && header_.max_h == 2 && header_.max_v == 2 ? dct_scale / 2
                                                                            : dct_scale;
}

BaselineDecoder::McuRect BaselineDecoder::McusUnder(const Rect& region, int dct_scale) const {
  // The triangle filter looks one chroma sample beyond the region: the one under the next pixel.
  // Samples of reduced planes straddle the region's edge.
  const int straddle = dct_scale > 1 ? dct_scale : 0;
  const int margin_x = straddle + (header_.max_h > 1 ? dct_scale : 0);
  const int margin_y = straddle + (header_.max_v > 1 ? dct_scale : 0);
  const int right = std::min(header_.size.width, region.right() + margin_x);
  const int bottom = std::min(header_.size.height, region.bottom() + margin_y);
  const int w = header_.mcu_width();
  const int h = header_.mcu_height();
  return {std::max(0, region.left - margin_x) / w, std::max(0, region.top - margin_y) / h,
          (right + w - 1) / w, (bottom + h - 1) / h};
}

// Where the blocks of an MCU row go: component by component, and row by row in each.
McuLayout BaselineDecoder::Layout(int mcus) const {
  McuLayout layout;
  ptrdiff_t base = 0;
  for (int c = 0; c < header_.components; ++c) {
    const JpegComponent& k = header_.component[static_cast<size_t>(c)];
    const ptrdiff_t row = ptrdiff_t{mcus} * k.h * kBlockCoefficients;
    for (int y = 0; y < k.v; ++y) {
      for (int x = 0; x < k.h; ++x) {
        layout.block[static_cast<size_t>(layout.blocks)] = {
            c, base + y * row + ptrdiff_t{x} * kBlockCoefficients,
            ptrdiff_t{k.h} * kBlockCoefficients, &tables_.dc(k.dc_table), &tables_.ac(k.ac_table)};
        ++layout.blocks;
      }
    }
    base += k.v * row;
  }
  return layout;
}

// Puts the lane where MCU `mcu` begins, the first of a restart interval. False: the data have no
// such interval.
bool BaselineDecoder::Start(int mcu, EntropyLane* lane) const {
  const int interval = header_.restart_interval;
  const auto piece = static_cast<size_t>(interval > 0 ? mcu / interval : 0);
  if (piece >= scan_.pieces().size()) return false;
  lane->reader = BitReader::At(scan_.data(), uint64_t{scan_.pieces()[piece].begin} * 8);
  lane->dc = {};
  return true;
}

// Decodes `count` MCUs from `mcu` on, across restart markers; skips them where `coefficients` is
// null.
bool BaselineDecoder::Run(int mcu, int count, EntropyLane* lane, const McuLayout& layout,
                          int16_t* coefficients) {
  const int interval = header_.restart_interval;
  const int end = mcu + count;
  const int first = mcu;
  while (mcu < end) {
    if (interval > 0 && mcu % interval == 0 && !Start(mcu, lane)) return false;
    const int run = interval > 0 ? std::min(end - mcu, interval - mcu % interval) : end - mcu;
    const ScanData::Piece& piece =
        scan_.pieces()[static_cast<size_t>(interval > 0 ? mcu / interval : 0)];
    const uint8_t* const piece_end = scan_.data() + piece.begin + piece.size;
    const bool good = coefficients == nullptr
                          ? SkipMcus(layout, run, piece_end, lane)
                          : DecodeMcus(layout, mcu - first, run, piece_end, lane, coefficients);
    if (!good || lane->reader.position(scan_.data()) > (piece_end - scan_.data()) * 8) return false;
    mcu += run;
  }
  return true;
}

// The coefficients of one MCU row, `mcu_row` rows below the first decoded one, to samples.
void BaselineDecoder::Transform(int mcu_row, int mcus, int dct_scale) {
  const auto* blocks = reinterpret_cast<const int16_t*>(coefficients_.data());
  for (int c = 0; c < header_.components; ++c) {
    const JpegComponent& k = header_.component[static_cast<size_t>(c)];
    Plane& plane = planes_[static_cast<size_t>(c)];
    const int count = mcus * k.h;
    const int side = kBlockSize / PlaneScale(c, dct_scale);
    for (int y = 0; y < k.v; ++y, blocks += ptrdiff_t{count} * kBlockCoefficients) {
      const ptrdiff_t row = (ptrdiff_t{mcu_row} * k.v + y) * side;
      const uint16_t* const quant = header_.quant[static_cast<size_t>(k.quant_table)].data();
      uint8_t* const samples = plane.samples.data() + row * plane.row_bytes;
      if (side == kBlockSize) {
        InverseDctRow(blocks, count, quant, samples, plane.row_bytes);
      } else {
        ReducedInverseDctRow(blocks, count, quant, side, samples, plane.row_bytes);
      }
    }
  }
}

bool BaselineDecoder::Decode(const Rect& region, int dct_scale, YccPlanes* planes) {
  if (!tables_.Build(header_) ||
      !scan_.Extract({jpeg_.data + header_.scan_begin, jpeg_.size - header_.scan_begin})) {
    return false;
  }
  const int across = header_.mcus_across();
  const int interval = header_.restart_interval;
  const auto intervals =
      interval > 0 ? (int64_t{across} * header_.mcus_down() + interval - 1) / interval : 1;
  if (static_cast<int64_t>(scan_.pieces().size()) != intervals) return false;

  const McuRect mcus = McusUnder(region, dct_scale);
  const McuLayout layout = Layout(mcus.width());
  const size_t row_coefficients =
      static_cast<size_t>(mcus.width()) * static_cast<size_t>(layout.blocks) * kBlockBytes;
  auto* coefficients = reinterpret_cast<int16_t*>(coefficients_.Reserve(row_coefficients));
  for (int c = 0; c < header_.components; ++c) {
    const JpegComponent& k = header_.component[static_cast<size_t>(c)];
    Plane& plane = planes_[static_cast<size_t>(c)];
    const ptrdiff_t width = ptrdiff_t{mcus.width()} * k.h * kBlockSize;
    plane.row_bytes = (width + 63) / 64 * 64;
    plane.samples.Reserve(static_cast<size_t>(plane.row_bytes) *
                          static_cast<size_t>((mcus.bottom - mcus.top) * k.v * kBlockSize));
  }

  // Everything before the first MCU that is wanted, from the last restart marker on; then row by
  // row: the ones that are wanted, and those up to the next row's first.
  EntropyLane lane;
  const int first = mcus.top * across + mcus.left;
  int mcu = interval > 0 ? first / interval * interval : 0;
  if (!Start(mcu, &lane)) return false;
  for (int y = mcus.top; y < mcus.bottom; ++y) {
    const int begin = y * across + mcus.left;
    if (interval > 0) {
      const int marker = begin / interval * interval;
      if (marker > mcu) {
        mcu = marker;
        if (!Start(mcu, &lane)) return false;
      }
    }
    if (!Run(mcu, begin - mcu, &lane, layout, nullptr)) return false;
    std::memset(coefficients, 0, row_coefficients);
    if (!Run(begin, mcus.width(), &lane, layout, coefficients)) return false;
    mcu = begin + mcus.width();
    Transform(y - mcus.top, mcus.width(), dct_scale);
  }
  SetViews(mcus, dct_scale, planes);
  return true;
}

void BaselineDecoder::SetViews(const McuRect& mcus, int dct_scale, YccPlanes* planes) const {
  planes->count = header_.components;
  planes->scale = dct_scale;
  for (int c = 0; c < header_.components; ++c) {
    const JpegComponent& k = header_.component[static_cast<size_t>(c)];
    const Plane& plane = planes_[static_cast<size_t>(c)];
    PlaneView& view = planes->plane[static_cast<size_t>(c)];
    view.samples = plane.samples.data();
    view.row_bytes = plane.row_bytes;
    const int scale = PlaneScale(c, dct_scale);
    const int side = kBlockSize / scale;
    const Size whole = header_.PlaneSize(c);
    view.size = {(whole.width + scale - 1) / scale, (whole.height + scale - 1) / scale};
    const int left = mcus.left * k.h * side;
    const int top = mcus.top * k.v * side;
    view.rect = {left, top, std::min(view.size.width, mcus.right * k.h * side) - left,
                 std::min(view.size.height, mcus.bottom * k.v * side) - top};
    view.h_factor = header_.max_h * scale / (k.h * dct_scale);
    view.v_factor = header_.max_v * scale / (k.v * dct_scale);
    // libjpeg's jdsample.c: too narrow a plane is repeated, unless only its rows are doubled.
    const bool doubled = view.h_factor == 2 || view.v_factor == 2;
    view.triangle = doubled && (view.h_factor == 1 || whole.width > 2);
  }
}

void BaselineDecoder::ShrinkTo(size_t limit) {
  scan_.ShrinkTo(limit);
  coefficients_.ShrinkTo(limit);
  for (Plane& plane : planes_) plane.samples.ShrinkTo(limit);
}

}  // namespace stoker
