#include "image/plane_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

#include "image/resize_weights.h"
#include "support/reference_planes.h"

namespace stoker {
namespace {

using testing::ComposedWeights;
using testing::PlaneLine;

constexpr int kOne = 1 << kPlaneWeightBits;
constexpr Interpolation kMethods[] = {Interpolation::kBilinear, Interpolation::kBicubic};

struct Kind {
  int factor;
  bool triangle;
};
constexpr Kind kKinds[] = {{1, false}, {1, true}, {2, true}, {2, false}, {4, false}};

std::string Text(const PlaneLine& line, int out_size) {
  return "crop " + std::to_string(line.size) + " at " + std::to_string(line.begin) + ", scale " +
         std::to_string(line.scale) + ", factor " + std::to_string(line.factor) +
         (line.triangle ? " triangle" : "") + ", plane " + std::to_string(line.plane_size) +
         ", to " + std::to_string(out_size);
}

PlaneWeights Computed(const PlaneAxis& axis) {
  PlaneWeights weights;
  weights.Compute(axis);
  return weights;
}

// Output `i`'s weights by sample from base on.
std::vector<int> Dense(const PlaneWeights& weights, size_t i) {
  std::vector<int> dense(static_cast<size_t>(weights.axis.last) + 1);
  const PlaneWeights::Run run = weights.runs[i];
  for (int k = 0; k < run.taps; ++k) {
    dense[static_cast<size_t>(run.begin + k)] +=
        weights.weights[i * static_cast<size_t>(weights.taps) + static_cast<size_t>(k)];
  }
  return dense;
}

// The same from the steps, as the kernel goes through them.
std::vector<int> DenseBySteps(const PlaneWeights& weights, size_t i) {
  std::vector<int> dense(static_cast<size_t>(weights.axis.last) + 1);
  const PlaneWeights::Group group = weights.groups[i / kPlaneGroup];
  const size_t lane = i % kPlaneGroup;
  for (int s = group.begin; s < group.begin + group.count; ++s) {
    const PlaneWeights::Step& step = weights.steps[static_cast<size_t>(s)];
    EXPECT_EQ(step.pick[2 * lane], 128);
    const int pick = step.pick[2 * lane + 1];
    if (pick == 128) {
      EXPECT_EQ(step.weights[lane], 0);
      continue;
    }
    EXPECT_LT(pick, kPlaneWindow);
    dense.at(static_cast<size_t>(weights.offsets[static_cast<size_t>(s)] + pick)) +=
        step.weights[lane];
  }
  return dense;
}

// All that holds for any weights, whatever their values.
void ExpectSound(const PlaneWeights& w) {
  const auto outputs = static_cast<size_t>(w.axis.out_end - w.axis.out_begin);
  ASSERT_EQ(w.runs.size(), outputs);
  ASSERT_EQ(w.weights.size(), outputs * static_cast<size_t>(w.taps));
  ASSERT_EQ(w.groups.size(), (outputs + kPlaneGroup - 1) / kPlaneGroup);
  ASSERT_EQ(w.offsets.size(), w.steps.size());
  int begin = w.axis.last + 1;
  int end = 0;
  int taps = 0;
  for (size_t i = 0; i < outputs; ++i) {
    const PlaneWeights::Run run = w.runs[i];
    ASSERT_GE(run.taps, 1);
    ASSERT_GE(run.begin, w.axis.first);
    ASSERT_LE(run.begin + run.taps - 1, w.axis.last);
    begin = std::min(begin, run.begin);
    end = std::max(end, run.begin + run.taps);
    taps = std::max(taps, run.taps);
    int sum = 0;
    int magnitude = 0;
    for (int k = 0; k < w.taps; ++k) {
      const int weight = w.weights[i * static_cast<size_t>(w.taps) + static_cast<size_t>(k)];
      if (k >= run.taps) {
        ASSERT_EQ(weight, 0);
      }
      sum += weight;
      magnitude += std::abs(weight);
    }
    ASSERT_EQ(sum, kOne) << "output " << i;
    ASSERT_LT(magnitude, 2 * kOne) << "output " << i;  // what the kernels' 16-bit sums rely on
    ASSERT_EQ(DenseBySteps(w, i), Dense(w, i)) << "output " << i;
  }
  ASSERT_EQ(w.begin, begin);
  ASSERT_EQ(w.end, end);
  ASSERT_EQ(w.taps, taps);
  size_t step = 0;
  for (const PlaneWeights::Group& group : w.groups) {
    ASSERT_EQ(static_cast<size_t>(group.begin), step);
    step += static_cast<size_t>(group.count);
  }
  ASSERT_EQ(step, w.steps.size());
}

// `expected` · 2^14, each rounded, but the largest, which makes the sum right.
void ExpectRounded(const std::vector<double>& expected, const std::vector<int>& dense, int base) {
  double largest = 0;
  for (const int weight : dense) largest = std::max(largest, double(weight));
  int exceptions = 0;
  for (size_t s = 0; s < dense.size(); ++s) {
    const int at = base + static_cast<int>(s);
    const bool there = at >= 0 && at < static_cast<int>(expected.size());
    const double want = there ? expected[static_cast<size_t>(at)] * kOne : 0.0;
    const double away = std::fabs(dense[s] - want);
    if (away <= 0.502) continue;
    ++exceptions;
    // Rounding leaves half a unit for each weight at the most; twice as much moves the largest.
    ASSERT_GE(want + 2 * away + 1, largest) << "sample " << s;
    ASSERT_LE(away, 0.5 * static_cast<double>(dense.size()) + 0.5) << "sample " << s;
  }
  ASSERT_LE(exceptions, 1);
}

void ExpectComposed(const PlaneLine& line, int out_size, Interpolation method) {
  const testing::Weights expected = ComposedWeights(line, out_size, method);
  const PlaneWeights weights = Computed(line.Axis(out_size, method));
  ExpectSound(weights);
  for (size_t i = 0; i < expected.size() && !::testing::Test::HasFatalFailure(); ++i) {
    ExpectRounded(expected[i], Dense(weights, i), line.base());
  }
  if (::testing::Test::HasFatalFailure()) FAIL() << Text(line, out_size);
}

TEST(PlaneWeightsTest, LumasAreThoseOfPillow) {
  for (const Interpolation method : kMethods) {
    for (const int size : {1, 2, 3, 5, 8, 21, 64, 101, 350}) {
      for (const int out_size : {1, 2, 5, 9, 21, 40, 224}) {
        for (const auto& [out_begin, out_end] :
             {std::pair{0, out_size}, {out_size / 3, (2 * out_size + 2) / 3}}) {
          const PlaneLine line = PlaneLine::Of(size + 50, 30, size, 1, 1, false);
          const PlaneWeights weights = Computed(line.Axis(out_size, out_begin, out_end, method));
          ExpectSound(weights);
          ResizeWeights pillow;
          pillow.Compute(size, out_size, out_begin, out_end, method);
          for (size_t i = 0; i < weights.runs.size(); ++i) {
            std::vector<double> expected(static_cast<size_t>(size + 50));
            for (int k = 0; k < pillow.runs[i].taps; ++k) {
              const size_t at = i * static_cast<size_t>(pillow.padded_taps) + size_t(k);
              expected[static_cast<size_t>(line.begin + pillow.runs[i].begin + k)] =
                  pillow.weights[at] / static_cast<double>(1 << kWeightBits);
            }
            ExpectRounded(expected, Dense(weights, i), line.base());
          }
          if (HasFatalFailure()) FAIL() << Text(line, out_size);
        }
      }
    }
  }
}

TEST(PlaneWeightsTest, EveryPlanesAreTheFiltersBehindTheUpsampling) {
  constexpr int kPixels = 61;
  for (const Interpolation method : kMethods) {
    for (const Kind kind : kKinds) {
      // Crops that touch either edge of the image, both or none, at every phase.
      for (const int size : {1, 2, 3, 4, 7, 16, 33, 52, 61}) {
        for (int begin = 0; begin + size <= kPixels; begin += begin < 9 ? 1 : 5) {
          const PlaneLine line = PlaneLine::Of(kPixels, begin, size, 1, kind.factor, kind.triangle);
          for (const int out_size : {1, 3, 8, 20, 70}) ExpectComposed(line, out_size, method);
        }
        const PlaneLine last =
            PlaneLine::Of(kPixels, kPixels - size, size, 1, kind.factor, kind.triangle);
        for (const int out_size : {1, 3, 8, 20, 70}) ExpectComposed(last, out_size, method);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(PlaneWeightsTest, TinyPlanesHaveWeightsOfWhatIsThere) {
  for (const Interpolation method : kMethods) {
    for (const Kind kind : kKinds) {
      for (int pixels = 1; pixels <= 9; ++pixels) {
        for (int begin = 0; begin < pixels; ++begin) {
          for (int size = 1; begin + size <= pixels; ++size) {
            const PlaneLine line =
                PlaneLine::Of(pixels, begin, size, 1, kind.factor, kind.triangle);
            for (const int out_size : {1, 2, 7, 16}) ExpectComposed(line, out_size, method);
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(PlaneWeightsTest, ReducedPlanesAreCroppedBetweenTheirSamples) {
  constexpr int kPixels = 397;
  for (const Interpolation method : kMethods) {
    for (const Kind kind : kKinds) {
      for (const int scale : {2, 4, 8}) {
        for (const int size : {32, 100, 201, 397}) {
          for (int begin = 0; begin + size <= kPixels; begin += 13) {
            const PlaneLine line =
                PlaneLine::Of(kPixels, begin, size, scale, kind.factor, kind.triangle);
            for (const int out_size : {1, 8, 11}) {
              if (size < 2 * scale * out_size) continue;  // less than DCT scaling leaves
              ExpectComposed(line, out_size, method);
            }
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }
}

TEST(PlaneWeightsTest, AWindowsWeightsAreThoseOfTheWhole) {
  for (const Kind kind : kKinds) {
    for (const int out_size : {30, 97}) {
      const PlaneLine line = PlaneLine::Of(200, 21, 150, 1, kind.factor, kind.triangle);
      const PlaneWeights whole = Computed(line.Axis(out_size, Interpolation::kBicubic));
      for (const auto& [begin, end] : {std::pair{0, 1}, {7, 20}, {13, 29}, {29, 30}}) {
        const PlaneWeights part =
            Computed(line.Axis(out_size, begin, end, Interpolation::kBicubic));
        ExpectSound(part);
        for (int i = begin; i < end; ++i) {
          ASSERT_EQ(Dense(part, static_cast<size_t>(i - begin)),
                    Dense(whole, static_cast<size_t>(i)));
        }
      }
    }
  }
}

TEST(PlaneWeightsTest, OutputsThatFitInOneWindowTakeAStepForEachTapAlone) {
  for (const int factor : {1, 2}) {
    const PlaneLine line = PlaneLine::Of(500, 100, 100, 1, factor, factor == 2);
    const PlaneWeights weights = Computed(line.Axis(100, Interpolation::kBicubic));
    for (size_t g = 0; g < weights.groups.size(); ++g) {
      int taps = 0;
      for (size_t i = g * kPlaneGroup; i < std::min<size_t>(100, (g + 1) * kPlaneGroup); ++i) {
        taps = std::max(taps, weights.runs[i].taps);
      }
      ASSERT_EQ(weights.groups[g].count, taps);
    }
  }
}

TEST(PlaneWeightsTest, ALongRunIsTakenInWholeWindows) {
  const PlaneWeights weights = Computed(PlaneLine::Of(300, 0, 300, 1, 1, false)  // to one output
                                            .Axis(1, Interpolation::kBilinear));
  ASSERT_EQ(weights.steps.size(), 300U);
  for (size_t s = 0; s < 300; ++s) {
    ASSERT_EQ(weights.offsets[s],
              weights.begin + static_cast<int>(s) / kPlaneWindow * kPlaneWindow);
  }
}

TEST(PlaneWeightsTest, ComputingAgainLeavesNothingBehind) {
  const PlaneLine wide = PlaneLine::Of(900, 100, 700, 1, 2, true);
  const PlaneLine narrow = PlaneLine::Of(50, 3, 20, 1, 1, false);
  PlaneWeights reused = Computed(wide.Axis(20, Interpolation::kBicubic));
  reused.Compute(narrow.Axis(31, Interpolation::kBilinear));
  const PlaneWeights fresh = Computed(narrow.Axis(31, Interpolation::kBilinear));
  ExpectSound(reused);
  EXPECT_EQ(reused.weights, fresh.weights);
  EXPECT_EQ(reused.offsets, fresh.offsets);
  EXPECT_EQ(reused.taps, fresh.taps);
}

TEST(PlaneAxisTest, CropsInsideShareAnAxisWhereverTheyAre) {
  for (const Kind kind : kKinds) {
    for (const int scale : {1, 2, 8}) {
      const int unit = scale * kind.factor;
      for (int offset = 0; offset < unit; ++offset) {
        for (const int size : {1, 2, 7, 40}) {
          const auto axis_at = [&](int units) {
            return PlaneLine::Of(100 * unit, units * unit + offset, size, scale, kind.factor,
                                 kind.triangle)
                .Axis(9, Interpolation::kBilinear);
          };
          const PlaneAxis inside = axis_at(20);
          for (const int units : {1, 2, 21, 50}) {
            ASSERT_TRUE(axis_at(units) == inside);
            ASSERT_EQ(axis_at(units).Hash(), inside.Hash());
          }
          ASSERT_FALSE(axis_at(0) == inside);  // nothing before it
          // The last sample under the crop is the plane's last one.
          ASSERT_FALSE(axis_at(100 - (offset + size + unit - 1) / unit) == inside);
          ASSERT_TRUE(axis_at(100 - (offset + size + unit - 1) / unit - 1) == inside);
        }
      }
    }
  }
}

TEST(PlaneAxisTest, AnyOtherFieldMakesAnotherAxis) {
  const PlaneAxis axis =
      PlaneLine::Of(200, 21, 90, 2, 2, true).Axis(50, 3, 40, Interpolation::kBilinear);
  std::vector<PlaneAxis> others(11, axis);
  others[0].offset += 1;
  others[1].size += 1;
  others[2].scale *= 2;
  others[3].factor = 1;
  others[4].triangle = false;
  others[5].out_size += 1;
  others[6].out_begin += 1;
  others[7].out_end += 1;
  others[8].first = 1 - axis.first;
  others[9].last -= 1;
  others[10].interpolation = Interpolation::kBicubic;
  for (size_t i = 0; i < others.size(); ++i) {
    EXPECT_FALSE(others[i] == axis) << i;
    EXPECT_NE(others[i].Hash(), axis.Hash()) << i;
  }
}

}  // namespace
}  // namespace stoker
