// Beginnings and ends of a loader: epochs cut short, destruction, forks, and what must not grow.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "pipeline/loader.h"
#include "support/loader_fixture.h"
#include "support/processes.h"

namespace stoker {
namespace {

using std::chrono::milliseconds;
using testing::CountingAllocator;
using testing::ExecutorKind;
using testing::LoaderTest;
using testing::WatchedExecutor;

class LoaderLifetimeTest : public LoaderTest {
 protected:
  // Begins an epoch and breaks off somewhere in its midst, elsewhere for every `round`.
  static void GoSomeWay(Loader* loader, uint32_t round) {
    loader->StartEpoch(1, round);
    for (uint32_t i = 0; i < 3; ++i) {
      loader->Submit({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
    }
    for (uint32_t i = 0; i < round % 3; ++i) loader->Next();
    if (round % 5 == 4) loader->WaitReady(milliseconds(1));
  }
};

TEST_F(LoaderLifetimeTest, StartEpochDropsWhatIsInFlight) {
  for (const ExecutorKind kind : testing::ExecutorKinds()) {
    for (const int workers : {0, 1, 8}) {
      const auto loader = MakeLoader(workers, 3, testing::MakeExecutor(kind, workers));
      for (uint32_t round = 0; round < 40; ++round) {
        GoSomeWay(loader.get(), round);
        loader->StartEpoch(2, round);
        ASSERT_EQ(loader->in_flight(), 0U);
        loader->Submit({3, 3, 1});
        std::map<int64_t, uint32_t> seen;
        ASSERT_NO_FATAL_FAILURE(ExpectBatch(loader->Next(), {3, 3, 1}, 2, round, &seen));
      }
    }
  }
}

TEST_F(LoaderLifetimeTest, StopWaitsForTheWorkersAndFreesTheBatches) {
  for (const ExecutorKind kind : testing::ExecutorKinds()) {
    const auto allocator = std::make_shared<CountingAllocator>();
    Loader loader(SampleSet::OfTable(table_, Plan()), {4, 3}, allocator,
                  testing::MakeExecutor(kind, 4));
    for (uint32_t round = 0; round < 60; ++round) {
      GoSomeWay(&loader, round);
      loader.Stop();
      ASSERT_EQ(loader.in_flight(), 0U);
      ASSERT_EQ(allocator->held(), 0);
      const uint64_t read = SamplesRead(loader);
      std::this_thread::yield();
      ASSERT_EQ(SamplesRead(loader), read);
    }
  }
}

TEST_F(LoaderLifetimeTest, MayBeDestroyedWhileItsWorkersRun) {
  for (const ExecutorKind kind : testing::ExecutorKinds()) {
    for (const int workers : {0, 1, 8}) {
      const auto allocator = std::make_shared<CountingAllocator>();
      for (uint32_t round = 0; round < 60; ++round) {
        auto loader =
            std::make_unique<Loader>(SampleSet::OfTable(table_, Plan()), LoaderOptions{workers, 3},
                                     allocator, testing::MakeExecutor(kind, workers));
        GoSomeWay(loader.get(), round);
        loader.reset();
        ASSERT_EQ(allocator->held(), 0);
      }
    }
  }
}

// Six thousand samples are asked for, and Stop comes when the first are done.
TEST_F(LoaderLifetimeTest, StopLeavesUndoneWhatHasNotBegun) {
  for (const int workers : {1, 8}) {
    const auto loader = MakeLoader(workers);
    loader->StartEpoch(0, 0);
    loader->Submit(std::vector<int64_t>(6000, 1));
    while (SamplesRead(*loader) == 0) std::this_thread::yield();
    loader->Stop();
    EXPECT_LT(SamplesRead(*loader), 6000U);
  }
}

TEST_F(LoaderLifetimeTest, DestructionWaitsForWorkersThatHaveNotBegun) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
  auto loader = MakeLoader(2, 2, executor);
  loader->StartEpoch(0, 0);
  executor->CloseGate();
  loader->Submit({0, 1, 2, 3});
  std::thread opener([&] {
    std::this_thread::sleep_for(milliseconds(2));
    executor->OpenGate();
  });
  loader.reset();
  opener.join();
  EXPECT_TRUE(executor->WaitUntilQuiet());
}

TEST_F(LoaderLifetimeTest, ABatchMayOutliveItsLoader) {
  Batch batch;
  {
    const auto allocator = std::make_shared<RecyclingAllocator>(4);
    Loader loader(SampleSet::OfTable(table_, Plan()), {2, 2}, allocator, testing::MakeExecutor(2));
    loader.StartEpoch(6, 1);
    loader.Submit({4, 5, 4});
    batch = loader.Next();
    loader.Submit({1, 2, 3});
  }
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(batch, {4, 5, 4}, 6, 1, &seen);
}

// With one loader for all epochs, and with one for each.
TEST_F(LoaderLifetimeTest, ManyEpochsTakeNoMoreThreadsAndMemory) {
  const auto threads = [] {
    using std::filesystem::directory_iterator;
    return std::distance(directory_iterator("/proc/self/task"), directory_iterator());
  };
  const auto run_epoch = [](Loader* loader, uint32_t epoch) {
    loader->StartEpoch(0, epoch);
    for (int i = 0; i < 8; ++i) {
      loader->Submit({0, 1, 2, 3});
      if (loader->in_flight() == 2) loader->Next();
    }
    loader->EndOfIndices();
    loader->Next();
  };
  const auto loader = MakeLoader(2);
  const auto threads_before = threads();
  for (uint32_t epoch = 0; epoch < 3; ++epoch) run_epoch(loader.get(), epoch);
  const size_t fresh_blocks = allocator_->fresh_blocks();
  for (uint32_t epoch = 0; epoch < 40; ++epoch) {
    run_epoch(loader.get(), epoch);
    run_epoch(MakeLoader(2).get(), epoch);
  }
  EXPECT_EQ(allocator_->fresh_blocks(), fresh_blocks);
  // Threads are made when they are needed; the process may have asked for 8 before.
  EXPECT_LE(threads(), threads_before + 8);
}

// Which of the consumer's functions fail to throw std::logic_error here; 0: none.
int FunctionsThatDoNotRefuse(Loader* loader) {
  const auto refuses = [](const auto& call) {
    try {
      call();
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  };
  int failures = 0;
  failures |= refuses([&] { loader->StartEpoch(0, 0); }) ? 0 : 1;
  failures |= refuses([&] { loader->Submit({0}); }) ? 0 : 2;
  failures |= refuses([&] { loader->WaitReady(milliseconds(0)); }) ? 0 : 4;
  failures |= refuses([&] { loader->Next(); }) ? 0 : 8;
  failures |= refuses([&] { loader->Stop(); }) ? 0 : 16;
  failures |= refuses([&] { loader->EndOfIndices(); }) ? 0 : 32;
  failures |= refuses([&] { loader->Stats(); }) ? 0 : 64;
  return failures;
}

TEST_F(LoaderLifetimeTest, AForkedChildCannotUseAnInheritedLoader) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "no forks of threads under this sanitizer";
  for (const int workers : {0, 2}) {
    const auto loader = MakeLoader(workers, 3);
    loader->StartEpoch(0, 0);
    loader->Submit({0, 1, 2});
    loader->Submit({3, 4, 5});
    EXPECT_EQ(testing::ReturnedByFork([&] { return FunctionsThatDoNotRefuse(loader.get()); }), 0);
    std::map<int64_t, uint32_t> seen;
    ExpectBatch(loader->Next(), {0, 1, 2}, 0, 0, &seen);
    EXPECT_EQ(loader->pid(), getpid());
  }
}

TEST_F(LoaderLifetimeTest, AForkedChildMayDestroyAnInheritedLoader) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "no forks of threads under this sanitizer";
  for (const ExecutorKind kind : testing::ExecutorKinds()) {
    for (const bool working : {false, true}) {
      auto loader = MakeLoader(2, 3, testing::MakeExecutor(kind, 2));
      loader->StartEpoch(0, 0);
      loader->Submit({0, 1, 2});
      if (!working) loader->WaitReady(testing::kStuck);
      ASSERT_EQ(testing::ReturnedByFork([&] {
                  loader.reset();
                  return 7;
                }),
                7)
          << testing::KindName(kind) << (working ? ", working" : ", idle");
      std::map<int64_t, uint32_t> seen;
      ExpectBatch(loader->Next(), {0, 1, 2}, 0, 0, &seen);
    }
  }
}

TEST_F(LoaderLifetimeTest, ANewLoaderWorksInAForkedChild) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "no threads after a fork under this sanitizer";
  const auto loader = MakeLoader(2);
  loader->StartEpoch(0, 0);
  loader->Submit({0, 1, 2});
  EXPECT_EQ(testing::ReturnedByFork([&] {
              const auto own = MakeLoader(2);
              own->StartEpoch(9, 1);
              own->Submit({7, 7, 8});
              std::map<int64_t, uint32_t> seen;
              ExpectBatch(own->Next(), {7, 7, 8}, 9, 1, &seen);
              return HasFailure() ? 1 : 7;
            }),
            7);
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(loader->Next(), {0, 1, 2}, 0, 0, &seen);
}

}  // namespace
}  // namespace stoker
