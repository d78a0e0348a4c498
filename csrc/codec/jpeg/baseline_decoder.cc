#include "codec/jpeg/baseline_decoder.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "codec/jpeg/inverse_dct.h"

namespace stoker {
namespace {

constexpr size_t kBlockBytes = kBlockCoefficients * sizeof(int16_t);

}  // namespace

void CheckpointUse::RequireWhole() const {
  if (partial()) {
    throw StageError(Stage::kDecode, "the decode index's checkpoints are not this file's");
  }
}

bool BaselineDecoder::Open(ByteSpan jpeg, CheckpointUse* checkpoints) {
  jpeg_ = jpeg;
  checkpoints_ = checkpoints;
  if (!ParseJpegHeader(jpeg, &header_)) return false;
  mcus_ = header_.mcus_across() * header_.mcus_down();
  return true;
}

// By how much a component's plane is reduced.
int BaselineDecoder::PlaneScale(int c, int dct_scale) const {
  return c > 0 && dct_scale > 1 && header_.max_h == 2 && header_.max_v == 2 ? dct_scale / 2
                                                                            : dct_scale;
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

// All of the scan's data. False: libjpeg has its ways with them.
bool BaselineDecoder::ExtractAll() {
  if (!scan_.Extract(Scan())) return false;
  const int interval = header_.restart_interval;
  const int intervals = interval > 0 ? (mcus_ - 1) / interval + 1 : 1;
  return scan_.pieces().size() == static_cast<size_t>(intervals);
}

// The data between the checkpoints that `mcus` lie between.
bool BaselineDecoder::ExtractRuns(const McuRect& mcus) {
  const std::vector<Checkpoint>& at = using_->at;
  const ByteSpan scan = Scan();
  const uint64_t first_byte = checkpoints_->data_begin;
  const uint64_t end = checkpoints_->partial() ? checkpoints_->data_end : scan.size;
  using_->RunsUnder(mcus, &runs_);
  bit_at_.resize(at.size());
  scan_.BeginParts(scan.size + runs_.size());
  const auto place = [&](size_t k) { bit_at_[k] = scan_.size() * 8 + at[k].bit % 8; };
  for (const CheckpointRun& run : runs_) {
    for (size_t k = run.first; k < run.last; ++k) {
      const uint64_t from = at[k].bit / 8;
      const uint64_t to = at[k + 1].bit / 8;
      place(k);
      if (from < first_byte || to > end || !scan_.Append({scan.data + from, to - from})) {
        return false;
      }
    }
    place(run.last);
    if (at[run.last].bit % 8 != 0) {
      const uint64_t last_byte = at[run.last].bit / 8;
      if (last_byte >= end) return false;
      scan_.AppendByte(scan[last_byte]);
    }
  }
  scan_.EndParts();
  return true;
}

// The last MCU up to `mcu` that decoding can start with.
int BaselineDecoder::StartBefore(int mcu) const {
  if (using_ != nullptr) return mcu - mcu % using_->step;
  return header_.restart_interval > 0 ? mcu - mcu % header_.restart_interval : 0;
}

// Puts the lane where MCU `mcu` begins. REQUIRES: StartBefore(mcu) == mcu.
bool BaselineDecoder::Start(int mcu, EntropyLane* lane) const {
  if (using_ != nullptr) {
    const auto k = static_cast<size_t>(mcu / using_->step);
    lane->reader = BitReader::At(scan_.data(), bit_at_[k]);
    lane->dc = using_->at[k].dc;
    return true;
  }
  const int interval = header_.restart_interval;
  const auto piece = static_cast<size_t>(interval > 0 ? mcu / interval : 0);
  if (piece >= scan_.pieces().size()) return false;
  lane->reader = BitReader::At(scan_.data(), uint64_t{scan_.pieces()[piece].begin} * 8);
  lane->dc = {};
  return true;
}

// Decodes `count` MCUs from `mcu` on, across restart markers and checkpoints; skips them where
// `coefficients` is null.
bool BaselineDecoder::Run(int mcu, int count, EntropyLane* lane, const McuLayout& layout,
                          int16_t* coefficients) {
  const int interval = header_.restart_interval;
  const Checkpoints* const checkpoints = using_ != nullptr ? using_ : recording_;
  // The next checkpoint, and the MCU behind it. Without divisions in the loop: it is short.
  const int step = checkpoints != nullptr ? checkpoints->step : mcus_;
  auto checkpoint = static_cast<size_t>(mcu / step) + 1;
  int64_t checkpoint_mcu = static_cast<int64_t>(checkpoint) * step;
  const int end = mcu + count;
  const int first = mcu;
  const uint8_t* data_end = scan_.end();
  while (mcu < end) {
    const auto next = static_cast<int>(std::min<int64_t>(checkpoint_mcu, mcus_));
    int stop = std::min(end, next);
    if (interval > 0) {
      if (mcu % interval == 0 && !Start(mcu, lane)) return false;
      stop = std::min(stop, mcu - mcu % interval + interval);
      const ScanData::Piece& piece = scan_.pieces()[static_cast<size_t>(mcu / interval)];
      data_end = scan_.data() + piece.begin + piece.size;
    }
    const bool good = coefficients == nullptr ? SkipMcus(layout, stop - mcu, data_end, lane)
                                              : DecodeMcus(layout, mcu - first, stop - mcu,
                                                           data_end, lane, coefficients);
    const int64_t position = lane->reader.position(scan_.data());
    if (!good || position > (data_end - scan_.data()) * 8) return false;
    mcu = stop;
    if (checkpoints == nullptr) continue;
    if (mcu == next) {
      if (!AtCheckpoint(checkpoint, *lane)) return false;
      ++checkpoint;
      checkpoint_mcu += step;
    } else if (using_ != nullptr && static_cast<uint64_t>(position) >= bit_at_[checkpoint]) {
      return false;
    }
  }
  return true;
}

// Makes checkpoint k of the lane's state, or compares the two.
bool BaselineDecoder::AtCheckpoint(size_t k, const EntropyLane& lane) {
  const auto position = static_cast<uint64_t>(lane.reader.position(scan_.data()));
  if (recording_ != nullptr) {
    recording_->at.push_back({position, lane.dc});
    return true;
  }
  return position == bit_at_[k] && lane.dc == using_->at[k].dc;
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

void BaselineDecoder::ReservePlanes(const McuRect& mcus, const McuLayout& layout) {
  row_bytes_ = static_cast<size_t>(mcus.width()) * static_cast<size_t>(layout.blocks) * kBlockBytes;
  coefficients_.Reserve(row_bytes_);
  for (int c = 0; c < header_.components; ++c) {
    const JpegComponent& k = header_.component[static_cast<size_t>(c)];
    Plane& plane = planes_[static_cast<size_t>(c)];
    const ptrdiff_t width = ptrdiff_t{mcus.width()} * k.h * kBlockSize;
    plane.row_bytes = (width + 63) / 64 * 64;
    plane.samples.Reserve(static_cast<size_t>(plane.row_bytes) *
                          static_cast<size_t>(mcus.height() * k.v * kBlockSize));
  }
}

// Row by row: what lies before the row's first MCU that is wanted, from the last place on that
// decoding can start at, and then those. Leaves the lane behind the last.
bool BaselineDecoder::DecodeRows(const McuRect& mcus, const McuLayout& layout, int dct_scale,
                                 EntropyLane* lane) {
  auto* const coefficients = reinterpret_cast<int16_t*>(coefficients_.data());
  int mcu = 0;  // where the lane is
  for (int y = mcus.top; y < mcus.bottom; ++y) {
    const int begin = y * header_.mcus_across() + mcus.left;
    const int start = StartBefore(begin);
    if (y == mcus.top || start >= mcu) {
      mcu = start;
      if (!Start(mcu, lane)) return false;
    }
    if (!Run(mcu, begin - mcu, lane, layout, nullptr)) return false;
    std::memset(coefficients, 0, row_bytes_);
    if (!Run(begin, mcus.width(), lane, layout, coefficients)) return false;
    mcu = begin + mcus.width();
    Transform(y - mcus.top, mcus.width(), dct_scale);
  }
  return true;
}

// False where the checkpoints are not this file's: as if nothing had happened.
bool BaselineDecoder::DecodeByCheckpoints(const McuRect& mcus, const McuLayout& layout,
                                          int dct_scale) {
  EntropyLane lane;
  using_ = checkpoints_->use;
  checkpoints_->used =
      using_->Fit(header_) && ExtractRuns(mcus) && DecodeRows(mcus, layout, dct_scale, &lane);
  checkpoints_->rejected = !checkpoints_->used;
  if (checkpoints_->used) {
    checkpoints_->decoded_bytes = using_->BitsFor(mcus) / 8;
    checkpoints_->plain_bytes = using_->PlainBitsFor(mcus) / 8;
  }
  using_ = nullptr;
  return checkpoints_->used;
}

// Goes on from `mcu` to the end of the scan, and turns the checkpoints' positions into the file's.
// False: the data have a flaw behind the part that was wanted, or something behind their end.
bool BaselineDecoder::FinishRecord(int mcu, const McuLayout& layout, EntropyLane* lane) {
  if (!Run(mcu, mcus_ - mcu, lane, layout, nullptr)) return false;
  if (scan_.size() * 8 - static_cast<uint64_t>(lane->reader.position(scan_.data())) >= 8) {
    return false;
  }
  auto stuffed = scan_.stuffed().begin();
  for (Checkpoint& checkpoint : recording_->at) {
    while (stuffed != scan_.stuffed().end() && *stuffed < checkpoint.bit / 8) ++stuffed;
    checkpoint.bit += static_cast<uint64_t>(stuffed - scan_.stuffed().begin()) * 8;
  }
  return true;
}

// Without checkpoints; leaves some where it is asked to.
bool BaselineDecoder::DecodePlainly(const McuRect& mcus, const McuLayout& layout, int dct_scale) {
  if (!ExtractAll()) return false;
  const bool record = checkpoints_ != nullptr && checkpoints_->record != nullptr;
  const int step = record ? RecordingStep(header_, checkpoints_->budget_bytes) : 0;
  if (step > 0) {
    recording_ = checkpoints_->record;
    recording_->Begin(header_, step);
  }
  EntropyLane lane;
  const bool good = DecodeRows(mcus, layout, dct_scale, &lane);
  if (good && recording_ != nullptr) {
    const int behind = (mcus.bottom - 1) * header_.mcus_across() + mcus.right;
    checkpoints_->recorded = FinishRecord(behind, layout, &lane);
  }
  recording_ = nullptr;
  return good;
}

bool BaselineDecoder::Decode(const Rect& region, int dct_scale, YccPlanes* planes) {
  using_ = nullptr;
  recording_ = nullptr;
  if (!tables_.Build(header_)) return false;
  const McuRect mcus = McusUnder(region, dct_scale, header_.size, header_.max_h, header_.max_v);
  const McuLayout layout = Layout(mcus.width());
  ReservePlanes(mcus, layout);
  const bool use = checkpoints_ != nullptr && checkpoints_->use != nullptr;
  const bool done = use && DecodeByCheckpoints(mcus, layout, dct_scale);
  if (!done && use) checkpoints_->RequireWhole();
  if (!done && !DecodePlainly(mcus, layout, dct_scale)) return false;
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
