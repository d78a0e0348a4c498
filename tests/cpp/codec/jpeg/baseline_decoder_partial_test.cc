// BaselineDecoder by checkpoints where only the header and a part of the data are there.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "codec/jpeg/baseline_decoder.h"
#include "codec/jpeg/jpeg_decoder.h"
#include "support/checkpoints.h"
#include "support/jpeg_samplings.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::RandomPart;
using testing::Record;
using testing::Span;

// The use of `checkpoints` for the MCUs under a part, with exactly the data there that it needs.
CheckpointUse PartialUse(const Checkpoints& checkpoints, const Rect& part, int dct_scale) {
  std::vector<CheckpointRun> runs;
  checkpoints.RunsUnder(
      McusUnder(part, dct_scale, checkpoints.size, checkpoints.max_h, checkpoints.max_v), &runs);
  CheckpointUse use;
  use.use = &checkpoints;
  use.data_begin = checkpoints.at[runs.front().first].bit / 8;
  use.data_end = (checkpoints.at[runs.back().last].bit + 7) / 8;
  return use;
}

// `jpeg` with noise in place of all that is not there.
Bytes PartOf(const Bytes& jpeg, const CheckpointUse& use, std::mt19937* random) {
  Bytes out(jpeg.size());
  for (uint8_t& byte : out) byte = static_cast<uint8_t>((*random)() % 3 == 0 ? 0xFF : (*random)());
  const auto copy = [&](size_t begin, size_t end) {
    std::copy(jpeg.begin() + static_cast<std::ptrdiff_t>(begin),
              jpeg.begin() + static_cast<std::ptrdiff_t>(end),
              out.begin() + static_cast<std::ptrdiff_t>(begin));
  };
  copy(0, use.use->scan_begin);
  copy(use.use->scan_begin + use.data_begin, use.use->scan_begin + use.data_end);
  return out;
}

template <typename Decoder>
bool Throws(Decoder* decoder, const Bytes& file, const Rect& part, CheckpointUse use) {
  YccPlanes planes;
  ByteBuffer pixels;
  try {
    decoder->Open(Span(file), &use);
    if constexpr (std::is_same_v<Decoder, JpegDecoder>) {
      decoder->Decode(part, &pixels);
    } else {
      decoder->Decode(part, /*dct_scale=*/1, &planes);
    }
  } catch (const StageError& e) {
    EXPECT_EQ(e.stage(), Stage::kDecode);
    return true;
  }
  return false;
}

TEST(PartialFile, GivesThePixelsOfTheWhole) {
  std::mt19937 random(1);
  BaselineDecoder plain;
  BaselineDecoder decoder;
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    const Size size{200, 150};
    JpegSpec spec = sampling.Spec(size, 1);
    spec.quality = 98;
    const Bytes jpeg = MakeJpeg(spec);
    const Checkpoints recorded = Record(jpeg);
    for (int i = 0; i < 60; ++i) {
      const Checkpoints some = testing::Thinned(recorded, 1 + i % 7);
      const int scale = 1 << i % 4;
      const Rect part = RandomPart(size, &random);
      CheckpointUse use = PartialUse(some, part, scale);
      ASSERT_TRUE(use.partial());
      const Bytes there = PartOf(jpeg, use, &random);
      YccPlanes expected;
      YccPlanes planes;
      ASSERT_TRUE(plain.Open(Span(jpeg)) && plain.Decode(part, scale, &expected));
      ASSERT_TRUE(decoder.Open(Span(there), &use) && decoder.Decode(part, scale, &planes));
      ASSERT_TRUE(use.used && !use.rejected);
      testing::ExpectSamePlanes(planes, expected);
      ASSERT_FALSE(HasFatalFailure()) << sampling.name << ", part " << i;
    }
  }
}

TEST(PartialFile, OfTooLittleThrows) {
  std::mt19937 random(2);
  BaselineDecoder decoder;
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    const Size size{200, 150};
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 2));
    const Checkpoints recorded = Record(jpeg);
    for (int i = 0; i < 30; ++i) {
      const Rect part = RandomPart(size, &random);
      const CheckpointUse enough = PartialUse(recorded, part, 1);
      EXPECT_FALSE(Throws(&decoder, jpeg, part, enough));
      // Even where the bytes happen to be right: nobody has said so.
      CheckpointUse late = enough;
      ++late.data_begin;
      EXPECT_TRUE(Throws(&decoder, jpeg, part, late)) << sampling.name;
      CheckpointUse early = enough;
      --early.data_end;
      EXPECT_TRUE(Throws(&decoder, jpeg, part, early)) << sampling.name;
    }
  }
}

TEST(PartialFile, WithWrongCheckpointsThrows) {
  BaselineDecoder decoder;
  const Size size{131, 97};
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    const Bytes jpeg = MakeJpeg(sampling.Spec(size, 3));
    const Checkpoints good = Record(jpeg);
    Checkpoints bad = good;
    ++bad.at[3].dc[0];
    EXPECT_TRUE(Throws(&decoder, jpeg, Whole(size), PartialUse(bad, Whole(size), 1)));
    ++bad.scan_begin;
    EXPECT_TRUE(Throws(&decoder, jpeg, {0, 0, 1, 1}, PartialUse(bad, {0, 0, 1, 1}, 1)));
    JpegSpec restarts = sampling.Spec(size, 3);
    restarts.restart_interval = 2;
    EXPECT_TRUE(
        Throws(&decoder, MakeJpeg(restarts), {0, 0, 1, 1}, PartialUse(good, {0, 0, 1, 1}, 1)));
    EXPECT_FALSE(Throws(&decoder, jpeg, Whole(size), PartialUse(good, Whole(size), 1)));
  }
}

// libjpeg-turbo would make pixels of whatever is there.
TEST(PartialFile, ThatTurnsOutToBeOfAnotherKindThrows) {
  const Bytes jpeg = MakeJpeg({});
  const Checkpoints recorded = Record(jpeg);
  const Rect part{0, 0, 20, 20};
  JpegDecoder decoder({});
  std::vector<Bytes> others;
  for (const bool progressive : {false, true}) {
    JpegSpec spec;
    spec.progressive = progressive;
    spec.separate_scans = !progressive;
    others.push_back(MakeJpeg(spec));
  }
  // A code that our decoder does not take.
  others.push_back(jpeg);
  const uint8_t dht[] = {0xFF, 0xC4};
  const auto at = std::search(others.back().begin(), others.back().end(), dht, dht + 2);
  at[5] = 3;
  for (const Bytes& other : others) {
    EXPECT_TRUE(Throws(&decoder, other, part, PartialUse(recorded, part, 1)))
        << &other - others.data();
  }
  EXPECT_FALSE(Throws(&decoder, jpeg, part, PartialUse(recorded, part, 1)));
}

}  // namespace
}  // namespace stoker
