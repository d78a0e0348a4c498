#include "image/apply_geometry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "support/reference_ops.h"

namespace stoker {
namespace {

using testing::Pixels;
using testing::ReferenceCrop;
using testing::ReferenceFlip;
using testing::ReferenceResize;
using testing::SamePixels;

// What the applier makes of the decoded window alone, its last flips applied. The window is a copy,
// so that the address sanitizer sees a step that reaches beyond it.
Pixels Applied(const Geometry& geometry, const Pixels& image, GeometryApplier* applier) {
  const Pixels window = ReferenceCrop(image, geometry.decode, PadMode::kConstant, {});
  const ImageView view = applier->Apply(geometry, window.view());
  Pixels result(view.size);
  for (int y = 0; y < view.size.height; ++y) {
    std::copy_n(view.row(y), view.size.width * kChannels, result.mutable_view().row(y));
  }
  return ReferenceFlip(result, geometry.flip_horizontal, geometry.flip_vertical);
}

// One operation on a whole image, step by step as torchvision does it. Where it crops is asked of
// the core (geometry_test.cc checks that); how pixels get there is not.
Pixels ByReference(const Op& op, const Pixels& in, const SampleKey& key, int position) {
  OpRandom random(key, position);
  switch (op.kind) {
    case OpKind::kResize: return ReferenceResize(in, ResizedSize(op, in.size()), op.interpolation);
    case OpKind::kCenterCrop: {
      // Pads a small image with black, half of what is missing in front; then cuts the middle.
      const auto begin = [](int size, int crop) {
        return crop > size ? -((crop - size) / 2)
                           : static_cast<int>(std::nearbyint((size - crop) / 2.0));
      };
      const Rect rect{begin(in.size().width, op.size.width),
                      begin(in.size().height, op.size.height), op.size.width, op.size.height};
      return ReferenceCrop(in, rect, PadMode::kConstant, {0, 0, 0});
    }
    case OpKind::kRandomCrop: {
      const Rect all{-op.padding.left, -op.padding.top,
                     in.size().width + op.padding.left + op.padding.right,
                     in.size().height + op.padding.top + op.padding.bottom};
      const Pixels padded = ReferenceCrop(in, all, op.pad_mode, op.fill);
      const int top = random.Below(all.height - op.size.height + 1);
      const int left = random.Below(all.width - op.size.width + 1);
      return ReferenceCrop(padded, {left, top, op.size.width, op.size.height}, PadMode::kConstant,
                           {});
    }
    case OpKind::kRandomResizedCrop: {
      const Rect rect = RandomResizedCropRect(op, in.size(), &random);
      return ReferenceResize(ReferenceCrop(in, rect, PadMode::kConstant, {}), op.size,
                             op.interpolation);
    }
    case OpKind::kRandomHorizontalFlip:
      return ReferenceFlip(in, random.Uniform() < op.probability, false);
    case OpKind::kRandomVerticalFlip:
      return ReferenceFlip(in, false, random.Uniform() < op.probability);
    default: break;
  }
  ADD_FAILURE() << "no reference for this operation";
  return in;
}

// A random operation that an image of size `in` allows.
Op RandomOp(Size in, std::minstd_rand* random) {
  const auto below = [random](int n) { return static_cast<int>((*random)() >> 4) % n; };
  Op op;
  op.kind = static_cast<OpKind>(below(6));
  op.size = {1 + below(40), 1 + below(40)};
  op.interpolation = static_cast<Interpolation>(below(3));
  op.scale = {0.05, 1.0};
  if (op.kind == OpKind::kResize && below(3) == 0) {
    op.short_side = 1 + below(30);
    op.max_size = below(2) * (op.short_side + 1 + below(20));
    const Size resized = ResizedSize(op, in);
    if (std::min(resized.width, resized.height) < 1) op.max_size = 0;  // which is refused
  }
  if (op.kind == OpKind::kRandomCrop) {
    op.padding = {below(12), below(12), below(12), below(12)};
    op.pad_mode = static_cast<PadMode>(below(4));
    op.fill = {200, 100, 7};
    op.size.width = 1 + below(in.width + op.padding.left + op.padding.right);
    op.size.height = 1 + below(in.height + op.padding.top + op.padding.bottom);
  }
  return op;
}

std::string Describe(const std::vector<Op>& ops, Size in) {
  std::ostringstream text;
  text << in.width << " x " << in.height;
  for (const Op& op : ops) {
    text << ", kind " << static_cast<int>(op.kind) << " to " << op.size.width << " x "
         << op.size.height << " short " << op.short_side << " by "
         << static_cast<int>(op.interpolation) << " pad " << static_cast<int>(op.pad_mode);
  }
  return text.str();
}

TEST(GeometryApplierTest, WindowsGiveWhatWholeImagesGiveForAnySequenceOfOperations) {
  std::minstd_rand random(20);
  GeometryApplier applier;  // reused, as by a worker
  int windows = 0;
  for (uint64_t sample = 0; sample < 3000; ++sample) {
    const Size in{1 + static_cast<int>(random() >> 4) % 60,
                  1 + static_cast<int>(random() >> 4) % 60};
    const Pixels image = Pixels::Random(in, static_cast<uint32_t>(sample));
    const SampleKey key{7, 1, sample, 0};
    std::vector<Op> ops;
    Pixels expected = image;
    for (int i = 0; i < 1 + static_cast<int>(sample % 5); ++i) {
      ops.push_back(RandomOp(expected.size(), &random));
      expected = ByReference(ops.back(), expected, key, i);
    }
    Geometry geometry;
    ResolveGeometry(ops, in, key, &geometry);
    ASSERT_TRUE(Whole(in).Contains(geometry.decode)) << Describe(ops, in);
    ASSERT_FALSE(geometry.decode.empty()) << Describe(ops, in);
    ASSERT_EQ(geometry.out, expected.size()) << Describe(ops, in);
    windows += geometry.decode == Whole(in) ? 0 : 1;
    ASSERT_TRUE(SamePixels(Applied(geometry, image, &applier).view(), expected.view()))
        << Describe(ops, in);
  }
  EXPECT_GT(windows, 1000) << "the samples must exercise decoding in part";
}

TEST(GeometryApplierTest, ResizesAsPillowInEitherOrderOfPasses) {
  GeometryApplier applier;
  for (const Size in : {Size{40, 60}, Size{60, 40}, Size{13, 13}}) {
    const Pixels image = Pixels::Random(in, 5);
    for (int width = 1; width <= 70; width += 3) {
      for (int height = 1; height <= 70; height += 3) {
        Op op;
        op.size = {width, height};
        for (const Interpolation method :
             {Interpolation::kNearest, Interpolation::kBilinear, Interpolation::kBicubic}) {
          op.interpolation = method;
          Geometry geometry;
          ResolveGeometry({op}, in, {}, &geometry);
          ASSERT_TRUE(SamePixels(Applied(geometry, image, &applier).view(),
                                 ReferenceResize(image, op.size, method).view()))
              << Describe({op}, in);
        }
      }
    }
  }
}

// A small crop in a wide border: every way that a window can lie relative to the image.
TEST(GeometryApplierTest, PadsInEveryModeAsTheReferenceDoes) {
  GeometryApplier applier;
  const Size in{5, 4};
  const Pixels image = Pixels::Random(in, 9);
  for (const PadMode mode :
       {PadMode::kConstant, PadMode::kEdge, PadMode::kReflect, PadMode::kSymmetric}) {
    Op op;
    op.kind = OpKind::kRandomCrop;
    op.size = {3, 2};
    op.padding = {17, 11, 13, 9};  // more than twice the image
    op.pad_mode = mode;
    op.fill = {1, 2, 3};
    for (uint64_t index = 0; index < 400; ++index) {
      const SampleKey key{0, 0, index, 0};
      Geometry geometry;
      ResolveGeometry({op}, in, key, &geometry);
      ASSERT_TRUE(Whole(in).Contains(geometry.decode));
      ASSERT_TRUE(SamePixels(Applied(geometry, image, &applier).view(),
                             ByReference(op, image, key, 0).view()))
          << "mode " << static_cast<int>(mode) << " index " << index;
    }
  }
}

// ops.h: fields that a kind does not name are ignored by it.
TEST(GeometryApplierTest, CenterCropPadsWithBlackWhateverTheFieldsOfOtherKinds) {
  GeometryApplier applier;
  const Pixels image = Pixels::Random({3, 3}, 1);
  Op op;
  op.kind = OpKind::kCenterCrop;
  op.size = {9, 9};
  op.fill = {200, 100, 50};
  op.pad_mode = PadMode::kEdge;
  Geometry geometry;
  ResolveGeometry({op}, {3, 3}, {}, &geometry);
  EXPECT_TRUE(
      SamePixels(Applied(geometry, image, &applier).view(), ByReference(op, image, {}, 0).view()));
}

TEST(GeometryApplierTest, WithoutStepsIsTheDecodedImageItself) {
  GeometryApplier applier;
  const Pixels image = Pixels::Random({6, 3}, 1);
  Geometry geometry;
  ResolveGeometry({}, {6, 3}, {}, &geometry);
  EXPECT_EQ(applier.Apply(geometry, image.view()).pixels_hwc, image.view().pixels_hwc);
}

TEST(GeometryApplierTest, WorksOnAfterItsScratchWasGivenBack) {
  GeometryApplier applier;
  const Pixels image = Pixels::Random({50, 40}, 1);
  Op op;
  op.size = {20, 20};
  Geometry geometry;
  ResolveGeometry({op}, {50, 40}, {}, &geometry);
  const Pixels before = Applied(geometry, image, &applier);
  applier.ShrinkTo(0);
  EXPECT_TRUE(SamePixels(Applied(geometry, image, &applier).view(), before.view()));
}

}  // namespace
}  // namespace stoker
