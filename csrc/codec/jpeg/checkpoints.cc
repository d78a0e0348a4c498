#include "codec/jpeg/checkpoints.h"

#include <algorithm>
#include <cstring>

namespace stoker {
namespace {

constexpr uint8_t kKind = 1;  // of the packed form
constexpr int kMaxPositionBits = 32;
constexpr int kMaxDcBits = 16;
constexpr int kMaxStep = 65535;
constexpr int kMaxSide = 1 << 30;

// Fewer bytes than a checkpoint takes in most photographs when packed: 4 to 5.
constexpr size_t kFewBytes = 4;
// How many times as many checkpoints are recorded as may be kept.
constexpr int kFiner = 2;
// MCUs between checkpoints, at least, where they are kept and where they are recorded: closer ones
// save next to nothing (docs/decode-index.md has the table).
constexpr int kMinStep = 4;
constexpr int kMinRecordingStep = 2;

void Put(uint64_t value, size_t bytes, std::vector<uint8_t>* out) {
  for (size_t i = 0; i < bytes; ++i) out->push_back(static_cast<uint8_t>(value >> (8 * i)));
}

uint32_t Get(ByteSpan from, size_t at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; ++i) value |= static_cast<uint32_t>(from[at + i]) << (8 * i);
  return value;
}

// Numbers of any width up to 32 bits, one behind the other, least significant bit first.
class BitPacker {
 public:
  explicit BitPacker(std::vector<uint8_t>* out) : out_(out) {}
  void Put(uint32_t value, int bits) {
    waiting_ |= static_cast<uint64_t>(value) << count_;
    count_ += bits;
    for (; count_ >= 8; count_ -= 8, waiting_ >>= 8) Emit();
  }
  void Finish() {
    if (count_ > 0) Emit();
  }

 private:
  void Emit() { out_->push_back(static_cast<uint8_t>(waiting_)); }
  std::vector<uint8_t>* out_;
  uint64_t waiting_ = 0;
  int count_ = 0;
};

class BitUnpacker {
 public:
  explicit BitUnpacker(ByteSpan in) : in_(in) {}
  // REQUIRES: so many bits left.
  uint32_t Take(int bits) {
    while (count_ < bits) {
      waiting_ |= static_cast<uint64_t>(in_[at_++]) << count_;
      count_ += 8;
    }
    const auto value = static_cast<uint32_t>(waiting_ & ((uint64_t{1} << bits) - 1));
    waiting_ >>= bits;
    count_ -= bits;
    return value;
  }
  int32_t TakeSigned(int bits) {
    if (bits == 0) return 0;
    const uint32_t sign = uint32_t{1} << (bits - 1);
    return static_cast<int32_t>((Take(bits) ^ sign) - sign);
  }

 private:
  ByteSpan in_;
  size_t at_ = 0;
  uint64_t waiting_ = 0;
  int count_ = 0;
};

int BitsOf(uint64_t value) { return value == 0 ? 0 : 64 - __builtin_clzll(value); }

size_t PackedBytes(size_t checkpoints, int bits) {
  return kPackedSizeBytes + (checkpoints * static_cast<size_t>(bits) + 7) / 8;
}

}  // namespace

int RecordingStep(const JpegHeader& header, size_t budget_bytes) {
  if (header.restart_interval > 0 || budget_bytes < kPackedSizeBytes + 2 * kFewBytes) return 0;
  const size_t most = (budget_bytes - kPackedSizeBytes) / kFewBytes * kFiner;
  const auto mcus =
      static_cast<size_t>(header.mcus_across()) * static_cast<size_t>(header.mcus_down());
  const size_t step = std::max(size_t{kMinRecordingStep}, mcus / most);
  return step < mcus && step <= kMaxStep ? static_cast<int>(step) : 0;
}

int Checkpoints::McuAt(size_t k) const {
  return static_cast<int>(std::min(static_cast<int64_t>(k) * step, static_cast<int64_t>(mcus())));
}

void Checkpoints::Clear() {
  components = 0;
  step = 0;
  at.clear();
}

void Checkpoints::Begin(const JpegHeader& header, int step_mcus) {
  size = header.size;
  components = header.components;
  max_h = header.max_h;
  max_v = header.max_v;
  scan_begin = static_cast<uint32_t>(header.scan_begin);
  step = step_mcus;
  at.assign(1, {});
}

// The number of checkpoints behind the first when thinned.
size_t Checkpoints::CountOf(int multiple) const {
  const auto m = static_cast<size_t>(multiple);
  return (at.size() - 1 + m - 1) / m;
}

void Checkpoints::Thin(int multiple) {
  const size_t count = CountOf(multiple);
  for (size_t k = 1; k < count; ++k) at[k] = at[k * static_cast<size_t>(multiple)];
  at[count] = at.back();
  at.resize(count + 1);
  step *= multiple;
}

bool Checkpoints::Fit(const JpegHeader& header) const {
  return usable() && size == header.size && components == header.components &&
         max_h == header.max_h && max_v == header.max_v && scan_begin == header.scan_begin &&
         header.restart_interval == 0;
}

void Checkpoints::RunsUnder(const McuRect& mcus, std::vector<CheckpointRun>* runs) const {
  runs->clear();
  for (int y = mcus.top; y < mcus.bottom; ++y) {
    const int begin = y * mcus_across() + mcus.left;
    const auto first = static_cast<size_t>(begin / step);
    const auto last = static_cast<size_t>((begin + mcus.width() - 1) / step) + 1;
    if (!runs->empty() && first <= runs->back().last) {
      runs->back().last = last;
    } else {
      runs->push_back({first, last});
    }
  }
}

// Where an MCU begins, as if all MCUs between two checkpoints were of one length.
uint64_t Checkpoints::BitBefore(int mcu) const {
  const auto k = static_cast<size_t>(mcu / step);
  if (k + 1 >= at.size()) return at.back().bit;
  const auto into = static_cast<uint64_t>(mcu - McuAt(k));
  const auto length = static_cast<uint64_t>(std::max(1, McuAt(k + 1) - McuAt(k)));
  return at[k].bit + (at[k + 1].bit - at[k].bit) * into / length;
}

uint64_t Checkpoints::BitsFor(const McuRect& mcus) const {
  const int across = mcus_across();
  uint64_t bits = 0;
  int mcu = 0;  // up to where all is decoded
  for (int y = mcus.top; y < mcus.bottom; ++y) {
    const int begin = y * across + mcus.left;
    const int end = begin + mcus.width();
    bits += BitBefore(end) - BitBefore(std::max(mcu, begin - begin % step));
    mcu = end;
  }
  return bits;
}

uint64_t Checkpoints::PlainBitsFor(const McuRect& mcus) const {
  return BitBefore((mcus.bottom - 1) * mcus_across() + mcus.right);
}

// Bits for each number, when thinned.
Checkpoints::Widths Checkpoints::WidthsOf(int multiple) const {
  // What has a bit set that any of the numbers needs: of a negative one, its complement's.
  uint64_t positions = 1;
  std::array<uint32_t, kMaxComponents> dc{};
  std::array<bool, kMaxComponents> any{};
  const size_t count = usable() ? CountOf(multiple) : 0;
  const Checkpoint* last = at.data();
  for (size_t k = 1; k <= count; ++k) {
    const Checkpoint* const next = &at[std::min(at.size() - 1, k * static_cast<size_t>(multiple))];
    positions |= next->bit - last->bit;
    for (size_t c = 0; c < kMaxComponents; ++c) {
      const auto difference = static_cast<int32_t>(static_cast<uint32_t>(next->dc[c]) -
                                                   static_cast<uint32_t>(last->dc[c]));
      dc[c] |= static_cast<uint32_t>(difference < 0 ? ~difference : difference);
      any[c] = any[c] || difference != 0;
    }
    last = next;
  }
  Widths widths;
  widths.position = BitsOf(positions);
  for (size_t c = 0; c < kMaxComponents; ++c) widths.dc[c] = any[c] ? BitsOf(dc[c]) + 1 : 0;
  return widths;
}

bool Checkpoints::Pack(std::vector<uint8_t>* out) const {
  out->clear();
  const Widths widths = WidthsOf(1);
  const bool fits = widths.position <= kMaxPositionBits && step <= kMaxStep &&
                    *std::max_element(widths.dc.begin(), widths.dc.end()) <= kMaxDcBits;
  if (!fits) return false;
  const auto put = [out](auto value, size_t bytes) {
    Put(static_cast<uint64_t>(value), bytes, out);
  };
  put(kKind, 1);
  put(orientation, 1);
  put(components, 1);
  put(usable() ? max_h << 4 | max_v : 0, 1);
  put(size.width, 4);
  put(size.height, 4);
  put(usable() ? scan_begin : 0, 4);
  put(usable() ? step : 0, 2);
  put(usable() ? widths.position : 0, 1);
  for (const int bits : widths.dc) put(bits, 1);
  put(0, 2);
  BitPacker packer(out);
  for (size_t k = 1; k < at.size(); ++k) {
    packer.Put(static_cast<uint32_t>(at[k].bit - at[k - 1].bit), widths.position);
    for (size_t c = 0; c < kMaxComponents; ++c) {
      const uint32_t difference =
          static_cast<uint32_t>(at[k].dc[c]) - static_cast<uint32_t>(at[k - 1].dc[c]);
      packer.Put(difference & ((uint32_t{1} << widths.dc[c]) - 1), widths.dc[c]);
    }
  }
  packer.Finish();
  return true;
}

void Checkpoints::PackWithin(size_t budget_bytes, std::vector<uint8_t>* out) {
  for (int multiple = (kMinStep + step - 1) / std::max(step, 1); usable(); ++multiple) {
    const size_t count = CountOf(multiple);
    if (count < 2) break;
    if (PackedBytes(count, WidthsOf(multiple).sum()) > budget_bytes) continue;
    Thin(multiple);
    if (Pack(out)) return;
    break;
  }
  Clear();
  Pack(out);
}

bool Checkpoints::Unpack(ByteSpan packed) {
  if (UnpackAll(packed)) return true;
  Clear();
  return false;
}

bool Checkpoints::UnpackAll(ByteSpan packed) {
  at.clear();
  if (packed.size < kPackedSizeBytes || packed[0] != kKind) return false;
  orientation = packed[1];
  components = packed[2];
  max_h = packed[3] >> 4;
  max_v = packed[3] & 15;
  const uint32_t width = Get(packed, 4, 4);
  const uint32_t height = Get(packed, 8, 4);
  scan_begin = Get(packed, 12, 4);
  step = static_cast<int>(Get(packed, 16, 2));
  const int position_bits = packed[18];
  const std::array<int, kMaxComponents> dc_bits{packed[19], packed[20], packed[21]};
  const bool sized = width >= 1 && width <= kMaxSide && height >= 1 && height <= kMaxSide;
  const bool no_jpeg = width == 0 && height == 0 && components == 0 && orientation == 1;
  if (orientation < 1 || orientation > 8 || !(sized || no_jpeg)) return false;
  size = {static_cast<int>(width), static_cast<int>(height)};
  if (packed[22] != 0 || packed[23] != 0) return false;
  if (components == 0) {
    const auto zero = [](uint8_t byte) { return byte == 0; };
    return packed.size == kPackedSizeBytes && packed[3] == 0 &&
           std::all_of(packed.data + 12, packed.end(), zero);
  }

  const bool sampling = (max_h == 1 || max_h == 2 || max_h == 4) && (max_v == 1 || max_v == 2);
  if ((components != 1 && components != 3) || !sampling || width > kMaxJpegSide ||
      height > kMaxJpegSide || step < 1 || position_bits < 1 || position_bits > kMaxPositionBits ||
      *std::max_element(dc_bits.begin(), dc_bits.end()) > kMaxDcBits) {
    return false;
  }
  const size_t count = static_cast<size_t>(mcus() - 1) / static_cast<size_t>(step) + 1;
  const int bits = position_bits + dc_bits[0] + dc_bits[1] + dc_bits[2];
  if (packed.size != PackedBytes(count, bits)) return false;
  at.resize(count + 1);
  at[0] = {};
  BitUnpacker unpacker({packed.data + kPackedSizeBytes, packed.size - kPackedSizeBytes});
  for (size_t k = 1; k <= count; ++k) {
    const uint32_t distance = unpacker.Take(position_bits);
    if (distance == 0) return false;
    at[k].bit = at[k - 1].bit + distance;
    for (size_t c = 0; c < kMaxComponents; ++c) {
      // Wraps, where the numbers are nonsense.
      at[k].dc[c] = static_cast<int32_t>(static_cast<uint32_t>(at[k - 1].dc[c]) +
                                         static_cast<uint32_t>(unpacker.TakeSigned(dc_bits[c])));
    }
  }
  return true;
}

}  // namespace stoker
