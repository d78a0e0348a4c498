// Order, randomness and bounds of the loader; see also loader_errors_test.cc,
// loader_lifetime_test.cc and loader_stats_test.cc.
#include "pipeline/loader.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/loader_fixture.h"

namespace stoker {
namespace {

using std::chrono::milliseconds;
using testing::ExecutorKind;
using testing::LoaderTest;
using testing::WatchedExecutor;
using Batches = std::vector<std::vector<int64_t>>;

// Batches of sizes 0 to 9 whose indices often repeat.
Batches RandomBatches(int count, int64_t samples, uint32_t seed) {
  std::minstd_rand random(seed);
  Batches batches(static_cast<size_t>(count));
  for (auto& indices : batches) {
    indices.resize(random() % 10);
    for (int64_t& index : indices) index = static_cast<int64_t>(random() >> 4) % samples;
  }
  return batches;
}

using LoaderOrderTest = LoaderTest;

TEST_F(LoaderOrderTest, BatchesAreTheSameAndInOrderForEveryExecutorWorkerCountAndPrefetch) {
  const Batches batches = RandomBatches(40, kSamples, 1);
  for (const ExecutorKind kind : testing::ExecutorKinds()) {
    for (const int workers : {0, 1, 2, 8}) {
      for (const int prefetch : {1, 2, 5}) {
        SCOPED_TRACE(testing::KindName(kind) + ", workers " + std::to_string(workers));
        const auto loader = MakeLoader(workers, prefetch, testing::MakeExecutor(kind, workers));
        loader->StartEpoch(77, 3);
        std::map<int64_t, uint32_t> seen;
        size_t submitted = 0;
        for (const auto& indices : batches) {
          while (submitted < batches.size() &&
                 loader->in_flight() < static_cast<size_t>(prefetch)) {
            loader->Submit(batches[submitted++]);
          }
          ASSERT_NO_FATAL_FAILURE(ExpectBatch(loader->Next(), indices, 77, 3, &seen));
        }
        EXPECT_EQ(loader->in_flight(), 0U);
      }
    }
  }
}

TEST_F(LoaderOrderTest, NegativeIndicesCountFromTheEndAndAreTheSameSamples) {
  const auto loader = MakeLoader(1);
  loader->StartEpoch(4, 0);
  loader->Submit({-1, kSamples - 1, -kSamples, 0});
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(loader->Next(), {kSamples - 1, kSamples - 1, 0, 0}, 4, 0, &seen);
}

TEST_F(LoaderOrderTest, TwoLoadersShareTheArena) {
  const auto first = MakeLoader(2);
  const auto second = MakeLoader(3);
  first->StartEpoch(1, 0);
  second->StartEpoch(2, 0);
  std::map<int64_t, uint32_t> seen_by_first;
  std::map<int64_t, uint32_t> seen_by_second;
  for (const auto& indices : RandomBatches(30, kSamples, 2)) {
    first->Submit(indices);
    second->Submit(indices);
    ASSERT_NO_FATAL_FAILURE(ExpectBatch(second->Next(), indices, 2, 0, &seen_by_second));
    ASSERT_NO_FATAL_FAILURE(ExpectBatch(first->Next(), indices, 1, 0, &seen_by_first));
  }
}

using LoaderRandomnessTest = LoaderTest;

// The samples of one batch that asks for sample 5 four times.
std::vector<std::vector<uint8_t>> FourTimesTheSame(Loader* loader, uint64_t seed, uint32_t epoch) {
  loader->StartEpoch(seed, epoch);
  loader->Submit({5, 5, 5, 5});
  const Batch batch = loader->Next();
  const size_t bytes = loader->format().SampleBytes(loader->sample_size());
  std::vector<std::vector<uint8_t>> samples;
  for (size_t i = 0; i < batch.count; ++i) {
    const auto* begin = static_cast<const uint8_t*>(batch.samples.data()) + i * bytes;
    samples.emplace_back(begin, begin + bytes);
  }
  return samples;
}

TEST_F(LoaderRandomnessTest, EachOccurrenceInAnEpochGetsItsOwn) {
  const auto loader = MakeLoader(2);
  const auto samples = FourTimesTheSame(loader.get(), 1, 0);
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < i; ++j) EXPECT_NE(samples[i], samples[j]);
  }
}

TEST_F(LoaderRandomnessTest, SkippedSamplesCountAsComeUnlessOneIsRefused) {
  const auto loader = MakeLoader(0);
  loader->StartEpoch(3, 1);
  loader->Skip({1, 2, 1});
  EXPECT_THROW(loader->Skip({1, 4, kSamples}), std::out_of_range);
  loader->Skip({-kSamples});
  std::map<int64_t, uint32_t> seen = {{0, 1}, {1, 2}, {2, 1}};
  loader->Submit({0, 1, 2, 3, 4});
  ExpectBatch(loader->Next(), {0, 1, 2, 3, 4}, 3, 1, &seen);
}

TEST_F(LoaderRandomnessTest, ASecondRunGetsTheSame) {
  const auto first = FourTimesTheSame(MakeLoader(2).get(), 1, 4);
  const auto loader = MakeLoader(1);
  FourTimesTheSame(loader.get(), 1, 3);
  EXPECT_EQ(FourTimesTheSame(loader.get(), 1, 4), first);
}

TEST_F(LoaderRandomnessTest, EpochsAndSeedsDiffer) {
  const auto loader = MakeLoader(2);
  const auto samples = FourTimesTheSame(loader.get(), 1, 0);
  const auto of_other_epoch = FourTimesTheSame(loader.get(), 1, 1);
  const auto of_other_seed = FourTimesTheSame(loader.get(), 2, 0);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NE(samples[i], of_other_epoch[i]);
    EXPECT_NE(samples[i], of_other_seed[i]);
  }
}

using LoaderWorkersTest = LoaderTest;

TEST_F(LoaderWorkersTest, AsManyRunAtATimeAsWereAskedFor) {
  for (const ExecutorKind kind : testing::ExecutorKinds()) {
    for (const int workers : {1, 2, 8}) {
      const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(kind, workers),
                                                              /*together=*/workers);
      const auto loader = MakeLoader(workers, 2, executor);
      loader->StartEpoch(0, 0);
      // The tasks begin together, and the batch is long enough for the last of them to get a core.
      loader->Submit(std::vector<int64_t>(50'000, 0));
      while (loader->Stats().max_running < workers &&
             !loader->WaitReady(std::chrono::milliseconds(1))) {
      }
      EXPECT_TRUE(executor->met()) << testing::KindName(kind) << ", workers " << workers;
      EXPECT_EQ(loader->Stats().max_running, workers);
    }
  }
}

// An executor may have less room than the loader has workers: the figure is there to show it.
TEST_F(LoaderWorkersTest, MaxRunningCountsWorkersThatRanNotThoseThatWereAskedFor) {
  const auto loader = MakeLoader(8, 2, ThreadExecutor(1));
  loader->StartEpoch(0, 0);
  for (int i = 0; i < 10; ++i) {
    loader->Submit(std::vector<int64_t>(20, i));
    loader->Next();
  }
  EXPECT_EQ(loader->Stats().max_running, 1);
}

TEST_F(LoaderWorkersTest, NoThreadIsHeldWhileThereIsNothingToDo) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(4));
  const auto loader = MakeLoader(4, 2, executor);
  loader->StartEpoch(0, 0);
  for (int i = 0; i < 20; ++i) {
    loader->Submit({0, 1, 2, 3, 4, 5});
    EXPECT_TRUE(executor->WaitUntilQuiet()) << "with a full batch that nobody takes";
    loader->Next();
  }
  EXPECT_TRUE(executor->WaitUntilQuiet());
}

using LoaderBoundTest = LoaderTest;

TEST_F(LoaderBoundTest, NoMoreThanPrefetchBatchesAreInFlight) {
  for (const int prefetch : {1, 3}) {
    const auto loader = MakeLoader(2, prefetch);
    EXPECT_EQ(loader->prefetch(), prefetch);
    loader->StartEpoch(0, 0);
    for (int i = 0; i < prefetch; ++i) loader->Submit({i});
    EXPECT_THROW(loader->Submit({9}), std::logic_error);
    EXPECT_EQ(loader->in_flight(), static_cast<size_t>(prefetch));
    EXPECT_EQ(loader->Next().indices, std::vector<int64_t>{0});
    loader->Submit({10});
    for (int i = 1; i < prefetch; ++i) EXPECT_EQ(loader->Next().indices.at(0), i);
    EXPECT_EQ(loader->Next().indices, std::vector<int64_t>{10});
  }
}

TEST_F(LoaderBoundTest, AConsumerThatStopsConsumingStopsTheWorkers) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(8));
  const auto loader = MakeLoader(8, 3, executor);
  loader->StartEpoch(0, 0);
  for (int i = 0; i < 3; ++i) loader->Submit({0, 1, 2, 3});
  ASSERT_TRUE(executor->WaitUntilQuiet());
  EXPECT_EQ(SamplesRead(*loader), 12U);
  const int64_t waiting_ns = loader->Stats().waiting_ns;
  ASSERT_GT(waiting_ns, 0) << "and say that they wait for the consumer";
  while (loader->Stats().waiting_ns <= waiting_ns) std::this_thread::yield();
  EXPECT_EQ(SamplesRead(*loader), 12U);
}

TEST_F(LoaderBoundTest, ARefusedIndexQueuesNothingAndCountsForNothing) {
  const auto loader = MakeLoader(1);
  loader->StartEpoch(4, 0);
  for (const int64_t index : {-kSamples - 1, kSamples, INT64_MIN, INT64_MAX}) {
    EXPECT_THROW(loader->Submit({5, index}), std::out_of_range) << index;
  }
  EXPECT_EQ(loader->in_flight(), 0U);
  loader->Submit({5, kSamples - 1});
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(loader->Next(), {5, kSamples - 1}, 4, 0, &seen);
}

using LoaderWaitTest = LoaderTest;

TEST_F(LoaderWaitTest, WaitReadySaysWhetherTheOldestBatchIsComplete) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
  const auto loader = MakeLoader(2, 2, executor);
  loader->StartEpoch(0, 0);
  executor->CloseGate();
  loader->Submit({1, 2, 3});
  EXPECT_FALSE(loader->WaitReady(milliseconds(0)));
  EXPECT_FALSE(loader->WaitReady(milliseconds(5)));
  EXPECT_EQ(loader->in_flight(), 1U);
  executor->OpenGate();
  EXPECT_TRUE(loader->WaitReady(testing::kStuck));
  EXPECT_TRUE(loader->WaitReady(milliseconds(0)));
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(loader->Next(), {1, 2, 3}, 0, 0, &seen);
}

TEST_F(LoaderWaitTest, WithoutWorkersWaitingDoesTheWork) {
  const auto loader = MakeLoader(0);
  loader->StartEpoch(0, 0);
  const std::vector<int64_t> indices(200, 3);
  loader->Submit(indices);
  EXPECT_FALSE(loader->WaitReady(milliseconds(0)));
  while (!loader->WaitReady(milliseconds(1))) {
  }
  EXPECT_EQ(SamplesRead(*loader), 200U);
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(loader->Next(), indices, 0, 0, &seen);
}

}  // namespace
}  // namespace stoker
