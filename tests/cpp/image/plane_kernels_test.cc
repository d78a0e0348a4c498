#include "image/plane_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "image/simd.h"
#include "support/reference_planes.h"
#include "support/simd_target_test.h"

namespace stoker {
namespace {

using testing::NoisePlane;
using testing::PlaneLine;

constexpr Interpolation kMethods[] = {Interpolation::kBilinear, Interpolation::kBicubic};
constexpr double kScales[] = {1.0 / 8, 1.0 / 3, 0.9, 1.0, 1.3, 2.6, 7.0, 20.0};
constexpr uint8_t kGuard = 0xA5;
constexpr ptrdiff_t kBeyond = 64;  // bytes that kernels may read behind what they look at

enum class Fill { kNoise, kConstant, kCheckers };
constexpr Fill kFills[] = {Fill::kNoise, Fill::kConstant, Fill::kCheckers};

// Samples at (left, top) and no more than a kernel may read.
class Source {
 public:
  Source(Size size, int left, int top, Fill fill, uint32_t seed)
      : row_bytes_(size.width + 3),
        left_(left),
        top_(top),
        bytes_(static_cast<size_t>(row_bytes_ * (size.height - 1) + size.width + kBeyond), kGuard) {
    const NoisePlane noise(size, seed);
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        uint8_t& to = bytes_[static_cast<size_t>(y * row_bytes_ + x)];
        switch (fill) {
          case Fill::kNoise: to = noise.at(x, y); break;
          case Fill::kConstant: to = static_cast<uint8_t>(seed * 37); break;
          case Fill::kCheckers: to = (x + y) % 2 == 0 ? uint8_t{0} : uint8_t{255}; break;
        }
      }
    }
  }
  PlaneRows rows() const { return {bytes_.data(), row_bytes_, left_, top_}; }

 private:
  ptrdiff_t row_bytes_;
  int left_, top_;
  std::vector<uint8_t> bytes_;
};

// Where a kernel writes to: rows of whole multiples of 64 bytes, and guards behind the last.
class Result {
 public:
  explicit Result(Size size)
      : size_(size),
        row_bytes_((size.width + 63) / 64 * 64),
        bytes_(static_cast<size_t>(row_bytes_ * size.height) + 256, kGuard) {}
  MutablePlaneRows rows() { return {bytes_.data(), row_bytes_, size_.width, size_.height}; }
  uint8_t at(int x, int y) const { return bytes_[static_cast<size_t>(y * row_bytes_ + x)]; }
  bool GuardsAreIntact() const {
    return std::all_of(bytes_.end() - 256, bytes_.end(), [](uint8_t b) { return b == kGuard; });
  }
  friend bool operator==(const Result& a, const Result& b) {
    for (int y = 0; y < a.size_.height; ++y) {
      for (int x = 0; x < a.size_.width; ++x) {
        if (a.at(x, y) != b.at(x, y)) return false;
      }
    }
    return true;
  }

 private:
  Size size_;
  ptrdiff_t row_bytes_;
  std::vector<uint8_t> bytes_;
};

PlaneWeights WeightsOf(const PlaneLine& line, int to, int begin, int end, Interpolation method) {
  PlaneWeights weights;
  weights.Compute(line.Axis(to, begin, end, method));
  return weights;
}
PlaneWeights WeightsOf(int from, int to, Interpolation method) {
  return WeightsOf(PlaneLine::Of(from, 0, from, 1, 1, false), to, 0, to, method);
}

// Kernel and oracle on the samples that these weights look at, `other` lines of them.
void ExpectLikeOracle(bool rows, const PlaneWeights& weights, int other, Fill fill) {
  const int length = weights.end - weights.begin;
  const auto outputs = static_cast<int>(weights.runs.size());
  const Size in = rows ? Size{length, other} : Size{other, length};
  const Size out = rows ? Size{outputs, other} : Size{other, outputs};
  // The line that is not resized may begin anywhere.
  const Source source(in, rows ? weights.begin : -3, rows ? 7 : weights.begin, fill,
                      static_cast<uint32_t>(length + 71 * outputs));
  Result result(out);
  Result expected(out);
  (rows ? ResizePlaneRows : ResizePlaneColumns)(source.rows(), weights, result.rows());
  (rows ? ResizePlaneRowsScalar : ResizePlaneColumnsScalar)(source.rows(), weights,
                                                            expected.rows());
  ASSERT_TRUE(result == expected) << SimdTarget() << (rows ? " rows " : " columns ") << in.width
                                  << " x " << in.height << " to " << out.width << " x "
                                  << out.height << ", fill " << static_cast<int>(fill);
  ASSERT_TRUE(result.GuardsAreIntact());
  ASSERT_TRUE(expected.GuardsAreIntact());
}

class PlaneKernelTest : public testing::SimdTargetTest {};

INSTANTIATE_TEST_SUITE_P(EveryTarget, PlaneKernelTest, ::testing::ValuesIn(SimdTargets()),
                         [](const auto& test) { return test.param; });

TEST_P(PlaneKernelTest, EverySizeAtEveryScaleIsAsByTheOracle) {
  for (const Interpolation method : kMethods) {
    for (int width = 1; width <= 70; ++width) {
      for (int height = 1; height <= 9; ++height) {
        const double scale = kScales[(width * 9 + height) % 8];
        const auto to = [scale](int from) { return std::max(1, static_cast<int>(from / scale)); };
        const PlaneWeights across = WeightsOf(width, to(width), method);
        const PlaneWeights down = WeightsOf(height, to(height), method);
        for (const Fill fill : kFills) {
          ExpectLikeOracle(/*rows=*/true, across, height, fill);
          ExpectLikeOracle(/*rows=*/false, down, width, fill);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST_P(PlaneKernelTest, EveryNumberOfOutputsIsAsByTheOracle) {
  for (const Interpolation method : kMethods) {
    for (int to = 1; to <= 70; ++to) {
      for (const int from : {33, 150, 1000}) {
        const PlaneWeights weights = WeightsOf(from, to, method);
        ExpectLikeOracle(/*rows=*/true, weights, 5, Fill::kNoise);
        ExpectLikeOracle(/*rows=*/false, weights, 17, Fill::kNoise);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(PlaneKernelTest, ChromaAndWindowsInsideAreAsByTheOracle) {
  for (const Interpolation method : kMethods) {
    for (const int factor : {1, 2, 4}) {
      for (const int size : {30, 90, 240}) {
        const PlaneLine line = PlaneLine::Of(300, 23, size, 1, factor, factor == 2);
        for (const auto& [begin, end] : {std::pair{0, 50}, {11, 12}, {9, 42}}) {
          const PlaneWeights weights = WeightsOf(line, 50, begin, end, method);
          for (const int other : {1, 4, 7, 70}) {
            ExpectLikeOracle(/*rows=*/true, weights, other, Fill::kNoise);
            ExpectLikeOracle(/*rows=*/false, weights, other, Fill::kCheckers);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

// Black and white as the weights' signs have them: the largest and smallest sums there are.
TEST_P(PlaneKernelTest, SumsBeyondBlackAndWhiteAreLimited) {
  for (const int to : {7, 29, 90}) {
    const PlaneWeights weights = WeightsOf(30, to, Interpolation::kBicubic);
    for (const bool bright : {false, true}) {
      for (int i = 0; i < to; ++i) {
        std::vector<uint8_t> line(32 + kBeyond);
        const PlaneWeights::Run run = weights.runs[static_cast<size_t>(i)];
        for (int k = 0; k < run.taps; ++k) {
          const bool positive = weights.weights[static_cast<size_t>(i * weights.taps + k)] > 0;
          line[static_cast<size_t>(run.begin + k)] = positive == bright ? 255 : 0;
        }
        Result rows({to, 1});
        ResizePlaneRows({line.data(), 32, 0, 0}, weights, rows.rows());
        ASSERT_EQ(rows.at(i, 0), bright ? 255 : 0) << "to " << to << ", output " << i;
        Result rows_scalar({to, 1});
        ResizePlaneRowsScalar({line.data(), 32, 0, 0}, weights, rows_scalar.rows());
        ASSERT_TRUE(rows == rows_scalar);
        line.resize(line.size() + 1);
        Result columns({1, to});
        ResizePlaneColumns({line.data(), 1, 0, 0}, weights, columns.rows());
        for (int x = 0; x < to; ++x) ASSERT_EQ(columns.at(0, x), rows.at(x, 0));
      }
    }
  }
}

TEST_P(PlaneKernelTest, ConstantsArePreserved) {
  for (const Interpolation method : kMethods) {
    for (const double scale : kScales) {
      for (const int factor : {1, 2}) {
        const PlaneLine line = PlaneLine::Of(160, 12, 120, 1, factor, true);
        const int to = static_cast<int>(120 / scale);
        const PlaneWeights weights = WeightsOf(line, to, 0, to, method);
        const int length = weights.end - weights.begin;
        for (int value = 0; value < 256; ++value) {
          const std::vector<uint8_t> bytes(static_cast<size_t>(length * 2) + kBeyond,
                                           static_cast<uint8_t>(value));
          Result rows({to, 2});
          ResizePlaneRows({bytes.data(), length, weights.begin, 0}, weights, rows.rows());
          Result columns({2, to});
          ResizePlaneColumns({bytes.data(), 2, 0, weights.begin}, weights, columns.rows());
          for (int i = 0; i < to; ++i) {
            ASSERT_EQ(rows.at(i, 1), value) << "scale " << scale << ", output " << i;
            ASSERT_EQ(columns.at(1, i), value) << "scale " << scale << ", output " << i;
          }
        }
      }
    }
  }
}

TEST(PlaneOracleTest, IsTheWeightedSumButForRounding) {
  for (const Interpolation method : kMethods) {
    for (const int factor : {1, 2}) {
      for (const int size : {1, 2, 9, 40, 160}) {
        for (const double scale : kScales) {
          const int to = std::max(1, static_cast<int>(size / scale));
          const PlaneLine line = PlaneLine::Of(size, 0, size, 1, factor, factor == 2);
          const NoisePlane noise({line.plane_size, line.plane_size}, static_cast<uint32_t>(size));
          std::vector<uint8_t> bytes;
          for (int y = 0; y < line.plane_size; ++y) {
            for (int x = 0; x < line.plane_size; ++x) bytes.push_back(noise.at(x, y));
          }
          const PlaneWeights weights = WeightsOf(line, to, 0, to, method);
          const auto expected = ComposedWeights(line, to, method);
          Result rows({to, line.plane_size});
          ResizePlaneRowsScalar({bytes.data(), line.plane_size, -line.base(), 0}, weights,
                                rows.rows());
          Result columns({line.plane_size, to});
          ResizePlaneColumnsScalar({bytes.data(), line.plane_size, 0, -line.base()}, weights,
                                   columns.rows());
          for (int i = 0; i < to; ++i) {
            for (int other = 0; other < line.plane_size; ++other) {
              double across = 0;
              double down = 0;
              for (int s = 0; s < line.plane_size; ++s) {
                const double w = expected[static_cast<size_t>(i)][static_cast<size_t>(s)];
                across += w * noise.at(s, other);
                down += w * noise.at(other, s);
              }
              // Half a level to round, and a little for the weights and the terms.
              ASSERT_NEAR(rows.at(i, other), std::clamp(across, 0.0, 255.0), 0.75);
              ASSERT_NEAR(columns.at(other, i), std::clamp(down, 0.0, 255.0), 0.75);
            }
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace stoker
