// Choices among operations, padding and erasing; see also geometry_test.cc and
// geometry_colors_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "image/geometry.h"
#include "support/ops.h"

namespace stoker {
namespace {

using testing::Choice;
using testing::Flip;
using testing::Grayscale;
using testing::Group;
using testing::MakeOp;
using testing::PadBy;

Geometry Resolve(const std::vector<Op>& ops, Size in, const SampleKey& key = {}) {
  Geometry geometry;
  ResolveGeometry(ops, in, key, &geometry);
  return geometry;
}

constexpr int kDraws = 6000;

// Six standard deviations of how many of kDraws come true.
double Wide(double probability) { return 6 * std::sqrt(kDraws * probability * (1 - probability)); }

// How often each text comes for kDraws samples.
template <typename TextOf>
std::map<std::string, int> Counts(const std::vector<Op>& ops, Size in, const TextOf& text_of) {
  std::map<std::string, int> counts;
  for (uint64_t index = 0; index < kDraws; ++index) {
    ++counts[text_of(Resolve(ops, in, {1, 0, index, 0}))];
  }
  return counts;
}

// Steps by what is left of them: their size, or that they make gray.
std::string Steps(const Geometry& geometry) {
  std::string text;
  for (const Step& step : geometry.steps) {
    text += step.kind == StepKind::kGrayscale ? "g" : std::to_string(step.out.width);
  }
  return text;
}

Op Crop(int side) { return MakeOp(OpKind::kCenterCrop, {side, side}); }

TEST(RandomApplyTest, TakesAllItsOperationsOrNoneAsOftenAsItsProbabilitySays) {
  for (const double probability : {0.0, 0.25, 0.5, 1.0}) {
    const Op apply = Group(OpKind::kRandomApply, {Crop(8), Grayscale(1), Crop(5)}, probability);
    auto counts = Counts({apply}, {9, 9}, Steps);
    EXPECT_NEAR(counts["8g5"], kDraws * probability, Wide(probability));
    EXPECT_EQ(counts["8g5"] + counts[""], kDraws);
  }
}

TEST(RandomApplyTest, ChildrenDrawApartFromIt) {
  auto counts =
      Counts({Group(OpKind::kRandomApply, {Grayscale(0.5), Grayscale(0.5)})}, {9, 9}, Steps);
  EXPECT_NEAR(counts["gg"], kDraws * 0.125, Wide(0.125));
  EXPECT_NEAR(counts["g"], kDraws * 0.25, Wide(0.25));
  EXPECT_NEAR(counts[""], kDraws * 0.625, Wide(0.625));
}

TEST(RandomChoiceTest, WithoutWeightsTakesEachAlikeOften) {
  auto counts = Counts({Choice({Crop(8), Crop(7), Crop(6), Crop(5)})}, {9, 9}, Steps);
  ASSERT_EQ(counts.size(), 4U);
  for (const auto& [steps, count] : counts) EXPECT_NEAR(count, kDraws * 0.25, Wide(0.25)) << steps;
}

// torchvision divides by the weights' sum.
TEST(RandomChoiceTest, TakesEachAsOftenAsItsShareOfTheWeights) {
  const std::vector<double> weights{0.0, 3.0, 0.0, 0.5, 1.5, 0.0};
  auto counts = Counts({Choice({Crop(8), Crop(7), Crop(6), Crop(5), Crop(4), Crop(3)}, weights)},
                       {9, 9}, Steps);
  ASSERT_EQ(counts.size(), 3U) << "those without a weight are never chosen";
  EXPECT_NEAR(counts["7"], kDraws * 0.6, Wide(0.6));
  EXPECT_NEAR(counts["5"], kDraws * 0.1, Wide(0.1));
  EXPECT_NEAR(counts["4"], kDraws * 0.3, Wide(0.3));
}

// Half the least number there is rounds to none or to all of it, which is beyond the last weight.
TEST(RandomChoiceTest, RoundingDoesNotLeadToOneWithoutAWeight) {
  const Op choice = Choice({Crop(8), Crop(7), Crop(6)}, {0.0, 5e-324, 0.0});
  auto counts = Counts({choice}, {9, 9}, Steps);
  EXPECT_EQ(counts["7"], kDraws);
}

TEST(RandomChoiceTest, OfOneOrOfNoneIsNoChoice) {
  EXPECT_EQ(Steps(Resolve({Choice({Crop(4)})}, {9, 9})), "4");
  EXPECT_EQ(Steps(Resolve({Choice({Crop(4), Crop(3)}, {0.0, 1e-300})}, {9, 9})), "3");
  EXPECT_EQ(Steps(Resolve({Choice({})}, {9, 9})), "");
  EXPECT_EQ(Steps(Resolve({Group(OpKind::kRandomOrder, {})}, {9, 9})), "");
  EXPECT_EQ(Steps(Resolve({Group(OpKind::kRandomApply, {}, 1)}, {9, 9})), "");
}

TEST(RandomOrderTest, AllOrdersComeAlikeOften) {
  const auto resize = [](int side) { return MakeOp(OpKind::kResize, {side, side}); };
  auto counts =
      Counts({Group(OpKind::kRandomOrder, {resize(1), resize(2), resize(3)})}, {9, 9}, Steps);
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& [steps, count] : counts) {
    EXPECT_NEAR(count, kDraws / 6.0, Wide(1 / 6.0)) << steps;
    std::string sorted = steps;
    std::sort(sorted.begin(), sorted.end());
    EXPECT_EQ(sorted, "123");
  }
}

TEST(RandomOrderTest, OfAsManyAsThereMayBeTakesEachOnce) {
  std::vector<Op> resizes;
  for (int i = 1; i < kMaxOps; ++i) resizes.push_back(MakeOp(OpKind::kResize, {i, 300}));
  const Geometry geometry = Resolve({Group(OpKind::kRandomOrder, resizes)}, {300, 300});
  std::vector<int> widths;
  for (const Step& step : geometry.steps) widths.push_back(step.out.width);
  EXPECT_FALSE(std::is_sorted(widths.begin(), widths.end()));
  std::sort(widths.begin(), widths.end());
  ASSERT_EQ(widths.size(), resizes.size());
  for (int i = 1; i < kMaxOps; ++i) EXPECT_EQ(widths[static_cast<size_t>(i - 1)], i);
}

// The number of an operation is its place in the description, whatever was drawn before it.
TEST(ResolveGeometryTest, AnOperationsNumbersDoNotDependOnWhatWasChosenBefore) {
  const Op last = MakeOp(OpKind::kRandomCrop, {3, 3});
  const std::vector<Op> before = {Grayscale(1), Flip(0.5), Crop(20)};
  const auto crop_of = [&](const Op& group, const SampleKey& key) {
    return Resolve({group, last}, {20, 20}, key).steps.back().rect;
  };
  for (uint64_t index = 0; index < 200; ++index) {
    const SampleKey key{1, 0, index, 0};
    // Number 4: behind the group and the three in it.
    OpRandom random(key, 4);
    const int top = random.Below(18);
    const int left = random.Below(18);
    const auto mirrored = [&](const Op& group) {
      return Resolve({group, last}, {20, 20}, key).flip_horizontal;
    };
    for (const Op& group :
         {Group(OpKind::kRandomApply, before, 0), Group(OpKind::kRandomApply, before, 1),
          Group(OpKind::kRandomApply, before, 0.5), Choice(before), Choice(before, {0, 0, 1}),
          Group(OpKind::kRandomOrder, before)}) {
      const int seen = mirrored(group) ? 17 - left : left;
      ASSERT_EQ(crop_of(group, key), (Rect{seen, top, 3, 3})) << index;
    }
  }
}

// Each child has the numbers of its place, in whichever order it comes and however deep it is.
TEST(ResolveGeometryTest, ChildrenAreNumberedInTheOrderOfTheDescription) {
  const Op crop = MakeOp(OpKind::kRandomCrop, {3, 3});
  const Op inner = Group(OpKind::kRandomApply, {Flip(0), crop}, 1);
  for (uint64_t index = 0; index < 100; ++index) {
    const SampleKey key{1, 0, index, 0};
    const auto expect = [&](const std::vector<Op>& ops, int number) {
      OpRandom random(key, number);
      const int top = random.Below(18);
      const int left = random.Below(18);
      ASSERT_EQ(Resolve(ops, {20, 20}, key).decode, (Rect{left, top, 3, 3})) << number;
    };
    expect({crop}, 0);
    expect({inner}, 2);
    expect({Flip(0), inner}, 3);
    expect({Choice({inner, inner, inner}, {0, 0, 1})}, 9);
    expect({Choice({Flip(0), inner}, {0, 1})}, 4);
    expect({Group(OpKind::kRandomOrder, {Flip(0), Flip(0), inner, Flip(0)})}, 5);
  }
}

TEST(PadTest, IsACropThatReachesBeyondTheImage) {
  Op pad = PadBy({1, 2, 30, 4});
  pad.pad_mode = PadMode::kReflect;
  pad.fill = {9, 8, 7};
  const Geometry geometry = Resolve({pad}, {20, 10});
  EXPECT_EQ(geometry.out, (Size{51, 16}));
  EXPECT_EQ(geometry.decode, (Rect{0, 0, 20, 10}));
  ASSERT_EQ(geometry.steps.size(), 1U);
  const Step& step = geometry.steps[0];
  EXPECT_EQ(step.kind, StepKind::kPadCrop);
  EXPECT_EQ(step.rect, (Rect{-1, -2, 51, 16}));
  EXPECT_EQ(step.pad_mode, PadMode::kReflect);
  EXPECT_EQ(step.fill, (std::array<uint8_t, 3>{9, 8, 7}));
  EXPECT_TRUE(Resolve({PadBy({})}, {20, 10}).steps.empty());
}

// A flip before it stays pending, so that the sides change places.
TEST(PadTest, BehindAFlipIsMirrored) {
  const Geometry geometry =
      Resolve({Flip(1), Flip(1, OpKind::kRandomVerticalFlip), PadBy({1, 2, 30, 4})}, {20, 10});
  EXPECT_TRUE(geometry.flip_horizontal && geometry.flip_vertical);
  ASSERT_EQ(geometry.steps.size(), 1U);
  EXPECT_EQ(geometry.steps[0].rect, (Rect{-30, -4, 51, 16}));
}

TEST(PadTest, OnlyWhatACropBehindItSeesIsDecoded) {
  const Geometry geometry = Resolve({PadBy({10, 10, 10, 10}), Crop(6)}, {20, 20});
  EXPECT_EQ(geometry.decode, (Rect{7, 7, 6, 6}));
}

Op Erasing(double probability = 1) {
  Op op = MakeOp(OpKind::kRandomErasing);
  op.probability = probability;
  op.scale = {0.02, 0.33};
  op.ratio = {0.3, 3.3};
  op.value = {1, 2, 3};
  op.noise = {4, 5, 6};
  return op;
}

TEST(RandomErasingTest, HappensAsOftenAsItsProbabilitySays) {
  for (const double probability : {0.0, 0.25, 1.0}) {
    auto counts = Counts({Erasing(probability)}, {100, 100}, [](const Geometry& geometry) {
      return std::to_string(geometry.erasures.size());
    });
    EXPECT_NEAR(counts["1"], kDraws * probability, Wide(probability));
    EXPECT_EQ(counts["0"] + counts["1"], kDraws);
  }
}

TEST(RandomErasingTest, LiesInsideAndHasTheScaleAndRatioThatWereAskedFor) {
  Op op = Erasing();
  op.scale = {0.1, 0.2};
  op.ratio = {0.25, 1.0};     // height / width
  const Size in{3000, 2500};  // every draw fits, and rounding to pixels does not show
  std::vector<double> draws[4];
  for (uint64_t index = 0; index < kDraws; ++index) {
    const Geometry geometry = Resolve({op}, in, {1, 0, index, 0});
    ASSERT_EQ(geometry.erasures.size(), 1U);
    const Erasure& erasure = geometry.erasures[0];
    ASSERT_EQ(erasure.value, op.value);
    ASSERT_EQ(erasure.noise, op.noise);
    const Rect& rect = erasure.rect;
    ASSERT_TRUE(Whole(in).Contains(rect));
    ASSERT_FALSE(rect.empty());
    const double share = static_cast<double>(rect.size().pixels()) / (3000.0 * 2500.0);
    ASSERT_TRUE(share > 0.099 && share < 0.201) << share;
    const double ratio = static_cast<double>(rect.height) / rect.width;
    ASSERT_TRUE(ratio > 0.249 && ratio < 1.004) << ratio;
    draws[0].push_back((share - 0.1) / 0.1);
    draws[1].push_back(std::log2(ratio) / 2 + 1.0);
    draws[2].push_back((rect.left + 0.5) / (3001.0 - rect.width));
    draws[3].push_back((rect.top + 0.5) / (2501.0 - rect.height));
  }
  // Kolmogorov and Smirnov's distance to the uniform distribution; far beyond the 1 % point.
  for (auto& values : draws) {
    std::sort(values.begin(), values.end());
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], static_cast<double>(i) / kDraws, 0.03);
    }
  }
}

// torchvision wants both sides shorter than the image's, and gives up after ten attempts.
TEST(RandomErasingTest, WhatNeverFitsErasesNothing) {
  Op op = Erasing();
  op.scale = {1.0, 1.0};
  op.ratio = {1.0, 1.0};
  EXPECT_TRUE(Resolve({op}, {64, 64}).erasures.empty());
  op.scale = {0.9, 0.9};
  EXPECT_EQ(Resolve({op}, {64, 64}).erasures.size(), 1U);
  EXPECT_TRUE(Resolve({op}, {64, 20}).erasures.empty());
  EXPECT_TRUE(Resolve({op}, {1, 1}).erasures.empty());
}

TEST(RandomErasingTest, StaysInsideTinyImagesToo) {
  for (int side = 1; side < 12; ++side) {
    for (uint64_t index = 0; index < 200; ++index) {
      const Size in{side, 12 - side};
      for (const Erasure& erasure : Resolve({Erasing()}, in, {1, 0, index, 0}).erasures) {
        ASSERT_TRUE(Whole(in).Contains(erasure.rect));
      }
    }
  }
}

TEST(RandomErasingTest, SamplesAndOperationsHaveNoiseKeysOfTheirOwn) {
  std::map<uint64_t, int> keys;
  for (uint64_t index = 0; index < 500; ++index) {
    const Geometry geometry = Resolve({Erasing(), Erasing()}, {90, 90}, {1, 0, index, 0});
    for (const Erasure& erasure : geometry.erasures) ++keys[erasure.noise_key];
  }
  EXPECT_EQ(keys.size(), 1000U);
}

// A rectangle that reaches beyond the finished sample would be written outside of its slot, into
// those of others: such operations must be refused, or the rectangle be brought to where it lies.
TEST(RandomErasingTest, NoRectangleLeavesTheFinishedSampleWhateverComesBehind) {
  const Op smaller[] = {Crop(10), MakeOp(OpKind::kRandomCrop, {10, 10}),
                        MakeOp(OpKind::kResize, {10, 10}),
                        MakeOp(OpKind::kRandomResizedCrop, {10, 10})};
  for (const Op& op : smaller) {
    for (const std::vector<Op>& ops :
         {std::vector<Op>{Erasing(), op}, {Group(OpKind::kRandomOrder, {Erasing(), op})}}) {
      int outside = 0;
      for (uint64_t index = 0; index < 200; ++index) {
        Geometry geometry;
        try {
          ResolveGeometry(ops, {60, 50}, {1, 0, index, 0}, &geometry);
        } catch (const StageError&) {
          continue;
        }
        for (const Erasure& erasure : geometry.erasures) {
          outside += Whole(geometry.out).Contains(erasure.rect) ? 0 : 1;
        }
      }
      EXPECT_EQ(outside, 0) << "of 200; kind " << static_cast<int>(op.kind) << " behind it";
    }
  }
}

// The rectangle is one of the finished sample: what mirrors the picture later mirrors it too.
TEST(RandomErasingTest, FlipsBehindItMirrorTheRectangleFlipsBeforeItDoNot) {
  const Size in{60, 50};
  const Op vertical = Flip(1, OpKind::kRandomVerticalFlip);
  for (uint64_t index = 0; index < 100; ++index) {
    const SampleKey key{1, 0, index, 0};
    const auto rect_of = [&](const std::vector<Op>& ops) {
      return Resolve(ops, in, key).erasures.at(0).rect;
    };
    const Op nothing = Flip(0);  // keeps the erasing's number the same
    const Rect rect = rect_of({nothing, nothing, Erasing()});
    EXPECT_EQ(rect_of({Flip(1), vertical, Erasing()}), rect);
    const Rect first = rect_of({Erasing()});
    Rect across = first;
    across.left = in.width - first.right();
    Rect both = across;
    both.top = in.height - first.bottom();
    EXPECT_EQ(rect_of({Erasing(), Flip(1)}), across);
    EXPECT_EQ(rect_of({Erasing(), Flip(1), vertical}), both);
    EXPECT_EQ(rect_of({Erasing(), Flip(1), Flip(1)}), first);
    EXPECT_TRUE(Resolve({Erasing(), Flip(1)}, in, key).flip_horizontal);
  }
}

}  // namespace
}  // namespace stoker
