// BaselineDecoder and checkpoints that are not those of the file.
#include <gtest/gtest.h>

#include <random>
#include <utility>
#include <vector>

#include "codec/jpeg/baseline_decoder.h"
#include "support/checkpoints.h"
#include "support/jpeg_samplings.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Below;
using testing::Bytes;
using testing::DecoderPair;
using testing::HeaderOf;
using testing::JpegSampling;
using testing::JpegSpec;
using testing::kAmpleBytes;
using testing::kJpegSamplings;
using testing::MakeJpeg;
using testing::RandomPart;
using testing::Record;
using testing::Thinned;

// All rows from `top` on: decoding passes every checkpoint from the first before them to the last.
Rect FromRow(int top, Size size) { return {0, top, size.width, size.height - top}; }

// Checkpoint k with one number changed by one, for every k and every number; and far too early.
template <typename Check>
void ForEachFlaw(const Checkpoints& good, const Check& check) {
  for (size_t k = 1; k < good.at.size(); ++k) {
    for (const int by : {-1, 1}) {
      Checkpoints bad = good;
      bad.at[k].bit += static_cast<uint64_t>(by);
      check(bad, k);
      for (size_t c = 0; c < static_cast<size_t>(good.components); ++c) {
        bad = good;
        bad.at[k].dc[c] += by;
        check(bad, k);
      }
    }
    Checkpoints bad = good;
    bad.at[k].bit = good.at[k - 1].bit + 9;
    if (bad.at[k].bit < good.at[k].bit) check(bad, k);
  }
}

TEST(WrongCheckpoints, WithOneFlawAreRejectedByPartsThatPassIt) {
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{97, 81};
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 1));
    const Checkpoints all = Record(jpeg);
    for (const int multiple : {1, 3, 8}) {
      const Checkpoints good = Thinned(all, multiple);
      int rejected = 0;
      int used = 0;
      int top = 0;
      ForEachFlaw(good, [&](const Checkpoints& bad, size_t k) {
        top = (top + 7) % size.height;
        const Rect part = FromRow(top, size);
        const McuRect mcus = McusUnder(part, 1, size, good.max_h, good.max_v);
        const auto first = static_cast<size_t>(mcus.top * good.mcus_across() / good.step);
        const CheckpointUse use = decoders.ExpectSameBy(bad, jpeg, part);
        ASSERT_EQ(use.rejected, k >= first) << sampling.name << ", checkpoint " << k;
        ASSERT_EQ(use.used, !use.rejected);
        ++(use.rejected ? rejected : used);
      });
      if (HasFatalFailure()) return;
      EXPECT_GT(rejected, 0);
      if (multiple == 1) {
        EXPECT_GT(used, 0);
      }
    }
  }
}

// Whatever is wrong, and in whatever part, a decoder that uses it cannot have noticed only because
// the part ends before the next checkpoint.
TEST(WrongCheckpoints, InPartsOfAnyWidthAreRejectedOrNotPassed) {
  std::mt19937 random(2);
  DecoderPair decoders;
  int rejected = 0;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{180, 90};
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 2));
    const Checkpoints good = Record(jpeg);
    ForEachFlaw(good, [&](const Checkpoints& bad, size_t k) {
      const Rect part = RandomPart(size, &random);
      const McuRect mcus = McusUnder(part, 1, size, good.max_h, good.max_v);
      // Whether checkpoint k + 1 or, where k is not begun at, k itself is passed.
      bool begun = false;
      bool passed = false;
      std::vector<CheckpointRun> runs;
      good.RunsUnder(mcus, &runs);
      for (const CheckpointRun& run : runs) begun = begun || (run.first <= k && k < run.last);
      int mcu = 0;
      for (int y = mcus.top; y < mcus.bottom; ++y) {
        const int begin = y * good.mcus_across() + mcus.left;
        const int start = std::max(mcu, begin - begin % good.step);
        mcu = begin + mcus.width();
        passed = passed || (start < good.McuAt(k) && good.McuAt(k) <= mcu) ||
                 (start == good.McuAt(k) && good.McuAt(k + 1) <= mcu);
      }
      if (begun && !passed) return;  // the pixels may be wrong: nothing is there to compare
      const CheckpointUse use = decoders.ExpectSameBy(bad, jpeg, part);
      ASSERT_TRUE(use.rejected != use.used);
      if (passed) {
        ASSERT_TRUE(use.rejected) << sampling.name << ", checkpoint " << k;
      }
      rejected += use.rejected ? 1 : 0;
    });
    if (HasFatalFailure()) return;
  }
  EXPECT_GT(rejected, 100);
}

TEST(WrongCheckpoints, WhosePredictorsAreSwappedAreRejected) {
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{130, 70};
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 3));
    const Checkpoints good = Record(jpeg);
    for (size_t k = 1; k + 1 < good.at.size(); ++k) {
      Checkpoints bad = good;
      std::swap(bad.at[k].dc, bad.at[k + 1].dc);
      if (bad.at == good.at) continue;
      ASSERT_TRUE(decoders.ExpectSameBy(bad, jpeg, Whole(size)).rejected) << sampling.name;
    }
    // All of them one too early: each is right in itself.
    Checkpoints shifted = good;
    for (size_t k = 1; k + 1 < good.at.size(); ++k) shifted.at[k] = good.at[k + 1];
    shifted.at.back().bit += 8;
    ASSERT_TRUE(decoders.ExpectSameBy(shifted, jpeg, Whole(size)).rejected);
  }
}

// The same header, and the same size in bytes even: only the content tells them apart.
TEST(WrongCheckpoints, OfAnotherFileAreRejected) {
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{200, 150};
    for (uint32_t seed = 1; seed <= 6; ++seed) {
      const Bytes a = MakeJpeg(sampling.Spec(size, seed));
      const Bytes b = MakeJpeg(sampling.Spec(size, seed + 1));
      for (const int multiple : {1, 3, 10}) {
        const Checkpoints of_a = Thinned(Record(a), multiple);
        ASSERT_TRUE(of_a.Fit(HeaderOf(b)));
        for (const int scale : {1, 4}) {
          for (const int top : {0, 1, 40, 100}) {
            ASSERT_TRUE(decoders.ExpectSameBy(of_a, b, FromRow(top, size), scale).rejected);
            ASSERT_FALSE(HasFailure()) << sampling.name << ", seed " << seed << ", from " << top;
          }
        }
      }
    }
  }
}

TEST(WrongCheckpoints, OfAnotherHeaderAreRejected) {
  std::mt19937 random(4);
  DecoderPair decoders;
  const JpegSpec spec;
  const Bytes jpeg = MakeJpeg(spec);
  std::vector<JpegSpec> others(4, spec);
  others[0].width = 65;
  others[1].height = 47;
  others[2].h_sampling = 1;
  others[3].components = 1;
  std::vector<Bytes> files = {testing::WithExifOrientation(jpeg, 3)};
  for (const JpegSpec& other : others) files.push_back(MakeJpeg(other));
  JpegSpec restarts = spec;
  restarts.restart_interval = 5;
  for (const Bytes& file : files) {
    const Checkpoints recorded = Record(file);
    ASSERT_TRUE(recorded.usable());
    for (int i = 0; i < 10; ++i) {
      const Rect part = RandomPart({64, 48}, &random);
      ASSERT_TRUE(decoders.ExpectSameBy(recorded, jpeg, part).rejected);
      ASSERT_TRUE(decoders.ExpectSameBy(recorded, MakeJpeg(restarts), part).rejected);
    }
  }
  EXPECT_TRUE(decoders.ExpectSameBy(Checkpoints{}, jpeg, {0, 0, 9, 9}).rejected);
}

TEST(WrongCheckpoints, BeyondTheFileAreRejected) {
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{97, 81};
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 5));
    const Checkpoints good = Thinned(Record(jpeg), 2);
    const uint64_t end = 8 * (jpeg.size() - HeaderOf(jpeg).scan_begin);
    // From checkpoint k on, ever farther.
    for (const uint64_t beyond : {end - 16, end - 8, end - 1, end, end + 1, end + 8, end + 100,
                                  end * 3, uint64_t{1} << 40, (uint64_t{1} << 63) - 5000}) {
      for (size_t k = 1; k < good.at.size(); ++k) {
        Checkpoints bad = good;
        for (size_t i = k; i < bad.at.size(); ++i) bad.at[i].bit = beyond + (i - k);
        if (bad.at[k].bit <= bad.at[k - 1].bit || bad.at == good.at) continue;
        for (const int top : {0, 30, 80}) {
          const CheckpointUse use = decoders.ExpectSameBy(bad, jpeg, FromRow(top, size));
          ASSERT_TRUE(use.rejected) << sampling.name << ", " << k << ", " << beyond;
        }
        ASSERT_FALSE(HasFailure());
      }
    }
  }
}

// Ascending positions and any predictors, as the packed form of nonsense gives.
TEST(WrongCheckpoints, ThatAreNonsenseAreRejectedByTheWhole) {
  std::mt19937 random(6);
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{97, 81};
    JpegSpec spec = sampling.Spec(size, 6);
    spec.quality = 100;
    const Bytes jpeg = MakeJpeg(spec);
    Checkpoints bad = Thinned(Record(jpeg), 2);
    const uint64_t bits = bad.at.back().bit;
    for (int i = 0; i < 200; ++i) {
      const auto most = static_cast<uint32_t>(2 * bits / bad.at.size());
      for (size_t k = 1; k < bad.at.size(); ++k) {
        bad.at[k].bit = bad.at[k - 1].bit + 1 + random() % most;
        for (int32_t& dc : bad.at[k].dc) dc = static_cast<int32_t>(random());
      }
      ASSERT_TRUE(decoders.ExpectSameBy(bad, jpeg, Whole(size)).rejected);
      // Any part at all: no crash, and planes.
      CheckpointUse use;
      use.use = &bad;
      BaselineDecoder decoder;
      YccPlanes planes;
      ASSERT_TRUE(decoder.Open(testing::Span(jpeg), &use) &&
                  decoder.Decode(RandomPart(size, &random), 1, &planes));
    }
  }
}

TEST(WrongCheckpoints, AreReplacedWhereSomeAreToBeMade) {
  DecoderPair decoders;
  const JpegSpec spec = kJpegSamplings[2].Spec({200, 150}, 7);
  const Bytes jpeg = MakeJpeg(spec);
  const Checkpoints good = Record(jpeg);
  Checkpoints bad = good;
  ++bad.at[3].bit;
  Checkpoints made;
  CheckpointUse use;
  use.use = &bad;
  use.record = &made;
  use.budget_bytes = kAmpleBytes;
  use = decoders.ExpectSame(jpeg, Whole({200, 150}), 1, use);
  EXPECT_TRUE(use.rejected);
  EXPECT_TRUE(use.recorded);
  EXPECT_FALSE(use.used);
  EXPECT_EQ(made.at, good.at);
}

// A decoder goes on after each of them as if nothing had happened.
TEST(WrongCheckpoints, LeaveNothingForTheNextFile) {
  DecoderPair decoders;
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    const Size size{97 + static_cast<int>(seed), 81};
    const Bytes jpeg = MakeJpeg(kJpegSamplings[seed % 6].Spec(size, seed));
    const Checkpoints good = Record(jpeg);
    Checkpoints bad = good;
    ++bad.at[good.at.size() / 2].dc[0];
    EXPECT_TRUE(decoders.ExpectSameBy(bad, jpeg, Whole(size)).rejected);
    EXPECT_TRUE(decoders.ExpectSameBy(good, jpeg, FromRow(40, size)).used);
    const CheckpointUse none = decoders.ExpectSame(jpeg, FromRow(20, size), 1, {});
    EXPECT_FALSE(none.used || none.rejected || none.recorded);
  }
}

}  // namespace
}  // namespace stoker
