#include "stats/slow_samples.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <thread>

#include "support/allocation_counter.h"

namespace stoker {
namespace {

std::vector<SlowSample> KeptBy(const SlowSamples& samples) {
  std::vector<SlowSample> kept;
  samples.AddTo(&kept);
  return kept;
}

TEST(SlowSamples, KeepsTheSlowestInOrder) {
  std::vector<int64_t> times(1000);
  std::iota(times.begin(), times.end(), 1);
  std::shuffle(times.begin(), times.end(), std::mt19937(1));
  SlowSamples samples;
  for (const int64_t ns : times) samples.Offer({ns * 10, {ns, 2 * ns, 3 * ns}, {}});
  const std::vector<SlowSample> kept = KeptBy(samples);
  ASSERT_EQ(kept.size(), SlowSamples::kKept);
  for (size_t i = 0; i < kept.size(); ++i) {
    const auto ns = 1000 - static_cast<int64_t>(i);
    EXPECT_EQ(kept[i].index, ns * 10);
    EXPECT_EQ(kept[i].total_ns(), 6 * ns);
    EXPECT_EQ(kept[i].stage_ns[1], 2 * ns);
  }
}

TEST(SlowSamples, AnIndexStandsOnceWithItsSlowestTime) {
  SlowSamples samples;
  for (const int64_t ns : {5, 9, 7, 9, 1}) samples.Offer({42, {ns, 0, 0}, {}});
  samples.Offer({43, {2, 0, 0}, {}});
  const std::vector<SlowSample> kept = KeptBy(samples);
  ASSERT_EQ(kept.size(), 2U);
  EXPECT_EQ(kept[0].index, 42);
  EXPECT_EQ(kept[0].total_ns(), 9);
  EXPECT_EQ(kept[1].index, 43);
}

TEST(SlowSamples, OfferingAllocatesNothing) {
  if (!testing::CountsAllocations()) GTEST_SKIP() << "the sanitizer has its own allocator";
  SlowSamples samples;
  const size_t before = testing::AllocationCount();
  for (int64_t i = 0; i < 100; ++i) samples.Offer({i % 30, {i, i, i}, {}});
  EXPECT_EQ(testing::AllocationCount(), before);
}

TEST(SlowSamples, TimeWithoutACoreIsTakenOutOfAllStages) {
  SlowSample sample{7, {10, 60, 30}, {}};
  sample.LeaveOut(50);
  EXPECT_EQ(sample.stage_ns, (std::array<int64_t, kStageCount>{5, 30, 15}));
  sample.LeaveOut(80);  // more than there is
  EXPECT_EQ(sample.total_ns(), 0);
  sample.LeaveOut(1);
  EXPECT_EQ(sample.total_ns(), 0);
}

TEST(SlowSamples, MayBeReadWhileOneOffers) {
  SlowSamples samples;
  std::thread worker([&] {
    for (int64_t i = 0; i < 20000; ++i) samples.Offer({i, {i, i, i}, {}});
  });
  for (int i = 0; i < 100; ++i) {
    for (const SlowSample& sample : KeptBy(samples)) EXPECT_EQ(sample.total_ns(), 3 * sample.index);
  }
  worker.join();
  EXPECT_EQ(KeptBy(samples).front().index, 19999);
}

}  // namespace
}  // namespace stoker
