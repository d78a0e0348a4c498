// Many writers at once, threads and processes, and writers that are killed while they write.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "io/index_reader.h"
#include "io/index_writer.h"
#include "support/index_files.h"

namespace stoker {
namespace {

using testing::AppendEntries;
using testing::EntriesOf;
using testing::EntryOf;
using testing::ExpectAll;
using testing::Found;
using testing::Lookup;
using testing::NamesIn;
using testing::OpenIndex;
using testing::StateOf;
using testing::TemporaryFolder;

class IndexWriters : public ::testing::Test {
 protected:
  static constexpr int kWriters = 4;
  static constexpr int kRounds = 25;

  // Each entry is appended by two writers; with what the others do, blocks are merged often.
  void Write(int writer) const {
    for (int round = 0; round < kRounds; ++round) {
      AppendEntries(path_, EntriesOf(100 * round + 10 * writer, 20));
    }
  }
  void ExpectWhatAllWrote() const {
    size_t entries = 0;
    for (int round = 0; round < kRounds; ++round) {
      constexpr int kOfARound = 10 * (kWriters + 1);
      ExpectAll(path_, EntriesOf(100 * round, kOfARound));
      entries += kOfARound;
    }
    EXPECT_EQ(OpenIndex(path_)->records(), entries) << "something is there twice";
    EXPECT_LE(OpenIndex(path_)->blocks().size(), kMaxIndexBlocks);
    EXPECT_EQ(NamesIn(folder_.path()), std::vector<std::string>{"index"});
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
};

TEST_F(IndexWriters, InThreadsLoseNothing) {
  std::vector<std::thread> threads;
  for (int writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([this, writer] { Write(writer); });
  }
  for (std::thread& thread : threads) thread.join();
  ExpectWhatAllWrote();
}

TEST_F(IndexWriters, InProcessesLoseNothing) {
  std::vector<pid_t> children;
  for (int writer = 0; writer < kWriters; ++writer) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    children.push_back(child);
    if (child != 0) continue;
    alarm(60);
    try {
      Write(writer);
    } catch (const IndexError&) {
      _exit(1);
    }
    _exit(0);
  }
  for (const pid_t child : children) {
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  ExpectWhatAllWrote();
}

TEST_F(IndexWriters, ReadersSeeAGoodIndexAtAnyMoment) {
  AppendEntries(path_, EntriesOf(50'000, 10));
  std::thread writer([this] { Write(0); });
  for (int i = 0; i < 200; ++i) ExpectAll(path_, EntriesOf(50'000, 10));
  writer.join();
}

// Writers in processes of their own, which report each append that is done through a pipe.
class KilledWriters : public ::testing::Test {
 protected:
  static constexpr int kAtOnce = 3;   // entries of one append
  using Report = std::array<int, 2>;  // their first one's number, and their version

  static int Kills() {
    const char* kills = std::getenv("STOKER_KILLS");
    return kills == nullptr ? 40 : std::atoi(kills);
  }

  [[noreturn]] void WriteForEver(int writer, int report_fd) const {
    alarm(60);
    for (int i = 0;; ++i) {
      const int first = next_entry_ + 100'000 * writer + kAtOnce * (i / 2);
      const int version = i % 2;  // every second append replaces what the first one wrote
      try {
        AppendEntries(path_, EntriesOf(first, kAtOnce, version));
      } catch (const IndexError&) {
        _exit(1);
      }
      const Report report{first, version};
      if (write(report_fd, report.data(), sizeof report) != sizeof report) _exit(2);
    }
  }

  // Waits for one. False: nobody is left to send any.
  bool TakeReport(int fd) {
    Report report{};
    if (read(fd, report.data(), sizeof report) != sizeof report) return false;
    ++appends_;
    for (int i = report[0]; i < report[0] + kAtOnce; ++i) promised_[i] = report[1];
    return true;
  }

  // Lets so many write for a while, kills them and takes note of what they had done.
  void RunAndKill(int writers) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    std::vector<pid_t> children;
    for (int writer = 0; writer < writers; ++writer) {
      const pid_t child = fork();
      ASSERT_GE(child, 0);
      if (child == 0) WriteForEver(writer, ends[1]);
      children.push_back(child);
    }
    close(ends[1]);
    for (auto appends = random_() % 16; appends > 0 && TakeReport(ends[0]); --appends) {
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random_() % 4000));
    for (const pid_t child : children) kill(child, SIGKILL);
    for (const pid_t child : children) {
      int status = 0;
      EXPECT_EQ(waitpid(child, &status, 0), child);
      EXPECT_TRUE(WIFSIGNALED(status)) << "an append failed";
    }
    while (TakeReport(ends[0])) {
    }
    close(ends[0]);
    next_entry_ += 300'000;
  }

  void ExpectWhatWasPromised() const {
    const IndexState state = StateOf(path_);
    if (state == IndexState::kMissing) {
      EXPECT_TRUE(promised_.empty());
      return;
    }
    ASSERT_EQ(state, IndexState::kGood) << IndexStateText(state);
    const auto index = OpenIndex(path_);
    for (const auto& [entry, version] : promised_) {
      // The next version may have come and its report not.
      const Found found = Lookup(*index, EntryOf(entry, version));
      const Found next = Lookup(*index, EntryOf(entry, 1));
      ASSERT_TRUE(found == Found::kRight || next == Found::kRight) << entry;
      ASSERT_TRUE(found != Found::kWrong && next != Found::kWrong) << entry;
    }
  }

  void Test(int kills, int writers) {
    for (int done = 0; done < kills && !HasFailure(); ++done) {
      SCOPED_TRACE("kill " + std::to_string(done));
      if (done % 12 == 0) {  // from the beginning: an index is made in another way
        std::filesystem::remove(path_);
        promised_.clear();
      }
      RunAndKill(writers);
      ExpectWhatWasPromised();
      AppendEntries(path_, {EntryOf(next_entry_ - 1)});
      promised_[next_entry_ - 1] = 0;
      ExpectWhatWasPromised();
    }
    EXPECT_GT(appends_, kills / 4) << "killed before they had written anything";
    RecordProperty("appends", appends_);
    // What the dead have left goes away once it is old.
    const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
    for (const std::string& name : NamesIn(folder_.path())) {
      std::filesystem::last_write_time(folder_.path() + "/" + name, old);
    }
    AppendEntries(path_, EntriesOf(next_entry_, 1));
    EXPECT_EQ(NamesIn(folder_.path()), std::vector<std::string>{"index"});
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
  std::mt19937 random_{1};
  int next_entry_ = 0;
  int appends_ = 0;
  std::map<int, int> promised_;  // an entry's number → its version that was reported last
};

TEST_F(KilledWriters, OneLeavesAGoodIndex) { Test(Kills() / 2, 1); }
TEST_F(KilledWriters, ThreeAtOnceLeaveAGoodIndex) { Test(Kills() / 2, 3); }

}  // namespace
}  // namespace stoker
