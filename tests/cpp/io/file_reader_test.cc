#include "io/file_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/error.h"
#include "support/failing_calls.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::TemporaryFolder;

Bytes SomeBytes(size_t size) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<uint8_t>(i * 7 + i / 256);
  return bytes;
}

Bytes Read(const UniqueFd& fd, ReadFn read_fn = nullptr) {
  ByteBuffer buffer;
  const ByteSpan span = ReadFile(fd, &buffer, read_fn);
  return {span.begin(), span.end()};
}

// Opens and reads `path`, which must fail at one of the two; returns the reason.
std::string ReasonOf(const std::string& path) {
  try {
    Read(OpenFile(path.c_str()));
  } catch (const StageError& e) {
    EXPECT_EQ(e.stage(), Stage::kRead);
    return e.what();
  }
  ADD_FAILURE() << path << " was read";
  return {};
}

std::ptrdiff_t OpenDescriptors() {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  return std::distance(begin(open), end(open));
}

// No test may leave a descriptor open.
class FileReader : public ::testing::Test {
 protected:
  ~FileReader() override { EXPECT_EQ(OpenDescriptors(), before_); }
  const TemporaryFolder folder_;
  const std::ptrdiff_t before_ = OpenDescriptors();
};
using ReadAhead = FileReader;

TEST_F(FileReader, ReadsWholeFilesIntoOneBuffer) {
  ByteBuffer buffer;
  for (const size_t size : {100'000, 1, 0, 4096, 70'000}) {
    const Bytes bytes = SomeBytes(size);
    const ByteSpan span = ReadFile(OpenFile(folder_.Write("file", bytes).c_str()), &buffer);
    EXPECT_EQ(Bytes(span.begin(), span.end()), bytes);
    EXPECT_EQ(span.data, buffer.data());
  }
}

int reads = 0;

ssize_t ShortInterruptedRead(int fd, void* out, size_t bytes) {
  if (++reads % 2 == 1) {
    errno = EINTR;
    return -1;
  }
  return read(fd, out, std::min<size_t>(bytes, static_cast<size_t>(reads) % 13 + 1));
}

TEST_F(FileReader, GoesOnAfterShortReadsAndInterruptions) {
  const Bytes bytes = SomeBytes(5000);
  reads = 0;
  EXPECT_EQ(Read(OpenFile(folder_.Write("file", bytes).c_str()), &ShortInterruptedRead), bytes);
  EXPECT_GT(reads, 5000 / 13);
}

TEST_F(FileReader, PassesTheSystemsErrorOn) {
  const UniqueFd fd = OpenFile(folder_.Write("file", SomeBytes(10)).c_str());
  const ReadFn broken = [](int, void*, size_t) -> ssize_t {
    errno = EIO;
    return -1;
  };
  try {
    Read(fd, broken);
    FAIL();
  } catch (const StageError& e) {
    EXPECT_EQ(e.stage(), Stage::kRead);
    EXPECT_NE(std::string(e.what()).find("Input/output error"), std::string::npos) << e.what();
  }
}

TEST_F(FileReader, AFileThatShrinksIsAnError) {
  const std::string path = folder_.Write("file", SomeBytes(5000));
  const UniqueFd fd(open(path.c_str(), O_RDWR));
  const ReadFn shrinking = [](int file, void* out, size_t bytes) -> ssize_t {
    const ssize_t got = read(file, out, std::min<size_t>(bytes, 1000));
    return ftruncate(file, 2000) == 0 ? got : -1;
  };
  EXPECT_THROW(Read(fd, shrinking), StageError);
}

TEST_F(FileReader, MissingFilesFail) {
  EXPECT_NE(ReasonOf(folder_.path() + "/none").find("No such file"), std::string::npos);
  EXPECT_NE(ReasonOf("").find("No such file"), std::string::npos);
  EXPECT_NE(ReasonOf(folder_.Write("file", {1}) + "/below").find("Not a directory"),
            std::string::npos);
}

TEST_F(FileReader, AFolderSaysWhatItIs) {
  EXPECT_NE(ReasonOf(folder_.path()).find("folder"), std::string::npos);
}

TEST_F(FileReader, UnreadableFilesFail) {
  if (geteuid() == 0) GTEST_SKIP() << "root may read everything";
  const std::string path = folder_.Write("file", SomeBytes(10));
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  EXPECT_NE(ReasonOf(path).find("Permission denied"), std::string::npos);
}

TEST_F(FileReader, APipeFailsInPlaceOfWaitingForItsWriter) {
  const std::string path = folder_.path() + "/pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  std::future<std::string> reason = std::async(std::launch::async, [&] {
    ReadAheadSlot slot;
    slot.Start(path.c_str());
    return ReasonOf(path);
  });
  UniqueFd rescue;  // a writer, for a reader that waits
  while (reason.wait_for(std::chrono::seconds(10)) == std::future_status::timeout) {
    ADD_FAILURE() << "waits for a writer";
    rescue = UniqueFd(open(path.c_str(), O_RDWR));
  }
  EXPECT_NE(reason.get().find("not a regular file"), std::string::npos);
}

// Without a descriptor left, OpenFile asks for room and tries again, for as long as it is told to.
TEST_F(FileReader, AsksForRoomWhereThereIsNoDescriptorLeft) {
  if (!testing::CountsSystemCalls()) GTEST_SKIP() << "the sanitizer replaces the calls itself";
  const std::string path = folder_.Write("file", SomeBytes(10));
  for (const int error : {EMFILE, ENFILE}) {
    int asked = 0;
    testing::FailCall(testing::SystemCall::kOpen, 0, true, error);
    const UniqueFd fd = OpenFile(path.c_str(), [&](int attempt) {
      EXPECT_EQ(attempt, asked++);
      if (attempt == 2) testing::StopFailingCalls();
      return true;
    });
    EXPECT_TRUE(fd.valid());
    EXPECT_EQ(asked, 3);
    testing::FailCall(testing::SystemCall::kOpen, 0, true, error);
    EXPECT_THROW(OpenFile(path.c_str(), [](int) { return false; }), StageError);
    testing::StopFailingCalls();
  }
  EXPECT_THROW(OpenFile((path + "x").c_str(), [](int) { return true; }), StageError);
}

TEST_F(FileReader, AnOpenThatASignalInterruptsIsTriedAgain) {
  if (!testing::CountsSystemCalls()) GTEST_SKIP() << "the sanitizer replaces the calls itself";
  const std::string path = folder_.Write("file", SomeBytes(10));
  testing::FailCall(testing::SystemCall::kOpen, 0, false, EINTR);
  EXPECT_TRUE(OpenFile(path.c_str()).valid());
  EXPECT_TRUE(testing::StopFailingCalls());
}

TEST_F(FileReader, UniqueFdClosesOnceAndMoves) {
  const std::string path = folder_.Write("file", SomeBytes(10));
  UniqueFd a = OpenFile(path.c_str());
  UniqueFd b = std::move(a);
  EXPECT_FALSE(a.valid());  // NOLINT(bugprone-use-after-move): it must own nothing
  EXPECT_TRUE(b.valid());
  b = OpenFile(path.c_str());
  const int fd = b.Release();
  EXPECT_FALSE(b.valid());
  EXPECT_EQ(close(fd), 0);
}

TEST_F(ReadAhead, TakeGetsTheFileThatStartOpened) {
  const Bytes bytes = SomeBytes(5000);
  const std::string path = folder_.Write("file", bytes);
  ReadAheadSlot slot;
  slot.Start(path.c_str());
  EXPECT_EQ(OpenDescriptors(), before_ + 1);
  std::filesystem::remove(path);  // it is open already
  EXPECT_EQ(Read(slot.Take()), bytes);
  EXPECT_FALSE(slot.Take().valid());
}

TEST_F(ReadAhead, StartAfterTakeDoesNothing) {
  const std::string path = folder_.Write("file", SomeBytes(10));
  ReadAheadSlot slot;
  EXPECT_FALSE(slot.Take().valid());
  slot.Start(path.c_str());
  EXPECT_EQ(OpenDescriptors(), before_);
  EXPECT_FALSE(slot.Take().valid());
}

TEST_F(ReadAhead, ASecondStartOpensNothing) {
  const std::string path = folder_.Write("file", SomeBytes(10));
  ReadAheadSlot slot;
  slot.Start(path.c_str());
  slot.Start(path.c_str());
  EXPECT_EQ(OpenDescriptors(), before_ + 1);
}

TEST_F(ReadAhead, ErrorsWaitForTheSamplesTurn) {
  ReadAheadSlot slot;
  slot.Start((folder_.path() + "/none").c_str());
  EXPECT_FALSE(slot.Take().valid());
}

TEST_F(ReadAhead, WhicheverComesSecondCleansUp) {
  constexpr int kSlots = 200;
  // A long way to the file, so that Take comes while Start opens it.
  std::string detour = folder_.path();
  for (int i = 0; i < 1500; ++i) detour += "/.";
  std::string path = folder_.Write("0", {42});
  for (int i = 0; i < 10; ++i) {
    const std::string link = folder_.path() + "/" + std::to_string(i + 1);
    std::filesystem::create_symlink(detour + "/" + std::to_string(i), link);
    path = link;
  }
  std::vector<ReadAheadSlot> slots(kSlots);
  std::atomic<int> begun{0};
  std::atomic<int> taken{0};
  const auto meet = [&](int i) {  // so that both threads come to slot i at the same time
    ++begun;
    while (begun < 2 * (i + 1)) std::this_thread::yield();
  };
  std::thread starter([&] {
    for (int i = 0; i < kSlots; ++i) {
      meet(i);
      slots[static_cast<size_t>(i)].Start(path.c_str());
    }
  });
  for (int i = 0; i < kSlots; ++i) {
    meet(i);
    std::this_thread::sleep_for(std::chrono::microseconds(i * 2));  // a varying head start
    const UniqueFd fd = slots[static_cast<size_t>(i)].Take();
    if (!fd.valid()) continue;
    ++taken;
    EXPECT_EQ(Read(fd), Bytes{42});
  }
  starter.join();
  EXPECT_EQ(OpenDescriptors(), before_) << taken << " of " << kSlots << " were taken open";
}

}  // namespace
}  // namespace stoker
