// Steps of colour and padding among the others, carried out; see also apply_geometry_test.cc.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>
#include <vector>

#include "image/apply_geometry.h"
#include "support/ops.h"
#include "support/reference_colors.h"
#include "support/reference_ops.h"

namespace stoker {
namespace {

using testing::Flip;
using testing::Grayscale;
using testing::Group;
using testing::Jitter;
using testing::MakeOp;
using testing::PadBy;
using testing::Pixels;
using testing::ReferenceBlended;
using testing::ReferenceCrop;
using testing::ReferenceFlip;
using testing::ReferenceHue;
using testing::ReferenceMeanLuma;
using testing::ReferenceResize;
using testing::ReferenceSaturated;
using testing::SamePixels;

// A picture without noise at its ends, so that its mean is not that of any part.
Pixels Picture(Size size) {
  Pixels image = Pixels::Random(size, 5);
  for (int y = 0; y < size.height / 2; ++y) {
    uint8_t* row = image.mutable_view().row(y);
    for (int i = 0; i < size.width * kChannels; ++i) row[i] = static_cast<uint8_t>(row[i] / 4);
  }
  return image;
}

Pixels CopyOf(const ImageView& view) {
  return testing::FromPixels(
      view.size, [&](int x, int y) { return view.row(y) + static_cast<ptrdiff_t>(x) * kChannels; });
}

// What the applier makes of the decoded window alone, its last flips applied.
Pixels Applied(const std::vector<Op>& ops, const Pixels& image, const SampleKey& key = {}) {
  Geometry geometry;
  ResolveGeometry(ops, image.size(), key, &geometry);
  EXPECT_TRUE(Whole(image.size()).Contains(geometry.decode));
  const Pixels window = ReferenceCrop(image, geometry.decode, PadMode::kConstant, {});
  GeometryApplier applier;
  const ImageView view = applier.Apply(geometry, window.view());
  EXPECT_EQ(view.size, geometry.out);
  return ReferenceFlip(CopyOf(view), geometry.flip_horizontal, geometry.flip_vertical);
}

Op One(size_t which, double factor) {
  Op jitter = MakeOp(OpKind::kColorJitter);
  jitter.jitter[which] = {factor, factor};
  return jitter;
}

// One change of colour of a whole image, as Pillow does it.
Pixels Changed(const Pixels& in, StepKind kind, float factor) {
  switch (kind) {
    case StepKind::kBrightness: return ReferenceBlended(in, 0, factor);
    case StepKind::kContrast: return ReferenceBlended(in, ReferenceMeanLuma(in), factor);
    case StepKind::kSaturation: return ReferenceSaturated(in, factor);
    case StepKind::kGrayscale: return ReferenceSaturated(in, 0.0F);
    case StepKind::kHue: {
      // torchvision: the hue's bytes plus int(factor · 255), wrapped.
      const int shift = static_cast<int>(double{factor} * 255.0);
      return ReferenceHue(in, (shift + 256) % 256);
    }
    default: break;
  }
  ADD_FAILURE() << "not a change of colour";
  return in;
}

constexpr StepKind kKinds[] = {StepKind::kBrightness, StepKind::kContrast, StepKind::kSaturation,
                               StepKind::kHue};

TEST(ApplyColorsTest, EachStepIsPillowsChangeOfTheImage) {
  const Pixels image = Picture({61, 43});
  for (size_t i = 0; i < 3; ++i) {
    for (const double factor : {0.0, 0.5, 1.75, 3.0}) {
      EXPECT_TRUE(SamePixels(Applied({One(i, factor)}, image).view(),
                             Changed(image, kKinds[i], static_cast<float>(factor)).view()))
          << i << ", factor " << factor;
    }
  }
  for (const double factor : {-0.5, -0.25, -0.001, 0.001, 0.125, 0.5}) {
    EXPECT_TRUE(SamePixels(Applied({One(3, factor)}, image).view(),
                           Changed(image, StepKind::kHue, static_cast<float>(factor)).view()))
        << factor;
  }
  EXPECT_TRUE(SamePixels(Applied({Grayscale(1)}, image).view(),
                         Changed(image, StepKind::kGrayscale, 0).view()));
}

TEST(ApplyColorsTest, GrayscaleMakesAllChannelsTheSame) {
  const Pixels image = Picture({31, 20});
  const Pixels gray = Applied({Grayscale(1)}, image);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 31; ++x) {
      const uint8_t* in = image.view().row(y) + x * kChannels;
      const uint8_t* out = gray.view().row(y) + x * kChannels;
      ASSERT_EQ(out[0], testing::ReferenceLuma(in[0], in[1], in[2]));
      ASSERT_TRUE(out[0] == out[1] && out[1] == out[2]);
    }
  }
}

TEST(ApplyColorsTest, ACropBehindContrastSeesTheContrastOfTheWholeImage) {
  const Pixels image = Picture({60, 50});
  const Op crop = MakeOp(OpKind::kRandomCrop, {17, 13});
  for (uint64_t index = 0; index < 40; ++index) {
    const SampleKey key{1, 0, index, 0};
    OpRandom random(key, 1);
    const int top = random.Below(50 - 13 + 1);
    const int left = random.Below(60 - 17 + 1);
    const Pixels whole = Changed(image, StepKind::kContrast, 0.25F);
    const Pixels part = ReferenceCrop(whole, {left, top, 17, 13}, PadMode::kConstant, {});
    ASSERT_TRUE(SamePixels(Applied({One(1, 0.25), crop}, image, key).view(), part.view()));
    // And one before it that of the part.
    const Pixels before = Applied({Flip(0), crop, One(1, 0.25)}, image, key);
    const Pixels cut = ReferenceCrop(image, {left, top, 17, 13}, PadMode::kConstant, {});
    ASSERT_TRUE(SamePixels(before.view(), Changed(cut, StepKind::kContrast, 0.25F).view()));
    ASSERT_FALSE(SamePixels(before.view(), part.view())) << "the means must differ";
  }
}

TEST(ApplyColorsTest, PaddingCountsInTheContrastBehindIt) {
  const Pixels image = Picture({20, 20});
  Op pad = PadBy({5, 0, 10, 20});
  pad.fill = {255, 250, 3};
  const Pixels padded =
      ReferenceCrop(image, {-5, 0, 35, 40}, PadMode::kConstant, {uint8_t{255}, uint8_t{250}, 3});
  EXPECT_TRUE(SamePixels(Applied({pad, One(1, 2)}, image).view(),
                         Changed(padded, StepKind::kContrast, 2.0F).view()));
}

// One operation on a whole image, one after the other as torchvision has them; by the numbers that
// geometry_choices_test.cc and geometry_colors_test.cc check.
Pixels ByReference(const Op& op, const Pixels& in, const SampleKey& key, int number) {
  OpRandom random(key, number);
  switch (op.kind) {
    case OpKind::kResize: return ReferenceResize(in, op.size, op.interpolation);
    case OpKind::kRandomCrop: {
      const int top = random.Below(in.size().height - op.size.height + 1);
      const int left = random.Below(in.size().width - op.size.width + 1);
      return ReferenceCrop(in, {left, top, op.size.width, op.size.height}, PadMode::kConstant, {});
    }
    case OpKind::kRandomHorizontalFlip:
      return ReferenceFlip(in, random.Uniform() < op.probability, false);
    case OpKind::kRandomVerticalFlip:
      return ReferenceFlip(in, false, random.Uniform() < op.probability);
    case OpKind::kPad: {
      const Rect all{-op.padding.left, -op.padding.top,
                     in.size().width + op.padding.left + op.padding.right,
                     in.size().height + op.padding.top + op.padding.bottom};
      return ReferenceCrop(in, all, op.pad_mode, op.fill);
    }
    case OpKind::kRandomGrayscale:
      return random.Uniform() < op.probability ? Changed(in, StepKind::kGrayscale, 0) : in;
    case OpKind::kColorJitter: {
      std::array<uint8_t, 4> order{};
      random.Permutation(4, &order);
      std::array<float, 4> factors{};
      for (size_t i = 0; i < 4; ++i) {
        factors[i] = static_cast<float>(random.Uniform(op.jitter[i][0], op.jitter[i][1]));
      }
      Pixels out = in;
      for (const uint8_t i : order) {
        const double neutral = i == 3 ? 0 : 1;
        if (op.jitter[i][0] == neutral && op.jitter[i][1] == neutral) continue;
        out = Changed(out, kKinds[i], factors[i]);
      }
      return out;
    }
    case OpKind::kRandomApply: {
      if (random.Uniform() >= op.probability) return in;
      Pixels out = in;
      for (const Op& child : op.children) out = ByReference(child, out, key, ++number);
      return out;
    }
    default: break;
  }
  ADD_FAILURE() << "no reference for this operation";
  return in;
}

// A random operation that an image of size `in` allows.
Op RandomOp(Size in, std::minstd_rand* random) {
  const auto below = [random](int n) { return static_cast<int>((*random)() >> 4) % n; };
  switch (below(8)) {
    case 0:
      return MakeOp(OpKind::kResize, {1 + below(40), 1 + below(40)},
                    static_cast<Interpolation>(below(3)));
    case 1: return MakeOp(OpKind::kRandomCrop, {1 + below(in.width), 1 + below(in.height)});
    case 2: return Flip(0.5);
    case 3: return Flip(0.5, OpKind::kRandomVerticalFlip);
    case 4: {
      Op pad = PadBy({below(9), below(9), below(9), below(9)});
      pad.pad_mode = static_cast<PadMode>(below(4));
      pad.fill = {200, 100, 7};
      return pad;
    }
    case 5: return Grayscale(0.5);
    case 6: return Group(OpKind::kRandomApply, {One(1, 0.5), Flip(0.5)});
    default: return Jitter({{{0.5, 1.5}, {0.5, 1.5}, {0.5, 1.5}, {-0.2, 0.2}}});
  }
}

TEST(ApplyColorsTest, WindowsGiveWhatWholeImagesGiveForAnySequenceOfOperations) {
  std::minstd_rand random(21);
  int windows = 0;
  for (uint64_t sample = 0; sample < 1500; ++sample) {
    const Size in{1 + static_cast<int>(random() >> 4) % 60,
                  1 + static_cast<int>(random() >> 4) % 60};
    const Pixels image = Pixels::Random(in, static_cast<uint32_t>(sample));
    const SampleKey key{7, 1, sample, 0};
    std::vector<Op> ops;
    std::string kinds;
    Pixels expected = image;
    for (int i = 0; i < 1 + static_cast<int>(sample % 6); ++i) {
      const Op op = RandomOp(expected.size(), &random);
      expected = ByReference(op, expected, key, CountOps(ops));
      ops.push_back(op);
      kinds += " " + std::to_string(static_cast<int>(op.kind));
    }
    Geometry geometry;
    ResolveGeometry(ops, in, key, &geometry);
    windows += geometry.decode == Whole(in) ? 0 : 1;
    ASSERT_TRUE(SamePixels(Applied(ops, image, key).view(), expected.view()))
        << "sample " << sample << ", kinds" << kinds;
  }
  EXPECT_GT(windows, 200) << "the samples must exercise decoding in part";
}

// From any step on: what the fast pixel mode does behind its resize.
TEST(ApplyColorsTest, StepsBehindTheFirstOnesGoOnFromAnImageThatIsThere) {
  const Pixels image = Picture({50, 40});
  const std::vector<Op> ops = {MakeOp(OpKind::kResize, {30, 30}), One(1, 2),
                               MakeOp(OpKind::kCenterCrop, {10, 8}), Grayscale(1)};
  Geometry geometry;
  ResolveGeometry(ops, image.size(), {}, &geometry);
  ASSERT_EQ(geometry.steps.size(), 4U);
  const Pixels resized = ReferenceResize(image, {30, 30}, Interpolation::kBilinear);
  GeometryApplier applier;
  EXPECT_TRUE(SamePixels(CopyOf(applier.Apply(geometry, resized.view(), 1)).view(),
                         Applied(ops, image).view()));
  EXPECT_EQ(applier.Apply(geometry, resized.view(), 4).pixels_hwc, resized.view().pixels_hwc);
}

}  // namespace
}  // namespace stoker
