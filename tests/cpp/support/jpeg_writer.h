// JPEG files written by hand, with what no encoder writes: any Huffman code, any coefficients.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

#include "base/rect.h"
#include "codec/jpeg/header.h"
#include "codec/jpeg/huffman_table.h"
#include "support/test_images.h"

namespace stoker::testing {

inline void Append(Bytes* out, const Bytes& more) {
  out->insert(out->end(), more.begin(), more.end());
}

// Bits, most significant first.
class BitWriter {
 public:
  void Put(uint32_t value, int count) {
    for (int i = count - 1; i >= 0; --i) {
      if (bits_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() = static_cast<uint8_t>(bytes_.back() | (value >> i & 1) << (7 - bits_ % 8));
      ++bits_;
    }
  }
  int64_t bits() const { return bits_; }
  // Filled up with ones to a whole byte.
  Bytes Padded() const {
    BitWriter filled = *this;
    while (filled.bits_ % 8 != 0) filled.Put(1, 1);
    return filled.bytes_;
  }

 private:
  Bytes bytes_;
  int64_t bits_ = 0;
};

// With a zero byte behind each 0xFF, as scan data have it.
inline Bytes Stuffed(const Bytes& bytes) {
  Bytes out;
  for (const uint8_t byte : bytes) {
    out.push_back(byte);
    if (byte == 0xFF) out.push_back(0);
  }
  return out;
}

// The code of each symbol. T.81, annex C.
struct SymbolCodes {
  std::array<uint32_t, 256> code{};
  std::array<int, 256> length{};  // 0: there is none

  explicit SymbolCodes(const HuffmanSpec& spec) {
    uint32_t next = 0;
    size_t at = 0;
    for (int bits = 1; bits <= 16; ++bits, next <<= 1) {
      for (int i = 0; i < spec.counts[static_cast<size_t>(bits)]; ++i, ++at, ++next) {
        code[spec.symbols[at]] = next;
        length[spec.symbols[at]] = bits;
      }
    }
  }
  void Put(uint8_t symbol, BitWriter* out) const { out->Put(code[symbol], length[symbol]); }
};

// A random code for these symbols, of up to 16 bits each; complete but for the code of all ones, or
// with a larger hole at its end.
inline HuffmanSpec RandomSpec(std::vector<uint8_t> symbols, size_t hole, std::mt19937* random) {
  std::shuffle(symbols.begin(), symbols.end(), *random);
  std::vector<int> lengths = {0};
  while (lengths.size() < symbols.size() + hole) {  // split a random leaf
    const size_t at = (*random)() % lengths.size();
    if (lengths[at] == 16) continue;
    lengths.push_back(++lengths[at]);
  }
  std::sort(lengths.begin(), lengths.end());
  HuffmanSpec spec;
  for (size_t i = 0; i < symbols.size(); ++i) {
    ++spec.counts[static_cast<size_t>(lengths[i])];
    spec.symbols[i] = symbols[i];
  }
  return spec;
}

// All that a decoder must know: sizes of DC differences; run and size of AC values.
inline std::vector<uint8_t> DcSymbols() {
  std::vector<uint8_t> symbols;
  for (int size = 0; size < 16; ++size) symbols.push_back(static_cast<uint8_t>(size));
  return symbols;
}
inline std::vector<uint8_t> AcSymbols() {
  std::vector<uint8_t> symbols = {0x00, 0xF0};
  for (int symbol = 0; symbol < 256; ++symbol) {
    if (symbol % 16 != 0) symbols.push_back(static_cast<uint8_t>(symbol));
  }
  return symbols;
}

inline int BitsOf(int value) {
  int bits = 0;
  for (int rest = std::abs(value); rest != 0; rest /= 2) ++bits;
  return bits;
}

inline void PutMagnitude(int value, BitWriter* out) {
  const int size = BitsOf(value);
  out->Put(static_cast<uint32_t>(value < 0 ? value + (1 << size) - 1 : value), size);
}

// One block (natural order) whose DC is `difference`. Zeros at its end take an end-of-block code.
inline void PutBlock(const SymbolCodes& dc, const SymbolCodes& ac, int difference,
                     const int16_t* block, BitWriter* out) {
  dc.Put(static_cast<uint8_t>(BitsOf(difference)), out);
  PutMagnitude(difference, out);
  int run = 0;
  for (size_t k = 1; k < kBlockCoefficients; ++k) {
    const int value = block[kNaturalOrder[k]];
    if (value == 0) {
      ++run;
      continue;
    }
    for (; run >= 16; run -= 16) ac.Put(0xF0, out);
    ac.Put(static_cast<uint8_t>(run << 4 | BitsOf(value)), out);
    PutMagnitude(value, out);
    run = 0;
  }
  if (run > 0) ac.Put(0x00, out);
}

inline Bytes Segment(uint8_t marker, const Bytes& payload) {
  const size_t length = payload.size() + 2;
  Bytes out(4 + payload.size());
  out[0] = 0xFF;
  out[1] = marker;
  out[2] = static_cast<uint8_t>(length >> 8);
  out[3] = static_cast<uint8_t>(length);
  std::copy(payload.begin(), payload.end(), out.begin() + 4);
  return out;
}

// A table as a DHT segment holds it. `id`: its number, and 16 more for AC.
inline Bytes HuffmanPayload(uint8_t id, const HuffmanSpec& spec) {
  Bytes out = {id};
  out.insert(out.end(), spec.counts.begin() + 1, spec.counts.end());
  std::ptrdiff_t total = 0;
  for (const uint8_t count : spec.counts) total += count;
  out.insert(out.end(), spec.symbols.begin(), spec.symbols.begin() + total);
  return out;
}

// A gray file with these tables and these blocks, in the order of the scan.
struct GrayFile {
  Size size;
  std::array<uint8_t, kBlockCoefficients> quant{};  // zigzag
  HuffmanSpec dc, ac;
  std::vector<int16_t> blocks;  // natural order

  Bytes Make() const {
    Bytes out = {0xFF, 0xD8};
    Bytes table = {0};
    table.insert(table.end(), quant.begin(), quant.end());
    Append(&out, Segment(0xDB, table));
    const auto high = [](int x) { return static_cast<uint8_t>(x >> 8); };
    const auto low = [](int x) { return static_cast<uint8_t>(x); };
    Append(&out, Segment(0xC0, {8, high(size.height), low(size.height), high(size.width),
                                low(size.width), 1, 1, 0x11, 0}));
    Append(&out, Segment(0xC4, HuffmanPayload(0, dc)));
    Append(&out, Segment(0xC4, HuffmanPayload(0x10, ac)));
    Append(&out, Segment(0xDA, {1, 1, 0, 0, 63, 0}));
    const SymbolCodes dc_codes(dc);
    const SymbolCodes ac_codes(ac);
    BitWriter bits;
    int before = 0;
    for (size_t at = 0; at < blocks.size(); at += kBlockCoefficients) {
      PutBlock(dc_codes, ac_codes, blocks[at] - before, &blocks[at], &bits);
      before = blocks[at];
    }
    Append(&out, Stuffed(bits.Padded()));
    Append(&out, {0xFF, 0xD9});
    return out;
  }
};

}  // namespace stoker::testing
