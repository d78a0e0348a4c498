#include "codec/jpeg/huffman_table.h"

#include <algorithm>

namespace stoker {
namespace {

constexpr uint32_t kEntries = 1U << kLookupBits;
constexpr uint8_t kSixteenZeros = 0xF0;

// What follows the 12 bits of a first entry; see Note [Table entries].
constexpr uint32_t Pack(int bits, uint32_t advance) {
  return static_cast<uint32_t>(bits) | advance << 6;
}
constexpr uint32_t PackFirst(uint32_t run, int code_length, int size) {
  return run << 12 | static_cast<uint32_t>(code_length) << 16 |
         static_cast<uint32_t>(64 - size) << 22;
}
constexpr uint32_t kFirstMask = 0x0FFFF000;

// Calls fill(symbol, length, begin, end) for each code of up to kLookupBits bits: the entries
// [begin, end) start with it.
template <typename Fill>
void ForEachShortCode(const HuffmanSpec& spec, const Fill& fill) {
  uint32_t at = 0;
  size_t symbol = 0;
  for (int length = 1; length <= kLookupBits; ++length) {
    const uint32_t step = 1U << (kLookupBits - length);
    for (int i = 0; i < spec.counts[static_cast<size_t>(length)]; ++i, ++symbol, at += step) {
      fill(spec.symbols[symbol], length, at, at + step);
    }
  }
}

// Calls fill(value, begin, end) for each value of `size` magnitude bits behind a code of `length`
// bits that the entries [begin, end) start with. REQUIRES: length + size <= kLookupBits.
template <typename Fill>
void ForEachValue(int length, int size, uint32_t begin, const Fill& fill) {
  const uint32_t step = 1U << (kLookupBits - length - size);
  for (uint32_t bits = 0; bits < 1U << size; ++bits, begin += step) {
    fill(ExtendMagnitude(bits, size), begin, begin + step);
  }
}

}  // namespace

bool HuffmanCode::Build(const HuffmanSpec& spec) {
  symbols = spec.symbols;
  uint32_t code = 0;  // the next code of this length
  int32_t place = 0;
  for (size_t length = 1; length <= 16; ++length) {
    offset[length] = place - static_cast<int32_t>(code);
    place += spec.counts[length];
    code += spec.counts[length];
    // A code of all ones is not allowed, so one must be left over (as libjpeg's jdhuff.c has it).
    if (place > 256 || code >= 1U << length) return false;
    limit[length] = code << (16 - length);
    code <<= 1;
  }
  limit[17] = UINT32_MAX;
  return true;
}

HuffmanCode::Found HuffmanCode::Find(uint32_t bits16, int shortest) const {
  auto length = static_cast<size_t>(shortest);
  while (bits16 >= limit[length]) ++length;
  if (length > 16) return {0, 0};
  const auto code = static_cast<int32_t>(bits16 >> (16 - length));
  return {static_cast<int>(length), symbols[static_cast<size_t>(code + offset[length]) & 255]};
}

bool AcTable::Build(const HuffmanSpec& spec) {
  if (!code_.Build(spec)) return false;
  // One symbol an entry first.
  alignas(64) std::array<uint32_t, kEntries> single;
  constexpr uint32_t kOut = Pack(0, kAdvanceOut);
  single.fill(kOut);
  ForEachShortCode(spec, [&](uint8_t symbol, int length, uint32_t begin, uint32_t end) {
    const uint32_t run = symbol >> 4;
    const int size = symbol & 15;
    uint32_t entry = 0;
    if (size == 0 && symbol != kSixteenZeros) {
      // libjpeg takes every code of size 0 but this one for the end of the block.
      entry = Pack(length, kAdvanceOut);
    } else if (size == 0 || size > kLargestSize) {
      entry = kOut | static_cast<uint32_t>(length) << 12 | uint32_t{symbol} << 16;
    } else {
      entry = Pack(length + size, run + 1) | PackFirst(run, length, size);
    }
    std::fill(single.data() + begin, single.data() + end, entry);
  });
  // Then a second one behind it, where both fit.
  for (uint32_t i = 0; i < kEntries; ++i) {
    const uint32_t a = single[i];
    const uint32_t shifted = i << EntryBits(a) & (kEntries - 1);
    const uint32_t b = single[shifted];
    const bool end = IsEndOfBlock(b);
    const int bits = EntryBits(a) + EntryBits(b);
    const int second = end ? 0 : EntryFirst(b, uint64_t{shifted} << (64 - kLookupBits));
    const bool fits = bits <= kLookupBits && EntryAdvance(a) != kAdvanceOut && EntryBits(b) != 0 &&
                      second >= -8 && second < 8;
    const uint32_t advance = end ? kAdvanceOut : EntryAdvance(a) + EntryAdvance(b);
    const uint32_t both =
        Pack(bits, advance) | (a & kFirstMask) | static_cast<uint32_t>(second) << 28;
    entries_[i] = fits ? both : a;
  }
  return true;
}

bool DcTable::Build(const HuffmanSpec& spec) {
  if (!code_.Build(spec)) return false;
  entries_.fill(0);
  bool valid = true;
  ForEachShortCode(spec, [&](uint8_t size, int length, uint32_t begin, uint32_t) {
    if (size > 15) valid = false;
    if (length + size > kLookupBits) return;
    ForEachValue(length, size, begin, [&](int value, uint32_t from, uint32_t to) {
      std::fill(entries_.data() + from, entries_.data() + to, value * 256 + length + size);
    });
  });
  for (const uint8_t size : spec.symbols) valid = valid && size <= 15;
  return valid;
}

}  // namespace stoker
