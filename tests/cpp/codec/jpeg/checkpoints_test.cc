// What checkpoints say of an image: which runs, how many bits, whether they fit; thinning. Their
// packed form: checkpoints_pack_test.cc.
#include "codec/jpeg/checkpoints.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "support/checkpoints.h"
#include "support/jpeg_samplings.h"

namespace stoker {
namespace {

using testing::Below;
using testing::Bytes;
using testing::HeaderOf;
using testing::JpegSampling;
using testing::JpegSpec;
using testing::kJpegSamplings;
using testing::MakeJpeg;

// Of an image of any size, with MCUs of any length, or all of one.
Checkpoints RandomCheckpoints(std::mt19937* random, int step, uint64_t mcu_bits = 0) {
  const JpegSampling& sampling = kJpegSamplings[(*random)() % std::size(kJpegSamplings)];
  Checkpoints out;
  out.size = {1 + Below(300, random), 1 + Below(200, random)};
  out.components = sampling.components;
  out.max_h = sampling.h;
  out.max_v = sampling.v;
  out.step = step;
  out.at.emplace_back();
  for (int mcu = 0; mcu < out.mcus(); mcu += step) {
    Checkpoint next = out.at.back();
    const int count = std::min(step, out.mcus() - mcu);
    for (int i = 0; i < count; ++i) {
      next.bit += mcu_bits > 0 ? mcu_bits : 1 + (*random)() % 500;
    }
    for (int32_t& dc : next.dc) dc += Below(401, random) - 200;
    out.at.push_back(next);
  }
  return out;
}

McuRect RandomMcus(const Checkpoints& of, std::mt19937* random) {
  const Rect part = testing::RandomPart({of.mcus_across(), of.mcus_down()}, random);
  return {part.left, part.top, part.right(), part.bottom()};
}

McuRect AllMcus(const Checkpoints& of) { return {0, 0, of.mcus_across(), of.mcus_down()}; }

TEST(Checkpoints, CountTheMcusOfEverySampling) {
  for (const JpegSampling& sampling : kJpegSamplings) {
    for (const Size size : {Size{1, 1}, {8, 8}, {9, 17}, {32, 16}, {33, 16}, {131, 97}}) {
      const JpegHeader header = HeaderOf(MakeJpeg(sampling.Spec(size, 1)));
      Checkpoints checkpoints;
      checkpoints.Begin(header, 7);
      EXPECT_EQ(checkpoints.mcus_across(), header.mcus_across());
      EXPECT_EQ(checkpoints.mcus_down(), header.mcus_down());
      const int mcus = header.mcus_across() * header.mcus_down();
      EXPECT_EQ(checkpoints.mcus(), mcus);
      for (int k = 0; k < 20; ++k) {
        EXPECT_EQ(checkpoints.McuAt(static_cast<size_t>(k)), std::min(7 * k, mcus));
      }
    }
  }
}

TEST(Checkpoints, BeginAsTheHeaderAndFitNoOther) {
  const JpegHeader header = HeaderOf(MakeJpeg({}));
  Checkpoints checkpoints;
  EXPECT_FALSE(checkpoints.usable());
  EXPECT_FALSE(checkpoints.Fit(header));
  checkpoints.Begin(header, 3);
  EXPECT_TRUE(checkpoints.usable());
  EXPECT_EQ(checkpoints.step, 3);
  EXPECT_EQ(checkpoints.at, std::vector<Checkpoint>(1));
  EXPECT_TRUE(checkpoints.Fit(header));

  using Change = std::pair<const char*, void (*)(JpegHeader*)>;
  constexpr Change kOthers[] = {
      {"width", [](JpegHeader* h) { ++h->size.width; }},
      {"height", [](JpegHeader* h) { --h->size.height; }},
      {"components", [](JpegHeader* h) { h->components = 1; }},
      {"sampling across", [](JpegHeader* h) { h->max_h = 1; }},
      {"sampling down", [](JpegHeader* h) { h->max_v = 1; }},
      {"beginning", [](JpegHeader* h) { ++h->scan_begin; }},
      {"restart interval", [](JpegHeader* h) { h->restart_interval = 1; }},
  };
  for (const auto& [name, change] : kOthers) {
    JpegHeader other = header;
    change(&other);
    EXPECT_FALSE(checkpoints.Fit(other)) << name;
  }

  checkpoints.orientation = 6;
  checkpoints.Clear();
  EXPECT_FALSE(checkpoints.usable());
  EXPECT_FALSE(checkpoints.Fit(header));
  EXPECT_EQ(checkpoints.size, header.size);
  EXPECT_EQ(checkpoints.orientation, 6);
}

TEST(Checkpoints, ThinnedKeepTheMultiplesAndTheLast) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const Checkpoints all = RandomCheckpoints(&random, 1 + Below(9, &random));
    const int multiple = 1 + Below(static_cast<int>(all.at.size()) + 3, &random);
    std::vector<Checkpoint> expected;
    for (size_t k = 0; k + 1 < all.at.size(); k += static_cast<size_t>(multiple)) {
      expected.push_back(all.at[k]);
    }
    expected.push_back(all.at.back());
    const Checkpoints thinned = testing::Thinned(all, multiple);
    ASSERT_EQ(thinned.step, all.step * multiple);
    ASSERT_EQ(thinned.at, expected);
    ASSERT_EQ(thinned.McuAt(expected.size() - 1), all.mcus());
  }
}

// Between which checkpoints something is to be decoded, MCU by MCU.
std::vector<bool> Needed(const Checkpoints& of, const McuRect& mcus) {
  std::vector<bool> needed(of.at.size() - 1);
  for (int y = mcus.top; y < mcus.bottom; ++y) {
    for (int x = mcus.left; x < mcus.right; ++x) {
      needed[static_cast<size_t>((y * of.mcus_across() + x) / of.step)] = true;
    }
  }
  return needed;
}

TEST(Checkpoints, RunsAreWhatTheMcusLieInAndNoMore) {
  std::mt19937 random(2);
  std::vector<CheckpointRun> runs = {{3, 4}};  // what was there does not stay
  for (int i = 0; i < 2000; ++i) {
    const Checkpoints checkpoints = RandomCheckpoints(&random, 1 + Below(i % 2 ? 8 : 90, &random));
    const McuRect mcus = RandomMcus(checkpoints, &random);
    checkpoints.RunsUnder(mcus, &runs);
    std::vector<bool> in_runs(checkpoints.at.size() - 1);
    for (size_t r = 0; r < runs.size(); ++r) {
      ASSERT_LT(runs[r].first, runs[r].last);
      ASSERT_LT(runs[r].last, checkpoints.at.size());
      if (r > 0) {
        ASSERT_LT(runs[r - 1].last, runs[r].first) << "adjoining";
      }
      for (size_t k = runs[r].first; k < runs[r].last; ++k) in_runs[k] = true;
    }
    ASSERT_EQ(in_runs, Needed(checkpoints, mcus));
  }
}

// How many MCUs are decoded: in each row from the last checkpoint on, or from where the row before
// has ended.
int DecodedMcus(const Checkpoints& of, const McuRect& mcus) {
  std::vector<bool> decoded(static_cast<size_t>(of.mcus()));
  for (int y = mcus.top; y < mcus.bottom; ++y) {
    const int begin = y * of.mcus_across() + mcus.left;
    for (int mcu = begin - begin % of.step; mcu < begin + mcus.width(); ++mcu) {
      decoded[static_cast<size_t>(mcu)] = true;
    }
  }
  return static_cast<int>(std::count(decoded.begin(), decoded.end(), true));
}

TEST(Checkpoints, BitsAreThoseOfTheDecodedMcusWhereAllAreOfOneLength) {
  std::mt19937 random(3);
  for (int i = 0; i < 2000; ++i) {
    const uint64_t length = 1 + random() % 3000;
    const Checkpoints checkpoints = RandomCheckpoints(&random, 1 + Below(60, &random), length);
    const McuRect mcus = RandomMcus(checkpoints, &random);
    const auto decoded = static_cast<uint64_t>(DecodedMcus(checkpoints, mcus));
    ASSERT_EQ(checkpoints.BitsFor(mcus), decoded * length);
    const int end = (mcus.bottom - 1) * checkpoints.mcus_across() + mcus.right;
    ASSERT_EQ(checkpoints.PlainBitsFor(mcus), static_cast<uint64_t>(end) * length);
  }
}

TEST(Checkpoints, BitsAreNoMoreThanWithoutAndAllOfTheDataForAll) {
  std::mt19937 random(4);
  for (int i = 0; i < 2000; ++i) {
    const Checkpoints every = RandomCheckpoints(&random, 1);
    const McuRect mcus = RandomMcus(every, &random);
    uint64_t exact = 0;
    for (int y = mcus.top; y < mcus.bottom; ++y) {
      const auto begin = static_cast<size_t>(y * every.mcus_across() + mcus.left);
      exact += every.at[begin + static_cast<size_t>(mcus.width())].bit - every.at[begin].bit;
    }
    ASSERT_EQ(every.BitsFor(mcus), exact);
    const Checkpoints some = testing::Thinned(every, 1 + Below(40, &random));
    ASSERT_LE(some.BitsFor(mcus), some.PlainBitsFor(mcus));
    ASSERT_LE(some.PlainBitsFor(mcus), some.at.back().bit);
    ASSERT_EQ(some.BitsFor(AllMcus(some)), some.at.back().bit);
    ASSERT_EQ(some.PlainBitsFor(AllMcus(some)), some.at.back().bit);
  }
}

TEST(Checkpoints, NoStepWithRestartMarkersOrWithoutRoom) {
  JpegSpec spec;
  spec.width = 640;
  spec.height = 480;
  const JpegHeader header = HeaderOf(MakeJpeg(spec));
  EXPECT_GT(RecordingStep(header, 1000), 0);
  JpegHeader restarts = header;
  restarts.restart_interval = 500;
  EXPECT_EQ(RecordingStep(restarts, 1000), 0);
  for (const size_t budget : {size_t{0}, size_t{1}, size_t{8}, kPackedSizeBytes}) {
    EXPECT_EQ(RecordingStep(header, budget), 0) << budget;
  }
  // Where the image is too small for one in its middle.
  JpegHeader small = header;
  small.size = {16, 16};
  EXPECT_EQ(RecordingStep(small, 1000), 0);
}

// More than the budget holds at the four bytes that one takes at least, unless the image is small.
TEST(Checkpoints, TheStepLeavesAChoice) {
  JpegHeader header = HeaderOf(MakeJpeg({}));
  for (const int side : {100, 333, 640, 1500, 4000, 12000}) {
    header.size = {side, side * 3 / 4};
    const int mcus = header.mcus_across() * header.mcus_down();
    for (const size_t budget : {40, 100, 300, 1000, 3000, 20'000}) {
      const int step = RecordingStep(header, budget);
      if (step == 0) {  // the packed form has no room for so large a number
        EXPECT_GT(static_cast<size_t>(mcus) * 4, 65535 * (budget - kPackedSizeBytes));
        continue;
      }
      EXPECT_LT(step, mcus);
      const auto checkpoints = static_cast<size_t>(mcus / step);
      if (step > 2) {
        EXPECT_GE(checkpoints * 4, 2 * (budget - kPackedSizeBytes) - 8) << step;
      }
      // Nor many more than it takes, which would all have to be kept in memory.
      EXPECT_LE(checkpoints * 4, 4 * (budget - kPackedSizeBytes)) << step;
    }
  }
}

}  // namespace
}  // namespace stoker
