#include "stats/worker_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

namespace stoker {
namespace {

constexpr int64_t kStartNs = 1'000'000;

HistogramSnapshot StageOf(const WorkerClock& clock, Stage stage) {
  HistogramSnapshot snapshot;
  clock.AddStageTo(stage, &snapshot);
  return snapshot;
}

TEST(WorkerClock, IsIdleFromItsConstruction) {
  const WorkerClock clock(kStartNs);
  EXPECT_EQ(clock.OffNs(OffState::kIdle, kStartNs + 70), 70);
  EXPECT_EQ(clock.OffNs(OffState::kWaiting, kStartNs + 70), 0);
}

TEST(WorkerClock, EachSpanCountsForItsStage) {
  WorkerClock clock(kStartNs);
  clock.Begin(kStartNs + 10);
  clock.LapAt(Stage::kRead, kStartNs + 13);
  clock.LapAt(Stage::kDecode, kStartNs + 18);
  clock.LapAt(Stage::kTransform, kStartNs + 25);
  clock.LapAt(Stage::kRead, kStartNs + 26);
  EXPECT_EQ(StageOf(clock, Stage::kRead).total_ns, 4);
  EXPECT_EQ(StageOf(clock, Stage::kRead).count, 2U);
  EXPECT_EQ(StageOf(clock, Stage::kDecode).total_ns, 5);
  EXPECT_EQ(StageOf(clock, Stage::kTransform).total_ns, 7);
}

TEST(WorkerClock, BeginSampleLeavesTheSpanBeforeItToNoStage) {
  WorkerClock clock(kStartNs);
  clock.Begin(kStartNs);
  clock.BeginSample(kStartNs + 100);
  clock.LapAt(Stage::kRead, kStartNs + 101);
  EXPECT_EQ(StageOf(clock, Stage::kRead).total_ns, 1);
}

// A thread that always has a core.
int64_t NoDelay() { return 0; }

TEST(WorkerClock, TheStageInWhichASampleFailsHasItsTimeAndWhatFollowsIsNobodys) {
  WorkerClock clock(kStartNs, &NoDelay);
  clock.Begin(kStartNs);
  clock.BeginSample(kStartNs);
  clock.FailAt(Stage::kRead, kStartNs + 30);
  clock.EndSample(5);
  EXPECT_EQ(clock.Times(kStartNs + 50), (StateTimes{30, 0, 0, 0, 0}));
  EXPECT_EQ(StageOf(clock, Stage::kRead).total_ns, 30);
  EXPECT_EQ(StageOf(clock, Stage::kDecode).count, 0U);
  std::vector<SlowSample> slow;
  clock.slow_samples().AddTo(&slow);
  ASSERT_EQ(slow.size(), 1U);
  EXPECT_EQ(slow[0].index, 5);
  EXPECT_EQ(slow[0].stage_ns[0], 30);
}

TEST(WorkerClock, OffTimeStandsStillWhileRunning) {
  WorkerClock clock(kStartNs);
  clock.Begin(kStartNs + 5);
  EXPECT_EQ(clock.OffNs(OffState::kIdle, kStartNs + 50), 5);
  clock.End(kStartNs + 50, OffState::kWaiting);
  EXPECT_EQ(clock.OffNs(OffState::kIdle, kStartNs + 90), 5);
  EXPECT_EQ(clock.OffNs(OffState::kWaiting, kStartNs + 90), 40);
}

TEST(WorkerClock, WorkIsTheTimeInStagesTogether) {
  WorkerClock clock(kStartNs);
  EXPECT_EQ(clock.WorkNs(kStartNs + 9), 0);
  clock.Begin(kStartNs + 10);
  EXPECT_EQ(clock.WorkNs(kStartNs + 15), 0) << "no sample yet";
  clock.BeginSample(kStartNs + 20);
  EXPECT_EQ(clock.WorkNs(kStartNs + 21), 1) << "the present spell counts";
  clock.LapAt(Stage::kRead, kStartNs + 23);
  clock.LapAt(Stage::kDecode, kStartNs + 28);
  EXPECT_EQ(clock.WorkNs(kStartNs + 30), 3 + 5 + 2);
  clock.LapAt(Stage::kTransform, kStartNs + 35);
  clock.End(kStartNs + 40, OffState::kWaiting);
  EXPECT_EQ(clock.WorkNs(kStartNs + 90), 3 + 5 + 7);
}

TEST(WorkerClock, LapTakesTheTimeItself) {
  WorkerClock clock(NowNs());
  const int64_t before = NowNs();
  clock.Begin(before);
  clock.Lap(Stage::kDecode);
  const int64_t after = NowNs();
  const HistogramSnapshot decode = StageOf(clock, Stage::kDecode);
  EXPECT_EQ(decode.count, 1U);
  EXPECT_GE(decode.total_ns, 0);
  EXPECT_LE(decode.total_ns, after - before);
}

TEST(WorkerClock, EveryMomentLiesInOneStateOrBetweenTwoSamples) {
  std::mt19937 random(3);
  WorkerClock clock(kStartNs);
  std::array<int64_t, kStageCount> stages{};
  std::array<int64_t, 2> off{};
  int64_t between = 0;
  OffState state = OffState::kIdle;
  int64_t now = kStartNs;
  const auto step = [&] {
    const auto ns = static_cast<int64_t>(random() % 1000);
    now += ns;
    return ns;
  };
  for (int spell = 0; spell < 1000; ++spell) {
    off[static_cast<size_t>(state)] += step();
    clock.Begin(now);
    for (auto samples = random() % 4; samples > 0; --samples) {
      between += step();
      clock.BeginSample(now);
      const auto fails = static_cast<int>(random() % (2 * kStageCount));  // or in none
      for (int s = 0; s <= std::min(fails, kStageCount - 1); ++s) {
        stages[static_cast<size_t>(s)] += step();
        s == fails ? clock.FailAt(static_cast<Stage>(s), now)
                   : clock.LapAt(static_cast<Stage>(s), now);
      }
    }
    between += step();
    state = random() % 2 == 0 ? OffState::kIdle : OffState::kWaiting;
    clock.End(now, state);
    ASSERT_EQ(clock.OffNs(OffState::kIdle, now), off[0]);
    ASSERT_EQ(clock.OffNs(OffState::kWaiting, now), off[1]);
  }
  int64_t sum = off[0] + off[1] + between;
  for (int i = 0; i < kStageCount; ++i) {
    const int64_t total = StageOf(clock, static_cast<Stage>(i)).total_ns;
    EXPECT_EQ(total, stages[static_cast<size_t>(i)]);
    sum += total;
  }
  EXPECT_EQ(sum, now - kStartNs);
}

// A reader may come at any time, also between two stores of Begin or End: off time then must not
// count twice, or shares would add up to more than 1.
TEST(WorkerClock, OffTimeNeverExceedsTheTimeThatPassed) {
  WorkerClock clock(kStartNs);
  std::atomic<int64_t> now{kStartNs};
  std::atomic<bool> done{false};
  std::thread worker([&] {
    for (int i = 0; i < 1'000'000; ++i) {
      now += 1'000'000;  // a long spell off
      clock.Begin(now);
      now += 1;  // and a short one at work
      clock.End(now, OffState::kIdle);
    }
    done = true;
  });
  int64_t worst = 0;
  do {
    const int64_t off = clock.OffNs(OffState::kIdle, now);
    worst = std::max(worst, off - (now - kStartNs));
  } while (!done);
  worker.join();
  EXPECT_EQ(worst, 0);
}

TEST(WorkerClock, TheSpanThatHasNotEndedCountsForTheStageItIsIn) {
  WorkerClock clock(kStartNs);
  clock.Begin(kStartNs + 5);
  clock.BeginSample(kStartNs + 5);
  EXPECT_EQ(clock.Times(kStartNs + 9), (StateTimes{4, 0, 0, 5, 0}));
  clock.LapAt(Stage::kRead, kStartNs + 10);
  EXPECT_EQ(clock.Times(kStartNs + 12), (StateTimes{5, 2, 0, 5, 0}));
  clock.LapAt(Stage::kDecode, kStartNs + 20);
  EXPECT_EQ(clock.Times(kStartNs + 23), (StateTimes{5, 10, 3, 5, 0}));
  clock.LapAt(Stage::kTransform, kStartNs + 30);
  clock.End(kStartNs + 30, OffState::kWaiting);
  EXPECT_EQ(clock.Times(kStartNs + 37), (StateTimes{5, 10, 10, 5, 7}));
}

TEST(WorkerClock, TimesNeverGoBackAlsoWhereSamplesFailOrFollowLate) {
  std::mt19937 random(5);
  WorkerClock clock(kStartNs);
  int64_t now = kStartNs;
  StateTimes before = clock.Times(now);
  const auto look = [&] {
    now += static_cast<int64_t>(random() % 1000);
    const StateTimes times = clock.Times(now);
    for (size_t s = 0; s < times.size(); ++s) ASSERT_GE(times[s], before[s]) << "state " << s;
    before = times;
  };
  for (int spell = 0; spell < 200; ++spell) {
    clock.Begin(now);
    look();
    for (int sample = 0; sample < 3; ++sample) {
      clock.BeginSample(now);
      look();
      const auto fails = static_cast<int>(random() % (kStageCount + 1));
      for (int s = 0; s < fails; ++s) {
        clock.LapAt(static_cast<Stage>(s), now);
        look();
      }
      if (fails < kStageCount && sample != 1) clock.FailAt(static_cast<Stage>(fails), now);
    }
    clock.End(now, OffState::kIdle);
    look();
  }
}

// The worker reads the time and loses its core; a reader comes by; then the worker notes the time.
TEST(WorkerClock, TimesNeverGoBackWhereTheWorkerNotesTheTimeLate) {
  WorkerClock clock(kStartNs);
  EXPECT_EQ(clock.Times(kStartNs + 30), (StateTimes{0, 0, 0, 30, 0}));
  clock.Begin(kStartNs + 10);
  EXPECT_EQ(clock.Times(kStartNs + 40), (StateTimes{0, 0, 0, 30, 0})) << "not 10";
  clock.BeginSample(kStartNs + 40);
  clock.LapAt(Stage::kRead, kStartNs + 50);
  clock.LapAt(Stage::kDecode, kStartNs + 60);
  EXPECT_EQ(clock.Times(kStartNs + 100), (StateTimes{10, 10, 40, 30, 0}));
  EXPECT_EQ(clock.WorkNs(kStartNs + 100), 60);
  clock.LapAt(Stage::kTransform, kStartNs + 90);
  EXPECT_EQ(clock.Times(kStartNs + 101), (StateTimes{10, 10, 40, 30, 0})) << "not 30";
  EXPECT_EQ(clock.WorkNs(kStartNs + 101), 60);
  clock.End(kStartNs + 110, OffState::kIdle);
  EXPECT_EQ(clock.Times(kStartNs + 130), (StateTimes{10, 10, 40, 30, 0})) << "10 and 20";
  EXPECT_EQ(clock.Times(kStartNs + 135), (StateTimes{10, 10, 40, 35, 0})) << "has caught up";
}

int64_t g_delay_ns = 0;
int64_t FakeDelay() { return g_delay_ns; }

TEST(WorkerClock, ASampleWhoseThreadHadNoCoreIsNotSlowForThat) {
  g_delay_ns = 5'000'000'000;  // before, for which no sample is to blame
  WorkerClock clock(kStartNs, &FakeDelay);
  int64_t now = kStartNs;
  clock.Begin(now);
  for (int64_t index = 0; index < 3; ++index) {
    clock.BeginSample(now += 1'000'000);
    clock.LapAt(Stage::kRead, now += 100'000);
    clock.LapAt(Stage::kDecode, now += index == 2 ? 400'000 : 300'000);
    if (index == 1) {
      g_delay_ns += 1'600'000;
      now += 1'600'000;
    }
    clock.LapAt(Stage::kTransform, now);
    clock.EndSample(index);
  }
  std::vector<SlowSample> slow;
  clock.slow_samples().AddTo(&slow);
  KeepSlowest(&slow, 3);
  ASSERT_EQ(slow.size(), 3U);
  EXPECT_EQ(slow[0].index, 2);
  EXPECT_EQ(slow[0].total_ns(), 500'000);
  for (const SlowSample& sample : slow) EXPECT_LE(sample.total_ns(), 500'000);
  EXPECT_LE(slow[1].total_ns(), 400'010) << "not 2,000,000";
}

TEST(WorkerClock, KeepsWhichSamplesWereSlow) {
  WorkerClock clock(kStartNs, &NoDelay);
  int64_t now = kStartNs;
  clock.Begin(now);
  for (int64_t index = 0; index < 100; ++index) {
    clock.BeginSample(now);
    clock.LapAt(Stage::kRead, now += 10);
    clock.LapAt(Stage::kDecode, now += index == 57 ? 900 : 20);
    clock.LapAt(Stage::kTransform, now += 30);
    clock.EndSample(index);
  }
  std::vector<SlowSample> slow;
  clock.slow_samples().AddTo(&slow);
  ASSERT_EQ(slow.size(), SlowSamples::kKept);
  EXPECT_EQ(slow[0].index, 57);
  EXPECT_EQ(slow[0].stage_ns, (std::array<int64_t, kStageCount>{10, 900, 30}));
  EXPECT_EQ(slow[1].total_ns(), 60);
}

TEST(WorkerClock, MeasuresWhatASpanCosts) {
  EXPECT_GT(MeasureSpanNs(10000), 1.0);
  EXPECT_GT(MeasureUsageNs(1000), 1.0);
}

}  // namespace
}  // namespace stoker
