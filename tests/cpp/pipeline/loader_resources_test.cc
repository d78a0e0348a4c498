// A loader that the system gives less than it asked for: threads, descriptors; and one that two
// threads use.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <filesystem>
#include <iterator>
#include <map>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "pipeline/loader.h"
#include "support/failing_calls.h"
#include "support/loader_fixture.h"
#include "support/processes.h"

namespace stoker {
namespace {

using std::chrono::milliseconds;
using testing::LoaderTest;
using testing::SystemCall;
using testing::WatchedExecutor;

using LoaderResourcesTest = LoaderTest;

TEST_F(LoaderResourcesTest, GoesOnWithTheThreadsThatThereAre) {
  if (!testing::CountsSystemCalls()) GTEST_SKIP() << "the sanitizer replaces the calls itself";
  for (const testing::ExecutorKind kind : testing::ExecutorKinds()) {
    for (const int workers : {1, 3}) {
      for (const int threads : {0, 1, 2}) {
        SCOPED_TRACE(testing::KindName(kind) + " " + std::to_string(workers) + " workers, " +
                     std::to_string(threads) + " threads");
        // In a child, where no thread is left from before.
        const int max_running = testing::ReturnedByFork([&] {
          testing::FailCall(SystemCall::kThread, threads, true, EAGAIN);
          const auto loader = MakeLoader(workers, 2, testing::MakeExecutor(kind, workers));
          std::map<int64_t, uint32_t> seen;
          loader->StartEpoch(3, 0);
          for (int i = 0; i < 6; ++i) {
            loader->Submit({0, 1, 2, 3, 4, 5});
            if (loader->in_flight() == 2) {
              ExpectBatch(loader->Next(), {0, 1, 2, 3, 4, 5}, 3, 0, &seen);
            }
          }
          testing::StopFailingCalls();
          return HasFailure() ? 100 : loader->Stats().max_running;
        });
        EXPECT_GE(max_running, 0);
        EXPECT_LE(max_running, threads);
      }
    }
  }
}

TEST_F(LoaderResourcesTest, AThreadThatIsRefusedOnceComesLater) {
  if (!testing::CountsSystemCalls()) GTEST_SKIP() << "the sanitizer replaces the calls itself";
  const auto loader = MakeLoader(1, 2, ThreadExecutor(1));
  loader->StartEpoch(3, 0);
  testing::FailCall(SystemCall::kThread, 0, false, EAGAIN);
  loader->Submit({0, 1});
  EXPECT_TRUE(testing::StopFailingCalls());
  std::map<int64_t, uint32_t> seen;
  ExpectBatch(loader->Next(), {0, 1}, 3, 0, &seen);
  loader->Submit({2, 3});
  ExpectBatch(loader->Next(), {2, 3}, 3, 0, &seen);
  EXPECT_EQ(loader->Stats().max_running, 1);
}

// The process may open `more` files than it has open.
void LimitFiles(int more) {
  const std::filesystem::directory_iterator open("/proc/self/fd");
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto now = std::distance(begin(open), end(open)) - 1;  // without the one that counts
  limit.rlim_cur = static_cast<rlim_t>(now + more);
  setrlimit(RLIMIT_NOFILE, &limit);
}

TEST_F(LoaderResourcesTest, NoSampleIsLostToTheDescriptorsOfReadAhead) {
  for (const int workers : {0, 1, 8}) {
    for (const int more : {3, 7, 13}) {
      SCOPED_TRACE(std::to_string(workers) + " workers, " + std::to_string(more) + " files");
      EXPECT_EQ(testing::ReturnedByFork([&] {
                  const auto loader =
                      MakeLoader(workers, 2, workers == 0 ? nullptr : ThreadExecutor(workers));
                  LimitFiles(more);
                  size_t failures = 0;
                  loader->StartEpoch(0, 0);
                  for (int i = 0; i < 20; ++i) {
                    loader->Submit({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 5, 4, 3, 2});
                    if (loader->in_flight() == 2) failures += loader->Next().failures.size();
                  }
                  return static_cast<int>(failures + loader->Next().failures.size());
                }),
                0);
    }
  }
}

TEST_F(LoaderResourcesTest, WhereOthersHoldAllDescriptorsTheSampleSaysSo) {
  EXPECT_EQ(testing::ReturnedByFork([&] {
              const auto loader = MakeLoader(0);
              LimitFiles(8);
              while (open("/dev/null", O_RDONLY) >= 0) continue;
              loader->StartEpoch(0, 0);
              loader->Submit({0});
              const Batch batch = loader->Next();
              const bool said =
                  batch.failures.size() == 1 &&
                  batch.failures[0].error.reason().find("Too many open files") != std::string::npos;
              return said ? 7 : 1;
            }),
            7);
}

// Which of the consumer's functions do not refuse; 0: all do.
int FunctionsThatDoNotRefuse(Loader* loader) {
  const auto refuses = [](const auto& call) {
    try {
      call();
    } catch (const std::logic_error&) {
      return true;
    }
    return false;
  };
  int failures = 0;
  failures |= refuses([&] { loader->StartEpoch(0, 0); }) ? 0 : 1;
  failures |= refuses([&] { loader->Submit({0}); }) ? 0 : 2;
  failures |= refuses([&] { loader->WaitReady(milliseconds(0)); }) ? 0 : 4;
  failures |= refuses([&] { loader->Next(); }) ? 0 : 8;
  failures |= refuses([&] { loader->Skip({0}); }) ? 0 : 16;
  failures |= refuses([&] { loader->EndOfIndices(); }) ? 0 : 32;
  failures |= refuses([&] { loader->Pending(); }) ? 0 : 64;
  failures |= refuses([&] { loader->LoadInto(0, 0, nullptr, nullptr); }) ? 0 : 128;
  return failures;
}

TEST_F(LoaderResourcesTest, ASecondThreadIsRefusedAndStopWaitsForTheFirst) {
  const auto executor = std::make_shared<WatchedExecutor>(testing::MakeExecutor(1));
  const auto loader = MakeLoader(1, 3, executor);
  loader->StartEpoch(0, 0);
  executor->CloseGate();
  loader->Submit({0, 1});
  std::thread waiting([&] { loader->WaitReady(testing::kStuck); });
  for (bool waits = false; !waits;) {
    try {
      loader->Pending();
      std::this_thread::sleep_for(milliseconds(1));
    } catch (const std::logic_error&) {
      waits = true;
    }
  }
  EXPECT_EQ(FunctionsThatDoNotRefuse(loader.get()), 0);
  executor->OpenGate();
  loader->Stop();
  waiting.join();
  EXPECT_EQ(loader->in_flight(), 0U);
}

// Whatever two threads do, it ends in errors or in batches.
TEST_F(LoaderResourcesTest, TwoThreadsAtOnceDoNoHarm) {
  for (const int workers : {0, 2}) {
    const auto loader = MakeLoader(workers, 2);
    loader->StartEpoch(0, 0);
    const auto use = [&] {
      for (int i = 0; i < 300; ++i) {
        try {
          if (loader->in_flight() < 2) loader->Submit({0, 1});
          if (i % 50 == 7) loader->StartEpoch(1, 0);
          if (loader->WaitReady(milliseconds(1))) loader->Next();
        } catch (const std::logic_error&) {
          std::this_thread::yield();
        }
      }
    };
    std::thread other(use);
    use();
    other.join();
    loader->StartEpoch(4, 0);
    loader->Submit({0, 1});
    std::map<int64_t, uint32_t> seen;
    ExpectBatch(loader->Next(), {0, 1}, 4, 0, &seen);
  }
}

}  // namespace
}  // namespace stoker
