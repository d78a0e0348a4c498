// BaselineDecoder making checkpoints, and decoding by those of the same file. By wrong ones:
// baseline_decoder_wrong_checkpoints_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "codec/jpeg/baseline_decoder.h"
#include "support/checkpoints.h"
#include "support/jpeg_samplings.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Below;
using testing::Bytes;
using testing::CheckpointsByEncoding;
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

constexpr Size kSizes[] = {{1, 1}, {7, 5}, {64, 48}, {131, 97}, {200, 33}, {400, 300}};
constexpr int kScales[] = {1, 2, 4, 8};

// Calls `check` with files of every sampling and size, of little and of much data, with restart
// markers and without, and what to call them.
template <typename Check>
void ForEachFile(const Check& check) {
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const Size size : kSizes) {
      for (const int interval : {0, 1, 7, 1000}) {
        for (const int quality : {35, 90, 100}) {
          JpegSpec spec = sampling.Spec(size, static_cast<uint32_t>(interval + quality));
          spec.restart_interval = interval;
          spec.quality = quality;
          spec.optimize = (interval + size.width) % 2 == 1;
          const std::string name = std::string(sampling.name) + ", " + std::to_string(size.width) +
                                   " x " + std::to_string(size.height) + ", interval " +
                                   std::to_string(interval) + ", quality " +
                                   std::to_string(quality);
          check(MakeJpeg(spec), name);
          if (::testing::Test::HasFatalFailure()) FAIL() << name;
        }
      }
    }
  }
}

TEST(RecordingCheckpoints, ChangesNoPixelAndGivesTheSameWhateverIsDecoded) {
  std::mt19937 random(1);
  DecoderPair decoders;
  ForEachFile([&](const Bytes& jpeg, const std::string&) {
    const JpegHeader header = HeaderOf(jpeg);
    for (const size_t budget : {kAmpleBytes, size_t{100}}) {
      const Checkpoints expected = Record(jpeg, budget);
      EXPECT_EQ(expected.usable(), RecordingStep(header, budget) > 0);
      Checkpoints recorded;  // what an earlier file has left does not stay
      for (const int scale : kScales) {
        CheckpointUse use;
        use.record = &recorded;
        use.budget_bytes = budget;
        use = decoders.ExpectSame(jpeg, RandomPart(header.size, &random), scale, use);
        ASSERT_EQ(use.recorded, expected.usable());
        EXPECT_FALSE(use.used || use.rejected);
        if (!use.recorded) continue;
        ASSERT_TRUE(recorded.Fit(header));
        ASSERT_EQ(recorded.step, RecordingStep(header, budget));
        ASSERT_EQ(recorded.at, expected.at);
      }
    }
  });
}

TEST(RecordingCheckpoints, NoneOfFilesWithRestartMarkers) {
  for (const int interval : {1, 7, 767}) {
    JpegSpec spec = kJpegSamplings[0].Spec({256, 192}, 1);  // 768 MCUs
    spec.restart_interval = interval;
    EXPECT_FALSE(Record(MakeJpeg(spec)).usable()) << interval;
    spec.restart_interval = 768;  // whose first marker would stand behind the data
    EXPECT_TRUE(Record(MakeJpeg(spec)).usable());
  }
}

TEST(RecordingCheckpoints, AreWhereTheCoefficientsCodedAnewSay) {
  ForEachFile([&](const Bytes& jpeg, const std::string&) {
    if (HeaderOf(jpeg).restart_interval > 0) return;
    const Checkpoints expected = CheckpointsByEncoding(jpeg);
    for (const size_t budget : {kAmpleBytes, size_t{150}, size_t{60}, size_t{32}}) {
      const Checkpoints recorded = Record(jpeg, budget);
      if (!recorded.usable()) continue;
      ASSERT_EQ(recorded.at, Thinned(expected, recorded.step).at);
    }
  });
}

// Checkpoints in front of, in and behind bytes with a stuffed one.
TEST(RecordingCheckpoints, CountStuffedBytes) {
  size_t beside = 0;
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    JpegSpec spec = kJpegSamplings[seed % 6].Spec({400, 300}, seed);
    spec.quality = 100;
    spec.optimize = true;
    const Bytes jpeg = MakeJpeg(spec);
    const Checkpoints recorded = Record(jpeg);
    ASSERT_EQ(recorded.at, Thinned(CheckpointsByEncoding(jpeg), recorded.step).at);
    for (size_t k = 1; k + 1 < recorded.at.size(); ++k) {
      const uint8_t* const byte = jpeg.data() + recorded.scan_begin + recorded.at[k].bit / 8;
      if (byte[0] == 0xFF || byte[-2] == 0xFF) ++beside;
    }
  }
  EXPECT_GT(beside, 50U);
}

TEST(DecodingByCheckpoints, GivesTheSamePlanes) {
  std::mt19937 random(2);
  DecoderPair decoders;
  ForEachFile([&](const Bytes& jpeg, const std::string&) {
    const JpegHeader header = HeaderOf(jpeg);
    const Checkpoints recorded = Record(jpeg);
    if (!recorded.usable()) return;
    for (const int multiple : {1, 2, 3, 13, 100'000 / recorded.step}) {
      const Checkpoints some = Thinned(recorded, multiple);
      for (const int scale : kScales) {
        const Rect part = RandomPart(header.size, &random);
        const CheckpointUse use = decoders.ExpectSameBy(some, jpeg, part, scale);
        ASSERT_TRUE(use.used && !use.rejected && !use.recorded)
            << multiple << ", scale " << scale << ", " << part.width << " x " << part.height
            << " at (" << part.left << ", " << part.top << ")";
      }
    }
  });
}

// One before each MCU: closer than they are recorded.
TEST(DecodingByCheckpoints, GivesTheSamePlanesAtAnyStep) {
  std::mt19937 random(3);
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{131, 97};
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 4));
    const Checkpoints every = CheckpointsByEncoding(jpeg);
    for (int step = 1; step <= every.mcus() + 1; ++step) {
      const Checkpoints some = Thinned(every, step);
      for (const int scale : kScales) {
        const Rect part = RandomPart(size, &random);
        ASSERT_TRUE(decoders.ExpectSameBy(some, jpeg, part, scale).used);
        ASSERT_FALSE(HasFailure()) << sampling.name << ", step " << step << ", scale " << scale;
      }
    }
  }
}

TEST(DecodingByCheckpoints, GivesTheSamePlanesAfterPacking) {
  std::mt19937 random(4);
  DecoderPair decoders;
  const Size size{400, 300};
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 5));
    for (const size_t budget : {40, 100, 250, 1000, 10'000}) {
      Checkpoints recorded = Record(jpeg, budget);
      Bytes packed;
      recorded.PackWithin(budget, &packed);
      ASSERT_LE(packed.size(), budget);
      Checkpoints unpacked;
      ASSERT_TRUE(unpacked.Unpack(testing::Span(packed)));
      ASSERT_TRUE(unpacked.usable()) << sampling.name << ", budget " << budget;
      for (int i = 0; i < 10; ++i) {
        ASSERT_TRUE(decoders.ExpectSameBy(unpacked, jpeg, RandomPart(size, &random)).used);
      }
    }
  }
}

// Each block's edge: what lies beside a region may begin a run of its own.
TEST(DecodingByCheckpoints, GivesTheSameSinglePixels) {
  const Size size{67, 35};
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 6));
    const Checkpoints recorded = Record(jpeg);
    ASSERT_TRUE(recorded.usable());
    for (int y = 0; y < size.height; ++y) {
      for (int x = 0; x < size.width; ++x) {
        if ((x + 1) % 8 > 1 && (y + 1) % 8 > 1) continue;
        ASSERT_TRUE(decoders.ExpectSameBy(recorded, jpeg, {x, y, 1, 1}).used);
        ASSERT_FALSE(HasFailure()) << sampling.name << " at (" << x << ", " << y << ")";
      }
    }
  }
}

TEST(DecodingByCheckpoints, ReadsOnlyWhatThePartTouches) {
  const Size size{400, 304};
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    Bytes jpeg = MakeJpeg(sampling.Spec(size, 7));
    const Checkpoints recorded = Record(jpeg);
    const Rect part{200, 200, 40, 40};
    CheckpointUse use = decoders.ExpectSameBy(recorded, jpeg, part);
    ASSERT_TRUE(use.used);
    const McuRect mcus = McusUnder(part, 1, size, recorded.max_h, recorded.max_v);
    EXPECT_EQ(use.decoded_bytes, recorded.BitsFor(mcus) / 8);
    EXPECT_EQ(use.plain_bytes, recorded.PlainBitsFor(mcus) / 8);
    EXPECT_LT(use.decoded_bytes, use.plain_bytes / 5);

    // What is damaged elsewhere is not noticed: before, behind, and between two rows.
    std::vector<CheckpointRun> runs;
    recorded.RunsUnder(mcus, &runs);
    ASSERT_GT(runs.size(), 1U);
    BaselineDecoder decoder;
    YccPlanes planes;
    ASSERT_TRUE(decoder.Open(testing::Span(jpeg)) && decoder.Decode(part, 1, &planes));
    Bytes damaged = jpeg;
    const auto scan = damaged.begin() + static_cast<std::ptrdiff_t>(recorded.scan_begin);
    const auto damage = [&](size_t from, size_t to) {  // bytes of the scan
      std::fill(scan + static_cast<std::ptrdiff_t>(from), scan + static_cast<std::ptrdiff_t>(to),
                0xFF);
    };
    uint64_t end = 0;
    for (const CheckpointRun& run : runs) {
      damage(end, recorded.at[run.first].bit / 8);
      end = recorded.at[run.last].bit / 8 + 1;
    }
    damage(end, recorded.at.back().bit / 8);
    BaselineDecoder other;
    YccPlanes same;
    use = CheckpointUse{};
    use.use = &recorded;
    ASSERT_TRUE(other.Open(testing::Span(damaged), &use) && other.Decode(part, 1, &same));
    EXPECT_TRUE(use.used) << sampling.name;
    testing::ExpectSamePlanes(planes, same);
  }
}

TEST(DecodingByCheckpoints, RecordsNothingMeanwhile) {
  const Bytes jpeg = MakeJpeg({});
  const Checkpoints recorded = Record(jpeg);
  Checkpoints more;
  CheckpointUse use;
  use.use = &recorded;
  use.record = &more;
  use.budget_bytes = kAmpleBytes;
  DecoderPair decoders;
  use = decoders.ExpectSame(jpeg, {10, 20, 30, 20}, 1, use);
  EXPECT_TRUE(use.used);
  EXPECT_FALSE(use.recorded);
}

// No code is all ones: damage from the scan's middle on.
TEST(RecordingCheckpoints, NoneOfFilesThatAreDamagedBehindThePart) {
  DecoderPair decoders;
  for (const JpegSampling& sampling : kJpegSamplings) {
    const Size size{128, 128};
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 8));
    const Checkpoints recorded = Record(jpeg);
    const size_t third = recorded.at[recorded.at.size() / 3].bit / 8;
    const size_t scan = HeaderOf(jpeg).scan_begin;
    const auto record = [&](const Bytes& file, const Rect& part) {
      Checkpoints made;
      CheckpointUse use;
      use.record = &made;
      use.budget_bytes = kAmpleBytes;
      return decoders.ExpectSame(file, part, 1, use).recorded;
    };
    const Rect top{5, 3, 100, 20};
    ASSERT_TRUE(record(jpeg, top));
    Bytes ones = jpeg;
    for (size_t i = 0; i < 60; i += 2) {
      ones[scan + 2 * third + i] = 0xFF;
      ones[scan + 2 * third + i + 1] = 0;
    }
    EXPECT_FALSE(record(ones, top)) << sampling.name;
    EXPECT_FALSE(record(ones, Whole(size)));
    // Too few data.
    Bytes cut(jpeg.begin(), jpeg.end() - 2 - static_cast<std::ptrdiff_t>(third));
    while (cut.back() == 0xFF) cut.pop_back();
    testing::Append(&cut, {0xFF, 0xD9});
    EXPECT_FALSE(record(cut, top)) << sampling.name;
    // A byte too many, and more of them.
    for (const Bytes& more : {Bytes{0}, Bytes{0xFF, 0}, Bytes{1, 2, 3, 4, 5}}) {
      Bytes longer(jpeg.begin(), jpeg.end() - 2);
      testing::Append(&longer, more);
      testing::Append(&longer, {0xFF, 0xD9});
      EXPECT_FALSE(record(longer, top)) << sampling.name;
      // Behind the end of the image they are no matter.
      longer = jpeg;
      testing::Append(&longer, more);
      EXPECT_TRUE(record(longer, top));
      EXPECT_EQ(Record(longer).at, recorded.at);
    }
    // No end-of-image marker.
    EXPECT_FALSE(record(Bytes(jpeg.begin(), jpeg.end() - 2), top));
  }
}

}  // namespace
}  // namespace stoker
