#include "pipeline/decode_index.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/decode_index_fixture.h"
#include "support/index_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::DecodeIndexTest;
using testing::kLongAgo;

TEST_F(DecodeIndexTest, FindsWhatWasRecordedOnceItIsWritten) {
  DecodeIndex index(Options());
  EXPECT_TRUE(index.recording());
  EXPECT_EQ(index.problem(), "");
  EXPECT_FALSE(Finds(index, 1));
  EXPECT_TRUE(Record(&index, 1));
  EXPECT_FALSE(Finds(index, 1)) << "is not written yet";
  index.Flush(/*wait=*/true);
  EXPECT_TRUE(Finds(index, 1));
  EXPECT_FALSE(Finds(index, 2));
  File changed = FileOf(1);
  ++changed.identity.mtime_ns;
  EXPECT_FALSE(Finds(index, changed));
  DecodeIndex::Cursor cursor;
  EXPECT_TRUE(index.Contains(changed.path, &cursor));
  EXPECT_TRUE(Record(&index, changed, &cursor));
  index.Flush(/*wait=*/true);
  EXPECT_TRUE(Finds(index, changed));
}

TEST_F(DecodeIndexTest, KeepsCheckpointsWithinTheirBudget) {
  Checkpoints checkpoints;
  checkpoints.size = {1600, 1200};
  checkpoints.components = 3;
  checkpoints.max_h = checkpoints.max_v = 2;
  checkpoints.orientation = 6;
  checkpoints.scan_begin = 623;
  checkpoints.step = 4;
  const size_t count = static_cast<size_t>(checkpoints.mcus() - 1) / 4 + 2;
  for (size_t k = 0; k < count; ++k) checkpoints.at.push_back({k * 900 + k % 7, {}});
  const FileIdentity file{200'000, kLongAgo};
  DecodeIndex index(Options());
  DecodeIndex::Cursor cursor;
  const size_t budget = index.BudgetToRecord("/data/a.jpg", file, &cursor);
  EXPECT_GT(budget, 1500U);
  EXPECT_LT(budget, 1960U);
  index.Record("/data/a.jpg", file, budget, &checkpoints, &cursor);
  index.Flush(/*wait=*/true);
  Checkpoints found;
  ASSERT_TRUE(index.Find("/data/a.jpg", file, &cursor, &found));
  EXPECT_LE(cursor.scratch.payload.size(), budget);
  EXPECT_TRUE(found.usable());
  EXPECT_EQ(found.orientation, 6);
  EXPECT_EQ(found.step, checkpoints.step);
  EXPECT_EQ(found.at, checkpoints.at);
  EXPECT_LT(found.at.size(), count) << "thinned";
}

TEST_F(DecodeIndexTest, NamesAreRelativeToTheRoot) {
  MakeIndex(Options(), {1, 2});
  const auto file = testing::OpenIndex(path_);
  EXPECT_TRUE(file->Contains(HashName("class/1.jpg")));
  EXPECT_EQ(file->root(), "/data");
  // The same index for a data set that was moved, or whose root lies below the index's.
  DecodeIndexOptions options = Options();
  options.samples_root = "/elsewhere";
  File moved = FileOf(1);
  moved.path = "/elsewhere/class/1.jpg";
  EXPECT_TRUE(Finds(DecodeIndex(options), moved));
  EXPECT_FALSE(Finds(DecodeIndex(options), 1));
  options.samples_root = "/data/class/";
  options.sources[0].prefix = "class/";
  EXPECT_TRUE(Finds(DecodeIndex(options), 2));
  options.sources[0].prefix = "klass/";
  EXPECT_FALSE(Finds(DecodeIndex(options), 2));
}

TEST_F(DecodeIndexTest, RecordsWithThePrefix) {
  DecodeIndexOptions options = Options();
  options.samples_root = "/data/class";
  options.sources[0].prefix = "class/";
  MakeIndex(options, {1});
  EXPECT_TRUE(testing::OpenIndex(path_)->Contains(HashName("class/1.jpg")));
  EXPECT_TRUE(Finds(DecodeIndex(Options()), 1));
}

TEST_F(DecodeIndexTest, FilesOutsideTheRootHaveTheirWholePath) {
  DecodeIndexOptions options = Options();
  options.samples_root = "/data/other/";
  options.sources[0].prefix = "other/";
  MakeIndex(options, {1});
  EXPECT_TRUE(testing::OpenIndex(path_)->Contains(HashName("/data/class/1.jpg")));
  EXPECT_TRUE(Finds(DecodeIndex(options), 1));
}

// "/data/class" is no folder above "/data/classes/1.jpg".
TEST_F(DecodeIndexTest, ARootEndsWhereAFolderDoes) {
  DecodeIndexOptions options = Options();
  options.samples_root = "/data/cla";
  MakeIndex(options, {1});
  EXPECT_TRUE(testing::OpenIndex(path_)->Contains(HashName("/data/class/1.jpg")));
}

TEST_F(DecodeIndexTest, LooksIntoSeveralSourcesInOrder) {
  const std::string other = folder_.path() + "/other";
  File first = FileOf(1);
  MakeIndex(Options(), {1, 2});
  {
    DecodeIndex index(Options(other));
    DecodeIndex::Cursor cursor;
    EXPECT_TRUE(Record(&index, 3));
    first.size = {7, 7};
    EXPECT_TRUE(Record(&index, first, &cursor));
  }
  DecodeIndexOptions options = Options();
  options.sources = {{folder_.path() + "/none", ""}, {other, ""}, {path_, ""}};
  DecodeIndex both(options);
  EXPECT_TRUE(Finds(both, first)) << "the first source that has it counts";
  EXPECT_TRUE(Finds(both, 2));
  EXPECT_TRUE(Finds(both, 3));
  // Recorded into the last.
  EXPECT_TRUE(Record(&both, 4));
  both.Flush(/*wait=*/true);
  const std::vector<DecodeIndex::SourceInfo> sources = both.Sources();
  ASSERT_EQ(sources.size(), 3U);
  EXPECT_EQ(sources[0].state, IndexState::kMissing);
  EXPECT_EQ(sources[0].records, 0U);
  EXPECT_EQ(sources[1].path, other);
  EXPECT_EQ(sources[1].records, 2U);
  EXPECT_EQ(sources[2].state, IndexState::kGood);
  EXPECT_EQ(sources[2].records, 3U);
  EXPECT_EQ(sources[2].blocks, 2U);
  EXPECT_EQ(sources[2].bytes, std::filesystem::file_size(path_));
}

// An entry whose checksum is right and whose contents are not checkpoints.
TEST_F(DecodeIndexTest, NonsenseIsNotFound) {
  const std::string other = folder_.path() + "/other";
  const File file = FileOf(1);
  testing::AppendEntries(other, {{HashName("class/1.jpg"), file.identity, Bytes(40, 9)}});
  DecodeIndexOptions options = Options(other);
  EXPECT_FALSE(Finds(DecodeIndex(options), file));
  MakeIndex(Options(), {1});
  options.sources.push_back({path_, ""});
  EXPECT_TRUE(Finds(DecodeIndex(options), file)) << "the next source has it";
}

TEST_F(DecodeIndexTest, SmallFilesAreNotWorthAnEntry) {
  DecodeIndex index(Options());
  DecodeIndex::Cursor cursor;
  // Record, checksum, a byte of the buckets and the packed size are 65 bytes.
  for (const uint64_t bytes : {uint64_t{0}, uint64_t{1000}, uint64_t{6632}, uint64_t{6633}}) {
    const FileIdentity file{bytes, kLongAgo};
    const bool small = bytes <= 6632;
    EXPECT_EQ(index.TooSmall(file), small) << bytes;
    EXPECT_EQ(index.BudgetToRecord("/data/a.jpg", file, &cursor), small ? 0U : kPackedSizeBytes);
  }
  const FileIdentity large{10'000'000, kLongAgo};
  EXPECT_EQ(index.BudgetToRecord("/data/a.jpg", large, &cursor), 98'000U - 41);
}

TEST_F(DecodeIndexTest, EntriesStayWithinTheirShare) {
  MakeIndex(Options(), {1, 2, 3, 4, 5, 6, 7, 8});
  // As much as 8 of the smallest files for which there are entries may take, and the headers.
  EXPECT_LE(std::filesystem::file_size(path_), 8 * 65 + 3 * 64 + 63U);
}

TEST_F(DecodeIndexTest, FilesThatWereJustChangedWait) {
  DecodeIndex index(Options());
  DecodeIndex::Cursor cursor;
  const auto clock = [] {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
  };
  constexpr int64_t kSecond = 1'000'000'000;
  const auto budget = [&](int64_t changed) {
    return index.BudgetToRecord("/data/a.jpg", {100'000, changed}, &cursor);
  };
  int64_t now = 0;
  size_t young = 0;
  do {  // again where this thread got no core for so long that the file is not young any more
    now = clock();
    young = budget(now) + budget(now - kSecond);
  } while (clock() - now >= kSecond);
  EXPECT_EQ(young, 0U);
  EXPECT_EQ(budget(now + 1000 * kSecond), 0U);
  EXPECT_GT(budget(now - 3 * kSecond), 0U);
}

TEST_F(DecodeIndexTest, WhatWaitsIsNotRecordedTwice) {
  DecodeIndex index(Options());
  DecodeIndex::Cursor cursor;
  EXPECT_TRUE(Record(&index, 1));
  EXPECT_FALSE(Record(&index, 1));
  EXPECT_TRUE(Record(&index, 2));
  // Two that were given a budget at the same time.
  Checkpoints checkpoints;
  checkpoints.size = {1, 1};
  index.Record(FileOf(2).path, FileOf(2).identity, 100, &checkpoints, &cursor);
  index.Flush(/*wait=*/true);
  EXPECT_EQ(index.Sources()[0].records, 2U);
  EXPECT_TRUE(Finds(index, 2));
}

TEST_F(DecodeIndexTest, WhatWaitsHasTheNameOfTheSourceThatIsWrittenTo) {
  DecodeIndexOptions options = Options();
  options.sources = {{folder_.path() + "/other", "other/"}, {path_, "this/"}};
  DecodeIndex index(options);
  EXPECT_TRUE(Record(&index, 1));
  EXPECT_FALSE(Record(&index, 1));
}

TEST_F(DecodeIndexTest, WritesInPortions) {
  DecodeIndexOptions options = Options();
  options.portion_bytes = 1000;  // of entries that take 64 each
  DecodeIndex index(options);
  for (int i = 0; i < 15; ++i) EXPECT_TRUE(Record(&index, i));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(std::filesystem::exists(path_));
  EXPECT_TRUE(Record(&index, 15));
  EXPECT_TRUE(Becomes([&] { return index.Sources()[0].records == 16; }));
  EXPECT_TRUE(Finds(index, 0));
}

TEST_F(DecodeIndexTest, ALargeIndexTakesLargerPortions) {
  DecodeIndexOptions options = Options();
  options.portion_bytes = 1;
  DecodeIndex index(options);
  options.portion_bytes = 1 << 20;
  std::vector<int> files(400);
  for (int i = 0; i < 400; ++i) files[static_cast<size_t>(i)] = i;
  MakeIndex(options, files);
  EXPECT_TRUE(Record(&index, 1000));  // written at once: the index was not seen yet
  EXPECT_TRUE(Becomes([&] { return index.Sources()[0].records == 401; }));
  index.Flush(/*wait=*/true);
  EXPECT_TRUE(Record(&index, 1001));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(testing::OpenIndex(path_)->records(), 401U);
  for (int i = 1002; i < 1100; ++i) EXPECT_TRUE(Record(&index, i));
  EXPECT_TRUE(Becomes([&] { return index.Sources()[0].records > 401; }));
}

TEST_F(DecodeIndexTest, TheDestructorWritesWhatIsLeft) {
  MakeIndex(Options(), {1, 2, 3});
  EXPECT_EQ(testing::OpenIndex(path_)->records(), 3U);
  EXPECT_TRUE(Finds(DecodeIndex(Options()), 3));
}

TEST_F(DecodeIndexTest, RefreshSeesWhatAnotherWrote) {
  DecodeIndex index(Options());
  DecodeIndex::Cursor cursor;
  Checkpoints checkpoints;
  const File file = FileOf(1);
  EXPECT_FALSE(index.Find(file.path, file.identity, &cursor, &checkpoints));
  MakeIndex(Options(), {1});
  EXPECT_FALSE(index.Find(file.path, file.identity, &cursor, &checkpoints));
  EXPECT_EQ(index.Sources()[0].state, IndexState::kMissing);
  index.Refresh();
  EXPECT_TRUE(index.Find(file.path, file.identity, &cursor, &checkpoints));
  EXPECT_EQ(index.Sources()[0].state, IndexState::kGood);
}

}  // namespace
}  // namespace stoker
