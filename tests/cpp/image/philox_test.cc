#include "image/philox.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <set>
#include <vector>

namespace stoker {
namespace {

// Random123 1.14, tests/kat_vectors, "philox4x32 10".
TEST(PhiloxTest, GivesRandom123sKnownAnswers) {
  EXPECT_EQ(Philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(Philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(Philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(OpRandomTest, UniformIsTheTop53BitsOfEachHalfOfABlock) {
  const SampleKey key{0x123456789ABCDEF0, 7, 0xA1B2C3D4E5F6, 3};
  OpRandom random(key, 5);
  for (uint32_t block = 0; block < 4; ++block) {
    const PhiloxBlock expected =
        Philox4x32({0xC3D4E5F6, 0xA1B2 | 5U << 16 | block << 24, 3, 7}, {0x9ABCDEF0, 0x12345678});
    for (size_t half = 0; half < 4; half += 2) {
      const uint64_t bits = uint64_t{expected[half]} << 32 | expected[half + 1];
      EXPECT_EQ(random.Uniform(), std::ldexp(static_cast<double>(bits >> 11), -53));
    }
  }
}

TEST(OpRandomTest, UniformFillsItsRangeEvenly) {
  constexpr int kDraws = 20000;
  constexpr size_t kBins = 10;
  std::vector<int> bins(kBins);
  for (uint64_t index = 0; index < kDraws; ++index) {
    OpRandom random({1, 2, index, 0}, 0);
    const double unit = random.Uniform();
    ASSERT_GE(unit, 0.0);
    ASSERT_LT(unit, 1.0);
    const double value = random.Uniform(-3.0, 5.0);
    ASSERT_GE(value, -3.0);
    ASSERT_LT(value, 5.0);
    ++bins[static_cast<size_t>((value + 3.0) / 8.0 * kBins)];
  }
  // Six standard deviations of a binomial distribution.
  for (const int count : bins) EXPECT_NEAR(count, kDraws / 10, 6 * std::sqrt(kDraws * 0.1 * 0.9));
}

TEST(OpRandomTest, BelowReachesEveryValueEquallyOften) {
  for (const int n : {1, 2, 3, 7, 10, 64}) {
    constexpr int kDraws = 20000;
    std::vector<int> counts(static_cast<size_t>(n));
    for (uint64_t index = 0; index < kDraws; ++index) {
      OpRandom random({9, 0, index, 0}, 1);
      const int value = random.Below(n);
      ASSERT_GE(value, 0);
      ASSERT_LT(value, n);
      ++counts[static_cast<size_t>(value)];
    }
    const double share = 1.0 / n;
    for (const int count : counts) {
      EXPECT_NEAR(count, kDraws * share, 6 * std::sqrt(kDraws * share * (1 - share))) << "n " << n;
    }
  }
}

TEST(OpRandomTest, BelowTheLargestIntStaysInRange) {
  constexpr int kMost = 0x7FFFFFFF;
  int largest = 0;
  for (uint64_t index = 0; index < 1000; ++index) {
    OpRandom random({0, 0, index, 0}, 0);
    const int value = random.Below(kMost);
    ASSERT_GE(value, 0);
    ASSERT_LT(value, kMost);
    largest = std::max(largest, value);
  }
  EXPECT_GT(largest, kMost / 100 * 99);
}

// Every field takes values that differ in their lowest and highest bits; no two of the numbers
// drawn for any of the combinations are the same.
TEST(OpRandomTest, NumbersDifferWithEveryFieldOfTheKeyAndEveryOperation) {
  std::set<double> seen;
  size_t drawn = 0;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, uint64_t{1} << 63}) {
    for (const uint32_t epoch : {0U, 1U, 1U << 31}) {
      for (const uint64_t index :
           {uint64_t{0}, uint64_t{1}, uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 47}) {
        for (const uint32_t occurrence : {0U, 1U, 1U << 31}) {
          for (const int op : {0, 1, 2, 255}) {
            OpRandom random({seed, epoch, index, occurrence}, op);
            for (int i = 0; i < 25; ++i, ++drawn) seen.insert(random.Uniform());
          }
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), drawn);
}

TEST(OpRandomTest, TheSameKeyAndOperationGiveTheSameNumbersAgain) {
  const SampleKey key{42, 3, 1000, 1};
  OpRandom first(key, 2);
  OpRandom second(key, 2);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(first.Uniform(), second.Uniform());
    EXPECT_EQ(first.Below(100), second.Below(100));
  }
}

TEST(OpRandomTest, PermutationsOfFourComeAlikeOften) {
  constexpr int kDraws = 12000;
  std::map<std::array<uint8_t, 4>, int> counts;
  for (uint64_t index = 0; index < kDraws; ++index) {
    OpRandom random({9, 0, index, 0}, 1);
    std::array<uint8_t, 4> order{};
    random.Permutation(4, &order);
    ASSERT_EQ(std::set<uint8_t>(order.begin(), order.end()), (std::set<uint8_t>{0, 1, 2, 3}));
    ++counts[order];
  }
  EXPECT_EQ(counts.size(), 24U);
  const double share = 1.0 / 24;
  for (const auto& [order, count] : counts) {
    EXPECT_NEAR(count, kDraws * share, 6 * std::sqrt(kDraws * share * (1 - share)));
  }
}

TEST(OpRandomTest, APermutationOfNoneOrOneHasNothingToMoveAndWritesNothingBehind) {
  OpRandom random({}, 0);
  std::array<uint8_t, 4> order{91, 92, 93, 94};
  random.Permutation(0, &order);
  EXPECT_EQ(order, (std::array<uint8_t, 4>{91, 92, 93, 94}));
  random.Permutation(1, &order);
  EXPECT_EQ(order, (std::array<uint8_t, 4>{0, 92, 93, 94}));
  random.Permutation(2, &order);
  EXPECT_EQ(order[0] + order[1], 1);
  EXPECT_EQ(order[2], 93);
}

}  // namespace
}  // namespace stoker
