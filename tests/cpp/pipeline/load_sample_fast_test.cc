// The fast pixel mode against the exact one, from file to slot.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "image/simd.h"
#include "pipeline/load_sample.h"
#include "support/jpeg_samplings.h"
#include "support/ops.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::Flip;
using testing::JpegSampling;
using testing::JpegSpec;
using testing::kJpegSamplings;
using testing::MakeJpeg;
using testing::MakeOp;
using testing::ResizeShortSide;
using testing::Span;

using Ops = std::vector<Op>;

Ops Training(Interpolation method = Interpolation::kBilinear) {
  return {MakeOp(OpKind::kRandomResizedCrop, {40, 36}, method), Flip(0.5)};
}

SamplePlan Plan(PixelMode pixels, const Ops& ops, bool dct_scaling = false) {
  SamplePlan plan;
  plan.pixels = pixels;
  plan.ops = ops;
  plan.dct_scaling = dct_scaling;
  plan.format.channels_last = true;
  return plan;
}

Bytes Loaded(SampleWorker* worker, const Bytes& file, const SampleKey& key = {}) {
  Bytes slot(static_cast<size_t>(worker->Prepare(Span(file), key).pixels()) * kChannels);
  worker->Write(slot.data());
  return slot;
}
Bytes Loaded(const SamplePlan& plan, const Bytes& file, const SampleKey& key = {}) {
  SampleWorker worker(plan);
  return Loaded(&worker, file, key);
}

// How far two ways of loading are from each other.
class Differences {
 public:
  void Add(const Bytes& a, const Bytes& b) {
    ASSERT_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
      ++counts_[static_cast<size_t>(std::abs(a[i] - b[i]))];
    }
  }
  double mean() const {
    double sum = 0;
    for (size_t i = 0; i < 256; ++i) sum += static_cast<double>(i) * counts_[i];
    return sum / total();
  }
  // The least difference that `share` of all do not exceed.
  int Percentile(double share) const {
    double sum = 0;
    for (size_t i = 0; i < 256; ++i) {
      sum += counts_[i];
      if (sum >= share * total()) return static_cast<int>(i);
    }
    return 255;
  }

 private:
  double total() const {
    double sum = 0;
    for (const double count : counts_) sum += count;
    return sum;
  }
  std::vector<double> counts_ = std::vector<double>(256);
};

void ExpectWithinRounding(const Differences& differences, const std::string& what) {
  EXPECT_LE(differences.mean(), 0.6) << what;
  EXPECT_LE(differences.Percentile(0.999), 8) << what;
  EXPECT_GT(differences.mean(), 0) << what << ": the fast mode did not take it";
}

const Ops kPlans[] = {
    Training(),
    Training(Interpolation::kBicubic),
    {ResizeShortSide(48), MakeOp(OpKind::kCenterCrop, {40, 36}), Flip(1)},
    {MakeOp(OpKind::kCenterCrop, {33, 29}), MakeOp(OpKind::kResize, {100, 90})},
    {MakeOp(OpKind::kResize, {40, 36}), MakeOp(OpKind::kRandomCrop, {21, 20})},
};

TEST(FastPixelsTest, JpegsAreWithinRoundingOfTheExactOnes) {
  for (size_t p = 0; p < std::size(kPlans); ++p) {
    SampleWorker fast(Plan(PixelMode::kFast, kPlans[p]));
    SampleWorker exact(Plan(PixelMode::kExact, kPlans[p]));
    for (const JpegSampling& sampling : kJpegSamplings) {
      Differences differences;
      for (const Size size : {Size{200, 151}, {97, 130}, {333, 64}, {161, 160}}) {
        for (const int interval : {0, 5}) {
          JpegSpec spec = sampling.Spec(size, static_cast<uint32_t>(size.width));
          spec.restart_interval = interval;
          const Bytes jpeg = MakeJpeg(spec);
          for (uint32_t n = 0; n < 4; ++n) {
            const SampleKey key{1, 2, 3, n};
            differences.Add(Loaded(&fast, jpeg, key), Loaded(&exact, jpeg, key));
          }
        }
      }
      ExpectWithinRounding(differences, "plan " + std::to_string(p) + ", " + sampling.name);
    }
  }
}

TEST(FastPixelsTest, OtherFilesHaveTheExactPixels) {
  JpegSpec spec;
  spec.width = 90;
  spec.height = 70;
  const Bytes plain = MakeJpeg(spec);
  std::vector<Bytes> files;
  for (int orientation = 2; orientation <= 8; ++orientation) {
    files.push_back(testing::WithExifOrientation(plain, orientation));
  }
  const Bytes rgb = testing::MakeRgb(90, 70, 3);
  files.push_back(testing::MakePpm(90, 70, rgb));
  files.push_back(testing::MakeBmp(90, 70, rgb));
  JpegSpec progressive = spec;
  progressive.progressive = true;
  files.push_back(MakeJpeg(progressive));
  JpegSpec arithmetic = spec;
  arithmetic.arithmetic = true;
  files.push_back(MakeJpeg(arithmetic));
  JpegSpec cmyk = spec;
  cmyk.components = 4;
  files.push_back(MakeJpeg(cmyk));
  JpegSpec scans = spec;
  scans.separate_scans = true;
  files.push_back(MakeJpeg(scans));
  // Cut short: libjpeg-turbo fills in what is missing.
  files.emplace_back(plain.begin(), plain.end() - static_cast<ptrdiff_t>(plain.size() / 3));
  for (const Ops& ops : {Training(), kPlans[2]}) {
    SampleWorker fast(Plan(PixelMode::kFast, ops, /*dct_scaling=*/true));
    SampleWorker exact(Plan(PixelMode::kExact, ops));
    for (size_t i = 0; i < files.size(); ++i) {
      for (uint32_t n = 0; n < 3; ++n) {
        const SampleKey key{1, 2, 3, n};
        std::string reasons[2];
        Bytes results[2];
        SampleWorker* const workers[] = {&fast, &exact};
        for (size_t w = 0; w < 2; ++w) {
          try {
            results[w] = Loaded(workers[w], files[i], key);
          } catch (const StageError& error) {
            reasons[w] = error.what();
          }
        }
        ASSERT_EQ(results[0], results[1]) << "file " << i;
        ASSERT_EQ(reasons[0], reasons[1]) << "file " << i;
        ASSERT_TRUE(reasons[0].empty() || i + 1 == files.size()) << reasons[0];
      }
      // And the next one is fast again.
      ASSERT_NE(Loaded(&fast, plain), Loaded(&exact, plain));
    }
  }
}

TEST(FastPixelsTest, OperationsWithoutAnAntialiasedResizeHaveTheExactPixels) {
  const Bytes jpeg = MakeJpeg(kJpegSamplings[2].Spec({90, 70}, 4));
  const Ops plans[] = {
      {},
      {Flip(1)},
      {MakeOp(OpKind::kCenterCrop, {41, 33})},
      {MakeOp(OpKind::kRandomCrop, {41, 33}), Flip(1)},
      {MakeOp(OpKind::kResize, {41, 33}, Interpolation::kNearest)},
      {MakeOp(OpKind::kCenterCrop, {100, 33}), MakeOp(OpKind::kResize, {20, 19})},
      {Flip(1), MakeOp(OpKind::kResize, {20, 19})},
      Training(Interpolation::kNearest),
  };
  for (size_t p = 0; p < std::size(plans); ++p) {
    EXPECT_EQ(Loaded(Plan(PixelMode::kFast, plans[p], true), jpeg),
              Loaded(Plan(PixelMode::kExact, plans[p]), jpeg))
        << "plan " << p;
  }
}

// The stage and the reason of the error, or that there is none.
std::string Outcome(SampleWorker* worker, const Bytes& file) {
  try {
    Loaded(worker, file);
    return "loaded";
  } catch (const StageError& error) {
    return std::string(StageName(error.stage())) + ": " + error.what();
  }
}

TEST(FastPixelsTest, DamagedFilesFailAlike) {
  SampleWorker fast(Plan(PixelMode::kFast, Training()));
  SampleWorker exact(Plan(PixelMode::kExact, Training()));
  const Bytes good = MakeJpeg(kJpegSamplings[2].Spec({64, 48}, 5));
  int failures = 0;
  for (size_t size = 0; size < good.size(); size += 7) {
    const Bytes cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    const std::string outcome = Outcome(&fast, cut);
    ASSERT_EQ(outcome, Outcome(&exact, cut)) << "cut to " << size;
    failures += outcome != "loaded" ? 1 : 0;
  }
  EXPECT_GT(failures, 20);
  for (size_t at = 2; at < good.size(); at += 3) {
    Bytes flipped = good;
    flipped[at] ^= 0x55;
    ASSERT_EQ(Outcome(&fast, flipped), Outcome(&exact, flipped)) << "changed at " << at;
  }
  EXPECT_EQ(Outcome(&fast, {}), Outcome(&exact, {}));
  // A size that the plan does not allow, and a crop larger than the image.
  SamplePlan limited = Plan(PixelMode::kFast, Training());
  limited.decode.limits.max_pixels = 64 * 48 - 1;
  SampleWorker small(limited);
  EXPECT_NE(Outcome(&small, good).find("decode"), std::string::npos);
  const Ops too_large = {MakeOp(OpKind::kRandomCrop, {65, 48}), MakeOp(OpKind::kResize, {9, 9})};
  SampleWorker crop(Plan(PixelMode::kFast, too_large));
  EXPECT_NE(Outcome(&crop, good).find("transform"), std::string::npos);
}

TEST(FastPixelsTest, DctScalingIsForLargeCropsAndOnlyWhereAskedFor) {
  EXPECT_FALSE(SamplePlan{}.dct_scaling);
  EXPECT_EQ(SamplePlan{}.pixels, PixelMode::kExact);
  const Ops small = {MakeOp(OpKind::kResize, {20, 18})};
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const int times : {3, 4, 8, 20}) {
      Differences scaled_away;
      for (uint32_t seed = 0; seed < 6; ++seed) {
        const Bytes jpeg = MakeJpeg(sampling.Spec({20 * times + 3, 18 * times + 5}, seed));
        const Bytes exact = Loaded(Plan(PixelMode::kExact, small), jpeg);
        const Bytes fast = Loaded(Plan(PixelMode::kFast, small), jpeg);
        const Bytes scaled = Loaded(Plan(PixelMode::kFast, small, true), jpeg);
        // Exact pixels have no use for it.
        ASSERT_EQ(Loaded(Plan(PixelMode::kExact, small, true), jpeg), exact);
        if (times < 4) {
          ASSERT_EQ(scaled, fast);
        } else {
          ASSERT_NE(scaled, fast);
        }
        scaled_away.Add(scaled, exact);
      }
      EXPECT_LE(scaled_away.mean(), 6.0) << sampling.name << ", " << times;
      EXPECT_LE(scaled_away.Percentile(0.999), 48) << sampling.name << ", " << times;
    }
    // Of random crops, windows and all: every sample that is needed is there.
    SampleWorker exact(Plan(PixelMode::kExact, kPlans[4]));
    SampleWorker scaled(Plan(PixelMode::kFast, kPlans[4], true));
    Differences windows;
    const Bytes jpeg = MakeJpeg(sampling.Spec({517, 481}, 9));
    for (uint32_t n = 0; n < 20; ++n) {
      windows.Add(Loaded(&scaled, jpeg, {1, 2, 3, n}), Loaded(&exact, jpeg, {1, 2, 3, n}));
    }
    EXPECT_LE(windows.mean(), 6.0) << sampling.name;
    EXPECT_LE(windows.Percentile(0.999), 48) << sampling.name;
  }
}

TEST(FastPixelsTest, ResultsDoNotDependOnWhatTheWorkerDidBefore) {
  SampleWorker busy(Plan(PixelMode::kFast, Training(), true));
  for (int round = 0; round < 3; ++round) {
    for (const JpegSampling& sampling : kJpegSamplings) {
      for (const Size size : {Size{40, 60}, {700, 500}, {9, 5}, {1, 1}}) {
        const Bytes jpeg = MakeJpeg(sampling.Spec(size, 6));
        const SampleKey key{1, 2, 3, static_cast<uint32_t>(round)};
        ASSERT_EQ(Loaded(&busy, jpeg, key),
                  Loaded(Plan(PixelMode::kFast, Training(), true), jpeg, key));
        Outcome(&busy, Bytes(jpeg.begin(), jpeg.begin() + 300));
        Outcome(&busy, testing::MakePpm(9, 7, testing::MakeRgb(9, 7, 1)));
      }
    }
  }
}

TEST(FastPixelsTest, ResultsDoNotDependOnTheSimdTarget) {
  const std::string at_start = SimdTarget();
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(sampling.Spec({233, 157}, 7));
    for (const Ops& ops : kPlans) {
      for (const bool dct_scaling : {false, true}) {
        Bytes first;
        for (const std::string& target : SimdTargets()) {
          ASSERT_TRUE(SetSimdTarget(target));
          const Bytes got = Loaded(Plan(PixelMode::kFast, ops, dct_scaling), jpeg);
          if (first.empty()) first = got;
          EXPECT_EQ(got, first) << target << ", " << sampling.name;
        }
      }
    }
  }
  SetSimdTarget(at_start);
}

}  // namespace
}  // namespace stoker
