#include "codec/jpeg/bit_reader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace stoker {
namespace {

constexpr int kBytes = 400;
constexpr int kReadable = 16;  // more bytes behind them

std::vector<uint8_t> RandomBytes(uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint8_t> bytes(kBytes + kReadable);
  std::generate(bytes.begin(), bytes.end(), [&] { return static_cast<uint8_t>(random()); });
  return bytes;
}

// `count` bits at bit `at`, one by one.
uint32_t SlowBits(const std::vector<uint8_t>& bytes, int64_t at, int count) {
  uint32_t value = 0;
  for (; count > 0; --count, ++at) {
    value = value << 1 | (bytes[static_cast<size_t>(at / 8)] >> (7 - at % 8) & 1U);
  }
  return value;
}

TEST(BitReader, BeginsAtAnyBit) {
  const std::vector<uint8_t> bytes = RandomBytes(1);
  for (int64_t at = 0; at < 200; ++at) {
    BitReader reader = BitReader::At(bytes.data(), static_cast<uint64_t>(at));
    ASSERT_EQ(reader.position(bytes.data()), at);
    reader.Refill();
    ASSERT_EQ(reader.position(bytes.data()), at);
    ASSERT_EQ(reader.Peek(32), SlowBits(bytes, at, 32)) << at;
  }
}

// Fifty-six bits a refill, however many of them are taken at a time, and the position throughout.
TEST(BitReader, GivesTheBitsInOrder) {
  std::mt19937 random(2);
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<uint8_t> bytes = RandomBytes(seed);
    BitReader reader = BitReader::At(bytes.data(), 0);
    int64_t at = 0;
    while (at + 56 <= kBytes * 8) {
      reader.Refill();
      ASSERT_EQ(reader.position(bytes.data()), at);
      int left = 56;
      while (left > 0 && random() % 10 != 0) {
        const int count = std::min(left, 1 + static_cast<int>(random() % 32));
        ASSERT_EQ(reader.Peek(count), SlowBits(bytes, at, count));
        ASSERT_EQ(reader.Take(count), SlowBits(bytes, at, count));
        at += count;
        left -= count;
        ASSERT_EQ(reader.position(bytes.data()), at);
      }
    }
  }
}

TEST(BitReader, RefillingTwiceChangesNothing) {
  const std::vector<uint8_t> bytes = RandomBytes(3);
  BitReader reader = BitReader::At(bytes.data(), 0);
  for (int64_t at = 0; at + 64 < kBytes * 8; at += 11) {
    for (int i = 0; i < 3; ++i) reader.Refill();
    ASSERT_EQ(reader.position(bytes.data()), at);
    ASSERT_EQ(reader.Take(11), SlowBits(bytes, at, 11));
  }
}

// Table entries are handed over whole.
TEST(BitReader, ConsumeLooksAtTheLowSixBitsOnly) {
  const std::vector<uint8_t> bytes = RandomBytes(4);
  std::mt19937 random(5);
  BitReader reader = BitReader::At(bytes.data(), 0);
  int64_t at = 0;
  while (at + 64 < kBytes * 8) {
    reader.Refill();
    const auto count = static_cast<uint32_t>(random() % 24);
    reader.Consume(count | static_cast<uint32_t>(random()) << 6);
    at += count;
    ASSERT_EQ(reader.position(bytes.data()), at);
    ASSERT_EQ(reader.Peek(32), SlowBits(bytes, at, 32));
  }
}

}  // namespace
}  // namespace stoker
