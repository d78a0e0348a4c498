// A decode index that cannot be written, in other processes, by many threads, and its compaction.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "io/sample_table.h"
#include "pipeline/decode_index.h"
#include "support/decode_index_fixture.h"
#include "support/index_files.h"
#include "support/processes.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::DecodeIndexTest;
using testing::ReadBytes;
using testing::ReturnedByFork;

class DecodeIndexFailures : public DecodeIndexTest {
 protected:
  // Records into `path`, where that fails, besides a good index; expects that reading goes on.
  void ExpectRecordingEnds(const std::string& path, const std::string& reason) {
    MakeIndex(Options(), {1});
    DecodeIndexOptions options = Options();
    options.sources.push_back({path, ""});
    DecodeIndex index(options);
    DecodeIndex::Cursor cursor;
    EXPECT_TRUE(index.recording());
    EXPECT_TRUE(Record(&index, 2));
    index.Flush(/*wait=*/true);
    EXPECT_FALSE(index.recording());
    EXPECT_NE(index.problem().find(reason), std::string::npos) << index.problem();
    EXPECT_NE(index.problem().find(path), std::string::npos) << index.problem();
    EXPECT_TRUE(Finds(index, 1));
    EXPECT_FALSE(Finds(index, 2));
    EXPECT_EQ(index.BudgetToRecord(FileOf(3).path, FileOf(3).identity, &cursor), 0U);
    EXPECT_FALSE(Record(&index, 3));
    index.Flush(/*wait=*/true);
    EXPECT_FALSE(index.CompactTo(SampleTable()));
  }
};

TEST_F(DecodeIndexFailures, RecordingEndsWhereThereIsNoFolder) {
  const std::string file = folder_.Write("file", {1, 2, 3});
  ExpectRecordingEnds(file + "/index", "Not a directory");
}

TEST_F(DecodeIndexFailures, RecordingEndsAtAForeignFile) {
  const Bytes text(300, 'x');
  ExpectRecordingEnds(folder_.Write("text", text), "is not a decode index");
  EXPECT_EQ(ReadBytes(folder_.path() + "/text"), text);
}

TEST_F(DecodeIndexFailures, RecordingEndsAtAnotherFoldersIndex) {
  const std::string other = folder_.path() + "/other";
  testing::AppendEntries(other, testing::EntriesOf(0, 5), "/elsewhere");
  ExpectRecordingEnds(other, "/elsewhere");
}

TEST_F(DecodeIndexFailures, WhoDoesNotRecordWritesNothing) {
  DecodeIndexOptions options = Options();
  options.record = false;
  DecodeIndexOptions without = Options();
  without.sources.clear();
  for (const DecodeIndexOptions& o : {options, without}) {
    DecodeIndex index(o);
    EXPECT_FALSE(index.recording());
    EXPECT_EQ(index.problem(), "");
    EXPECT_FALSE(Record(&index, 1));
    EXPECT_FALSE(Finds(index, 1));
    index.Flush(/*wait=*/true);
    EXPECT_FALSE(index.CompactTo(SampleTable()));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

// Where the system has no thread to give, whoever waits for the writing does it.
TEST_F(DecodeIndexFailures, WhereThereIsNoThreadTheCallerWrites) {
  EXPECT_EQ(ReturnedByFork([&] {
              pthread_attr_t huge;
              pthread_attr_init(&huge);
              pthread_attr_setstacksize(&huge, size_t{1} << 46);
              pthread_setattr_default_np(&huge);
              auto index = std::make_unique<DecodeIndex>(Options());
              Record(index.get(), 1);
              try {
                index->Flush(/*wait=*/true);
              } catch (const std::exception&) {
                return 1;
              }
              const bool good = index->recording() && index->problem().empty() && Finds(*index, 1);
              index.reset();
              return good ? 42 : 2;
            }),
            42);
}

using DecodeIndexForks = DecodeIndexTest;

TEST_F(DecodeIndexForks, AChildReadsAndRecordsNothing) {
  MakeIndex(Options(), {1});
  auto index = std::make_unique<DecodeIndex>(Options());
  EXPECT_TRUE(Record(index.get(), 2));  // waits to be written, by the parent
  const Bytes before = ReadBytes(path_);
  EXPECT_EQ(ReturnedByFork([&] {
              const bool read = Finds(*index, 1) && !Finds(*index, 2);
              const bool record = Record(index.get(), 3);
              index->Flush(/*wait=*/true);
              index->Refresh();
              const bool again = Finds(*index, 1);
              index.reset();
              return read && again && !record ? 42 : 0;
            }),
            42);
  EXPECT_EQ(ReadBytes(path_), before);
  index.reset();
  EXPECT_EQ(testing::OpenIndex(path_)->records(), 2U);
}

TEST_F(DecodeIndexForks, AChildDoesNotWaitForItsParentsThread) {
  MakeIndex(Options(), {1});
  auto index = std::make_unique<DecodeIndex>(Options());
  const UniqueFd holder(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(flock(holder.get(), LOCK_EX), 0);
  EXPECT_TRUE(Record(index.get(), 2));
  index->Flush();  // now waits for the lock
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(ReturnedByFork([&] {
              const bool read = Finds(*index, 1);
              index->Flush(/*wait=*/true);
              index.reset();
              return read ? 42 : 0;
            }),
            42);
  EXPECT_TRUE(Finds(*index, 1)) << "nor does a look-up in the parent";
  EXPECT_TRUE(Record(index.get(), 3));
  flock(holder.get(), LOCK_UN);
  index.reset();
  EXPECT_EQ(testing::OpenIndex(path_)->records(), 3U);
}

// A mutex that a thread of the parent holds at that moment is never released in the child.
TEST_F(DecodeIndexForks, AChildReadsWhateverItsParentWasDoing) {
  MakeIndex(Options(), {1});
  DecodeIndex index(Options());
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      DecodeIndex::Cursor cursor;
      while (!stop) index.BudgetToRecord(FileOf(2).path, FileOf(2).identity, &cursor);
    });
  }
  int good = 0;
  for (int i = 0; i < 200 && good == i; ++i) {
    good += ReturnedByFork([&] { return Finds(index, 1) ? 1 : 0; });
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 200);
}

TEST_F(DecodeIndexTest, ThreadsRecordAndFindAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kFiles = 300;
  DecodeIndexOptions options = Options();
  options.portion_bytes = 2000;
  {
    DecodeIndex index(options);
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        DecodeIndex::Cursor cursor;
        Checkpoints checkpoints;
        for (int i = 0; i < kFiles; ++i) {
          const File file = FileOf((i + t * 40) % kFiles);  // each is met by all threads
          if (!index.Find(file.path, file.identity, &cursor, &checkpoints)) {
            Record(&index, file, &cursor);
          } else {
            EXPECT_EQ(checkpoints.size, file.size);
          }
          if (i % 50 == 0) index.Refresh();
          if (i % 70 == 0) index.Flush(/*wait=*/t == 0);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(index.problem(), "");
  }
  DecodeIndex index(Options());
  for (int i = 0; i < kFiles; ++i) EXPECT_TRUE(Finds(index, i)) << i;
  EXPECT_EQ(index.Sources()[0].records, static_cast<size_t>(kFiles)) << "stored twice";
}

class DecodeIndexCompaction : public DecodeIndexTest {
 protected:
  static SampleTable TableOf(int first, int count) {
    SampleTable table("/data");
    for (int i = first; i < first + count; ++i) table.Append(FileOf(i).path, i);
    return table;
  }
  static std::vector<int> Numbers(int first, int count) {
    std::vector<int> numbers(static_cast<size_t>(count));
    std::iota(numbers.begin(), numbers.end(), first);
    return numbers;
  }
};

TEST_F(DecodeIndexCompaction, DropsFilesThatAreGone) {
  MakeIndex(Options(), Numbers(0, 100));
  DecodeIndex index(Options());
  EXPECT_TRUE(index.CompactTo(TableOf(40, 30)));
  EXPECT_EQ(index.Sources()[0].records, 30U);
  EXPECT_TRUE(Finds(index, 40));
  EXPECT_TRUE(Finds(index, 69));
  EXPECT_FALSE(Finds(index, 39));
  EXPECT_FALSE(Finds(index, 70));
  EXPECT_FALSE(index.CompactTo(TableOf(40, 30))) << "there is no more to drop";
}

TEST_F(DecodeIndexCompaction, DropsWhatFilesWereBefore) {
  MakeIndex(Options(), Numbers(0, 20));
  DecodeIndex index(Options());
  DecodeIndex::Cursor cursor;
  for (int i = 0; i < 10; ++i) {
    File changed = FileOf(i);
    ++changed.identity.mtime_ns;
    EXPECT_TRUE(Record(&index, changed, &cursor));
  }
  index.Flush(/*wait=*/true);
  EXPECT_TRUE(index.CompactTo(TableOf(0, 20)));
  EXPECT_EQ(index.Sources()[0].records, 20U);
  EXPECT_FALSE(Finds(index, 5));
  EXPECT_TRUE(Finds(index, 15));
}

TEST_F(DecodeIndexCompaction, MergesManyBlocksAndLeavesAFew) {
  for (int block = 0; block < 4; ++block) MakeIndex(Options(), Numbers(10 * block, 10));
  DecodeIndex index(Options());
  const Bytes before = ReadBytes(path_);
  EXPECT_FALSE(index.CompactTo(TableOf(0, 40)));
  EXPECT_FALSE(index.CompactTo(TableOf(0, 36))) << "few entries are in vain";
  EXPECT_EQ(ReadBytes(path_), before);
  MakeIndex(Options(), Numbers(40, 10));
  index.Refresh();
  EXPECT_TRUE(index.CompactTo(TableOf(0, 50)));
  EXPECT_EQ(index.Sources()[0].blocks, 1U);
  for (int i = 0; i < 50; ++i) EXPECT_TRUE(Finds(index, i));
}

TEST_F(DecodeIndexCompaction, NeedsAnIndex) {
  DecodeIndex index(Options());
  EXPECT_FALSE(index.CompactTo(TableOf(0, 5)));
  MakeIndex(Options(), Numbers(0, 10));
  index.Refresh();
  std::filesystem::remove(path_);  // under the index that is open
  EXPECT_THROW(index.CompactTo(TableOf(5, 1)), IndexError);
  const Bytes text(300, 'x');
  folder_.Write("index", text);
  EXPECT_THROW(index.CompactTo(TableOf(5, 1)), IndexError);
  EXPECT_EQ(ReadBytes(path_), text);
}

}  // namespace
}  // namespace stoker
