#include "pipeline/executor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <thread>
#include <vector>

#include "support/executors.h"
#include "support/failing_calls.h"
#include "support/processes.h"

namespace stoker {
namespace {

using testing::ExecutorKind;
using testing::WatchedExecutor;

// Counts tasks that are done, and waits for them.
class Countdown {
 public:
  explicit Countdown(int tasks) : left_(tasks) {}
  void Done() {
    const std::lock_guard<std::mutex> lock(mutex_);
    --left_;
    changed_.notify_all();
  }
  // How many tasks are still missing when no more come.
  int Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait_for(lock, testing::kStuck, [this] { return left_ <= 0; });
    return left_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int left_;
};

// Whether `workers` tasks run at the same time, each waiting for the others.
bool RunTogether(const std::shared_ptr<Executor>& executor, int workers) {
  WatchedExecutor watched(executor, workers);
  Countdown countdown(workers);
  for (int i = 0; i < workers; ++i) watched.Run([&] { countdown.Done(); });
  return countdown.Wait() == 0 && watched.WaitUntilQuiet() && watched.met();
}

class ExecutorTest : public ::testing::TestWithParam<ExecutorKind> {};

INSTANTIATE_TEST_SUITE_P(EveryKind, ExecutorTest, ::testing::ValuesIn(testing::ExecutorKinds()),
                         [](const auto& test) { return testing::KindName(test.param); });

TEST_P(ExecutorTest, RunsEveryTaskOnceOnAThreadThatIsNotTheCallers) {
  constexpr int kTasks = 500;
  const auto executor = MakeExecutor(GetParam(), 2);
  std::vector<std::atomic<int>> runs(kTasks);
  std::atomic<int> on_caller{0};
  Countdown countdown(kTasks);
  const auto caller = std::this_thread::get_id();
  for (auto& run : runs) {
    executor->Run([&] {
      ++run;
      if (std::this_thread::get_id() == caller) ++on_caller;
      countdown.Done();
    });
  }
  EXPECT_EQ(countdown.Wait(), 0);
  for (const auto& run : runs) EXPECT_EQ(run, 1);
  EXPECT_EQ(on_caller, 0);
}

TEST_P(ExecutorTest, RunsAsManyTasksAtATimeAsItHasWorkersHoweverFewTheCores) {
  for (const int workers : {1, 2, 8}) {
    EXPECT_TRUE(RunTogether(MakeExecutor(GetParam(), workers), workers)) << workers;
  }
}

TEST_P(ExecutorTest, TakesTasksFromAnyThread) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 100;
  const auto executor = MakeExecutor(GetParam(), 2);
  Countdown countdown(kThreads * kTasks);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < kTasks; ++i) executor->Run([&] { countdown.Done(); });
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(countdown.Wait(), 0);
}

TEST_P(ExecutorTest, TakesTasksFromATask) {
  const auto executor = MakeExecutor(GetParam(), 1);
  Countdown countdown(1);
  executor->Run([&] { executor->Run([&] { countdown.Done(); }); });
  EXPECT_EQ(countdown.Wait(), 0);
}

TEST(ThreadExecutorTest, RunsNoMoreTasksAtATimeThanItHasWorkers) {
  for (const int workers : {1, 2, 3}) {
    WatchedExecutor watched(ThreadExecutor(workers), workers);
    Countdown countdown(50);
    for (int i = 0; i < 50; ++i) watched.Run([&] { countdown.Done(); });
    ASSERT_EQ(countdown.Wait(), 0);
    ASSERT_TRUE(watched.WaitUntilQuiet());
    EXPECT_EQ(watched.max_running(), workers);
  }
}

TEST(ThreadExecutorTest, RunsWhatIsQueuedBeforeItEnds) {
  std::atomic<int> runs{0};
  auto executor = ThreadExecutor(2);
  for (int i = 0; i < 100; ++i) executor->Run([&] { ++runs; });
  executor.reset();
  EXPECT_EQ(runs, 100);
}

TEST_P(ExecutorTest, RunsEveryTaskOnTheThreadsThatThereAre) {
  if (!testing::CountsSystemCalls()) GTEST_SKIP() << "the sanitizer replaces the calls itself";
  for (const int threads : {1, 2}) {
    EXPECT_EQ(testing::ReturnedByFork([&] {  // in a child, where there is no thread yet
                testing::FailCall(testing::SystemCall::kThread, threads, true, EAGAIN);
                const auto executor = MakeExecutor(GetParam(), 4);
                Countdown countdown(20);
                for (int i = 0; i < 20; ++i) executor->Run([&] { countdown.Done(); });
                return countdown.Wait() == 0 ? 7 : 1;
              }),
              7);
  }
}

TEST_P(ExecutorTest, WithoutAThreadItThrowsAndDoesNotRunTheTask) {
  if (!testing::CountsSystemCalls()) GTEST_SKIP() << "the sanitizer replaces the calls itself";
  EXPECT_EQ(testing::ReturnedByFork([&] {
              testing::FailCall(testing::SystemCall::kThread, 0, true, EAGAIN);
              const auto executor = MakeExecutor(GetParam(), 2);
              std::atomic<int> runs{0};
              try {
                executor->Run([&] { ++runs; });
                return 1;
              } catch (const std::system_error&) {
              }
              testing::StopFailingCalls();
              Countdown countdown(1);
              executor->Run([&] { countdown.Done(); });
              return countdown.Wait() == 0 && runs == 0 ? 7 : 2;
            }),
            7);
}

// In a fresh process, where nobody has asked for more before.
TEST(SharedExecutorTest, GrowsWhenMoreWorkersAreAskedForAndNeverShrinks) {
  if (!testing::InFreshProcess()) return;
  const auto two = SharedExecutor(2);
  EXPECT_TRUE(RunTogether(two, 2));
  EXPECT_EQ(SharedExecutor(1), two);
  EXPECT_TRUE(RunTogether(SharedExecutor(8), 8));
  EXPECT_TRUE(RunTogether(SharedExecutor(3), 8));
}

TEST(SharedExecutorTest, RunsWhatIsQueuedWhenItGrows) {
  if (!testing::InFreshProcess()) return;
  Countdown countdown(1000);
  for (int workers = 1; workers <= 5; ++workers) {
    const auto executor = SharedExecutor(workers);
    for (int i = 0; i < 200; ++i) executor->Run([&] { countdown.Done(); });
  }
  EXPECT_EQ(countdown.Wait(), 0);
}

TEST(SharedExecutorTest, WorksInAForkedChildAndStillInTheParent) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "no threads after a fork under this sanitizer";
  ASSERT_TRUE(RunTogether(SharedExecutor(2), 2));
  EXPECT_EQ(testing::ReturnedByFork([] { return RunTogether(SharedExecutor(4), 4) ? 7 : 1; }), 7);
  EXPECT_TRUE(RunTogether(SharedExecutor(2), 2));
}

}  // namespace
}  // namespace stoker
