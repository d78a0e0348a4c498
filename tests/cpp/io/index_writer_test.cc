#include "io/index_writer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "io/index_reader.h"
#include "support/index_files.h"
#include "support/processes.h"

namespace stoker {
namespace {

using testing::AppendEntries;
using testing::Bytes;
using testing::CountFound;
using testing::EntriesOf;
using testing::EntryOf;
using testing::ErrorOf;
using testing::ExpectAll;
using testing::Found;
using testing::HandMadeHeader;
using testing::IndexEntry;
using testing::Lookup;
using testing::NamesIn;
using testing::OpenIndex;
using testing::ReadBytes;
using testing::Span;
using testing::TemporaryFolder;

// Every test must leave nothing but `left_` in its folder.
class IndexWriter : public ::testing::Test {
 protected:
  ~IndexWriter() override { EXPECT_EQ(NamesIn(folder_.path()), left_); }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
  std::vector<std::string> left_ = {"index"};
};

TEST_F(IndexWriter, FindsThousandsOfEntriesAgain) {
  const std::vector<IndexEntry> entries = EntriesOf(0, 8000);
  AppendEntries(path_, entries, "/data/images");
  ExpectAll(path_, entries);
  const auto index = OpenIndex(path_);
  EXPECT_EQ(index->root(), "/data/images");
  EXPECT_EQ(index->records(), entries.size());
  EXPECT_EQ(index->blocks().size(), 1U);
  EXPECT_EQ(index->end(), std::filesystem::file_size(path_));
  EXPECT_EQ(CountFound(*index, EntriesOf(8000, 4000), Found::kNothing), 4000U);
}

TEST_F(IndexWriter, LargeEntriesAreWrittenInParts) {
  std::vector<IndexEntry> entries = EntriesOf(0, 40);
  for (IndexEntry& entry : entries) {
    entry.payload = Bytes(150'000, static_cast<uint8_t>(entry.name));
    entry.file.bytes = 1 << 24;
  }
  AppendEntries(path_, entries);
  ExpectAll(path_, entries);
}

TEST_F(IndexWriter, EmptyPayloadsAreEntries) {
  IndexEntry entry = EntryOf(1);
  entry.payload.clear();
  AppendEntries(path_, {entry});
  ExpectAll(path_, {entry});
}

TEST_F(IndexWriter, NothingToAddMakesNoIndex) {
  left_ = {};
  AppendToIndex(path_, "/data", {}, testing::kTestKey);
}

TEST_F(IndexWriter, EntriesKnowAboutWhatTheyTake) {
  NewEntries entries;
  EXPECT_TRUE(entries.empty());
  for (const IndexEntry& entry : EntriesOf(0, 1000)) {
    entries.Add(entry.name, entry.file, Span(entry.payload));
  }
  EXPECT_EQ(entries.count(), 1000U);
  AppendToIndex(path_, "/data", entries, testing::kTestKey);
  const auto bytes = static_cast<double>(std::filesystem::file_size(path_));
  EXPECT_NEAR(static_cast<double>(entries.bytes()), bytes, bytes / 50);
}

TEST_F(IndexWriter, BlocksAreAddedAndThenMerged) {
  std::vector<IndexEntry> all;
  for (int i = 0; i < 40; ++i) {
    const std::vector<IndexEntry> more = EntriesOf(100 * i, 1 + 20 * (i % 5));
    all.insert(all.end(), more.begin(), more.end());
    AppendEntries(path_, more);
    ExpectAll(path_, all);
    EXPECT_EQ(OpenIndex(path_)->blocks().size(), static_cast<size_t>(i) % kMaxIndexBlocks + 1);
  }
  EXPECT_EQ(OpenIndex(path_)->records(), all.size());
}

TEST_F(IndexWriter, MergingDropsWhatWasReplaced) {
  for (int version = 0; version < 20; ++version) {
    AppendEntries(path_, EntriesOf(0, 30, version));
    ExpectAll(path_, EntriesOf(0, 30, version));
    const auto index = OpenIndex(path_);
    EXPECT_EQ(index->records(), 30 * (static_cast<size_t>(version) % kMaxIndexBlocks + 1));
    if (version == static_cast<int>(kMaxIndexBlocks)) {
      EXPECT_EQ(CountFound(*index, EntriesOf(0, 30, version - 1), Found::kNothing), 30U);
    }
  }
}

TEST_F(IndexWriter, CompactingKeepsTheNewestOfWhatIsWanted) {
  AppendEntries(path_, EntriesOf(0, 100));
  AppendEntries(path_, EntriesOf(50, 100, /*version=*/1));
  AppendEntries(path_, EntriesOf(150, 50));
  CompactIndex(path_, nullptr, testing::kTestKey);
  auto index = OpenIndex(path_);
  EXPECT_EQ(index->blocks().size(), 1U);
  EXPECT_EQ(index->records(), 200U);
  EXPECT_EQ(index->root(), "/data");
  ExpectAll(path_, EntriesOf(0, 50));
  EXPECT_EQ(CountFound(*index, EntriesOf(50, 50), Found::kNothing), 50U) << "was replaced";
  ExpectAll(path_, EntriesOf(50, 100, 1));
  ExpectAll(path_, EntriesOf(150, 50));

  const uint64_t wanted = EntryOf(70).name;
  CompactIndex(path_, [=](uint64_t name) { return name == wanted; }, testing::kTestKey);
  index = OpenIndex(path_);
  EXPECT_EQ(index->records(), 1U);
  ExpectAll(path_, {EntryOf(70, 1)});
  CompactIndex(path_, [](uint64_t) { return false; }, testing::kTestKey);
  EXPECT_EQ(OpenIndex(path_)->records(), 0U);
  AppendEntries(path_, EntriesOf(0, 10));
  ExpectAll(path_, EntriesOf(0, 10));
}

TEST_F(IndexWriter, CompactingNeedsAnIndex) {
  EXPECT_NE(
      ErrorOf([&] { CompactIndex(path_, nullptr, testing::kTestKey); }).find("does not exist"),
      std::string::npos);
  const Bytes text(300, 'x');
  folder_.Write("index", text);
  EXPECT_NE(
      ErrorOf([&] { CompactIndex(path_, nullptr, testing::kTestKey); }).find("not a decode index"),
      std::string::npos);
  EXPECT_EQ(ReadBytes(path_), text);
}

TEST_F(IndexWriter, StoresNothingTwice) {
  AppendEntries(path_, EntriesOf(0, 100));
  AppendEntries(path_, EntriesOf(50, 60));
  EXPECT_EQ(OpenIndex(path_)->records(), 110U);
  const Bytes before = ReadBytes(path_);
  AppendEntries(path_, EntriesOf(0, 110));
  EXPECT_EQ(ReadBytes(path_), before);
  // Nor what comes twice at once, of which the first counts.
  IndexEntry other = EntryOf(200);
  other.payload = {1, 2, 3};
  AppendEntries(path_, {EntryOf(200), other, EntryOf(201), EntryOf(201), EntryOf(200, 1)});
  EXPECT_EQ(OpenIndex(path_)->records(), 113U);
  ExpectAll(path_, {EntryOf(200), EntryOf(201), EntryOf(200, 1)});
}

// A payload that no reader believes (of more than a sixteenth of its file) is never found again.
TEST_F(IndexWriter, StoresNothingTwiceThatIsNeverFound) {
  IndexEntry entry = EntryOf(1);
  entry.payload.resize(64 + entry.file.bytes / 16 + 1);
  AppendEntries(path_, {EntryOf(0), entry});
  const Bytes before = ReadBytes(path_);
  AppendEntries(path_, {EntryOf(0), entry});
  EXPECT_EQ(ReadBytes(path_), before);
}

TEST_F(IndexWriter, RefusesAnotherFoldersIndex) {
  AppendEntries(path_, EntriesOf(0, 10), "/data");
  const Bytes before = ReadBytes(path_);
  for (const std::string root : {"", "/", "/date", "/data/", "/data/sub"}) {
    const std::string error = ErrorOf([&] { AppendEntries(path_, EntriesOf(10, 10), root); });
    EXPECT_NE(error.find(path_), std::string::npos) << error;
    EXPECT_NE(error.find("/data"), std::string::npos) << error;
  }
  EXPECT_EQ(ReadBytes(path_), before);
}

TEST_F(IndexWriter, NeverTouchesWhatIsNoIndex) {
  const std::vector<Bytes> files = {
      {}, {0}, Bytes(7, 'S'), Bytes(5000, 'x'), testing::MakeJpeg({})};
  for (const Bytes& file : files) {
    folder_.Write("index", file);
    const std::string error = ErrorOf([&] { AppendEntries(path_, EntriesOf(0, 5)); });
    EXPECT_NE(error.find("is not a decode index"), std::string::npos) << error;
    EXPECT_EQ(ReadBytes(path_), file);
  }
  ErrorOf([&] { AppendEntries(folder_.path(), EntriesOf(0, 5)); });
  const std::string pipe = folder_.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(testing::ReturnedByFork([&] {
              try {
                AppendEntries(pipe, EntriesOf(0, 5));
              } catch (const IndexError&) {
                return 42;
              }
              return 0;
            }),
            42);
  left_ = {"index", "pipe"};
}

TEST_F(IndexWriter, RefusesALinkToNothing) {
  std::filesystem::create_symlink("nothing", path_);
  EXPECT_EQ(ErrorOf([&] { AppendEntries(path_, EntriesOf(0, 5)); }),
            path_ + ": cannot open: No such file or directory");
}

TEST_F(IndexWriter, LeavesANewerVersionAlone) {
  Bytes file = HandMadeHeader("/data", [](IndexHeader* header) { header->version = 3; });
  file.resize(1000, 'x');
  folder_.Write("index", file);
  EXPECT_NE(ErrorOf([&] { AppendEntries(path_, EntriesOf(0, 5)); }).find("newer version"),
            std::string::npos);
  ErrorOf([&] { CompactIndex(path_, nullptr, testing::kTestKey); });
  EXPECT_EQ(ReadBytes(path_), file);
}

TEST_F(IndexWriter, ReplacesADamagedHeader) {
  AppendEntries(path_, EntriesOf(0, 50));
  Bytes file = ReadBytes(path_);
  file[66] ^= 1;  // in the root
  folder_.Write("index", file);
  EXPECT_EQ(testing::StateOf(path_), IndexState::kDamaged);
  AppendEntries(path_, EntriesOf(50, 20), "/other");
  EXPECT_EQ(OpenIndex(path_)->root(), "/other");
  EXPECT_EQ(OpenIndex(path_)->records(), 20U);
  ExpectAll(path_, EntriesOf(50, 20));
}

TEST_F(IndexWriter, WritesOverABlockThatWasNeverFinished) {
  AppendEntries(path_, EntriesOf(0, 20));
  const size_t end = ReadBytes(path_).size();
  AppendEntries(path_, EntriesOf(20, 400));
  AppendEntries(path_, EntriesOf(500, 20));
  Bytes file = ReadBytes(path_);
  std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(end), 64, uint8_t{0});
  folder_.Write("index", file);
  EXPECT_EQ(OpenIndex(path_)->records(), 20U);
  AppendEntries(path_, EntriesOf(1000, 5));
  EXPECT_EQ(OpenIndex(path_)->records(), 25U);
  EXPECT_EQ(OpenIndex(path_)->blocks()[1].offset, end);
  ExpectAll(path_, EntriesOf(0, 20));
  ExpectAll(path_, EntriesOf(1000, 5));
}

TEST_F(IndexWriter, OnlyTheOwnerMayWriteWhatItMakes) {
  const mode_t before = umask(0);
  AppendEntries(path_, EntriesOf(0, 5));
  CompactIndex(path_, nullptr, testing::kTestKey);
  umask(before);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0644U);
}

TEST_F(IndexWriter, PathsNeedNoFolder) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_.path());
  AppendEntries("index", EntriesOf(0, 5));
  AppendEntries("index", EntriesOf(5, 5));
  CompactIndex("index", nullptr, testing::kTestKey);
  ExpectAll("index", EntriesOf(0, 10));
  std::filesystem::current_path(before);
}

TEST_F(IndexWriter, RemovesWhatDeadWritersLeft) {
  const auto leave = [&](const std::string& name) {
    const std::filesystem::path path = folder_.Write(name, Bytes(100, 't'));
    const auto hour_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
    std::filesystem::last_write_time(path, hour_ago);
  };
  leave("index.tmp-1-0");
  AppendEntries(path_, EntriesOf(0, 5));
  EXPECT_EQ(NamesIn(folder_.path()), left_);
  leave("index.tmp-1-0");
  CompactIndex(path_, nullptr, testing::kTestKey);
}

}  // namespace
}  // namespace stoker
