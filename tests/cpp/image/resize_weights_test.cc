#include "image/resize_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/reference_ops.h"

namespace stoker {
namespace {

using ::stoker::testing::ReferenceNearest;
using ::stoker::testing::ReferenceRun;
using ::stoker::testing::ReferenceWeights;

struct Axis {
  int in_size;
  int out_size;
};

// Every small pair of sizes, and some with large factors.
std::vector<Axis> Axes() {
  std::vector<Axis> axes;
  for (int in_size = 1; in_size <= 24; ++in_size) {
    for (int out_size = 1; out_size <= 24; ++out_size) axes.push_back({in_size, out_size});
  }
  for (const int large : {500, 4001}) {
    for (const int small : {1, 3, 224}) {
      axes.push_back({large, small});
      axes.push_back({small, large});
    }
  }
  return axes;
}

constexpr Interpolation kMethods[] = {Interpolation::kBilinear, Interpolation::kBicubic};

// The weights of output `i` as Pillow has them, padded with zeros as promised.
std::vector<int32_t> WeightsOf(const ResizeWeights& weights, size_t i) {
  const auto stride = static_cast<size_t>(weights.padded_taps);
  const auto begin = weights.weights.begin() + static_cast<ptrdiff_t>(i * stride);
  return {begin, begin + weights.padded_taps};
}

TEST(ResizeWeightsTest, AreThoseOfPillow) {
  ResizeWeights weights;
  for (const Interpolation method : kMethods) {
    for (const auto& [in_size, out_size] : Axes()) {
      SCOPED_TRACE(std::to_string(in_size) + " to " + std::to_string(out_size));
      weights.Compute(in_size, out_size, 0, out_size, method);
      ASSERT_EQ(weights.runs.size(), static_cast<size_t>(out_size));
      ASSERT_EQ(weights.weights.size(),
                static_cast<size_t>(out_size) * static_cast<size_t>(weights.padded_taps));
      int longest = 0;
      for (int x = 0; x < out_size; ++x) {
        const auto i = static_cast<size_t>(x);
        ReferenceRun expected = ReferenceWeights(in_size, out_size, x, method);
        ASSERT_EQ(weights.runs[i].begin, expected.first);
        ASSERT_EQ(weights.runs[i].taps, static_cast<int>(expected.weights.size()));
        longest = std::max(longest, weights.runs[i].taps);
        expected.weights.resize(static_cast<size_t>(weights.padded_taps), 0);
        ASSERT_EQ(WeightsOf(weights, i), expected.weights);
      }
      EXPECT_EQ(weights.padded_taps, (longest + kTapGroup - 1) / kTapGroup * kTapGroup);
    }
  }
}

TEST(ResizeWeightsTest, HalvesPutTogetherAreTheWholeWeights) {
  ResizeWeights weights;
  for (const Interpolation method : kMethods) {
    for (const auto& [in_size, out_size] : Axes()) {
      weights.Compute(in_size, out_size, 0, out_size, method);
      ASSERT_EQ(weights.low_pairs.size(), weights.weights.size() / 2);
      ASSERT_EQ(weights.high_pairs.size(), weights.weights.size() / 2);
      for (size_t k = 0; k < weights.weights.size(); ++k) {
        const int shift = k % 2 == 0 ? 0 : 16;
        const auto low = static_cast<int16_t>(weights.low_pairs[k / 2] >> shift);
        const auto high = static_cast<int16_t>(weights.high_pairs[k / 2] >> shift);
        ASSERT_GE(low, 0);
        ASSERT_EQ(high * (1 << kLowBits) + low, weights.weights[k]);
      }
    }
  }
}

TEST(ResizeWeightsTest, AWindowIsAPartOfTheWhole) {
  ResizeWeights whole;
  ResizeWeights part;
  for (const Interpolation method : kMethods) {
    for (const auto& [in_size, out_size] : Axes()) {
      whole.Compute(in_size, out_size, 0, out_size, method);
      const int begin = out_size / 3;
      const int end = std::min(out_size, begin + 5);
      part.Compute(in_size, out_size, begin, end, method);
      ASSERT_EQ(part.runs.size(), static_cast<size_t>(end - begin));
      for (int x = begin; x < end; ++x) {
        const auto of_part = static_cast<size_t>(x - begin);
        const auto of_whole = static_cast<size_t>(x);
        ASSERT_EQ(part.runs[of_part].begin, whole.runs[of_whole].begin);
        ASSERT_EQ(part.runs[of_part].taps, whole.runs[of_whole].taps);
        auto expected = WeightsOf(whole, of_whole);
        expected.resize(static_cast<size_t>(part.padded_taps), 0);
        ASSERT_EQ(WeightsOf(part, of_part), expected);
      }
    }
  }
}

TEST(ResizeSupportTest, IsWhatTheRunsReach) {
  ResizeWeights weights;
  for (const Interpolation method : kMethods) {
    for (const auto& [in_size, out_size] : Axes()) {
      if (in_size == out_size) continue;
      for (const int begin : {0, out_size / 2, out_size - 1}) {
        for (const int end : {begin + 1, (begin + 1 + out_size) / 2, out_size}) {
          if (end <= begin) continue;
          weights.Compute(in_size, out_size, begin, end, method);
          int first = in_size;
          int last = 0;
          for (const ResizeWeights::Run& run : weights.runs) {
            first = std::min(first, run.begin);
            last = std::max(last, run.begin + run.taps);
          }
          ASSERT_EQ(ResizeSupport(in_size, out_size, begin, end, method),
                    std::make_pair(first, last));
        }
      }
    }
  }
}

TEST(ResizeSupportTest, IsTheWindowItselfWhereTheSizeStays) {
  for (const Interpolation method :
       {Interpolation::kNearest, Interpolation::kBilinear, Interpolation::kBicubic}) {
    EXPECT_EQ(ResizeSupport(9, 9, 2, 5, method), std::make_pair(2, 5));
  }
}

TEST(NearestCoordinatesTest, AreThoseOfPillowInEveryWindow) {
  for (const auto& [in_size, out_size] : Axes()) {
    const std::vector<int> expected = ReferenceNearest(in_size, out_size);
    for (const int begin : {0, out_size / 3}) {
      for (const int end : {begin + 1, out_size}) {
        std::vector<int> from(static_cast<size_t>(end - begin));
        NearestCoordinates(in_size, out_size, begin, end, from.data());
        ASSERT_EQ(from, std::vector<int>(expected.begin() + begin, expected.begin() + end))
            << in_size << " to " << out_size;
        ASSERT_EQ(ResizeSupport(in_size, out_size, begin, end, Interpolation::kNearest),
                  std::make_pair(from.front(), from.back() + 1));
      }
    }
  }
}

TEST(ColumnsFirstTest, WhereTheHeightShrinksByMoreThanTwiceAsMuchAsTheWidth) {
  EXPECT_FALSE(ColumnsFirst({100, 100}, {90, 81}));
  EXPECT_FALSE(ColumnsFirst({100, 100}, {90, 80}));
  EXPECT_TRUE(ColumnsFirst({100, 100}, {90, 79}));
  EXPECT_TRUE(ColumnsFirst({100, 100}, {100, 99}));
  EXPECT_TRUE(ColumnsFirst({100, 100}, {200, 99}));
  EXPECT_FALSE(ColumnsFirst({100, 100}, {200, 100}));
  EXPECT_FALSE(ColumnsFirst({100, 100}, {200, 101}));
  EXPECT_FALSE(ColumnsFirst({100, 100}, {50, 100}));
}

}  // namespace
}  // namespace stoker
