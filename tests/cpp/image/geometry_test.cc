#include "image/geometry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/ops.h"
#include "support/reference_ops.h"

namespace stoker {
namespace {

using testing::Flip;
using testing::MakeOp;
using testing::ResizeShortSide;

Geometry Resolve(const std::vector<Op>& ops, Size in, const SampleKey& key = {}) {
  Geometry geometry;
  ResolveGeometry(ops, in, key, &geometry);
  return geometry;
}

// The part of the image that a lone crop takes, in the image's coordinates.
Rect CropOf(const Op& op, Size in, const SampleKey& key = {}) {
  const Geometry geometry = Resolve({op}, in, key);
  EXPECT_EQ(geometry.out, op.size);
  return geometry.steps.empty() ? Whole(in) : geometry.steps.at(0).rect;
}

TEST(ResolveGeometryTest, WithoutOperationsDecodesTheWholeImage) {
  const Geometry geometry = Resolve({}, {7, 5});
  EXPECT_EQ(geometry.decode, (Rect{0, 0, 7, 5}));
  EXPECT_TRUE(geometry.steps.empty());
  EXPECT_EQ(geometry.out, (Size{7, 5}));
}

TEST(ResolveGeometryTest, OverwritesWhatTheGeometryHeld) {
  Geometry geometry;
  ResolveGeometry(
      {MakeOp(OpKind::kCenterCrop, {3, 3}), Flip(1), Flip(1, OpKind::kRandomVerticalFlip)}, {9, 9},
      {}, &geometry);
  ASSERT_TRUE(geometry.flip_horizontal && geometry.flip_vertical);
  ResolveGeometry({}, {4, 2}, {}, &geometry);
  EXPECT_EQ(geometry.decode, (Rect{0, 0, 4, 2}));
  EXPECT_TRUE(geometry.steps.empty());
  EXPECT_FALSE(geometry.flip_horizontal || geometry.flip_vertical);
}

// Python's round of (size − crop) / 2, and half the missing pixels in front of a small image.
TEST(CenterCropTest, RoundsHalvesToEvenAndPadsSmallImages) {
  const auto left = [](int size, int crop) {
    const Rect rect = CropOf(MakeOp(OpKind::kCenterCrop, {crop, 4}), {size, 4});
    EXPECT_EQ(rect.top, 0);
    EXPECT_EQ(CropOf(MakeOp(OpKind::kCenterCrop, {4, crop}), {4, size}).top, rect.left);
    return rect.left;
  };
  EXPECT_EQ(left(10, 4), 3);
  EXPECT_EQ(left(9, 4), 2);   // 2.5
  EXPECT_EQ(left(11, 4), 4);  // 3.5
  EXPECT_EQ(left(5, 4), 0);   // 0.5
  EXPECT_EQ(left(7, 4), 2);   // 1.5
  EXPECT_EQ(left(4, 4), 0);
  EXPECT_EQ(left(3, 4), 0);
  EXPECT_EQ(left(2, 4), -1);
  EXPECT_EQ(left(1, 4), -1);
}

TEST(CenterCropTest, DecodesOnlyTheCrop) {
  const Geometry geometry = Resolve({MakeOp(OpKind::kCenterCrop, {20, 10})}, {100, 50});
  EXPECT_EQ(geometry.decode, (Rect{40, 20, 20, 10}));
}

TEST(ResizedSizeTest, PutsTheShortSideToTheSizeAndTruncatesTheLongOne) {
  EXPECT_EQ(ResizedSize(ResizeShortSide(256), {500, 375}), (Size{341, 256}));
  EXPECT_EQ(ResizedSize(ResizeShortSide(256), {375, 500}), (Size{256, 341}));
  EXPECT_EQ(ResizedSize(ResizeShortSide(256), {77, 77}), (Size{256, 256}));
  EXPECT_EQ(ResizedSize(ResizeShortSide(1), {1000, 3}), (Size{333, 1}));
}

// torchvision: int(max_size * new_short / new_long), max_size.
TEST(ResizedSizeTest, KeepsTheLongSideToMaxSize) {
  EXPECT_EQ(ResizedSize(ResizeShortSide(256, 300), {500, 375}), (Size{300, 225}));
  EXPECT_EQ(ResizedSize(ResizeShortSide(256, 300), {375, 500}), (Size{225, 300}));
  EXPECT_EQ(ResizedSize(ResizeShortSide(256, 341), {500, 375}), (Size{341, 256}));
  EXPECT_EQ(ResizedSize(ResizeShortSide(256, 400), {500, 375}), (Size{341, 256}));
  EXPECT_EQ(ResizedSize(ResizeShortSide(8, 20), {3000, 2}), (Size{20, 0}));
}

TEST(ResizedSizeTest, IsTheGivenSizeWhereThereIsOne) {
  EXPECT_EQ(ResizedSize(MakeOp(OpKind::kResize, {12, 34}), {500, 375}), (Size{12, 34}));
}

// Within the limit on pixels, but 25 billion of them wide when its one row becomes 256.
TEST(ResizedSizeTest, ASizeBeyondIntIsAnErrorOfTheTransform) {
  try {
    Resolve({ResizeShortSide(256), MakeOp(OpKind::kCenterCrop, {224, 224})}, {100'000'000, 1});
    FAIL() << "no error";
  } catch (const StageError& error) {
    EXPECT_EQ(error.stage(), Stage::kTransform);
  }
}

TEST(ResizedSizeTest, ASideOfZeroIsAnErrorOfTheTransform) {
  EXPECT_EQ(Resolve({ResizeShortSide(8, 20)}, {50, 20}).out, (Size{20, 8}));
  try {
    Resolve({ResizeShortSide(8, 20)}, {3000, 2});
    FAIL() << "no error";
  } catch (const StageError& error) {
    EXPECT_EQ(error.stage(), Stage::kTransform);
  }
}

TEST(PaddedCoordinateTest, IsThatOfAWalkThatTurnsAroundAtTheEdges) {
  for (int size = 1; size <= 6; ++size) {
    for (int x = -20; x <= 25; ++x) {
      for (const PadMode mode :
           {PadMode::kConstant, PadMode::kEdge, PadMode::kReflect, PadMode::kSymmetric}) {
        EXPECT_EQ(PaddedCoordinate(x, size, mode), testing::ReferencePadded(x, size, mode))
            << "x " << x << " size " << size << " mode " << static_cast<int>(mode);
      }
    }
  }
}

TEST(RandomCropTest, ReachesEveryPlaceInThePaddedImageAndNoOther) {
  Op op = MakeOp(OpKind::kRandomCrop, {4, 3});
  op.padding = {1, 2, 3, 4};  // left, top, right, bottom
  const Size in{5, 6};
  std::vector<int> lefts(20);
  std::vector<int> tops(20);
  for (uint64_t index = 0; index < 2000; ++index) {
    const Rect rect = CropOf(op, in, {1, 0, index, 0});
    ASSERT_EQ(rect.size(), op.size);
    ASSERT_TRUE((Rect{-1, -2, 9, 12}.Contains(rect)));
    ++lefts[static_cast<size_t>(rect.left + 1)];
    ++tops[static_cast<size_t>(rect.top + 2)];
  }
  const auto reached = [](const std::vector<int>& counts) {
    return counts.size() - static_cast<size_t>(std::count(counts.begin(), counts.end(), 0));
  };
  EXPECT_EQ(reached(lefts), 9U - 4 + 1);
  EXPECT_EQ(reached(tops), 12U - 3 + 1);
}

TEST(RandomCropTest, PadIfNeededAddsWhatIsMissingOnBothSides) {
  Op op = MakeOp(OpKind::kRandomCrop, {10, 4});
  op.pad_if_needed = true;
  int least = 0;
  int most = -100;
  for (uint64_t index = 0; index < 500; ++index) {
    const Rect rect = CropOf(op, {7, 4}, {1, 0, index, 0});
    EXPECT_EQ(rect.top, 0);
    least = std::min(least, rect.left);
    most = std::max(most, rect.left);
  }
  // torchvision pads 3 pixels on either side: 13 wide, of which 10 are taken.
  EXPECT_EQ(least, -3);
  EXPECT_EQ(most, 0);
}

TEST(RandomCropTest, ATooSmallImageIsAnErrorOfTheTransform) {
  Op op = MakeOp(OpKind::kRandomCrop, {10, 10});
  op.padding = {1, 1, 1, 1};
  EXPECT_NO_THROW(Resolve({op}, {8, 8}));
  for (const Size in : {Size{7, 8}, Size{8, 7}}) {
    try {
      Resolve({op}, in);
      FAIL() << "no error";
    } catch (const StageError& error) {
      EXPECT_EQ(error.stage(), Stage::kTransform);
      EXPECT_NE(std::string(error.what()).find("10 x 10"), std::string::npos) << error.what();
    }
  }
}

TEST(RandomResizedCropTest, StaysInsideAndHasTheScaleAndRatioThatWereAskedFor) {
  Op op = MakeOp(OpKind::kRandomResizedCrop, {8, 8});
  op.scale = {0.1, 0.4};
  op.ratio = {0.5, 2.0};
  const Size in{2000, 2000};  // every draw fits, and rounding to pixels does not show
  std::vector<double> scales;
  std::vector<double> ratios;
  std::vector<double> places;
  for (uint64_t index = 0; index < 4000; ++index) {
    OpRandom random({3, 0, index, 0}, 0);
    const Rect rect = RandomResizedCropRect(op, in, &random);
    ASSERT_TRUE(Whole(in).Contains(rect));
    ASSERT_FALSE(rect.empty());
    const double share = static_cast<double>(rect.size().pixels()) / (2000.0 * 2000.0);
    scales.push_back((share - 0.1) / 0.3);
    ratios.push_back(std::log2(static_cast<double>(rect.width) / rect.height) / 2 + 0.5);
    places.push_back((rect.left + 0.5) / (2001.0 - rect.width));
    places.push_back((rect.top + 0.5) / (2001.0 - rect.height));
  }
  // Kolmogorov and Smirnov's distance to the uniform distribution; 0.03 is far beyond the 1 %
  // point for so many draws.
  const auto distance = [](std::vector<double> draws) {
    std::sort(draws.begin(), draws.end());
    double farthest = 0;
    for (size_t i = 0; i < draws.size(); ++i) {
      const double share = static_cast<double>(i) / static_cast<double>(draws.size());
      farthest = std::max(farthest, std::fabs(draws[i] - share));
    }
    return farthest;
  };
  EXPECT_LT(distance(scales), 0.03);
  EXPECT_LT(distance(ratios), 0.03);
  EXPECT_LT(distance(places), 0.03);
}

TEST(RandomResizedCropTest, FallsBackToTheCentreWithTheNearestRatio) {
  Op op = MakeOp(OpKind::kRandomResizedCrop, {8, 8});
  op.scale = {2.0, 3.0};  // more than there is: no draw ever fits
  const auto fallback = [&op](Size in) {
    OpRandom random({}, 0);
    return RandomResizedCropRect(op, in, &random);
  };
  EXPECT_EQ(fallback({100, 100}), (Rect{0, 0, 100, 100}));
  EXPECT_EQ(fallback({100, 130}), (Rect{0, 0, 100, 130}));
  EXPECT_EQ(fallback({100, 500}), (Rect{0, (500 - 133) / 2, 100, 133}));  // 100 / (3/4)
  EXPECT_EQ(fallback({500, 100}), (Rect{(500 - 133) / 2, 0, 133, 100}));  // 100 · (4/3)
  EXPECT_EQ(fallback({1, 1}), (Rect{0, 0, 1, 1}));
}

TEST(RandomResizedCropTest, TheTinyAndTheLongStayInsideToo) {
  const Op op = MakeOp(OpKind::kRandomResizedCrop, {8, 8});
  for (const Size in : {Size{1, 1}, Size{1, 400}, Size{400, 1}, Size{2, 3}, Size{30, 29}}) {
    for (uint64_t index = 0; index < 200; ++index) {
      OpRandom random({3, 0, index, 0}, 0);
      const Rect rect = RandomResizedCropRect(op, in, &random);
      ASSERT_TRUE(Whole(in).Contains(rect));
      ASSERT_FALSE(rect.empty());
    }
  }
}

TEST(RandomFlipTest, HappensAsOftenAsItsProbabilitySays) {
  for (const OpKind kind : {OpKind::kRandomHorizontalFlip, OpKind::kRandomVerticalFlip}) {
    for (const double probability : {0.0, 0.25, 0.5, 1.0}) {
      constexpr int kDraws = 4000;
      int flips = 0;
      for (uint64_t index = 0; index < kDraws; ++index) {
        const Geometry geometry = Resolve({Flip(probability, kind)}, {4, 4}, {1, 0, index, 0});
        const bool horizontal = kind == OpKind::kRandomHorizontalFlip;
        ASSERT_FALSE(horizontal ? geometry.flip_vertical : geometry.flip_horizontal);
        flips += geometry.flip_horizontal || geometry.flip_vertical ? 1 : 0;
      }
      // Six standard deviations.
      const double wide = 6 * std::sqrt(kDraws * probability * (1 - probability));
      EXPECT_NEAR(flips, kDraws * probability, wide);
    }
  }
}

TEST(ResolveGeometryTest, EachOperationDrawsItsOwnNumbers) {
  const std::vector<Op> ops(2, Flip(0.5));
  int cancelled = 0;
  for (uint64_t index = 0; index < 1000; ++index) {
    cancelled += Resolve(ops, {4, 4}, {1, 0, index, 0}).flip_horizontal ? 0 : 1;
  }
  EXPECT_NEAR(cancelled, 500, 6 * std::sqrt(1000 * 0.25));
}

TEST(ResolveGeometryTest, FlipsComeLastExceptBeforeAResize) {
  const Op flip = Flip(1);
  const Geometry crop = Resolve({flip, MakeOp(OpKind::kCenterCrop, {4, 4})}, {9, 9});
  EXPECT_TRUE(crop.flip_horizontal);
  ASSERT_EQ(crop.steps.size(), 1U);
  EXPECT_EQ(crop.steps[0].kind, StepKind::kCrop);
  EXPECT_EQ(crop.decode.left, 9 - (2 + 4)) << "the crop is mirrored instead";
  const Geometry resize = Resolve({flip, MakeOp(OpKind::kResize, {4, 4})}, {9, 9});
  EXPECT_FALSE(resize.flip_horizontal);
  ASSERT_EQ(resize.steps.size(), 2U);
  EXPECT_EQ(resize.steps[0].kind, StepKind::kFlipHorizontal);
  EXPECT_EQ(resize.steps[1].kind, StepKind::kResize);
}

}  // namespace
}  // namespace stoker
