// Changes of colour among the steps; see also geometry_test.cc and apply_colors_test.cc.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "image/geometry.h"
#include "support/ops.h"

namespace stoker {
namespace {

using testing::Flip;
using testing::Grayscale;
using testing::Jitter;
using testing::MakeOp;

Geometry Resolve(const std::vector<Op>& ops, Size in, const SampleKey& key = {}) {
  Geometry geometry;
  ResolveGeometry(ops, in, key, &geometry);
  return geometry;
}

constexpr int kDraws = 6000;

char Letter(StepKind kind) {
  switch (kind) {
    case StepKind::kBrightness: return 'b';
    case StepKind::kContrast: return 'c';
    case StepKind::kSaturation: return 's';
    case StepKind::kHue: return 'h';
    default: return '?';
  }
}

std::string Kinds(const Geometry& geometry) {
  std::string text;
  for (const Step& step : geometry.steps) text += Letter(step.kind);
  return text;
}

TEST(ColorJitterTest, TheFourComeInAnyOrderAlikeOften) {
  const Op jitter = Jitter({{{0.5, 2}, {0.5, 2}, {0.5, 2}, {-0.1, 0.1}}});
  std::map<std::string, int> counts;
  for (uint64_t index = 0; index < kDraws; ++index) {
    ++counts[Kinds(Resolve({jitter}, {9, 9}, {1, 0, index, 0}))];
  }
  ASSERT_EQ(counts.size(), 24U);
  const double share = 1.0 / 24;
  for (const auto& [order, count] : counts) {
    EXPECT_EQ(order.find('?'), std::string::npos);
    EXPECT_NEAR(count, kDraws * share, 6 * std::sqrt(kDraws * share * (1 - share))) << order;
  }
}

TEST(ColorJitterTest, FactorsFillTheirOwnRanges) {
  const std::array<std::array<double, 2>, 4> ranges{
      {{0.25, 0.5}, {1.5, 4.5}, {0.0, 0.125}, {-0.5, 0.25}}};
  std::map<StepKind, std::vector<int>> bins;
  for (uint64_t index = 0; index < kDraws; ++index) {
    const Geometry geometry = Resolve({Jitter(ranges)}, {9, 9}, {1, 0, index, 0});
    ASSERT_EQ(geometry.steps.size(), 4U);
    for (const Step& step : geometry.steps) {
      const auto& range = ranges[std::string("bcsh").find(Letter(step.kind))];
      const double at = (double{step.factor} - range[0]) / (range[1] - range[0]);
      ASSERT_TRUE(at >= 0 && at <= 1) << step.factor;
      auto& of_kind = bins[step.kind];
      of_kind.resize(11);
      ++of_kind[static_cast<size_t>(at * 10)];
    }
  }
  for (const auto& [kind, counts] : bins) {
    for (size_t i = 0; i < 10; ++i) {
      EXPECT_NEAR(counts[i], kDraws / 10, 6 * std::sqrt(kDraws * 0.09)) << Letter(kind) << i;
    }
  }
}

// The order and the factors have nothing to do with one another, nor the factors among themselves.
TEST(ColorJitterTest, FactorsAreDrawnApart) {
  double sums[4][4] = {};
  double first_is_brightness = 0;
  for (uint64_t index = 0; index < kDraws; ++index) {
    const Geometry geometry =
        Resolve({Jitter({{{0, 2}, {0, 2}, {0, 2}, {-0.5, 0.5}}})}, {9, 9}, {1, 0, index, 0});
    double factors[4] = {};
    for (const Step& step : geometry.steps) {
      const size_t i = std::string("bcsh").find(Letter(step.kind));
      factors[i] = i == 3 ? 2 * double{step.factor} : double{step.factor} - 1;
    }
    for (size_t i = 0; i < 4; ++i) {
      for (size_t j = 0; j < i; ++j) sums[i][j] += factors[i] * factors[j];
    }
    if (geometry.steps[0].kind == StepKind::kBrightness) first_is_brightness += factors[0];
  }
  // Each product's standard deviation is 1/3.
  for (const auto& row : sums) {
    for (const double sum : row) EXPECT_NEAR(sum, 0, 6 * std::sqrt(kDraws) / 3);
  }
  EXPECT_NEAR(first_is_brightness, 0, 6 * std::sqrt(kDraws / 4.0 / 3.0));
}

TEST(ColorJitterTest, NeutralRangesMakeNoStep) {
  EXPECT_TRUE(Resolve({MakeOp(OpKind::kColorJitter)}, {9, 9}).steps.empty());
  const char* const kNames[] = {"b", "c", "s", "h"};
  for (size_t i = 0; i < 4; ++i) {
    Op jitter = MakeOp(OpKind::kColorJitter);
    jitter.jitter[i] = {0.25, 0.25};
    const Geometry geometry = Resolve({jitter}, {9, 9});
    EXPECT_EQ(Kinds(geometry), kNames[i]);
    EXPECT_EQ(geometry.steps[0].factor, 0.25F);
    // The neutral value of another one is not neutral here.
    jitter.jitter[i] = i == 3 ? std::array<double, 2>{1, 1} : std::array<double, 2>{0, 0};
    EXPECT_EQ(Kinds(Resolve({jitter}, {9, 9})), kNames[i]);
  }
}

// One that makes no step takes no numbers from the others.
TEST(ColorJitterTest, AFactorDoesNotDependOnTheOthersRanges) {
  for (uint64_t index = 0; index < 100; ++index) {
    const SampleKey key{1, 0, index, 0};
    const auto hue_of = [&](const Op& op) {
      for (const Step& step : Resolve({op}, {9, 9}, key).steps) {
        if (step.kind == StepKind::kHue) return step.factor;
      }
      return -1.0F;
    };
    EXPECT_EQ(hue_of(Jitter({{{1, 1}, {1, 1}, {1, 1}, {-0.5, 0.5}}})),
              hue_of(Jitter({{{0, 3}, {0.5, 2}, {1, 2}, {-0.5, 0.5}}})));
  }
}

TEST(RandomGrayscaleTest, HappensAsOftenAsItsProbabilitySays) {
  for (const double probability : {0.0, 0.1, 0.5, 1.0}) {
    int grays = 0;
    for (uint64_t index = 0; index < kDraws; ++index) {
      const Geometry geometry = Resolve({Grayscale(probability)}, {9, 9}, {1, 0, index, 0});
      if (geometry.steps.empty()) continue;
      ASSERT_EQ(geometry.steps.size(), 1U);
      ASSERT_EQ(geometry.steps[0].kind, StepKind::kGrayscale);
      ASSERT_EQ(geometry.steps[0].factor, 0.0F);
      ++grays;
    }
    EXPECT_NEAR(grays, kDraws * probability,
                6 * std::sqrt(kDraws * probability * (1 - probability)));
  }
}

Op One(size_t which, double factor) {
  Op jitter = MakeOp(OpKind::kColorJitter);
  jitter.jitter[which] = {factor, factor};
  return jitter;
}

TEST(ColorStepsTest, FlipsStayPendingBehindThem) {
  for (const Op& color : {One(0, 2), One(1, 2), One(2, 2), One(3, 0.25), Grayscale(1)}) {
    const Geometry geometry =
        Resolve({Flip(1), color, Flip(1, OpKind::kRandomVerticalFlip)}, {9, 9});
    EXPECT_TRUE(geometry.flip_horizontal && geometry.flip_vertical);
    EXPECT_EQ(geometry.steps.size(), 1U);
  }
}

TEST(ColorStepsTest, KeepTheSizeAndNeedTheirWindowOnly) {
  const Op crop = MakeOp(OpKind::kCenterCrop, {10, 6});
  const Rect window{15, 7, 10, 6};
  for (const Op& color : {One(0, 2), One(2, 2), One(3, 0.25), Grayscale(1)}) {
    const Geometry geometry = Resolve({color, crop}, {40, 20});
    ASSERT_EQ(geometry.steps.size(), 2U);
    EXPECT_EQ(geometry.decode, window);
    const Step& step = geometry.steps[0];
    EXPECT_EQ(step.in, (Size{40, 20}));
    EXPECT_EQ(step.out, (Size{40, 20}));
    EXPECT_EQ(step.in_window, window);
    EXPECT_EQ(step.out_window, window);
  }
}

// Whose mean it needs: whatever comes behind it, but not what a crop took away before.
TEST(ColorStepsTest, ContrastNeedsTheWholeOfItsInputToMakeAWindowOfIt) {
  const Op crop = MakeOp(OpKind::kCenterCrop, {10, 6});
  const Geometry before = Resolve({One(0, 2), One(1, 2), crop}, {40, 20});
  EXPECT_EQ(before.decode, (Rect{0, 0, 40, 20}));
  ASSERT_EQ(before.steps.size(), 3U);
  EXPECT_EQ(before.steps[0].out_window, (Rect{0, 0, 40, 20}));
  EXPECT_EQ(before.steps[1].in_window, (Rect{0, 0, 40, 20}));
  EXPECT_EQ(before.steps[1].out_window, (Rect{15, 7, 10, 6}));
  const Geometry behind = Resolve({crop, One(1, 2)}, {40, 20});
  EXPECT_EQ(behind.decode, (Rect{15, 7, 10, 6}));
  const Geometry between =
      Resolve({MakeOp(OpKind::kCenterCrop, {20, 10}), One(1, 2), crop}, {40, 20});
  EXPECT_EQ(between.decode, (Rect{10, 5, 20, 10}));
}

}  // namespace
}  // namespace stoker
