#include "io/index_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "support/index_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::ErrorOf;
using testing::NamesIn;
using testing::ReadBytes;
using testing::Span;
using testing::TemporaryFolder;

// Every test must leave nothing but `left_` in its folder.
class IndexFileTest : public ::testing::Test {
 protected:
  ~IndexFileTest() override { EXPECT_EQ(NamesIn(folder_.path()), left_); }

  static void Fill(const TemporaryFile& file, const Bytes& bytes) {
    WriteAt(file.fd(), file.name(), 0, Span(bytes));
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
  std::vector<std::string> left_;
};

TEST(IndexFolder, OfAnyPath) {
  EXPECT_EQ(FolderOf("index"), ".");
  EXPECT_EQ(FolderOf("/index"), "/");
  EXPECT_EQ(FolderOf("data/index"), "data");
  EXPECT_EQ(FolderOf("/data/train/index"), "/data/train");
}

TEST_F(IndexFileTest, ATemporaryFileTakesThePlaceOfAnother) {
  folder_.Write("index", Bytes{1, 2});
  TemporaryFile file(path_);
  Fill(file, {3, 4, 5});
  EXPECT_EQ(FolderOf(file.name()), folder_.path()) << "a rename crosses no file systems";
  EXPECT_TRUE(file.Rename(/*replace=*/true));
  EXPECT_EQ(ReadBytes(path_), (Bytes{3, 4, 5}));
  left_ = {"index"};
}

TEST_F(IndexFileTest, ATemporaryFileYieldsToOneThatIsThere) {
  {
    TemporaryFile file(path_);
    Fill(file, {3});
    folder_.Write("index", Bytes{1, 2});
    EXPECT_FALSE(file.Rename(/*replace=*/false));
    EXPECT_EQ(ReadBytes(path_), (Bytes{1, 2}));
  }
  std::filesystem::remove(path_);
  TemporaryFile file(path_);
  EXPECT_TRUE(file.Rename(/*replace=*/false));
  left_ = {"index"};
}

TEST_F(IndexFileTest, ATemporaryFileThatWasNotRenamedIsRemoved) {
  const TemporaryFile file(path_);
  const TemporaryFile another(path_);
  EXPECT_NE(file.name(), another.name());
  EXPECT_EQ(NamesIn(folder_.path()).size(), 2U);
}

TEST_F(IndexFileTest, ATemporaryFileIsLockedUntilItIsDone) {
  const UniqueFd fd = [&] {
    const TemporaryFile file(path_);
    UniqueFd second(open(file.name().c_str(), O_RDWR | O_CLOEXEC));
    EXPECT_FALSE(TryLock(second.get()));
    EXPECT_EQ(errno, EWOULDBLOCK);
    return second;
  }();
  EXPECT_TRUE(TryLock(fd.get()));
}

TEST_F(IndexFileTest, AnOpenFileIsStillAtItsPathOrNot) {
  folder_.Write("index", Bytes{1});
  const UniqueFd fd(open(path_.c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_TRUE(StillAt(fd.get(), path_));
  TemporaryFile file(path_);
  EXPECT_TRUE(file.Rename(/*replace=*/true));
  EXPECT_FALSE(StillAt(fd.get(), path_));
  std::filesystem::remove(path_);
  EXPECT_FALSE(StillAt(fd.get(), path_));
}

TEST_F(IndexFileTest, WritesWhereItIsTold) {
  const UniqueFd fd(open(folder_.Write("index", Bytes{1, 2, 3, 4}).c_str(), O_RDWR | O_CLOEXEC));
  WriteAt(fd.get(), path_, 1, Span(Bytes{7, 8}));
  WriteAt(fd.get(), path_, 6, Span(Bytes{9}));
  WriteAt(fd.get(), path_, 100, ByteSpan{});
  EXPECT_EQ(ReadBytes(path_), (Bytes{1, 7, 8, 4, 0, 0, 9}));
  left_ = {"index"};
}

TEST_F(IndexFileTest, ErrorsNameTheFileAndTheReason) {
  const std::string nowhere = folder_.path() + "/none/index";
  EXPECT_EQ(ErrorOf([&] { const TemporaryFile file(nowhere); }),
            nowhere + ": cannot make a temporary file beside it: No such file or directory");
  EXPECT_EQ(ErrorOf([&] { WriteAt(-1, path_, 0, Span(Bytes{1})); }),
            path_ + ": cannot write: Bad file descriptor");
  EXPECT_EQ(ErrorOf([&] { SyncOnce(-1, path_); }),
            path_ + ": cannot flush to disk: Bad file descriptor");
  std::filesystem::create_directories(path_ + "/full");
  {
    TemporaryFile file(path_);
    EXPECT_EQ(ErrorOf([&] { file.Rename(/*replace=*/true); }),
              path_ + ": cannot rename into place: Is a directory");
  }
  left_ = {"index"};
}

class IndexTemporaries : public IndexFileTest {
 protected:
  // A file that was changed so long ago.
  std::string Write(const std::string& name, int seconds) {
    const std::string path = folder_.Write(name, Bytes(100, 't'));
    SetAge(path, seconds);
    return path;
  }
  static void SetAge(const std::string& path, int seconds) {
    const timespec time{std::time(nullptr) - seconds, 0};
    const timespec both[2] = {time, time};
    EXPECT_EQ(utimensat(AT_FDCWD, path.c_str(), both, 0), 0);
  }
};

TEST_F(IndexTemporaries, ThoseOfDeadWritersAreRemoved) {
  Write("index.tmp-1-0", 3600);
  Write("index.tmp-4000000-17", 62);
  RemoveStaleTemporaries(path_);
}

TEST_F(IndexTemporaries, YoungOnesAreLeftAlone) {
  Write("index.tmp-1-0", 50);
  Write("index.tmp-1-1", -3600);
  RemoveStaleTemporaries(path_);
  left_ = {"index.tmp-1-0", "index.tmp-1-1"};
}

TEST_F(IndexTemporaries, ThoseOfLiveWritersAreLeftAlone) {
  const std::string temporary = Write("index.tmp-1-0", 3600);
  const UniqueFd writer(open(temporary.c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(flock(writer.get(), LOCK_EX), 0);
  RemoveStaleTemporaries(path_);
  EXPECT_TRUE(std::filesystem::exists(temporary));
  left_ = {"index.tmp-1-0"};
}

TEST_F(IndexTemporaries, OtherFilesAreLeftAlone) {
  const std::vector<std::string> others = {"a.tmp-1-0", "index.jpg", "index.tmp", "other.tmp-1-0",
                                           "sub.index.tmp-1-0"};
  for (const std::string& name : others) Write(name, 3600);
  std::filesystem::create_directory(folder_.path() + "/index.tmp-2-0");
  SetAge(folder_.path() + "/index.tmp-2-0", 3600);
  std::filesystem::create_symlink("other.tmp-1-0", folder_.path() + "/index.tmp-3-0");
  RemoveStaleTemporaries(path_);
  left_ = NamesIn(folder_.path());
  EXPECT_EQ(left_.size(), others.size() + 2);
}

}  // namespace
}  // namespace stoker
