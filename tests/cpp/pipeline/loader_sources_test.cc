// Samples that come with their batch, rows and parts of a table, and failures in their batch.
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/loader.h"
#include "support/loader_fixture.h"
#include "support/ops.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::LoaderTest;
using testing::MakeExecutor;

class LoaderSourcesTest : public LoaderTest {
 protected:
  // A set without a table.
  static SampleSet WithoutTable() {
    SampleSet set;
    set.parts.push_back({0, Plan()});
    set.size = kSamples;
    return set;
  }

  std::unique_ptr<Loader> LoaderOf(SampleSet set, int workers, int prefetch = 2) const {
    return std::make_unique<Loader>(std::move(set), LoaderOptions{workers, prefetch}, allocator_,
                                    workers == 0 ? nullptr : MakeExecutor(workers));
  }

  SampleSource FileOf(int64_t row) const {
    return {table_->Path(static_cast<size_t>(row)), nullptr};
  }
  // The bytes of the file, under a name that no file has.
  SampleSource BytesOf(int64_t row) const {
    UniqueFd fd = OpenFile(FileOf(row).path.c_str());
    ByteBuffer buffer;
    const ByteSpan bytes = ReadFile(fd, &buffer);
    return {"in memory: " + std::to_string(row),
            std::make_shared<const std::string>(bytes.begin(), bytes.end())};
  }
  static SampleSource BytesFrom(std::string name, std::string bytes) {
    return {std::move(name), std::make_shared<const std::string>(std::move(bytes))};
  }
};

TEST_F(LoaderSourcesTest, GiveThePixelsThatATableGives) {
  for (const int workers : {0, 1, 8}) {
    const auto loader = LoaderOf(WithoutTable(), workers, 3);
    std::minstd_rand random(5);
    for (uint32_t epoch = 0; epoch < 3; ++epoch) {
      loader->StartEpoch(77, epoch);
      std::map<int64_t, uint32_t> seen;
      for (int i = 0; i < 12; ++i) {
        std::vector<int64_t> indices(random() % 9);
        std::vector<SampleSource> sources;
        for (int64_t& index : indices) {
          index = static_cast<int64_t>(random() >> 4) % kSamples;
          sources.push_back(random() % 2 == 0 ? FileOf(index) : BytesOf(index));
        }
        loader->Submit(indices, std::move(sources));
        const Batch batch = loader->Next();
        ASSERT_TRUE(batch.failures.empty());
        ASSERT_EQ(batch.indices, indices);
        for (size_t at = 0; at < indices.size(); ++at) {
          const auto index = static_cast<uint64_t>(indices[at]);
          const SampleKey key{77, epoch, index, seen[indices[at]]++};
          ASSERT_EQ(SampleAt(batch, at), Expected(key)) << "workers " << workers;
          ASSERT_EQ(LabelAt(batch, at), 0);
        }
      }
    }
  }
}

// The index keys the numbers, and says nothing about where the bytes are.
TEST_F(LoaderSourcesTest, MayBeAnyFilesWhateverTheIndices) {
  const auto loader = LoaderOf(WithoutTable(), 2);
  loader->StartEpoch(3, 1);
  loader->Submit({5, -1, 5}, {FileOf(0), FileOf(1), BytesOf(2)});
  const Batch batch = loader->Next();
  EXPECT_EQ(batch.indices, (std::vector<int64_t>{5, kSamples - 1, 5}));
  EXPECT_EQ(SampleAt(batch, 0), LoadedBy(Plan(), FileOf(0).path, {3, 1, 5, 0}));
  EXPECT_EQ(SampleAt(batch, 1), LoadedBy(Plan(), FileOf(1).path, {3, 1, kSamples - 1, 0}));
  EXPECT_EQ(SampleAt(batch, 2), LoadedBy(Plan(), FileOf(2).path, {3, 1, 5, 1}));
}

TEST_F(LoaderSourcesTest, MustComeWithEachSampleAndOnlyWithoutATable) {
  const auto without = LoaderOf(WithoutTable(), 1);
  without->StartEpoch(3, 1);
  EXPECT_THROW(without->Submit({5}), std::invalid_argument);
  EXPECT_THROW(without->Submit({5, 6}, {FileOf(5)}), std::invalid_argument);
  EXPECT_THROW(without->Submit({5}, {FileOf(5), FileOf(6)}), std::invalid_argument);
  EXPECT_THROW(without->Submit({kSamples}, {FileOf(5)}), std::out_of_range);
  EXPECT_EQ(without->in_flight(), 0U);
  without->Submit({});
  EXPECT_EQ(without->Next().count, 0U);
  // What was refused has not been counted.
  without->Submit({5}, {FileOf(5)});
  EXPECT_EQ(SampleAt(without->Next(), 0), Expected({3, 1, 5, 0}));

  const auto with = MakeLoader(1);
  with->StartEpoch(3, 1);
  EXPECT_THROW(with->Submit({5}, {FileOf(5)}), std::invalid_argument);
  EXPECT_THROW(with->Submit({}, {FileOf(5)}), std::invalid_argument);
  EXPECT_EQ(with->in_flight(), 0U);
}

TEST_F(LoaderSourcesTest, ErrorsCallThemByTheirPaths) {
  for (const int workers : {0, 2}) {
    const auto loader = LoaderOf(WithoutTable(), workers);
    loader->StartEpoch(3, 1);
    loader->Submit({4, 1, 2, 3, 4}, {BytesFrom("shard.tar, member 4", "no image"),
                                     {folder_.path() + "/missing.jpg", nullptr},
                                     BytesFrom("", ""),
                                     FileOf(3),
                                     BytesOf(4)});
    const Batch batch = loader->Next();
    ASSERT_EQ(batch.failures.size(), 3U);
    const std::string paths[] = {"shard.tar, member 4", folder_.path() + "/missing.jpg", ""};
    const Stage stages[] = {Stage::kDecode, Stage::kRead, Stage::kDecode};
    const int64_t indices[] = {4, 1, 2};
    for (size_t i = 0; i < 3; ++i) {
      const DataError& error = batch.failures[i].error;
      EXPECT_EQ(batch.failures[i].position, i);
      EXPECT_EQ(error.path(), paths[i]);
      EXPECT_EQ(error.stage(), stages[i]);
      EXPECT_EQ(error.index(), indices[i]);
    }
    EXPECT_EQ(SampleAt(batch, 3), Expected({3, 1, 3, 0}));
    EXPECT_EQ(SampleAt(batch, 4), Expected({3, 1, 4, 1}));
  }
}

TEST_F(LoaderSourcesTest, AreLetGoWithTheirBatch) {
  const auto loader = LoaderOf(WithoutTable(), 2);
  loader->StartEpoch(3, 1);
  std::vector<SampleSource> sources{BytesOf(0), BytesOf(1)};
  const std::weak_ptr<const std::string> first = sources[0].bytes;
  loader->Submit({0, 1}, std::move(sources));
  const Batch batch = loader->Next();
  loader->Stop();  // a worker may have it in its hands for a moment longer
  EXPECT_TRUE(first.expired());
}

using LoaderRowsTest = LoaderSourcesTest;

TEST_F(LoaderRowsTest, SamplesAreTheirRowsWithNumbersOfTheirOwn) {
  const int64_t missing = Add(folder_.path() + "/missing.jpg");
  SampleSet set = SampleSet::OfTable(table_, Plan());
  set.rows = {11, 0, 0, missing, 5};
  set.size = set.rows->size();
  for (const int workers : {0, 2}) {
    const auto loader = LoaderOf(set, workers);
    loader->StartEpoch(9, 2);
    EXPECT_THROW(loader->Submit({5}), std::out_of_range);
    EXPECT_THROW(loader->Submit({-6}), std::out_of_range);
    loader->Submit({4, 1, 2, 3, -5, 1});
    const Batch batch = loader->Next();
    const std::vector<int64_t> indices{4, 1, 2, 3, 0, 1};
    EXPECT_EQ(batch.indices, indices);
    for (size_t i = 0; i < indices.size(); ++i) {
      const int64_t row = (*set.rows)[static_cast<size_t>(indices[i])];
      EXPECT_EQ(LabelAt(batch, i), LabelOf(row));
      if (row == missing) continue;
      const SampleKey key{9, 2, static_cast<uint64_t>(indices[i]), i == 5 ? 1U : 0U};
      EXPECT_EQ(SampleAt(batch, i), LoadedBy(Plan(), FileOf(row).path, key));
    }
    EXPECT_NE(SampleAt(batch, 1), SampleAt(batch, 2)) << "the same file, but not the same sample";
    ASSERT_EQ(batch.failures.size(), 1U);
    EXPECT_EQ(batch.failures[0].error.index(), 3);
    EXPECT_EQ(batch.failures[0].error.path(), FileOf(missing).path);
  }
}

TEST_F(LoaderRowsTest, EachPartGoesByItsOwnPlan) {
  SampleSet set = SampleSet::OfTable(table_, Plan());
  SamplePlan gray = Plan();
  gray.ops.push_back(testing::Grayscale(1));
  SamplePlan fast = Plan();
  fast.pixels = PixelMode::kFast;
  set.parts = {{0, Plan()}, {4, gray}, {7, fast}};
  const auto plan_of = [&](int64_t row) { return row < 4 ? Plan() : row < 7 ? gray : fast; };
  std::vector<int64_t> all(kSamples);
  for (int64_t i = 0; i < kSamples; ++i) all[static_cast<size_t>(i)] = i;
  for (const bool reversed : {false, true}) {
    if (reversed) set.rows.emplace(all.rbegin(), all.rend());
    for (const int workers : {0, 1, 8}) {
      const auto loader = LoaderOf(set, workers);
      loader->StartEpoch(9, 2);
      loader->Submit(all);
      const Batch batch = loader->Next();
      ASSERT_TRUE(batch.failures.empty());
      for (size_t i = 0; i < all.size(); ++i) {
        const int64_t row = reversed ? all[all.size() - 1 - i] : all[i];
        ASSERT_EQ(SampleAt(batch, i), LoadedBy(plan_of(row), FileOf(row).path, {9, 2, i, 0}))
            << "row " << row << ", workers " << workers;
      }
    }
  }
}

TEST_F(LoaderRowsTest, SetsThatCannotShareABatchAreRefused) {
  SampleSet set = SampleSet::OfTable(table_, Plan());
  set.rows = {kSamples};
  set.size = 1;
  EXPECT_THROW(LoaderOf(set, 0), std::invalid_argument);
  set = SampleSet::OfTable(table_, Plan());
  set.parts.push_back({3, Plan()});
  set.parts[1].plan.format.channels_last = true;
  EXPECT_THROW(LoaderOf(set, 0), std::invalid_argument);
}

using LoaderFailuresTest = LoaderSourcesTest;

TEST_F(LoaderFailuresTest, AreListedByPositionWithTheirOccurrenceAndTheRestIsAsItShouldBe) {
  const int64_t missing = Add(folder_.path() + "/missing.jpg");
  const int64_t garbage = Add(folder_.Write("garbage.jpg", Bytes(2000, 'x')));
  const std::vector<int64_t> indices{missing, 0, garbage, missing, 1, 0, missing, 2};
  for (const int workers : {0, 1, 2, 8}) {
    const auto loader = MakeLoader(workers, 2);
    for (uint32_t epoch = 0; epoch < 15; ++epoch) {
      loader->StartEpoch(8, epoch);
      loader->Submit(indices);
      loader->Submit(indices);
      for (uint32_t round = 0; round < 2; ++round) {
        const Batch batch = loader->Next();
        const size_t positions[] = {0, 2, 3, 6};
        const uint32_t occurrences[] = {3 * round, round, 3 * round + 1, 3 * round + 2};
        ASSERT_EQ(batch.failures.size(), 4U);
        for (size_t i = 0; i < 4; ++i) {
          const SampleFailure& failure = batch.failures[i];
          ASSERT_EQ(failure.position, positions[i]);
          ASSERT_EQ(failure.occurrence, occurrences[i]);
          ASSERT_EQ(failure.error.index(), indices[positions[i]]);
          ASSERT_EQ(failure.error.stage(), i == 1 ? Stage::kDecode : Stage::kRead);
        }
        ASSERT_EQ(SampleAt(batch, 1), Expected({8, epoch, 0, 2 * round}));
        ASSERT_EQ(SampleAt(batch, 4), Expected({8, epoch, 1, round}));
        ASSERT_EQ(SampleAt(batch, 5), Expected({8, epoch, 0, 2 * round + 1}));
        ASSERT_EQ(SampleAt(batch, 7), Expected({8, epoch, 2, round}));
        for (size_t i = 0; i < indices.size(); ++i) {
          ASSERT_EQ(LabelAt(batch, i), LabelOf(indices[i]));
        }
      }
    }
    const LoaderStats stats = loader->Stats();
    EXPECT_EQ(stats.batches, 30U);
    EXPECT_EQ(stats.failed_batches, 30U);
    EXPECT_EQ(stats.samples, 30U * 4);
  }
}

TEST_F(LoaderFailuresTest, MayBeAllOfABatch) {
  const int64_t missing = Add(folder_.path() + "/missing.jpg");
  const auto loader = MakeLoader(2);
  loader->StartEpoch(8, 0);
  loader->Submit(std::vector<int64_t>(100, missing));
  const Batch batch = loader->Next();
  ASSERT_EQ(batch.failures.size(), 100U);
  for (uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(batch.failures[i].position, i);
    EXPECT_EQ(batch.failures[i].occurrence, i);
  }
  EXPECT_EQ(loader->Stats().samples, 0U);
}

}  // namespace
}  // namespace stoker
