// Bits of entropy-coded data without stuffed bytes, most significant first, from a 64-bit buffer
// that is refilled without a branch (Giesen, "Reading bits in far too many ways", part 2).
//
// The reader itself checks nothing: it may read up to 15 bytes behind the bit it has reached,
// and after the data's end it goes on with what lies there. Its owner keeps enough readable bytes
// behind the data and compares position() with the end from time to time.
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <cstring>

namespace stoker {

inline uint64_t LoadBigEndian64(const uint8_t* from) {
  uint64_t value = 0;
  std::memcpy(&value, from, sizeof value);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  value = __builtin_bswap64(value);
#endif
  return value;
}

struct BitReader {
  uint64_t buffer = 0;  // the next bits, left-aligned; below `bits` of them undefined but harmless
  uint32_t bits = 0;    // how many of them are there, modulo 64
  const uint8_t* next = nullptr;  // the byte behind them

  static BitReader At(const uint8_t* data, uint64_t bit_position) {
    BitReader reader;
    reader.next = data + (bit_position >> 3);
    reader.Refill();
    reader.Consume(static_cast<uint32_t>(bit_position & 7));
    return reader;
  }

  // At least 56 bits afterwards.
  void Refill() {
    bits &= 63;
    buffer |= LoadBigEndian64(next) >> bits;
    next += (63 - bits) >> 3;
    bits |= 56;
  }
  // REQUIRES: 1 <= count <= 32, and as many bits there.
  uint32_t Peek(int count) const { return static_cast<uint32_t>(buffer >> (64 - count)); }
  // REQUIRES: as many bits there. Looks at count's low six bits only.
  void Consume(uint32_t count) {
    buffer <<= count & 63;
    bits -= count;
  }
  uint32_t Take(int count) {
    const uint32_t value = Peek(count);
    Consume(static_cast<uint32_t>(count));
    return value;
  }
  // Bits from `data` to the next bit.
  int64_t position(const uint8_t* data) const {
    return (next - data) * 8 - static_cast<int64_t>(bits & 63);
  }
};

}  // namespace stoker
