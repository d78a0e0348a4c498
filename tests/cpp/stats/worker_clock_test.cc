#include "stats/worker_clock.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <random>
#include <thread>

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

TEST(WorkerClock, MarkLeavesTheSpanBeforeItToNoStage) {
  WorkerClock clock(kStartNs);
  clock.Begin(kStartNs);
  clock.Mark(kStartNs + 100);
  clock.LapAt(Stage::kRead, kStartNs + 101);
  EXPECT_EQ(StageOf(clock, Stage::kRead).total_ns, 1);
}

TEST(WorkerClock, OffTimeStandsStillWhileRunning) {
  WorkerClock clock(kStartNs);
  clock.Begin(kStartNs + 5);
  EXPECT_EQ(clock.OffNs(OffState::kIdle, kStartNs + 50), 5);
  clock.End(kStartNs + 50, OffState::kWaiting);
  EXPECT_EQ(clock.OffNs(OffState::kIdle, kStartNs + 90), 5);
  EXPECT_EQ(clock.OffNs(OffState::kWaiting, kStartNs + 90), 40);
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

TEST(WorkerClock, EveryMomentLiesInExactlyOneState) {
  std::mt19937 random(3);
  WorkerClock clock(kStartNs);
  std::array<int64_t, kStageCount> stages{};
  std::array<int64_t, 2> off{};
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
    for (auto laps = random() % 7; laps > 0; --laps) {
      const auto stage = static_cast<Stage>(random() % kStageCount);
      stages[static_cast<size_t>(stage)] += step();
      clock.LapAt(stage, now);
    }
    state = random() % 2 == 0 ? OffState::kIdle : OffState::kWaiting;
    clock.End(now, state);
    ASSERT_EQ(clock.OffNs(OffState::kIdle, now), off[0]);
    ASSERT_EQ(clock.OffNs(OffState::kWaiting, now), off[1]);
  }
  int64_t sum = off[0] + off[1];
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

TEST(WorkerClock, MeasuresWhatASpanCosts) { EXPECT_GT(MeasureSpanNs(10000), 1.0); }

}  // namespace
}  // namespace stoker
