#include "pipeline/loader_stats.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "support/loader_fixture.h"

namespace stoker {
namespace {

using std::chrono::milliseconds;
using testing::JpegSpec;
using testing::LoaderTest;
using testing::MakeJpeg;
using testing::WatchedExecutor;

// A record whose every figure is a multiple of `n`.
LoaderStats Made(int64_t n) {
  LoaderStats stats;
  Histogram histogram;
  for (int64_t i = 0; i < n; ++i) histogram.Record(1000);
  for (HistogramSnapshot& stage : stats.stages) histogram.AddTo(&stage);
  histogram.AddTo(&stats.usage.slow_reads);
  stats.usage.work_ns = 3 * n;
  stats.waiting_ns = 5 * n;
  stats.idle_ns = 7 * n;
  for (size_t s = 0; s < stats.blame_ns.size(); ++s) {
    stats.blame_ns[s] = n * static_cast<int64_t>(s + 1);
  }
  stats.batches = static_cast<uint64_t>(13 * n);
  stats.samples = static_cast<uint64_t>(17 * n);
  stats.failed_batches = static_cast<uint64_t>(19 * n);
  stats.queue = {static_cast<uint64_t>(n), static_cast<uint64_t>(2 * n)};
  stats.max_running = static_cast<int>(n);
  stats.slow_samples = {{n, {n, n, n}, "f"}};
  stats.index.samples[0] = static_cast<uint64_t>(29 * n);
  stats.index.plain_bytes = static_cast<uint64_t>(31 * n);
  return stats;
}

void ExpectSums(const LoaderStats& stats, int64_t n) {
  const LoaderStats wanted = Made(n);
  for (size_t s = 0; s < stats.stages.size(); ++s) {
    EXPECT_EQ(stats.stages[s].count, wanted.stages[s].count);
    EXPECT_EQ(stats.stages[s].total_ns, wanted.stages[s].total_ns);
    EXPECT_EQ(stats.stages[s].buckets, wanted.stages[s].buckets);
  }
  EXPECT_EQ(stats.usage.slow_reads.count, wanted.usage.slow_reads.count);
  EXPECT_EQ(stats.usage.work_ns, wanted.usage.work_ns);
  EXPECT_EQ(stats.waiting_ns, wanted.waiting_ns);
  EXPECT_EQ(stats.idle_ns, wanted.idle_ns);
  EXPECT_EQ(stats.blame_ns, wanted.blame_ns);
  EXPECT_EQ(stats.batches, wanted.batches);
  EXPECT_EQ(stats.samples, wanted.samples);
  EXPECT_EQ(stats.failed_batches, wanted.failed_batches);
  EXPECT_EQ(stats.queue, wanted.queue);
  EXPECT_EQ(stats.index.samples, wanted.index.samples);
  EXPECT_EQ(stats.index.plain_bytes, wanted.index.plain_bytes);
}

TEST(LoaderStatsSums, AddSums) {
  LoaderStats sum;
  sum.Add(Made(2));
  sum.Add(Made(3));
  ExpectSums(sum, 5);
  EXPECT_EQ(sum.max_running, 3);
  ASSERT_EQ(sum.slow_samples.size(), 2U);
  EXPECT_EQ(sum.slow_samples[0].index, 3);
}

TEST(LoaderStatsSums, AddTakesQueuesOfDifferentLengths) {
  LoaderStats a = Made(1);
  LoaderStats b;
  b.queue = {10, 20, 30};
  a.Add(b);
  EXPECT_EQ(a.queue, (std::vector<uint64_t>{11, 22, 30}));
  b.Add(Made(1));
  EXPECT_EQ(b.queue, a.queue);
}

TEST(LoaderStatsSums, SinceIsWhatCameOnTop) { ExpectSums(Made(7).Since(Made(3)), 4); }

TEST(LoaderStatsSums, SinceTakesQueuesOfDifferentLengths) {
  LoaderStats shorter = Made(1);
  LoaderStats longer;
  longer.queue = {1, 1, 1, 1};
  EXPECT_EQ(shorter.Since(longer).queue.size(), 4U);
  EXPECT_EQ(longer.Since(shorter).queue, (std::vector<uint64_t>{0, uint64_t(-1), 1, 1}));
}

TEST(LoaderStatsSums, SinceNothingIsEverything) { ExpectSums(Made(7).Since(LoaderStats()), 7); }

using LoaderStatsTest = LoaderTest;

TEST_F(LoaderStatsTest, CountWhatWasHandedOver) {
  for (const int workers : {0, 2}) {
    const auto loader = MakeLoader(workers, 2);
    loader->StartEpoch(0, 0);
    for (int i = 0; i < 5; ++i) {
      loader->Submit({0, 1, 2});
      loader->Next();
    }
    const LoaderStats stats = loader->Stats();
    EXPECT_EQ(stats.batches, 5U);
    EXPECT_EQ(stats.samples, 15U);
    EXPECT_EQ(stats.failed_batches, 0U);
    for (const HistogramSnapshot& stage : stats.stages) EXPECT_EQ(stage.count, 15U);
  }
}

TEST_F(LoaderStatsTest, AWaitIsBlamedOnWhatTheWorkersDidMeanwhile) {
  const auto loader = MakeLoader(0);  // whose worker does nothing but keep the consumer waiting
  loader->StartEpoch(0, 0);
  LoaderStats before;
  bool mostly = false;
  for (int i = 0; i < 50 && !mostly; ++i) {  // it may get no core for a while between two stages
    loader->Submit({0, 1, 2, 3});
    const BatchWait wait = loader->Next().wait;
    EXPECT_EQ(wait.ready, 0);
    const int64_t blamed = std::accumulate(wait.blame.begin(), wait.blame.end(), int64_t{0});
    EXPECT_LE(blamed, wait.wait_ns);
    mostly = blamed > wait.wait_ns / 2;
    const LoaderStats stats = loader->Stats();
    const LoaderStats since = stats.Since(before);
    for (size_t s = 0; s < since.stages.size(); ++s) {
      EXPECT_EQ(wait.blame[s], since.stages[s].total_ns) << StageName(static_cast<Stage>(s));
    }
    EXPECT_EQ(since.blame_ns, wait.blame);
    before = stats;
  }
  EXPECT_TRUE(mostly);
}

TEST_F(LoaderStatsTest, AWaitForWorkersThatHaveNothingToDoIsBlamedOnNoStage) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
  const auto loader = MakeLoader(2, 2, executor);
  loader->StartEpoch(0, 0);
  executor->CloseGate();
  loader->Submit({0, 1});
  EXPECT_FALSE(loader->WaitReady(milliseconds(20)));
  executor->OpenGate();
  const BatchWait wait = loader->Next().wait;
  EXPECT_GE(wait.wait_ns, int64_t{20'000'000});
  EXPECT_GE(wait.blame[StateOf(OffState::kIdle)] + wait.blame[StateOf(OffState::kWaiting)],
            int64_t{2 * 20'000'000});
}

TEST_F(LoaderStatsTest, TheWorkOfEachWorkerIsItsTimeInTheStages) {
  for (const int workers : {0, 2}) {
    const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
    const auto loader = MakeLoader(workers, 2, executor);
    EXPECT_EQ(loader->WorkNs(), std::vector<int64_t>(workers == 0 ? 1 : 2, 0));
    loader->StartEpoch(0, 0);
    for (int i = 0; i < 5; ++i) {
      loader->Submit({0, 1, 2, 3, 4, 5});
      loader->Next();
    }
    ASSERT_TRUE(executor->WaitUntilQuiet());
    int64_t in_stages = 0;
    for (const HistogramSnapshot& stage : loader->Stats().stages) in_stages += stage.total_ns;
    const std::vector<int64_t> work = loader->WorkNs();
    EXPECT_GT(*std::max_element(work.begin(), work.end()), 0);
    EXPECT_EQ(std::accumulate(work.begin(), work.end(), int64_t{0}), in_stages);
  }
}

TEST_F(LoaderStatsTest, UsageIsKnownOfAllTheTimeInTheStages) {
  for (const int workers : {0, 2}) {
    const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
    const auto loader = MakeLoader(workers, 2, executor);
    loader->StartEpoch(0, 0);
    for (int i = 0; i < 5; ++i) {
      loader->Submit({0, 1, 2, 3, 4, 5});
      loader->Next();
    }
    ASSERT_TRUE(executor->WaitUntilQuiet());
    const LoaderStats stats = loader->Stats();
    int64_t in_stages = 0;
    for (const HistogramSnapshot& stage : stats.stages) in_stages += stage.total_ns;
    EXPECT_GE(stats.usage.read_ns + stats.usage.work_ns, in_stages) << workers << " workers";
  }
}

TEST_F(LoaderStatsTest, ARequestCountsTheBatchesThatItFindsComplete) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
  const auto loader = MakeLoader(2, 3, executor);
  loader->StartEpoch(0, 0);
  for (int i = 0; i < 3; ++i) loader->Submit({0, 1});
  ASSERT_TRUE(executor->WaitUntilQuiet());
  EXPECT_EQ(loader->Next().wait.ready, 3);
  EXPECT_EQ(loader->Next().wait.ready, 2);
  executor->CloseGate();
  loader->Submit({0, 1});
  EXPECT_EQ(loader->Next().wait.ready, 1);
  EXPECT_FALSE(loader->WaitReady(milliseconds(0)));
  executor->OpenGate();
  EXPECT_EQ(loader->Next().wait.ready, 0) << "asked for before it was complete";
  EXPECT_EQ(loader->Stats().queue, (std::vector<uint64_t>{1, 1, 1, 1}));
  const auto inline_loader = MakeLoader(0);
  inline_loader->StartEpoch(0, 0);
  inline_loader->Submit({0});
  EXPECT_EQ(inline_loader->Next().wait.ready, 0);
}

TEST_F(LoaderStatsTest, NamesTheSamplesThatTookLongest) {
  JpegSpec spec;
  spec.width = 1500;
  spec.height = 1100;
  const int64_t large = Add(folder_.Write("large.jpg", MakeJpeg(spec)));
  std::vector<SlowSample> slow;
  for (int i = 0; i < 20; ++i) {  // a small one takes longer where it gets no core for a while
    const auto loader = MakeLoader(2);
    loader->StartEpoch(0, 0);
    loader->Submit({0, 1, 2, large, 3});
    loader->Next();
    slow = loader->Stats().slow_samples;
    ASSERT_EQ(slow.size(), 5U);
    if (slow[0].index == large) break;
  }
  EXPECT_EQ(slow[0].index, large);
  EXPECT_EQ(slow[0].path, table_->Path(static_cast<size_t>(large)));
}

TEST_F(LoaderStatsTest, AfterTheLastIndicesWorkersAreIdleNotWaiting) {
  for (const bool end_comes_late : {false, true}) {
    const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
    const auto loader = MakeLoader(2, 1, executor);
    loader->StartEpoch(0, 0);
    executor->CloseGate();
    loader->Submit({0, 1, 2, 3});
    if (!end_comes_late) loader->EndOfIndices();
    executor->OpenGate();
    ASSERT_TRUE(executor->WaitUntilQuiet());
    if (end_comes_late) loader->EndOfIndices();
    const LoaderStats at_end = loader->Stats();
    while (loader->Stats().idle_ns == at_end.idle_ns &&
           loader->Stats().waiting_ns == at_end.waiting_ns) {
      std::this_thread::yield();
    }
    EXPECT_EQ(loader->Stats().waiting_ns, at_end.waiting_ns)
        << (end_comes_late ? "told when they had stopped" : "told while they worked");
  }
}

TEST_F(LoaderStatsTest, AfterAnEpochThatWasLeftWorkersAreIdleNotWaiting) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
  const auto loader = MakeLoader(2, 1, executor);
  loader->StartEpoch(0, 0);
  loader->Submit({0, 1, 2, 3});
  ASSERT_TRUE(executor->WaitUntilQuiet());
  const int64_t full = loader->Stats().waiting_ns;
  while (loader->Stats().waiting_ns == full) std::this_thread::yield();
  loader->Stop();
  const LoaderStats at_stop = loader->Stats();
  while (loader->Stats().idle_ns == at_stop.idle_ns) {
    ASSERT_EQ(loader->Stats().waiting_ns, at_stop.waiting_ns);
  }
  EXPECT_EQ(loader->Stats().waiting_ns, at_stop.waiting_ns);
}

TEST_F(LoaderStatsTest, MayBeReadByAnotherThreadAllTheWhile) {
  const auto loader = MakeLoader(2, 3);
  std::atomic<bool> stop{false};
  uint64_t readings = 0;
  std::string went_back;
  std::thread reader([&] {
    LoaderStats last;
    std::vector<int64_t> worked = loader->WorkNs();
    const auto check = [&](const char* what, bool holds) {
      if (!holds) went_back += std::string(went_back.empty() ? "" : ", ") + what;
    };
    while (!stop && went_back.empty()) {
      const LoaderStats now = loader->Stats();
      check("batches", now.batches >= last.batches);
      check("samples", now.samples >= last.samples);
      check("reads", now.stages[0].count >= last.stages[0].count);
      check("idle", now.idle_ns >= last.idle_ns);
      check("waiting", now.waiting_ns >= last.waiting_ns);
      check("more ran than there are", now.max_running <= 2);
      const std::vector<int64_t> work = loader->WorkNs();
      for (size_t w = 0; w < work.size(); ++w) check("a worker's work", work[w] >= worked[w]);
      worked = work;
      last = now;
      ++readings;
    }
  });
  uint64_t batches = 0;
  for (uint32_t epoch = 0; epoch < 20; ++epoch) {
    loader->StartEpoch(1, epoch);
    for (int64_t i = 0; i < 10; ++i) {
      loader->Submit({i, (5 * i + epoch) % kSamples, kSamples - 1});
      if (loader->in_flight() < 3) continue;
      loader->Next();
      ++batches;
    }
    loader->EndOfIndices();
  }
  stop = true;
  reader.join();
  EXPECT_EQ(went_back, "");
  EXPECT_GT(readings, 0U);
  EXPECT_EQ(loader->Stats().batches, batches);
}

}  // namespace
}  // namespace stoker
