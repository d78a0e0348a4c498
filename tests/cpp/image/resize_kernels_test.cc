#include "image/resize_kernels.h"

#include <gtest/gtest.h>

#include <vector>

#include "image/simd.h"
#include "support/pixels.h"
#include "support/reference_ops.h"
#include "support/simd_target_test.h"

namespace stoker {
namespace {

using testing::Pixels;
using testing::ReferenceResizeColumns;
using testing::ReferenceResizeRows;
using testing::SamePixels;

constexpr Interpolation kMethods[] = {Interpolation::kBilinear, Interpolation::kBicubic};
constexpr int kGap = 5;  // guard bytes between rows, which also takes rows out of alignment

using Kernel = void (*)(const ImageView&, const ResizeWeights&, int, const MutableImageView&);

// Runs `kernel` and its oracle on outputs [begin, end) of a resize of one axis of `in` to `to`.
// The kernel sees only the part of the input that these outputs need.
void ExpectLikeOracle(bool rows, Size in, int to, int begin, int end, Interpolation method) {
  const Kernel kernel = rows ? &ResizeRows : &ResizeColumns;
  const Kernel oracle = rows ? &ResizeRowsScalar : &ResizeColumnsScalar;
  const int from = rows ? in.width : in.height;
  ResizeWeights weights;
  weights.Compute(from, to, begin, end, method);
  int first = from;
  int last = 0;
  for (const ResizeWeights::Run& run : weights.runs) {
    first = std::min(first, run.begin);
    last = std::max(last, run.begin + run.taps);
  }
  const Size part = rows ? Size{last - first, in.height} : Size{in.width, last - first};
  const Size out = rows ? Size{end - begin, in.height} : Size{in.width, end - begin};
  const Pixels input = Pixels::Random(part, static_cast<uint32_t>(from * 71 + to), kGap);
  Pixels expected(out);
  Pixels result(out, kGap);
  oracle(input.view(), weights, first, expected.mutable_view());
  kernel(input.view(), weights, first, result.mutable_view());
  ASSERT_TRUE(SamePixels(result.view(), expected.view()))
      << SimdTarget() << (rows ? " rows " : " columns ") << in.width << " x " << in.height << " to "
      << to << ", outputs " << begin << " to " << end;
  ASSERT_TRUE(result.GuardsAreIntact());
  ASSERT_TRUE(expected.GuardsAreIntact());
}

class ResizeKernelTest : public testing::SimdTargetTest {
 protected:
  // All outputs, and one window in their midst.
  static void ExpectLikeOracle(bool rows, Size in, int to) {
    for (const Interpolation method : kMethods) {
      stoker::ExpectLikeOracle(rows, in, to, 0, to, method);
      stoker::ExpectLikeOracle(rows, in, to, to / 3, (2 * to + 2) / 3, method);
    }
  }
};

INSTANTIATE_TEST_SUITE_P(EveryTarget, ResizeKernelTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

TEST_P(ResizeKernelTest, RowsOfEveryWidthAreAsByTheOracle) {
  for (int width = 1; width <= 70; ++width) {
    for (const int height : {1, 2, 3, 4, 5, 7, 9}) {
      for (const int to : {1, 1 + width / 3, width + 1, 2 * width + 3}) {
        ExpectLikeOracle(/*rows=*/true, {width, height}, to);
      }
    }
    // Every output width too.
    ExpectLikeOracle(/*rows=*/true, {33, 5}, width);
    ExpectLikeOracle(/*rows=*/true, {150, 5}, width);
  }
}

TEST_P(ResizeKernelTest, ColumnsOfEveryWidthAreAsByTheOracle) {
  for (int width = 1; width <= 70; ++width) {
    for (const int height : {1, 2, 3, 4, 5, 8, 13}) {
      for (const int to : {1, 1 + height / 2, height + 1, 3 * height}) {
        ExpectLikeOracle(/*rows=*/false, {width, height}, to);
      }
    }
  }
}

TEST_P(ResizeKernelTest, LargeFactorsAreAsByTheOracle) {
  for (const auto& [from, to] : {std::pair{4001, 1}, {4001, 3}, {1000, 224}, {2, 777}, {1, 300}}) {
    ExpectLikeOracle(/*rows=*/true, {from, 6}, to);
    ExpectLikeOracle(/*rows=*/false, {11, from}, to);
  }
}

// Black and white in the pattern of the weights' signs: the largest and smallest sums there are.
TEST_P(ResizeKernelTest, SumsBeyondBlackAndWhiteAreClippedAsByTheOracle) {
  for (const int to : {29, 90, 7}) {
    ResizeWeights weights;
    weights.Compute(30, to, 0, to, Interpolation::kBicubic);
    for (const bool bright : {false, true}) {
      for (int x = 0; x < to; ++x) {
        Pixels in({30, 4});
        const auto stride = static_cast<size_t>(weights.padded_taps);
        for (int y = 0; y < 4; ++y) std::fill_n(in.mutable_view().row(y), 90, uint8_t{0});
        const ResizeWeights::Run run = weights.runs[static_cast<size_t>(x)];
        for (int k = 0; k < run.taps; ++k) {
          const int32_t weight =
              weights.weights[static_cast<size_t>(x) * stride + static_cast<size_t>(k)];
          const bool white = bright == (weight > 0);
          for (int y = 0; y < 4; ++y) {
            std::fill_n(in.mutable_view().row(y) + (run.begin + k) * kChannels, kChannels,
                        white ? uint8_t{255} : uint8_t{0});
          }
        }
        Pixels result({to, 4});
        Pixels expected({to, 4});
        ResizeRows(in.view(), weights, 0, result.mutable_view());
        ResizeRowsScalar(in.view(), weights, 0, expected.mutable_view());
        ASSERT_TRUE(SamePixels(result.view(), expected.view())) << "to " << to << " at " << x;
        ASSERT_EQ(expected.view().row(3)[x * kChannels], bright ? 255 : 0);
      }
    }
  }
}

TEST(ResizeOracleTest, IsPillowsAlgorithm) {
  ResizeWeights weights;
  for (const Interpolation method : kMethods) {
    for (int from = 1; from <= 20; ++from) {
      for (int to = 1; to <= 41; to += 4) {
        if (from == to) continue;
        weights.Compute(from, to, 0, to, method);
        const Pixels wide = Pixels::Random({from, 3}, static_cast<uint32_t>(to));
        Pixels rows({to, 3});
        ResizeRowsScalar(wide.view(), weights, 0, rows.mutable_view());
        ASSERT_TRUE(SamePixels(rows.view(), ReferenceResizeRows(wide, to, method).view()));
        const Pixels high = Pixels::Random({3, from}, static_cast<uint32_t>(to));
        Pixels columns({3, to});
        ResizeColumnsScalar(high.view(), weights, 0, columns.mutable_view());
        ASSERT_TRUE(SamePixels(columns.view(), ReferenceResizeColumns(high, to, method).view()));
      }
    }
  }
}

}  // namespace
}  // namespace stoker
