#include "io/index_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/index_files.h"
#include "support/processes.h"

namespace stoker {
namespace {

using testing::AppendEntries;
using testing::Bytes;
using testing::CountFound;
using testing::EntriesOf;
using testing::EntryOf;
using testing::Found;
using testing::HandMadeBlock;
using testing::HandMadeHeader;
using testing::IndexEntry;
using testing::Lookup;
using testing::OpenIndex;
using testing::SortedByName;
using testing::StateOf;
using testing::TemporaryFolder;

class IndexReaderTest : public ::testing::Test {
 protected:
  // An index of one honest block, by hand.
  static Bytes HandMade(const std::vector<IndexEntry>& entries) {
    Bytes file = HandMadeHeader("/data");
    HandMadeBlock block;
    block.bucket_bits = 3;
    for (const IndexEntry& entry : SortedByName(entries)) block.Add(entry);
    block.AppendTo(&file);
    return file;
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
};

TEST_F(IndexReaderTest, ReadsAFileWrittenByHand) {
  const std::vector<IndexEntry> entries = EntriesOf(0, 100);
  const Bytes file = HandMade(entries);
  const auto index = OpenIndex(folder_.Write("index", file));
  ASSERT_TRUE(index);
  EXPECT_EQ(index->path(), path_);
  EXPECT_EQ(index->root(), "/data");
  EXPECT_EQ(index->records(), 100U);
  EXPECT_EQ(index->blocks().size(), 1U);
  EXPECT_EQ(index->end(), file.size());
  EXPECT_EQ(CountFound(*index, entries), entries.size());
  EXPECT_EQ(CountFound(*index, EntriesOf(100, 200), Found::kNothing), 200U);
}

TEST_F(IndexReaderTest, AnIndexWithoutBlocksIsGoodAndEmpty) {
  const auto index = OpenIndex(folder_.Write("index", HandMadeHeader("")));
  ASSERT_TRUE(index);
  EXPECT_EQ(index->root(), "");
  EXPECT_EQ(index->records(), 0U);
  EXPECT_EQ(index->end(), 64U);
  EXPECT_EQ(Lookup(*index, EntryOf(1)), Found::kNothing);
  EXPECT_FALSE(index->Contains(EntryOf(1).name));
}

TEST_F(IndexReaderTest, AChangedFileIsAnother) {
  AppendEntries(path_, EntriesOf(0, 50));
  const auto index = OpenIndex(path_);
  for (int i = 0; i < 50; ++i) {
    for (const int change : {-1, 1}) {
      IndexEntry entry = EntryOf(i);
      entry.file.bytes += static_cast<uint64_t>(change);
      EXPECT_EQ(Lookup(*index, entry), Found::kNothing);
      entry = EntryOf(i);
      entry.file.mtime_ns += change;
      EXPECT_EQ(Lookup(*index, entry), Found::kNothing);
      EXPECT_TRUE(index->Contains(entry.name));
      EXPECT_FALSE(index->Contains(entry.name + static_cast<uint64_t>(change)));
    }
  }
}

TEST_F(IndexReaderTest, VisitsAllRecordsTheOldestBlockFirst) {
  AppendEntries(path_, EntriesOf(0, 5000));
  AppendEntries(path_, EntriesOf(5000, 10));
  const auto index = OpenIndex(path_);
  std::vector<uint64_t> offsets;
  size_t readable = 0;
  IndexReader::Scratch scratch;
  index->ForEach([&](const IndexReader::Block& block, const IndexRecord& record) {
    offsets.push_back(block.offset);
    if (index->ReadPayload(block, record, &scratch)) ++readable;
  });
  EXPECT_EQ(offsets.size(), 5010U);
  EXPECT_EQ(readable, 5010U);
  EXPECT_TRUE(std::is_sorted(offsets.begin(), offsets.end()));
  EXPECT_EQ(offsets[4999], index->blocks()[0].offset);
  EXPECT_EQ(offsets[5000], index->blocks()[1].offset);
}

TEST_F(IndexReaderTest, TheNewerOfTwoEntriesOfOneFileCountsUnlessItIsDamaged) {
  IndexEntry better = EntryOf(1);
  better.payload = {1, 2, 3};
  HandMadeBlock block;
  block.Add(better);
  for (const bool damaged : {false, true}) {
    if (damaged) block.payloads[1] ^= 1;
    Bytes file = HandMade({EntryOf(1)});
    block.AppendTo(&file);
    const auto index = OpenIndex(folder_.Write("index", file));
    EXPECT_EQ(Lookup(*index, damaged ? EntryOf(1) : better), Found::kRight);
  }
}

TEST_F(IndexReaderTest, StaysWithTheFileThatItOpened) {
  AppendEntries(path_, EntriesOf(0, 20));
  const auto index = OpenIndex(path_);
  std::filesystem::remove(path_);
  AppendEntries(path_, EntriesOf(20, 20));
  EXPECT_EQ(CountFound(*index, EntriesOf(0, 20)), 20U);
  EXPECT_EQ(CountFound(*index, EntriesOf(20, 20)), 0U);
}

TEST_F(IndexReaderTest, AFileCutShortUnderItLosesEntriesOnly) {
  AppendEntries(path_, EntriesOf(0, 200));
  const auto whole = std::filesystem::file_size(path_);
  const auto index = OpenIndex(path_);
  for (const auto part : {whole - 1, whole / 2, whole / 8, uintmax_t{100}, uintmax_t{0}}) {
    std::filesystem::resize_file(path_, part);
    EXPECT_EQ(CountFound(*index, EntriesOf(0, 200), Found::kWrong), 0U);
    index->ForEach([](const IndexReader::Block&, const IndexRecord&) {});
  }
  EXPECT_EQ(CountFound(*index, EntriesOf(0, 200)), 0U);
}

TEST_F(IndexReaderTest, AnyNumberOfThreadsMayLookUp) {
  const std::vector<IndexEntry> entries = EntriesOf(0, 500);
  AppendEntries(path_, entries);
  const auto index = OpenIndex(path_);
  std::vector<size_t> found(4);
  std::vector<std::thread> threads;
  for (size_t& count : found) {
    threads.emplace_back([&] { count = CountFound(*index, entries); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(found, std::vector<size_t>(4, entries.size()));
}

TEST_F(IndexReaderTest, SaysWhyItDoesNotOpenAFile) {
  EXPECT_EQ(StateOf(folder_.path() + "/none"), IndexState::kMissing);
  EXPECT_EQ(StateOf(folder_.Write("file", {1, 2, 3}) + "/below"), IndexState::kMissing);
  EXPECT_EQ(StateOf(folder_.path() + "/" + std::string(300, 'x')), IndexState::kUnreadable);
  EXPECT_EQ(StateOf(folder_.path()), IndexState::kForeign);
  EXPECT_EQ(StateOf("/dev/zero"), IndexState::kForeign);
  EXPECT_EQ(StateOf(folder_.Write("empty", {})), IndexState::kForeign);
  EXPECT_EQ(StateOf(folder_.Write("text", Bytes(500, 'x'))), IndexState::kForeign);
  const std::string pipe = folder_.path() + "/pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(testing::ReturnedByFork([&] { return static_cast<int>(StateOf(pipe)); }),
            static_cast<int>(IndexState::kForeign));
  for (int state = 0; state <= static_cast<int>(IndexState::kUntrusted); ++state) {
    EXPECT_STRNE(IndexStateText(static_cast<IndexState>(state)), "");
  }
}

TEST_F(IndexReaderTest, AnOlderVersionIsMadeAnew) {
  const Bytes file = HandMadeHeader("/data", [](IndexHeader* header) { header->version = 1; });
  const std::string path = folder_.Write("index", file);
  EXPECT_EQ(StateOf(path), IndexState::kOlder);
  testing::AppendEntries(path, {EntryOf(1)});
  EXPECT_TRUE(OpenIndex(path)->Contains(EntryOf(1).name));
}

TEST_F(IndexReaderTest, EntriesByAnotherKeyAreNone) {
  const std::string path = folder_.path() + "/index";
  testing::AppendEntries(path, {EntryOf(1)});
  IndexState state{};
  IndexKey key = testing::kTestKey;
  key[1] ^= 1;
  const auto index = IndexReader::Open(path, key, &state);
  ASSERT_TRUE(index != nullptr);
  IndexReader::Scratch scratch;
  EXPECT_FALSE(index->Find(EntryOf(1).name, EntryOf(1).file, &scratch));
  EXPECT_FALSE(index->Contains(EntryOf(1).name));
  EXPECT_TRUE(index->ContainsAnybodys(EntryOf(1).name, EntryOf(1).file));
}

TEST_F(IndexReaderTest, ANewerVersionIsNotDamage) {
  const Bytes file = HandMadeHeader("/data", [](IndexHeader* header) { header->version = 3; });
  EXPECT_EQ(StateOf(folder_.Write("index", file)), IndexState::kNewer);
}

TEST_F(IndexReaderTest, HeadersThatDoNotFitAreDamage) {
  const auto state_of = [this](const Bytes& file) { return StateOf(folder_.Write("index", file)); };
  EXPECT_EQ(state_of(HandMadeHeader("/data")), IndexState::kGood);
  EXPECT_EQ(state_of(HandMadeHeader(std::string(65536, 'r'))), IndexState::kGood);
  EXPECT_EQ(state_of(HandMadeHeader(std::string(65537, 'r'))), IndexState::kDamaged);
  for (const uint32_t bytes : {4U, 6U, 1U << 31, UINT32_MAX}) {
    const auto lie = [&](IndexHeader* header) { header->root_bytes = bytes; };
    EXPECT_EQ(state_of(HandMadeHeader("/data", lie)), IndexState::kDamaged) << bytes;
  }
  for (const uint64_t at : {uint64_t{0}, uint64_t{64}, uint64_t{192}, ~uint64_t{63}}) {
    const auto lie = [&](IndexHeader* header) { header->first_block = at; };
    EXPECT_EQ(state_of(HandMadeHeader("/data", lie)), IndexState::kDamaged) << at;
  }
}

TEST_F(IndexReaderTest, WhatAllMayWriteIsNotTrusted) {
  AppendEntries(path_, EntriesOf(0, 5));
  EXPECT_EQ(StateOf(path_), IndexState::kGood);
  ASSERT_EQ(chmod(path_.c_str(), 0646), 0);
  EXPECT_EQ(StateOf(path_), IndexState::kUntrusted);
  EXPECT_THROW(AppendEntries(path_, EntriesOf(5, 5)), IndexError);
  ASSERT_EQ(chmod(path_.c_str(), 0664), 0);
  EXPECT_EQ(StateOf(path_), IndexState::kGood);
}

TEST_F(IndexReaderTest, WhatSomebodyElseWroteIsNotTrusted) {
  if (geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  constexpr uid_t kOwner = 12345;
  constexpr uid_t kOther = 23456;
  constexpr gid_t kNoGroup = 65534;
  const std::string path = folder_.path() + "/sub/index";
  const std::string sub = folder_.path() + "/sub";
  std::filesystem::create_directory(sub);
  AppendEntries(path, EntriesOf(0, 5));
  const auto state = [&](uid_t file, uid_t folder, mode_t folder_mode) {
    EXPECT_EQ(chown(path.c_str(), file, kNoGroup), 0);
    EXPECT_EQ(chown(sub.c_str(), folder, kNoGroup), 0);
    EXPECT_EQ(chmod(sub.c_str(), folder_mode), 0);
    return StateOf(path);
  };
  EXPECT_EQ(state(kOwner, kOther, 0755), IndexState::kUntrusted);
  EXPECT_EQ(state(kOwner, 0, 0755), IndexState::kUntrusted);
  EXPECT_EQ(state(kOwner, kOwner, 0755), IndexState::kGood);
  EXPECT_EQ(state(kOwner, kOwner, 0757), IndexState::kUntrusted);
  EXPECT_EQ(state(0, kOther, 0755), IndexState::kGood);
  // Another user trusts root and itself.
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
  const auto as_other = [&](uid_t file) {
    state(file, kOwner, 0755);
    return testing::ReturnedByFork(
        [&] { return setuid(kOther) == 0 ? static_cast<int>(StateOf(path)) : 99; });
  };
  EXPECT_EQ(as_other(0), static_cast<int>(IndexState::kGood));
  EXPECT_EQ(as_other(kOther), static_cast<int>(IndexState::kGood));
  EXPECT_EQ(as_other(kOwner), static_cast<int>(IndexState::kGood)) << "the folder's owner";
  EXPECT_EQ(as_other(34567), static_cast<int>(IndexState::kUntrusted));
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_EQ(as_other(kOwner), static_cast<int>(IndexState::kUnreadable));
}

}  // namespace
}  // namespace stoker
