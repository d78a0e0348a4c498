// Huffman decoding tables for baseline JPEG, made to take as few look-ups as possible: one look-up
// of kLookupBits bits yields up to two coefficients (run, value each) or a coefficient and the end
// of the block, their codes and magnitude bits together.
//
// Threads: constant once built.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace stoker {

// A table as a DHT segment defines it.
struct HuffmanSpec {
  std::array<uint8_t, 17> counts{};    // codes of each length, 1 to 16
  std::array<uint8_t, 256> symbols{};  // in the order of their codes

  friend bool operator==(const HuffmanSpec& a, const HuffmanSpec& b) {
    return a.counts == b.counts && a.symbols == b.symbols;
  }
};

// Bits a look-up takes. Measured on photographs, see csrc/README.md.
inline constexpr int kLookupBits = 11;

// The canonical code itself, for codes of any length. T.81, annex F.2.2.3.
struct HuffmanCode {
  std::array<uint8_t, 256> symbols{};
  // For each length: the first code that is too large for it, left-aligned in 16 bits; and what to
  // add to a code of that length to get its place in `symbols`.
  std::array<uint32_t, 18> limit{};
  std::array<int32_t, 17> offset{};

  // Throws nothing; false: not a valid code (more codes of a length than there are).
  bool Build(const HuffmanSpec& spec);
  // The symbol at the front of `bits16` (16 bits) and its length; length 0: no such code.
  struct Found {
    int length;
    uint8_t symbol;
  };
  // REQUIRES: 1 <= shortest, and no shorter code is at the front.
  Found Find(uint32_t bits16, int shortest = 1) const;
};

// Note [Table entries]
// An entry is one 32-bit word:
//
//   bits  0 ..  5   bits to consume in all (a shift count: x86 takes the low six bits as they are);
//                   none: the symbol does not fit, see below
//   bits  6 .. 11   advance: coefficients passed in all, at most 32, or kAdvanceOut
//   bits 12 .. 15   run: zeros before the first value
//   bits 16 .. 21   length of the first value's code
//   bits 22 .. 27   64 − size, of the magnitude bits behind that code, at most kLargestSize
//   bits 28 .. 31   second value, signed
//
// The first value is computed from the bits themselves, which costs no time: only what a look-up
// consumes is waited for by the next. So its magnitude may reach beyond the look-up. The second is
// there only where all of it lies within.
//
// The first value belongs at k + run, the second at k + advance − 1. Where there is only one, the
// two places are the same and the second value is zero: written in that order backwards, the first
// stays. An end of block (behind a value, or behind none: run 0, value 0) and what does not fit
// have an advance that leads out of any block, so that the decoder's inner loop tests for one thing
// only.
//
// Where a symbol does not fit, bits 12 .. 15 are its code's length and bits 16 .. 23 the symbol;
// the length is 0 where not even the code fits.
inline constexpr uint32_t kAdvanceOut = 63;
inline constexpr int kLargestSize = 7;
inline constexpr int kMaxEntryBits = kLookupBits + kLargestSize;

class AcTable {
 public:
  // False: not a code that our decoder takes.
  bool Build(const HuffmanSpec& spec);

  uint32_t entry(size_t index) const { return entries_[index]; }
  const uint32_t* entries() const { return entries_.data(); }
  const HuffmanCode& code() const { return code_; }

 private:
  std::array<uint32_t, size_t{1} << kLookupBits> entries_;
  HuffmanCode code_;
};

inline int EntryBits(uint32_t entry) { return static_cast<int>(entry & 63); }
inline uint32_t EntryAdvance(uint32_t entry) { return entry >> 6 & 63; }
inline uint32_t EntryRun(uint32_t entry) { return entry >> 12 & 15; }
// `buffer`: the bits that the entry was looked up with, left-aligned. REQUIRES: a first value.
inline int EntryFirst(uint32_t entry, uint64_t buffer) {
  const uint64_t magnitude = buffer << (entry >> 16 & 63);
  // All ones where the value is negative, which its first bit being 0 says; it is then the negative
  // of the bits' complement.
  const auto negative = static_cast<uint64_t>(static_cast<int64_t>(~magnitude) >> 63);
  return static_cast<int>((((magnitude ^ negative) >> (entry >> 22 & 63)) ^ negative) - negative);
}
inline int EntrySecond(uint32_t entry) { return static_cast<int32_t>(entry) >> 28; }
inline HuffmanCode::Found EntryCode(uint32_t entry) {
  return {static_cast<int>(entry >> 12 & 15), static_cast<uint8_t>(entry >> 16)};
}
inline bool IsEndOfBlock(uint32_t entry) {
  return EntryAdvance(entry) == kAdvanceOut && EntryBits(entry) != 0;
}
// An end of block with no value before it: nothing of a first value is set.
inline bool IsBareEndOfBlock(uint32_t entry) { return IsEndOfBlock(entry) && entry >> 12 == 0; }

// DC differences: an entry is (difference << 8 | bits to consume), 0 bits: use the code.
class DcTable {
 public:
  bool Build(const HuffmanSpec& spec);
  int32_t entry(size_t index) const { return entries_[index]; }
  const HuffmanCode& code() const { return code_; }

 private:
  std::array<int32_t, size_t{1} << kLookupBits> entries_;
  HuffmanCode code_;
};

// The signed value that `size` magnitude bits stand for. T.81, table F.1 and figure F.12.
inline int ExtendMagnitude(uint32_t bits, int size) {
  return bits < (1U << size >> 1) ? static_cast<int>(bits) - (1 << size) + 1
                                  : static_cast<int>(bits);
}

}  // namespace stoker
