// Writing that fails: an IndexError, and the index is what it was before.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "io/index_reader.h"
#include "io/index_writer.h"
#include "support/index_files.h"
#include "support/processes.h"

namespace stoker {
namespace {

using testing::AppendEntries;
using testing::Bytes;
using testing::EntriesOf;
using testing::ExpectAll;
using testing::NamesIn;
using testing::ReadBytes;
using testing::ReturnedByFork;
using testing::TemporaryFolder;
using Clock = std::chrono::steady_clock;

bool Fails(const std::function<void()>& write) {
  try {
    write();
  } catch (const IndexError&) {
    return true;
  }
  return false;
}

// From one limit to the next. A sanitizer makes each several times as slow.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t kStep = 241;
#else
constexpr size_t kStep = 61;
#endif

class IndexFailures : public ::testing::Test {
 protected:
  enum Outcome { kAllGood = 0, kNoError = 1, kChanged = 2, kLeftovers = 3, kErrorWithRoom = 4 };

  // Lets files grow to `limit` bytes, no further, while it calls `write`.
  static bool FailsWithin(size_t limit, const std::function<void()>& write) {
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    const rlimit tight{limit, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    const bool fails = Fails(write);
    setrlimit(RLIMIT_FSIZE, &before);
    return fails;
  }
  // Tries `write` at many limits from `first` on, up to `needed`, where it must succeed.
  Outcome TryLimits(size_t first, size_t needed, const std::function<void()>& write) const {
    std::signal(SIGXFSZ, SIG_IGN);
    const bool existed = std::filesystem::exists(path_);
    const Bytes before = ReadBytes(path_);
    const std::vector<std::string> names = NamesIn(folder_.path());
    for (size_t limit = first; limit < needed; limit += limit + kStep < needed ? kStep : 1) {
      if (!FailsWithin(limit, write)) return kNoError;
      if (std::filesystem::exists(path_) != existed || ReadBytes(path_) != before) return kChanged;
      if (NamesIn(folder_.path()) != names) return kLeftovers;
    }
    return FailsWithin(needed, write) ? kErrorWithRoom : kAllGood;
  }
  // Where `write` succeeds, the file's size then.
  size_t BytesAfter(const std::function<void()>& write) const {
    const Bytes before = ReadBytes(path_);
    const bool existed = std::filesystem::exists(path_);
    write();
    const size_t bytes = ReadBytes(path_).size();
    if (existed) {
      folder_.Write("index", before);
    } else {
      std::filesystem::remove(path_);
    }
    return bytes;
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
};

TEST_F(IndexFailures, NoRoomForANewIndex) {
  const auto write = [&] { AppendEntries(path_, EntriesOf(0, 50)); };
  const size_t needed = BytesAfter(write);
  EXPECT_EQ(ReturnedByFork([&] { return TryLimits(0, needed, write); }), kAllGood);
  ExpectAll(path_, EntriesOf(0, 50));
}

TEST_F(IndexFailures, NoRoomForAnotherBlock) {
  AppendEntries(path_, EntriesOf(0, 50));
  const size_t before = ReadBytes(path_).size();
  const auto write = [&] { AppendEntries(path_, EntriesOf(50, 50)); };
  const size_t needed = BytesAfter(write);
  EXPECT_EQ(ReturnedByFork([&] { return TryLimits(before, needed, write); }), kAllGood);
  ExpectAll(path_, EntriesOf(0, 100));
}

TEST_F(IndexFailures, NoRoomToMerge) {
  for (int i = 0; i < static_cast<int>(kMaxIndexBlocks); ++i) {
    AppendEntries(path_, EntriesOf(10 * i, 10));
  }
  const auto write = [&] { AppendEntries(path_, EntriesOf(1000, 10)); };
  const size_t needed = BytesAfter(write);
  EXPECT_EQ(ReturnedByFork([&] { return TryLimits(0, needed, write); }), kAllGood);
  ExpectAll(path_, EntriesOf(0, 160));
  ExpectAll(path_, EntriesOf(1000, 10));
}

TEST_F(IndexFailures, NoRoomToCompact) {
  AppendEntries(path_, EntriesOf(0, 50));
  AppendEntries(path_, EntriesOf(50, 50));
  const auto write = [&] { CompactIndex(path_, nullptr, testing::kTestKey); };
  const size_t needed = BytesAfter(write);
  EXPECT_EQ(ReturnedByFork([&] { return TryLimits(0, needed, write); }), kAllGood);
  ExpectAll(path_, EntriesOf(0, 100));
}

TEST_F(IndexFailures, NoFolderToWriteTo) {
  const auto append_to = [](const std::string& path) {
    return [path] { AppendEntries(path, EntriesOf(0, 5)); };
  };
  const Bytes file = {1, 2, 3};
  EXPECT_TRUE(Fails(append_to(folder_.Write("file", file) + "/index")));
  EXPECT_EQ(ReadBytes(folder_.path() + "/file"), file);
  EXPECT_TRUE(Fails(append_to(folder_.path() + "/none/index")));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/none"));
  EXPECT_TRUE(Fails(append_to("")));
  EXPECT_TRUE(Fails(append_to(folder_.path() + "/" + std::string(250, 'x'))));
  EXPECT_EQ(NamesIn(folder_.path()), std::vector<std::string>{"file"});
}

TEST_F(IndexFailures, ErrorsNameTheFileAndTheReason) {
  try {
    AppendEntries(folder_.path() + "/none/index", EntriesOf(0, 5));
    FAIL();
  } catch (const IndexError& e) {
    EXPECT_NE(std::string(e.what()).find("/none/index"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("No such file"), std::string::npos) << e.what();
  }
}

TEST_F(IndexFailures, WhereThisUserMayNotWrite) {
  AppendEntries(path_, EntriesOf(0, 5));
  const Bytes before = ReadBytes(path_);
  ASSERT_EQ(chmod(path_.c_str(), 0444), 0);
  ASSERT_EQ(chmod(folder_.path().c_str(), 0555), 0);
  const auto try_both = [&] {
    if (geteuid() == 0 && setuid(65534) != 0) return 99;
    const bool index = Fails([&] { AppendEntries(path_, EntriesOf(5, 5)); });
    const bool folder = Fails([&] { AppendEntries(path_ + "2", EntriesOf(5, 5)); });
    return index && folder ? 42 : 0;
  };
  EXPECT_EQ(ReturnedByFork(try_both), 42);
  EXPECT_EQ(ReadBytes(path_), before);
  ASSERT_EQ(chmod(folder_.path().c_str(), 0755), 0);
}

class IndexLock : public IndexFailures {
 protected:
  IndexLock() {
    AppendEntries(path_, EntriesOf(0, 10));
    holder_ = UniqueFd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(flock(holder_.get(), LOCK_EX), 0);
  }
  UniqueFd holder_;
};

TEST_F(IndexLock, IsWaitedForTenSecondsAndNoLonger) {
  const Bytes before = ReadBytes(path_);
  const auto begin = Clock::now();
  EXPECT_TRUE(Fails([&] { AppendEntries(path_, EntriesOf(10, 10)); }));
  EXPECT_GE(Clock::now() - begin, std::chrono::seconds(9));
  EXPECT_LE(Clock::now() - begin, std::chrono::seconds(20));
  EXPECT_EQ(ReadBytes(path_), before);
  EXPECT_EQ(NamesIn(folder_.path()), std::vector<std::string>{"index"});
}

TEST_F(IndexLock, OnceFreeIsTaken) {
  const auto begin = Clock::now();  // before the other thread sleeps
  std::thread release([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    flock(holder_.get(), LOCK_UN);
  });
  EXPECT_FALSE(Fails([&] { AppendEntries(path_, EntriesOf(10, 10)); }));
  EXPECT_GE(Clock::now() - begin, std::chrono::milliseconds(150));
  release.join();
  ExpectAll(path_, EntriesOf(0, 20));
}

TEST_F(IndexLock, ReadersDoNotWaitForIt) {
  const auto begin = Clock::now();
  ExpectAll(path_, EntriesOf(0, 10));
  EXPECT_LE(Clock::now() - begin, std::chrono::seconds(5));
}

// While the writer waits, another puts a new file into the index's place: nothing may be written
// to the old one.
TEST_F(IndexLock, OfAFileThatWasReplacedIsWorthNothing) {
  std::thread replace([this] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const TemporaryFolder elsewhere;
    AppendEntries(elsewhere.path() + "/index", EntriesOf(100, 10));
    std::filesystem::rename(elsewhere.path() + "/index", path_);
    flock(holder_.get(), LOCK_UN);
  });
  AppendEntries(path_, EntriesOf(10, 10));
  replace.join();
  ExpectAll(path_, EntriesOf(10, 10));
  ExpectAll(path_, EntriesOf(100, 10));
}

// A process that was forked while this one wrote has the writer's open files, too.
TEST_F(IndexFailures, AForkedProcessKeepsNoLock) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  std::atomic<bool> failed{false};
  std::thread writer([&] {
    for (int i = 0; i < 300 && !failed; ++i) {
      if (Fails([&] { AppendEntries(path_, EntriesOf(3 * i, 3)); })) failed = true;
    }
  });
  std::vector<pid_t> children;
  for (int i = 0; i < 40 && !failed; ++i) {
    const pid_t child = fork();
    if (child == 0) {  // lives until the pipe is closed; the writer may hold the allocator's lock
      alarm(60);
      close(ends[1]);
      char byte = 0;
      _exit(static_cast<int>(read(ends[0], &byte, 1)));
    }
    if (child < 0) break;
    children.push_back(child);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  writer.join();
  EXPECT_FALSE(failed);
  close(ends[1]);
  close(ends[0]);
  for (const pid_t child : children) waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace stoker
