// Which samples of a batch are not finished yet.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/loader.h"
#include "support/loader_fixture.h"

namespace stoker {
namespace {

using std::chrono::milliseconds;
using testing::LoaderTest;
using testing::WatchedExecutor;

class LoaderPendingTest : public LoaderTest {
 protected:
  // Expects the pending samples to be these, by index and path.
  static void ExpectPending(Loader& loader,
                            const std::vector<std::pair<int64_t, std::string>>& expected) {
    const std::vector<PendingSample> pending = loader.Pending();
    ASSERT_EQ(pending.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_EQ(pending[i].index, expected[i].first);
      EXPECT_EQ(pending[i].path, expected[i].second);
    }
  }
  std::string PathOf(int64_t row) const { return table_->Path(static_cast<size_t>(row)); }

  // Its tasks wait until the gate is opened.
  const std::shared_ptr<WatchedExecutor> held_back_ =
      std::make_shared<WatchedExecutor>(testing::MakeExecutor(2));
};

TEST_F(LoaderPendingTest, AreAllOfTheOldestBatchUntilAWorkerRuns) {
  held_back_->CloseGate();
  const auto loader = MakeLoader(2, 2, held_back_);
  ExpectPending(*loader, {});
  loader->StartEpoch(1, 0);
  ExpectPending(*loader, {});
  loader->Submit({3, -1, 3});
  loader->Submit({5});
  const std::vector<std::pair<int64_t, std::string>> all = {
      {3, PathOf(3)}, {kSamples - 1, PathOf(kSamples - 1)}, {3, PathOf(3)}};
  ExpectPending(*loader, all);
  EXPECT_FALSE(loader->WaitReady(milliseconds(10)));
  ExpectPending(*loader, all);
  held_back_->OpenGate();
  while (!loader->WaitReady(testing::kStuck)) {
  }
  ExpectPending(*loader, {});
  loader->Next();
  while (!loader->WaitReady(testing::kStuck)) {
  }
  ExpectPending(*loader, {});
  loader->Next();
  ExpectPending(*loader, {});
}

// The consumer's own thread takes them one after the other, so that it is known which are left.
TEST_F(LoaderPendingTest, AreThoseThatAreLeft) {
  const int64_t missing = Add(folder_.path() + "/missing.jpg");
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < 400; ++i) indices.push_back(i % (kSamples + 1));
  ASSERT_EQ(indices[static_cast<size_t>(missing)], missing);
  const auto loader = MakeLoader(0);
  loader->StartEpoch(1, 0);
  loader->Submit(indices);
  int in_part = 0;
  size_t before = indices.size();
  for (bool ready = false; !ready;) {
    ready = loader->WaitReady(milliseconds(1));
    const std::vector<PendingSample> pending = loader->Pending();
    ASSERT_LE(pending.size(), before);
    before = pending.size();
    in_part += !pending.empty() && pending.size() < indices.size() ? 1 : 0;
    ASSERT_EQ(pending.empty(), ready);
    for (size_t i = 0; i < pending.size(); ++i) {
      const int64_t index = indices[indices.size() - pending.size() + i];
      ASSERT_EQ(pending[i].index, index);
      ASSERT_EQ(pending[i].path, PathOf(index));
    }
  }
  EXPECT_GT(in_part, 0);
  EXPECT_EQ(loader->Next().failures.size(), 30U);  // finished as well as the others
}

TEST_F(LoaderPendingTest, AreNamedByTheirRowsAndSources) {
  held_back_->CloseGate();
  SampleSet rows = SampleSet::OfTable(table_, Plan());
  rows.rows = {7, 7, 2};
  rows.size = 3;
  Loader by_row(rows, {2, 2}, allocator_, held_back_);
  by_row.StartEpoch(1, 0);
  by_row.Submit({2, 0});
  ExpectPending(by_row, {{2, PathOf(2)}, {0, PathOf(7)}});

  SampleSet set;
  set.parts.push_back({0, Plan()});
  set.size = 50;
  Loader by_source(set, {2, 2}, allocator_, held_back_);
  by_source.StartEpoch(1, 0);
  by_source.Submit({40, 41}, {{PathOf(1), nullptr},
                              {"a name", std::make_shared<const std::string>("no image")}});
  ExpectPending(by_source, {{40, PathOf(1)}, {41, "a name"}});
  held_back_->OpenGate();
  EXPECT_EQ(by_row.Next().failures.size(), 0U);
  EXPECT_EQ(by_source.Next().failures.size(), 1U);
  ExpectPending(by_source, {});
}

TEST_F(LoaderPendingTest, AreNoneOnceTheBatchIsDropped) {
  const auto loader = MakeLoader(0);
  loader->StartEpoch(1, 0);
  loader->Submit({1, 2});
  EXPECT_EQ(loader->Pending().size(), 2U);
  loader->Stop();
  ExpectPending(*loader, {});
}

}  // namespace
}  // namespace stoker
