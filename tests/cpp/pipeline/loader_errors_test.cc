// What goes wrong in a loader: samples, memory, options.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/loader.h"
#include "support/loader_fixture.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::LoaderTest;

class LoaderErrorsTest : public LoaderTest {
 protected:
  LoaderErrorsTest() {
    missing_ = Add(folder_.path() + "/missing.jpg");
    empty_ = Add(folder_.Write("empty.jpg", {}));
    garbage_ = Add(folder_.Write("garbage.jpg", Bytes(2000, 'x')));
    folder_sample_ = Add(folder_.path());
  }

  // Expects the oldest batch to fail for sample `index`.
  void ExpectFailure(Loader* loader, int64_t index, Stage stage) {
    const size_t in_flight = loader->in_flight();
    const Batch batch = loader->Next();
    ASSERT_FALSE(batch.failures.empty());
    const SampleFailure& failure = batch.failures.front();
    const DataError& error = failure.error;
    EXPECT_EQ(batch.indices.at(failure.position), index);
    EXPECT_EQ(error.index(), index);
    EXPECT_EQ(error.path(), table_->Path(static_cast<size_t>(index)));
    EXPECT_EQ(error.stage(), stage);
    EXPECT_FALSE(error.reason().empty());
    EXPECT_NE(std::string(error.what()).find(error.reason()), std::string::npos);
    EXPECT_EQ(loader->in_flight(), in_flight - 1);
  }

  int64_t missing_;
  int64_t empty_;
  int64_t garbage_;
  int64_t folder_sample_;
};

TEST_F(LoaderErrorsTest, ASampleThatFailsSpoilsItsOwnBatchOnly) {
  for (const int workers : {0, 1, 2, 8}) {
    SCOPED_TRACE("workers " + std::to_string(workers));
    const auto loader = MakeLoader(workers, 6);
    loader->StartEpoch(8, 0);
    loader->Submit({0, 1});
    loader->Submit({2, missing_});
    loader->Submit({3, 4});
    loader->Submit({empty_, 5});
    loader->Submit({6, garbage_, 7});
    loader->Submit({folder_sample_});
    std::map<int64_t, uint32_t> seen;
    ExpectBatch(loader->Next(), {0, 1}, 8, 0, &seen);
    ExpectFailure(loader.get(), missing_, Stage::kRead);
    ExpectBatch(loader->Next(), {3, 4}, 8, 0, &seen);
    ExpectFailure(loader.get(), empty_, Stage::kDecode);
    ExpectFailure(loader.get(), garbage_, Stage::kDecode);
    loader->Submit({9});
    ExpectFailure(loader.get(), folder_sample_, Stage::kRead);
    ExpectBatch(loader->Next(), {9}, 8, 0, &seen);
    const LoaderStats stats = loader->Stats();
    EXPECT_EQ(stats.failed_batches, 4U);
    EXPECT_EQ(stats.samples, 9U);  // also those beside one that failed
    // A sample's time counts up to the stage in which it failed.
    EXPECT_EQ(stats.stages[static_cast<size_t>(Stage::kRead)].count, 13U);
    EXPECT_EQ(stats.stages[static_cast<size_t>(Stage::kDecode)].count, 11U);
    EXPECT_EQ(stats.stages[static_cast<size_t>(Stage::kTransform)].count, 9U);
  }
}

TEST_F(LoaderErrorsTest, OfSeveralFailuresTheOneThatStandsFirstIsReported) {
  for (const int workers : {0, 2, 8}) {
    const auto loader = MakeLoader(workers, 2);
    for (uint32_t epoch = 0; epoch < 30; ++epoch) {
      loader->StartEpoch(8, epoch);
      // The first to fail takes longest to find out, the last ones are found missing at once.
      loader->Submit({0, garbage_, missing_, empty_, missing_, missing_});
      loader->Submit({missing_, garbage_});
      ExpectFailure(loader.get(), garbage_, Stage::kDecode);
      ExpectFailure(loader.get(), missing_, Stage::kRead);
    }
  }
}

TEST_F(LoaderErrorsTest, AFailedBatchGivesItsMemoryBack) {
  const auto allocator = std::make_shared<testing::CountingAllocator>();
  Loader loader(SampleSet::OfTable(table_, Plan()), {2, 2}, allocator, testing::MakeExecutor(2));
  loader.StartEpoch(8, 0);
  for (int i = 0; i < 20; ++i) {
    loader.Submit({missing_, 0});
    ExpectFailure(&loader, missing_, Stage::kRead);
    loader.Stop();  // a worker may have it in its hands for a moment longer
    ASSERT_EQ(allocator->held(), 0);
  }
}

TEST_F(LoaderErrorsTest, AnImageTooSmallForItsCropFailsInTheTransform) {
  SamplePlan plan;
  plan.ops.resize(1);
  plan.ops[0].kind = OpKind::kRandomCrop;
  plan.ops[0].size = {21, 21};  // sample 0 is 20 pixels wide
  for (const int workers : {0, 2}) {
    Loader loader(SampleSet::OfTable(table_, plan), {workers, 2}, allocator_,
                  testing::MakeExecutor(2));
    loader.StartEpoch(0, 0);
    loader.Submit({1, 0});
    ExpectFailure(&loader, 0, Stage::kTransform);
  }
}

// Fails at the allocation that `fail_at` counts down to.
class FailingAllocator final : public HostAllocator {
 public:
  HostBlock Allocate(size_t bytes) override {
    if (fail_at-- == 0) throw std::domain_error("no memory of this kind");
    return inner_.Allocate(bytes);
  }
  bool pinned() const override { return false; }

  int fail_at = -1;

 private:
  RecyclingAllocator inner_{8};
};

TEST_F(LoaderErrorsTest, TheAllocatorsErrorComesOutOfSubmitAndNothingIsQueued) {
  const auto allocator = std::make_shared<FailingAllocator>();
  Loader loader(SampleSet::OfTable(table_, Plan()), {2, 2}, allocator, testing::MakeExecutor(2));
  loader.StartEpoch(8, 0);
  for (const int fail_at : {0, 1}) {  // the samples' block, the labels' block
    allocator->fail_at = fail_at;
    EXPECT_THROW(loader.Submit({1, 1}), std::domain_error);
    EXPECT_EQ(loader.in_flight(), 0U);
  }
  loader.Submit({1, 1});
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(loader.Next(), {1, 1}, 8, 0, &seen);
}

TEST_F(LoaderErrorsTest, OptionsOutOfRangeAreRefused) {
  const auto executor = testing::MakeExecutor(1);
  EXPECT_THROW(MakeLoader(-1, 2, executor), std::invalid_argument);
  EXPECT_THROW(MakeLoader(1, 0, executor), std::invalid_argument);
  EXPECT_THROW(MakeLoader(1, -1, executor), std::invalid_argument);
  EXPECT_THROW(MakeLoader(1, 2, nullptr), std::invalid_argument);
  EXPECT_NO_THROW(MakeLoader(0, 1, nullptr));
}

TEST_F(LoaderErrorsTest, APlanWithoutAFixedSizeIsRefused) {
  SamplePlan plan;
  plan.ops.resize(1);
  plan.ops[0].short_side = 20;
  EXPECT_THROW(Loader(SampleSet::OfTable(table_, plan), {0, 1}, allocator_, nullptr),
               std::invalid_argument);
}

}  // namespace
}  // namespace stoker
