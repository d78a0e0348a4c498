#include "codec/jpeg/entropy_decoder.h"

#include "base/simd_targets.h"

// No vectors here: what the targets bring is BMI2's shifts, whose count may lie in any register.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/jpeg/entropy_decoder.cc"
#include <hwy/foreach_target.h>  // compiles this file once for each target

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace stoker {
namespace HWY_NAMESPACE {
namespace {

inline int TakeMagnitude(BitReader* reader, int size) {
  return size == 0 ? 0 : ExtendMagnitude(reader->Take(size), size);
}

// The DC difference of a block; false: no such code.
inline bool DecodeDc(const DcTable& table, BitReader* reader, int32_t* difference) {
  reader->Refill();
  const int32_t entry = table.entry(reader->Peek(kLookupBits));
  if (__builtin_expect((entry & 255) != 0, 1)) {
    reader->Consume(static_cast<uint32_t>(entry & 255));
    *difference = entry >> 8;
    return true;
  }
  const auto found = table.code().Find(reader->Peek(16));
  if (found.length == 0) return false;
  reader->Consume(static_cast<uint32_t>(found.length));
  *difference = TakeMagnitude(reader, found.symbol);
  return true;
}

enum class Step { kContinue, kBlockDone, kDamaged };

// One symbol at coefficient *k, whose look-up has given `entry`, by the code itself.
template <bool kStore>
inline Step SlowSymbol(const AcTable& table, uint32_t entry, BitReader* reader, uint32_t* k,
                       int16_t* block) {
  reader->Refill();
  HuffmanCode::Found found = EntryCode(entry);
  if (EntryBits(entry) != 0 || found.length == 0) {
    const int shortest = EntryBits(entry) != 0 ? 1 : kLookupBits + 1;
    found = table.code().Find(reader->Peek(16), shortest);
    if (found.length == 0) return Step::kDamaged;
  }
  reader->Consume(static_cast<uint32_t>(found.length));
  const uint32_t run = found.symbol >> 4;
  const int size = found.symbol & 15;
  if (size == 0 && run != 15) return Step::kBlockDone;
  const int value = TakeMagnitude(reader, size);
  // A run beyond the block's end: libjpeg carries on in its own way.
  if (*k + run >= kBlockCoefficients) return Step::kDamaged;
  *k += run;
  if (kStore) block[kNaturalOrder[*k]] = static_cast<int16_t>(value);
  return ++*k == kBlockCoefficients ? Step::kBlockDone : Step::kContinue;
}

// The 63 AC coefficients of a block.
template <bool kStore>
inline bool DecodeAc(const AcTable& table, BitReader* reader_out, int16_t* block) {
  const uint32_t* const entries = table.entries();
  BitReader reader = *reader_out;
  uint32_t k = 1;
  for (;;) {
    uint32_t entry = 0;
    uint32_t after = 0;
    reader.Refill();
    static_assert(kMaxEntryBits * 3 <= 56, "three look-ups a refill");
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      entry = entries[reader.Peek(kLookupBits)];
      after = k + EntryAdvance(entry);
      if (after >= kBlockCoefficients) goto out_of_the_ordinary;
      if (kStore) {
        block[kNaturalOrder[after - 1]] = static_cast<int16_t>(EntrySecond(entry));
        block[kNaturalOrder[k + EntryRun(entry)]] =
            static_cast<int16_t>(EntryFirst(entry, reader.buffer));
      }
      reader.Consume(entry);
      k = after;
    }
    continue;

  out_of_the_ordinary:
    if (IsEndOfBlock(entry)) {
      const uint32_t place = k + EntryRun(entry);
      // At the last place of all there is no end-of-block code: what looked like it is not ours.
      if (place < kBlockCoefficients - 1 || IsBareEndOfBlock(entry)) {
        if (kStore && !IsBareEndOfBlock(entry)) {
          block[kNaturalOrder[place]] = static_cast<int16_t>(EntryFirst(entry, reader.buffer));
        }
        reader.Consume(entry);
        *reader_out = reader;
        return true;
      }
    }
    const Step step = SlowSymbol<kStore>(table, entry, &reader, &k, block);
    if (step == Step::kContinue) continue;
    *reader_out = reader;
    return step == Step::kBlockDone;
  }
}

template <bool kStore>
bool Decode(const McuLayout& layout, int first, int count, const uint8_t* end,
            EntropyLane* lane_out, int16_t* coefficients) {
  EntropyLane lane = *lane_out;
  for (int mcu = first; mcu < first + count; ++mcu) {
    for (int b = 0; b < layout.blocks; ++b) {
      const McuLayout::Block& at = layout.block[static_cast<size_t>(b)];
      int32_t difference = 0;
      if (!DecodeDc(*at.dc, &lane.reader, &difference)) return false;
      int32_t& dc = lane.dc[static_cast<size_t>(at.component)];
      // Damaged data may take it anywhere: wraps.
      dc = static_cast<int32_t>(static_cast<uint32_t>(dc) + static_cast<uint32_t>(difference));
      int16_t* block = nullptr;
      if (kStore) {
        block = coefficients + at.offset + mcu * at.stride;
        block[0] = static_cast<int16_t>(dc);
      }
      if (!DecodeAc<kStore>(*at.ac, &lane.reader, block)) return false;
    }
    if (lane.reader.next > end + 8) return false;
  }
  *lane_out = lane;
  return true;
}

bool DecodeMcusTarget(const McuLayout& layout, int first, int count, const uint8_t* end,
                      EntropyLane* lane, int16_t* coefficients) {
  return Decode<true>(layout, first, count, end, lane, coefficients);
}

bool SkipMcusTarget(const McuLayout& layout, int count, const uint8_t* end, EntropyLane* lane) {
  return Decode<false>(layout, 0, count, end, lane, nullptr);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace stoker
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace stoker {
namespace {

HWY_EXPORT(DecodeMcusTarget);
HWY_EXPORT(SkipMcusTarget);

}  // namespace

bool HuffmanTables::Build(const JpegHeader& header) {
  for (int c = 0; c < header.components; ++c) {
    const JpegComponent& k = header.component[static_cast<size_t>(c)];
    const auto dc = static_cast<size_t>(k.dc_table);
    const auto ac = static_cast<size_t>(k.ac_table);
    if (!Update(header.dc_spec[dc], &dc_[dc]) || !Update(header.ac_spec[ac], &ac_[ac])) {
      return false;
    }
  }
  return true;
}

template <typename Table>
bool HuffmanTables::Update(const HuffmanSpec& spec, Kept<Table>* kept) {
  if (kept->built && kept->spec == spec) return true;
  kept->spec = spec;
  kept->built = kept->table.Build(spec);
  return kept->built;
}

bool DecodeMcus(const McuLayout& layout, int first, int count, const uint8_t* end,
                EntropyLane* lane, int16_t* coefficients) {
  return HWY_DYNAMIC_DISPATCH(DecodeMcusTarget)(layout, first, count, end, lane, coefficients);
}

bool SkipMcus(const McuLayout& layout, int count, const uint8_t* end, EntropyLane* lane) {
  return HWY_DYNAMIC_DISPATCH(SkipMcusTarget)(layout, count, end, lane);
}

}  // namespace stoker
#endif  // HWY_ONCE
