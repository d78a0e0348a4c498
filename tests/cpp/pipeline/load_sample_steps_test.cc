// Colours, padding and erasing on a sample's way, in both pixel modes, and samples that come as
// pixels; see also load_sample_test.cc and load_sample_fast_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "image/erase.h"
#include "pipeline/load_sample.h"
#include "support/jpeg_samplings.h"
#include "support/ops.h"
#include "support/pixels.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::Flip;
using testing::Grayscale;
using testing::Group;
using testing::Jitter;
using testing::JpegSampling;
using testing::JpegSpec;
using testing::kJpegSamplings;
using testing::MakeJpeg;
using testing::MakeOp;
using testing::PadBy;
using testing::Pixels;
using testing::Span;

using Ops = std::vector<Op>;

constexpr Size kSize{40, 36};

SamplePlan Plan(PixelMode pixels, const Ops& ops) {
  SamplePlan plan;
  plan.pixels = pixels;
  plan.ops = ops;
  plan.format.channels_last = true;
  return plan;
}

// Writes what the worker has prepared.
Bytes Written(SampleWorker* worker, const SamplePlan& plan, Size size) {
  Bytes slot(plan.format.SampleBytes(size));
  worker->Write(slot.data());
  return slot;
}
Bytes Loaded(const SamplePlan& plan, const Bytes& file, const SampleKey& key = {}) {
  SampleWorker worker(plan);
  const Size size = worker.Prepare(Span(file), key);
  return Written(&worker, plan, size);
}

Op Crop() { return MakeOp(OpKind::kRandomResizedCrop, kSize); }

// The steps behind those that `fast` stands for, done on the `pixels` of its result.
Bytes Continued(const Geometry& geometry, const PlaneResize& fast, const Bytes& pixels) {
  Pixels image(fast.out);
  std::copy(pixels.begin(), pixels.end(), image.mutable_view().row(0));
  GeometryApplier applier;
  const ImageView result = applier.Apply(geometry, image.view().Crop(fast.window), fast.steps);
  SampleFormat format;
  format.channels_last = true;
  Bytes out(format.SampleBytes(result.size));
  WriteSample(result, geometry.flip_horizontal, geometry.flip_vertical, format, out.data());
  for (const Erasure& erasure : geometry.erasures) {
    Erase(erasure, geometry.out, format, out.data());
  }
  return out;
}

Op Erasing() {
  Op op = MakeOp(OpKind::kRandomErasing);
  op.probability = 1;
  op.scale = {0.1, 0.3};
  op.ratio = {0.5, 2.0};
  op.value = {10, 120, 250};
  op.noise = {0, 30, 3};
  return op;
}

// Crop and resize stay fast, on the planes; what comes behind goes on from their pixels.
TEST(LoadStepsTest, FastPixelsAreTheSameWithTheStepsBehindThemDoneAfterwards) {
  const Op jitter = Jitter({{{0.5, 1.5}, {0.5, 1.5}, {0.5, 1.5}, {-0.1, 0.1}}});
  const Ops behind[] = {
      {jitter},
      {Flip(0.5), jitter, Grayscale(0.3)},
      {PadBy({4, 3, 2, 1}), MakeOp(OpKind::kRandomCrop, kSize), Flip(1)},
      {Group(OpKind::kRandomApply, {jitter}), MakeOp(OpKind::kResize, {19, 31})},
      {Group(OpKind::kRandomOrder, {jitter, Flip(0.5), Grayscale(1)}), Erasing()},
  };
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(sampling.Spec({200, 151}, 3));
    for (size_t p = 0; p < std::size(behind); ++p) {
      Ops ops{Crop()};
      ops.insert(ops.end(), behind[p].begin(), behind[p].end());
      for (uint32_t n = 0; n < 6; ++n) {
        const SampleKey key{1, 2, 3, n};
        Geometry geometry;
        ResolveGeometry(ops, {200, 151}, key, &geometry);
        const auto fast = AsPlaneResize(geometry);
        ASSERT_TRUE(fast.has_value());
        const Bytes crop = Loaded(Plan(PixelMode::kFast, {Crop()}), jpeg, key);
        ASSERT_NE(crop, Loaded(Plan(PixelMode::kExact, {Crop()}), jpeg, key));
        ASSERT_EQ(Loaded(Plan(PixelMode::kFast, ops), jpeg, key), Continued(geometry, *fast, crop))
            << sampling.name << ", plan " << p;
      }
    }
  }
}

TEST(LoadStepsTest, ColoursBeforeTheResizeHaveTheExactPixels) {
  const Bytes jpeg = MakeJpeg(kJpegSamplings[2].Spec({90, 70}, 4));
  const Ops plans[] = {
      {Jitter({{{2, 2}, {1, 1}, {1, 1}, {0, 0}}}), Crop()},
      {Jitter({{{1, 1}, {2, 2}, {1, 1}, {0, 0}}}), Crop()},
      {Grayscale(1), Crop(), Flip(1)},
      {PadBy({1, 1, 1, 1}), Crop()},
  };
  for (const Ops& ops : plans) {
    EXPECT_EQ(Loaded(Plan(PixelMode::kFast, ops), jpeg),
              Loaded(Plan(PixelMode::kExact, ops), jpeg));
  }
}

// The window of contrast is all of the resize's result, also where little of it is kept.
TEST(LoadStepsTest, FastPixelsOfACropBehindContrastKnowTheWholeMean) {
  const Bytes jpeg = MakeJpeg(kJpegSamplings[2].Spec({200, 151}, 8));
  const Op resize = MakeOp(OpKind::kResize, kSize);
  const Op contrast = Jitter({{{1, 1}, {0.2, 0.2}, {1, 1}, {0, 0}}});
  const Bytes whole = Loaded(Plan(PixelMode::kFast, {resize, contrast}), jpeg);
  const Bytes part = Loaded(
      Plan(PixelMode::kFast, {resize, contrast, MakeOp(OpKind::kCenterCrop, {10, 6})}), jpeg);
  for (size_t y = 0; y < 6; ++y) {
    const auto* expected = whole.data() + ((15 + y) * 40 + 15) * kChannels;
    EXPECT_EQ(std::memcmp(part.data() + y * 10 * kChannels, expected, 10 * kChannels), 0);
  }
}

TEST(LoadStepsTest, ErasingComesLastInEveryModeAndFormat) {
  const Bytes jpeg = MakeJpeg(kJpegSamplings[2].Spec({120, 100}, 5));
  for (const PixelMode mode : {PixelMode::kFast, PixelMode::kExact}) {
    for (int bits = 0; bits < 8; ++bits) {
      SamplePlan plan = Plan(mode, {Crop(), Flip(0.5)});
      plan.format.type = (bits & 1) != 0 ? ElementType::kFloat32 : ElementType::kUint8;
      plan.format.channels_last = (bits & 2) != 0;
      plan.format.channels = (bits & 4) != 0 ? 1 : kChannels;
      SamplePlan erasing = plan;
      erasing.ops.push_back(Erasing());
      for (uint32_t n = 0; n < 4; ++n) {
        const SampleKey key{1, 2, 3, n};
        Geometry geometry;
        ResolveGeometry(erasing.ops, {120, 100}, key, &geometry);
        ASSERT_EQ(geometry.erasures.size(), 1U);
        Bytes expected = Loaded(plan, jpeg, key);
        const Bytes before = expected;
        Erase(geometry.erasures[0], kSize, plan.format, expected.data());
        ASSERT_NE(expected, before);
        ASSERT_EQ(Loaded(erasing, jpeg, key), expected) << "variant " << bits;
      }
    }
  }
}

// What the worker erased from one sample is not erased from the next.
TEST(LoadStepsTest, ResultsDoNotDependOnTheSampleBefore) {
  Op maybe = Erasing();
  maybe.probability = 0.5;
  const SamplePlan plan = Plan(
      PixelMode::kFast, {Crop(), Flip(0.5), Group(OpKind::kRandomApply, {Grayscale(1)}), maybe});
  SampleWorker worker(plan);
  const Bytes jpeg = MakeJpeg(kJpegSamplings[2].Spec({120, 100}, 5));
  for (uint32_t n = 0; n < 40; ++n) {
    const SampleKey key{1, 2, 3, n};
    const Size size = worker.Prepare(Span(jpeg), key);
    ASSERT_EQ(Written(&worker, plan, size), Loaded(plan, jpeg, key)) << n;
  }
}

TEST(LoadStepsTest, OneChannelOfGrayIsWhatThreeHaveInEach) {
  for (const int components : {1, 3}) {
    JpegSpec spec;
    spec.width = 120;
    spec.height = 100;
    spec.components = components;
    const Bytes jpeg = MakeJpeg(spec);
    for (const PixelMode mode : {PixelMode::kFast, PixelMode::kExact}) {
      SamplePlan plan = Plan(mode, {Crop(), Grayscale(1), Flip(0.5)});
      const Bytes rgb = Loaded(plan, jpeg);
      plan.format.channels = 1;
      const Bytes gray = Loaded(plan, jpeg);
      ASSERT_EQ(gray.size() * kChannels, rgb.size());
      for (size_t i = 0; i < rgb.size(); ++i) ASSERT_EQ(rgb[i], gray[i / kChannels]);
    }
  }
}

// The pixels of a file, as they are decoded.
Pixels Decoded(const Bytes& jpeg, Size size, int gap) {
  SampleWorker worker(Plan(PixelMode::kExact, {}));
  EXPECT_EQ(worker.Prepare(Span(jpeg), {}), size);
  const Bytes rgb = Written(&worker, Plan(PixelMode::kExact, {}), size);
  Pixels image(size, gap);
  for (int y = 0; y < size.height; ++y) {
    const auto row = static_cast<ptrdiff_t>(size.width) * kChannels;
    std::copy_n(rgb.begin() + y * row, row, image.mutable_view().row(y));
  }
  return image;
}

TEST(PreparePixelsTest, GivesWhatTheFileWithThesePixelsGives) {
  const Ops plans[] = {
      {},
      {Crop(), Flip(0.5)},
      {MakeOp(OpKind::kRandomCrop, {31, 30}), Flip(0.5, OpKind::kRandomVerticalFlip)},
      {testing::ResizeShortSide(48), MakeOp(OpKind::kCenterCrop, kSize)},
      {PadBy({3, 4, 5, 6}), Jitter({{{0, 2}, {0, 2}, {0, 2}, {-0.5, 0.5}}}), Crop(), Erasing()},
  };
  for (const Size size : {Size{120, 90}, {37, 64}, {161, 35}}) {
    const Bytes jpeg = MakeJpeg(kJpegSamplings[2].Spec(size, 7));
    const Pixels image = Decoded(jpeg, size, /*gap=*/5);
    for (size_t p = 0; p < std::size(plans); ++p) {
      const SamplePlan plan = Plan(PixelMode::kExact, plans[p]);
      // Pixels have no planes: the fast mode takes them exactly.
      const SamplePlan fast = Plan(PixelMode::kFast, plans[p]);
      SampleWorker workers[] = {SampleWorker(plan), SampleWorker(fast)};
      for (uint32_t n = 0; n < 5; ++n) {
        const SampleKey key{1, 2, 3, n};
        const Bytes expected = Loaded(plan, jpeg, key);
        for (SampleWorker& worker : workers) {
          worker.Prepare(Span(jpeg), {});  // leaves nothing behind
          const Size out = worker.PreparePixels(image.view(), key);
          ASSERT_EQ(Written(&worker, plan, out), expected) << "plan " << p;
        }
      }
    }
  }
}

// The address sanitizer sees it where a kernel reads behind memory that ends with the last pixel.
TEST(PreparePixelsTest, CopiesWhatItNeeds) {
  const Size size{45, 41};
  const Pixels source = Pixels::Random(size, 3);
  const SamplePlan plan = Plan(PixelMode::kExact, {MakeOp(OpKind::kResize, kSize)});
  SampleWorker worker(plan);
  Bytes expected;
  for (const bool gone : {false, true}) {
    Bytes tight(source.view().row(0), source.view().row(0) + size.pixels() * kChannels);
    const Size out = worker.PreparePixels({tight.data(), size, size.width * kChannels}, {});
    if (gone) std::fill(tight.begin(), tight.end(), uint8_t{0});
    if (!gone) expected = Written(&worker, plan, out);
    EXPECT_EQ(Written(&worker, plan, out), expected);
  }
}

TEST(PreparePixelsTest, ACropThatDoesNotFitFailsInTheTransform) {
  SampleWorker worker(Plan(PixelMode::kExact, {MakeOp(OpKind::kRandomCrop, {20, 20})}));
  const Pixels image = Pixels::Random({19, 30}, 1);
  try {
    worker.PreparePixels(image.view(), {});
    FAIL() << "no error";
  } catch (const StageError& error) {
    EXPECT_EQ(error.stage(), Stage::kTransform);
  }
}

}  // namespace
}  // namespace stoker
