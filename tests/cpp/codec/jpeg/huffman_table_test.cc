#include "codec/jpeg/huffman_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "support/jpeg_writer.h"

namespace stoker {
namespace {

using testing::AcSymbols;
using testing::DcSymbols;
using testing::RandomSpec;

// Bit by bit as T.81, F.2.2.3 has it: the symbol at the front of the `bits` bits of `front`.
HuffmanCode::Found Slow(const HuffmanSpec& spec, uint32_t front, int bits) {
  uint32_t first = 0;  // the first code of this length
  uint32_t code = 0;
  size_t at = 0;  // its place among the symbols
  for (int length = 1; length <= bits; ++length) {
    const uint32_t count = spec.counts[static_cast<size_t>(length)];
    code = code << 1 | (front >> (bits - length) & 1);
    if (code < first + count) return {length, spec.symbols[at + code - first]};
    at += count;
    first = (first + count) << 1;
  }
  return {0, 0};
}

HuffmanSpec SpecOf(const std::vector<std::pair<int, int>>& counts, std::vector<uint8_t> symbols) {
  HuffmanSpec spec;
  for (const auto& [length, count] : counts) {
    spec.counts[static_cast<size_t>(length)] = static_cast<uint8_t>(count);
  }
  std::copy(symbols.begin(), symbols.end(), spec.symbols.begin());
  return spec;
}

// Complete but for the code of all ones; with holes; short ones only; few symbols in many bits.
std::vector<HuffmanSpec> Specs(const std::vector<uint8_t>& symbols) {
  std::mt19937 random(1);
  std::vector<HuffmanSpec> specs;
  for (const size_t hole : {1U, 1U, 1U, 2U, 5U, 40U}) {
    specs.push_back(RandomSpec(symbols, hole, &random));
  }
  for (size_t count = 1; count <= 12; ++count) {
    const auto begin = symbols.begin() + static_cast<std::ptrdiff_t>(count % 3);
    specs.push_back(
        RandomSpec({begin, begin + static_cast<std::ptrdiff_t>(count)}, 1 + count % 2, &random));
  }
  specs.push_back(SpecOf({}, {}));                               // no code at all
  specs.push_back(SpecOf({{16, 2}}, {symbols[1], symbols[2]}));  // nothing but 16 bits
  specs.push_back(
      SpecOf({{1, 1}, {2, 1}, {11, 1}, {12, 1}, {16, 3}},  // around the look-up's end
             {symbols[0], symbols[1], symbols[2], symbols[3], symbols[4], symbols[5], symbols[6]}));
  return specs;
}

TEST(HuffmanCode, FindsEveryCodeOfUpTo16Bits) {
  for (const HuffmanSpec& spec : Specs(AcSymbols())) {
    HuffmanCode code;
    ASSERT_TRUE(code.Build(spec));
    for (uint32_t bits = 0; bits < 1U << 16; ++bits) {
      const HuffmanCode::Found expected = Slow(spec, bits, 16);
      const HuffmanCode::Found found = code.Find(bits);
      ASSERT_EQ(found.length, expected.length) << bits;
      if (expected.length == 0) continue;
      ASSERT_EQ(found.symbol, expected.symbol) << bits;
      // The search may begin at any length up to the code's.
      const HuffmanCode::Found later = code.Find(bits, expected.length);
      ASSERT_TRUE(later.length == found.length && later.symbol == found.symbol) << bits;
    }
  }
}

TEST(HuffmanCode, WhatIsNoCodeIsDeclined) {
  const auto builds = [](const std::vector<std::pair<int, int>>& counts) {
    HuffmanSpec spec = SpecOf(counts, {});
    for (size_t i = 0; i < 16; ++i) spec.symbols[i] = static_cast<uint8_t>(i);
    HuffmanCode code;
    const bool good = code.Build(spec);
    // The tables say the same.
    EXPECT_EQ(std::make_unique<AcTable>()->Build(spec), good);
    EXPECT_EQ(std::make_unique<DcTable>()->Build(spec), good);
    return good;
  };
  EXPECT_TRUE(builds({{1, 1}}));
  EXPECT_FALSE(builds({{1, 2}}));  // the code of all ones
  EXPECT_FALSE(builds({{1, 3}}));
  EXPECT_FALSE(builds({{1, 1}, {2, 2}}));
  EXPECT_FALSE(builds({{1, 1}, {2, 1}, {3, 2}}));
  EXPECT_FALSE(builds({{2, 4}}));
  EXPECT_FALSE(builds({{8, 255}, {9, 2}}));   // 257 symbols, and all ones
  EXPECT_FALSE(builds({{9, 255}, {10, 2}}));  // 257 symbols
  EXPECT_TRUE(builds({{9, 255}, {10, 1}}));
  EXPECT_TRUE(builds({{8, 255}}));
  // All ones at sixteen bits, the longest.
  std::vector<std::pair<int, int>> unary;
  for (int length = 1; length <= 16; ++length) unary.emplace_back(length, 1);
  EXPECT_TRUE(builds(unary));
  unary.back().second = 2;
  EXPECT_FALSE(builds(unary));
}

// One value: what `symbol`, whose code of `length` bits is at the front of `buffer`, stands for.
int ValueOf(uint64_t buffer, HuffmanCode::Found symbol) {
  const int size = symbol.symbol & 15;
  if (size == 0) return 0;
  const int bits = static_cast<int>(buffer << symbol.length >> (64 - size));
  return bits >= 1 << (size - 1) ? bits : bits - (1 << size) + 1;
}

// See Note [Table entries].
void CheckAcEntry(const HuffmanSpec& spec, uint32_t index, uint32_t entry, uint64_t buffer) {
  const HuffmanCode::Found first = Slow(spec, index, kLookupBits);
  const int size = first.symbol & 15;
  const uint32_t run = first.symbol >> 4;
  ASSERT_EQ(IsBareEndOfBlock(entry), first.length > 0 && size == 0 && run != 15);
  if (IsBareEndOfBlock(entry)) {
    ASSERT_EQ(EntryBits(entry), first.length);
    return;
  }
  if (first.length == 0 || size == 0 || size > kLargestSize) {
    ASSERT_EQ(EntryBits(entry), 0);
    ASSERT_EQ(EntryAdvance(entry), kAdvanceOut);
    ASSERT_EQ(EntryCode(entry).length, first.length);
    if (first.length > 0) {
      ASSERT_EQ(EntryCode(entry).symbol, first.symbol);
    }
    return;
  }
  ASSERT_EQ(EntryRun(entry), run);
  ASSERT_EQ(EntryFirst(entry, buffer), ValueOf(buffer, first));
  const int used = first.length + size;
  const int left = kLookupBits - used;
  const HuffmanCode::Found second =
      left > 0 ? Slow(spec, index & ((1U << left) - 1), left) : HuffmanCode::Found{0, 0};
  const int second_size = second.symbol & 15;
  const uint32_t second_run = second.symbol >> 4;
  const int value = second.length > 0 ? ValueOf(buffer << used, second) : 0;
  if (second.length > 0 && second_size == 0 && second_run != 15) {
    ASSERT_TRUE(IsEndOfBlock(entry));
    ASSERT_EQ(EntryBits(entry), used + second.length);
    ASSERT_EQ(EntrySecond(entry), 0);
    return;
  }
  ASSERT_FALSE(IsEndOfBlock(entry));
  const bool both = second.length > 0 && second_size > 0 && second.length + second_size <= left &&
                    value >= -8 && value < 8;
  ASSERT_EQ(EntryBits(entry), both ? used + second.length + second_size : used);
  ASSERT_EQ(EntryAdvance(entry), both ? run + second_run + 2 : run + 1);
  ASSERT_EQ(EntrySecond(entry), both ? value : 0);
}

TEST(AcTable, EveryEntryIsAsBitByBit) {
  std::mt19937_64 random(2);
  const auto table = std::make_unique<AcTable>();
  std::vector<uint8_t> odd = AcSymbols();  // all 256: those that libjpeg takes for an end of block
  for (int run = 1; run < 15; ++run) odd.push_back(static_cast<uint8_t>(run << 4));
  std::vector<HuffmanSpec> specs = Specs(AcSymbols());
  for (const HuffmanSpec& spec : Specs(odd)) specs.push_back(spec);
  for (const HuffmanSpec& spec : specs) {
    ASSERT_TRUE(table->Build(spec));
    for (uint32_t i = 0; i < 1U << kLookupBits; ++i) {
      const uint64_t rest = random() >> kLookupBits;
      const uint64_t buffer = uint64_t{i} << (64 - kLookupBits) | rest;
      ASSERT_EQ(table->entry(i), table->entries()[i]);
      CheckAcEntry(spec, i, table->entry(i), buffer);
      if (::testing::Test::HasFatalFailure()) FAIL() << "entry " << i;
    }
  }
}

TEST(DcTable, EveryEntryIsAsBitByBit) {
  const auto table = std::make_unique<DcTable>();
  for (const HuffmanSpec& spec : Specs(DcSymbols())) {
    ASSERT_TRUE(table->Build(spec));
    for (uint32_t i = 0; i < 1U << kLookupBits; ++i) {
      const HuffmanCode::Found found = Slow(spec, i, kLookupBits);
      const bool fits = found.length > 0 && found.length + found.symbol <= kLookupBits;
      const int value = fits ? ValueOf(uint64_t{i} << (64 - kLookupBits), found) : 0;
      ASSERT_EQ(table->entry(i), fits ? value * 256 + found.length + found.symbol : 0) << i;
    }
  }
}

TEST(DcTable, DifferencesOfMoreThan15BitsAreDeclined) {
  const auto table = std::make_unique<DcTable>();
  EXPECT_TRUE(table->Build(SpecOf({{2, 1}, {16, 1}}, {15, 0})));
  for (const uint8_t size : {uint8_t{16}, uint8_t{17}, uint8_t{255}}) {
    EXPECT_FALSE(table->Build(SpecOf({{2, 2}}, {0, size})));
    EXPECT_FALSE(table->Build(SpecOf({{2, 1}, {16, 1}}, {0, size})));
  }
}

TEST(ExtendMagnitude, IsTheTableOfTheStandard) {
  EXPECT_EQ(ExtendMagnitude(0, 0), 0);
  for (int size = 1; size <= 15; ++size) {
    const int half = 1 << (size - 1);
    for (int bits = 0; bits < half; ++bits) {
      ASSERT_EQ(ExtendMagnitude(static_cast<uint32_t>(bits), size), bits - 2 * half + 1);
      ASSERT_EQ(ExtendMagnitude(static_cast<uint32_t>(bits + half), size), bits + half);
    }
  }
}

}  // namespace
}  // namespace stoker
