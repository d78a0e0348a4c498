// Which geometries the fast pixel mode takes, and how far; see also resize_planes_test.cc.
#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "image/resize_planes.h"
#include "support/ops.h"

namespace stoker {
namespace {

using testing::Flip;
using testing::MakeOp;

Op Resize(Size size, Interpolation method = Interpolation::kBilinear) {
  return MakeOp(OpKind::kResize, size, method);
}
Op Center(Size size) { return MakeOp(OpKind::kCenterCrop, size); }

Geometry Resolved(const std::vector<Op>& ops, Size in) {
  Geometry geometry;
  ResolveGeometry(ops, in, {}, &geometry);
  return geometry;
}

// What it is for an image of 200 × 100.
std::optional<PlaneResize> Of(const std::vector<Op>& ops) {
  return AsPlaneResize(Resolved(ops, {200, 100}));
}

void ExpectIs(const std::optional<PlaneResize>& got, const Rect& crop, Size out, const Rect& window,
              Interpolation method = Interpolation::kBilinear) {
  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->crop, crop);
  EXPECT_EQ(got->out, out);
  EXPECT_EQ(got->window, window);
  EXPECT_EQ(got->interpolation, method);
}

TEST(AsPlaneResizeTest, IsOneCropOneResizeAndAWindow) {
  ExpectIs(Of({Resize({50, 40})}), {0, 0, 200, 100}, {50, 40}, {0, 0, 50, 40});
  ExpectIs(Of({Resize({50, 40}, Interpolation::kBicubic)}), {0, 0, 200, 100}, {50, 40},
           {0, 0, 50, 40}, Interpolation::kBicubic);
  // Crop, then resize.
  ExpectIs(Of({Center({80, 60}), Resize({50, 40})}), {60, 20, 80, 60}, {50, 40}, {0, 0, 50, 40});
  // Resize, then crop: a window of the result.
  ExpectIs(Of({Resize({50, 40}), Center({20, 10})}), {0, 0, 200, 100}, {50, 40}, {15, 15, 20, 10});
  // Crops on both sides, each within the one before.
  ExpectIs(
      Of({Center({80, 60}), Center({40, 30}), Resize({50, 40}), Center({20, 20}), Center({10, 6})}),
      {80, 35, 40, 30}, {50, 40}, {20, 17, 10, 6});
}

TEST(AsPlaneResizeTest, IsTheRandomCropOfTraining) {
  const Op op = MakeOp(OpKind::kRandomResizedCrop, {22, 24});
  for (uint32_t n = 0; n < 20; ++n) {
    const SampleKey key{1, 2, 3, n};
    Geometry geometry;
    ResolveGeometry({op, Flip(1)}, {200, 100}, key, &geometry);
    OpRandom random(key, 0);
    ExpectIs(AsPlaneResize(geometry), RandomResizedCropRect(op, {200, 100}, &random), {22, 24},
             {0, 0, 22, 24});
    EXPECT_TRUE(geometry.flip_horizontal);  // left for the final write
  }
}

TEST(AsPlaneResizeTest, IsNoneWithoutAnAntialiasedResize) {
  EXPECT_EQ(Of({}), std::nullopt);
  EXPECT_EQ(Of({Center({80, 60})}), std::nullopt);
  EXPECT_EQ(Of({Flip(1)}), std::nullopt);
  EXPECT_EQ(Of({Resize({50, 40}, Interpolation::kNearest)}), std::nullopt);
  EXPECT_EQ(Of({Center({80, 60}), Resize({50, 40}, Interpolation::kNearest)}), std::nullopt);
}

TEST(AsPlaneResizeTest, IsNoneBeyondTheLargestReduction) {
  // Of 200 × 100; 64 is the most.
  EXPECT_EQ(Of({Resize({3, 90})}), std::nullopt);
  EXPECT_NE(Of({Resize({4, 90})}), std::nullopt);
  EXPECT_EQ(Of({Resize({150, 1})}), std::nullopt);
  EXPECT_NE(Of({Resize({150, 2})}), std::nullopt);
}

// What one of these makes of an image must be known before the resize.
TEST(AsPlaneResizeTest, IsNoneWhereOtherStepsComeBeforeTheResize) {
  const Op resize = Resize({50, 40});
  Op jitter = MakeOp(OpKind::kColorJitter);
  for (const size_t which : {0U, 1U, 2U, 3U}) {
    jitter.jitter = Op().jitter;
    jitter.jitter[which] = {0.25, 0.5};
    EXPECT_EQ(Of({jitter, resize}), std::nullopt) << which;
    EXPECT_EQ(Of({Center({80, 60}), jitter, resize}), std::nullopt) << which;
  }
  Op gray = MakeOp(OpKind::kRandomGrayscale);
  gray.probability = 1;
  EXPECT_EQ(Of({gray, resize}), std::nullopt);
  Op pad = MakeOp(OpKind::kPad);
  pad.padding = {1, 0, 0, 0};
  EXPECT_EQ(Of({pad, resize}), std::nullopt);
  EXPECT_EQ(Of({Center({201, 60}), resize}), std::nullopt);  // padded
  EXPECT_EQ(Of({Flip(1), resize}), std::nullopt);
  EXPECT_EQ(Of({Flip(1, OpKind::kRandomVerticalFlip), resize}), std::nullopt);
}

TEST(AsPlaneResizeTest, StandsForTheStepsUpToTheFirstThatGoesOnPixels) {
  const Op resize = Resize({50, 40});
  const Op crop = Center({20, 10});
  Op jitter = MakeOp(OpKind::kColorJitter);
  jitter.jitter = {{{2, 2}, {2, 2}, {2, 2}, {0.25, 0.25}}};
  Op gray = MakeOp(OpKind::kRandomGrayscale);
  gray.probability = 1;
  Op pad = MakeOp(OpKind::kPad);
  pad.padding = {1, 2, 3, 4};
  const auto expect = [](const std::vector<Op>& ops, size_t fast, size_t all) {
    const auto plane = Of(ops);
    ASSERT_TRUE(plane.has_value());
    EXPECT_EQ(plane->steps, fast);
    EXPECT_EQ(Resolved(ops, {200, 100}).steps.size(), all);
  };
  expect({resize}, 1, 1);
  expect({crop, crop, resize}, 2, 2);  // the second crop takes all there is: no step
  expect({Center({80, 60}), crop, resize, crop, Center({5, 5})}, 5, 5);
  expect({resize, jitter}, 1, 5);
  expect({crop, resize, crop, jitter, Center({5, 5}), gray}, 3, 9);
  expect({resize, Flip(1), gray}, 1, 2);
  expect({resize, crop, pad, Center({5, 5})}, 2, 4);
  expect({resize, Center({51, 30})}, 1, 2);
  expect({resize, Resize({20, 20})}, 1, 2);
  expect({resize, crop, Resize({20, 20}, Interpolation::kNearest)}, 2, 3);
  expect({resize, Flip(1), Resize({20, 20})}, 1, 3);
  // The window is what the steps behind it need: all, of contrast.
  EXPECT_EQ(Of({resize, gray, crop})->window, (Rect{15, 15, 20, 10}));
  EXPECT_EQ(Of({resize, jitter, crop})->window, (Rect{0, 0, 50, 40}));
}

TEST(PlaneResizeTest, TheDctScaleHalvesWhileTheCropIsFourTimesAsLarge) {
  const auto scale = [](Size crop, Size out) {
    return PlaneResize{
        {5, 7, crop.width, crop.height}, out, Whole(out), Interpolation::kBilinear, 1}
        .DctScale();
  };
  EXPECT_EQ(scale({10, 10}, {100, 100}), 1);
  EXPECT_EQ(scale({399, 400}, {100, 100}), 1);
  EXPECT_EQ(scale({400, 399}, {100, 100}), 1);
  EXPECT_EQ(scale({400, 400}, {100, 100}), 2);
  EXPECT_EQ(scale({799, 2000}, {100, 100}), 2);
  EXPECT_EQ(scale({2000, 799}, {100, 100}), 2);
  EXPECT_EQ(scale({800, 800}, {100, 100}), 4);
  EXPECT_EQ(scale({1599, 1600}, {100, 100}), 4);
  EXPECT_EQ(scale({1600, 1600}, {100, 100}), 8);
  EXPECT_EQ(scale({60000, 60000}, {100, 100}), 8);
  EXPECT_EQ(scale({400, 1600}, {100, 400}), 2);
}

}  // namespace
}  // namespace stoker
