// Single samples beside the batches.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "pipeline/loader.h"
#include "support/loader_fixture.h"
#include "support/ops.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::LoaderTest;
using testing::WatchedExecutor;

class LoaderLoadIntoTest : public LoaderTest {
 protected:
  static constexpr uint8_t kGuard = 0xA5;

  // One sample in memory that ends with it.
  static Bytes Alone(Loader* loader, int64_t index, uint32_t occurrence,
                     const SampleSource* source = nullptr, int64_t* label = nullptr) {
    const size_t bytes = loader->format().SampleBytes(loader->sample_size());
    Bytes slot(bytes + 32, kGuard);
    const int64_t got = loader->LoadInto(index, occurrence, source, slot.data());
    if (label != nullptr) *label = got;
    EXPECT_EQ(Bytes(slot.begin() + static_cast<ptrdiff_t>(bytes), slot.end()), Bytes(32, kGuard));
    slot.resize(bytes);
    return slot;
  }
};

TEST_F(LoaderLoadIntoTest, IsWhatTheBatchHasForTheSameOccurrence) {
  for (const int workers : {0, 2}) {
    const auto loader = MakeLoader(workers);
    for (uint32_t epoch = 0; epoch < 3; ++epoch) {
      loader->StartEpoch(6, epoch);
      loader->Submit({4, 7, 4, 4, 0});
      const Batch batch = loader->Next();
      const uint32_t occurrences[] = {0, 0, 1, 2, 0};
      for (size_t i = 0; i < batch.count; ++i) {
        int64_t label = 0;
        const Bytes alone = Alone(loader.get(), batch.indices[i], occurrences[i], nullptr, &label);
        EXPECT_EQ(alone, SampleAt(batch, i)) << "position " << i;
        EXPECT_EQ(label, LabelAt(batch, i));
      }
      EXPECT_EQ(Alone(loader.get(), -1, 0), Expected({6, epoch, kSamples - 1, 0}));
      EXPECT_EQ(Alone(loader.get(), 2, 1000000), Expected({6, epoch, 2, 1000000}));
    }
  }
}

// The workers are held back: nothing but the calling thread can have done it.
TEST_F(LoaderLoadIntoTest, GoesOnBesideWhatIsInFlightAndLeavesItAlone) {
  const auto held_back = std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
  held_back->CloseGate();
  const auto loader = MakeLoader(2, 2, held_back);
  loader->StartEpoch(6, 1);
  loader->Submit({4, 4, 3});
  EXPECT_EQ(Alone(loader.get(), 4, 0), Expected({6, 1, 4, 0}));
  EXPECT_EQ(Alone(loader.get(), 4, 1), Expected({6, 1, 4, 1}));
  EXPECT_EQ(loader->in_flight(), 1U);
  EXPECT_EQ(loader->Pending().size(), 3U);
  loader->Submit({4, 9});
  held_back->OpenGate();
  std::map<int64_t, uint32_t> seen;
  ASSERT_NO_FATAL_FAILURE(ExpectBatch(loader->Next(), {4, 4, 3}, 6, 1, &seen));
  ASSERT_NO_FATAL_FAILURE(ExpectBatch(loader->Next(), {4, 9}, 6, 1, &seen));
}

TEST_F(LoaderLoadIntoTest, MayRunWhileWorkersDo) {
  const auto loader = MakeLoader(8, 4);
  loader->StartEpoch(6, 2);
  std::map<int64_t, uint32_t> seen;
  const std::vector<int64_t> indices{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
  for (int i = 0; i < 4; ++i) loader->Submit(indices);
  for (uint32_t round = 0; round < 20; ++round) {
    const uint32_t index = round % 12;
    ASSERT_EQ(Alone(loader.get(), index, round), Expected({6, 2, index, round}));
    ASSERT_NO_FATAL_FAILURE(ExpectBatch(loader->Next(), indices, 6, 2, &seen));
    loader->Submit(indices);
  }
}

TEST_F(LoaderLoadIntoTest, ABadSampleIsADataErrorAndTheNextOneIsLoaded) {
  const int64_t missing = Add(folder_.path() + "/missing.jpg");
  const int64_t garbage = Add(folder_.Write("garbage.jpg", Bytes(2000, 'x')));
  const auto loader = MakeLoader(1);
  loader->StartEpoch(6, 2);
  const auto expect_error = [&](int64_t index, Stage stage) {
    try {
      Alone(loader.get(), index, 0);
      FAIL() << "no error";
    } catch (const DataError& error) {
      EXPECT_EQ(error.index(), index);
      EXPECT_EQ(error.path(), table_->Path(static_cast<size_t>(index)));
      EXPECT_EQ(error.stage(), stage);
    }
  };
  expect_error(missing, Stage::kRead);
  expect_error(garbage, Stage::kDecode);
  EXPECT_EQ(Alone(loader.get(), 3, 0), Expected({6, 2, 3, 0}));
  // No batch has failed by it.
  loader->Submit({3});
  EXPECT_TRUE(loader->Next().failures.empty());
  EXPECT_EQ(loader->Stats().failed_batches, 0U);
}

TEST_F(LoaderLoadIntoTest, RefusesIndicesThatAreNotInTheSet) {
  const auto loader = MakeLoader(1);
  loader->StartEpoch(6, 2);
  EXPECT_THROW(Alone(loader.get(), kSamples, 0), std::out_of_range);
  EXPECT_THROW(Alone(loader.get(), -kSamples - 1, 0), std::out_of_range);
}

TEST_F(LoaderLoadIntoTest, TakesASourceWhereThereIsNoTable) {
  SampleSet set;
  set.parts.push_back({0, Plan()});
  set.size = 100;
  Loader without(set, {1, 2}, allocator_, testing::MakeExecutor(1));
  without.StartEpoch(6, 2);
  const SampleSource source{table_->Path(3), nullptr};
  int64_t label = -1;
  EXPECT_EQ(Alone(&without, 50, 7, &source, &label), LoadedBy(Plan(), source.path, {6, 2, 50, 7}));
  EXPECT_EQ(label, 0);
  const SampleSource bad{"a name", std::make_shared<const std::string>("no image")};
  try {
    Alone(&without, 50, 7, &bad);
    FAIL() << "no error";
  } catch (const DataError& error) {
    EXPECT_EQ(error.path(), "a name");
    EXPECT_EQ(error.index(), 50);
  }
  EXPECT_THROW(Alone(&without, 50, 7), std::invalid_argument);
  const auto with = MakeLoader(1);
  with->StartEpoch(6, 2);
  EXPECT_THROW(Alone(with.get(), 3, 0, &source), std::invalid_argument);
}

TEST_F(LoaderLoadIntoTest, KnowsRowsAndParts) {
  SampleSet set = SampleSet::OfTable(table_, Plan());
  SamplePlan gray = Plan();
  gray.ops.push_back(testing::Grayscale(1));
  set.parts.push_back({6, gray});
  set.rows = std::vector<int64_t>{9, 2, 6};
  set.size = 3;
  Loader loader(set, {0, 2}, allocator_, nullptr);
  loader.StartEpoch(6, 2);
  for (uint64_t i = 0; i < 3; ++i) {
    const auto row = static_cast<size_t>((*set.rows)[i]);
    int64_t label = 0;
    EXPECT_EQ(Alone(&loader, static_cast<int64_t>(i), 1, nullptr, &label),
              LoadedBy(row < 6 ? Plan() : gray, table_->Path(row), {6, 2, i, 1}));
    EXPECT_EQ(label, LabelOf((*set.rows)[i]));
  }
}

}  // namespace
}  // namespace stoker
