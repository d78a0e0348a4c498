#include "stats/usage_meter.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <thread>

#include "base/clock.h"

namespace stoker {
namespace {

constexpr int64_t kUs = 1000;
constexpr int64_t kMs = 1000 * kUs;

// What the fake kernel says next.
ThreadUsage g_usage;
int g_readings = 0;
int64_t g_delay_ns = 0;
int64_t FakeDelay() { return g_delay_ns; }
ThreadUsage FakeReading() {
  ++g_readings;
  return g_usage;
}

UsageTotals TotalsOf(const UsageMeter& meter) {
  UsageTotals totals;
  meter.AddTo(&totals);
  return totals;
}

class UsageMeterTest : public testing::Test {
 protected:
  void SetUp() override {
    g_usage = {};
    g_readings = 0;
    g_delay_ns = 0;
  }
  void Pass(int64_t ns, int64_t cpu_ns, int64_t sleeps = 0) {
    now_ += ns;
    g_usage.cpu_ns += cpu_ns;
    g_usage.sleeps += sleeps;
  }
  UsageMeter meter_{&FakeReading, &FakeReading, &FakeDelay};
  int64_t now_ = 5 * kMs;
};

TEST_F(UsageMeterTest, TellsReadsFromWorkAndSleepingReadsFromOthers) {
  g_usage = {70 * kMs, 9};  // what the thread did before is nobody's
  meter_.Begin(now_);
  Pass(200 * kUs, 150 * kUs, 3);  // work, whose sleeps do not matter
  meter_.SampleBegins(now_);
  Pass(40 * kUs, 40 * kUs);  // a read from memory
  meter_.HasRead(now_);
  Pass(2 * kMs, kMs);
  meter_.SampleBegins(now_);
  Pass(8 * kMs, 20 * kUs, 1);  // and one that waits for the disk
  meter_.HasRead(now_);
  Pass(3 * kMs, 2 * kMs);
  meter_.Note(now_);
  const UsageTotals totals = TotalsOf(meter_);
  EXPECT_EQ(totals.reads, 2U);
  EXPECT_EQ(totals.read_ns, 8 * kMs + 40 * kUs);
  EXPECT_EQ(totals.read_cpu_ns, 60 * kUs);
  EXPECT_EQ(totals.slow_reads.count, 1U);
  EXPECT_EQ(totals.slow_reads.total_ns, 8 * kMs - 20 * kUs);
  EXPECT_EQ(totals.work_ns, 5 * kMs + 200 * kUs);
  EXPECT_EQ(totals.work_cpu_ns, 3 * kMs + 150 * kUs);
}

TEST_F(UsageMeterTest, QuickSamplesAreWorkAndAskTheKernelSeldom) {
  meter_.Begin(now_);
  for (int i = 0; i < 1000; ++i) {  // 10 ms in samples of 10 µs
    meter_.SampleBegins(now_);
    Pass(4 * kUs, 4 * kUs);
    meter_.HasRead(now_);
    Pass(6 * kUs, 6 * kUs);
  }
  meter_.Note(now_);
  EXPECT_LE(g_readings, 2 * 100 + 2);
  const UsageTotals totals = TotalsOf(meter_);
  EXPECT_EQ(totals.read_ns + totals.work_ns, 10 * kMs);
  EXPECT_EQ(totals.read_cpu_ns + totals.work_cpu_ns, 10 * kMs);
  EXPECT_GT(totals.reads, 50U);
  EXPECT_LE(totals.reads, 100U);
}

TEST_F(UsageMeterTest, QuickSamplesOnSlowStorageAreReads) {
  meter_.Begin(now_);
  for (int i = 0; i < 10; ++i) {
    meter_.SampleBegins(now_);
    Pass(10 * kMs, 5 * kUs, 1);
    meter_.HasRead(now_);
    Pass(50 * kUs, 50 * kUs);
  }
  meter_.Note(now_);
  const UsageTotals totals = TotalsOf(meter_);
  EXPECT_EQ(totals.reads, 10U);
  EXPECT_EQ(totals.read_ns, 100 * kMs);
  EXPECT_EQ(totals.read_cpu_ns, 50 * kUs);
  EXPECT_EQ(totals.slow_reads.count, 10U);
  EXPECT_EQ(totals.slow_reads.total_ns, 100 * kMs - 50 * kUs);
  EXPECT_EQ(totals.work_ns, 500 * kUs);
  EXPECT_EQ(totals.work_cpu_ns, 500 * kUs);
}

TEST_F(UsageMeterTest, WaitingForACoreIsNotSleepingInARead) {
  g_delay_ns = 700 * kMs;  // what the thread waited before is nobody's
  meter_.Begin(now_);
  Pass(kMs, kMs);
  g_delay_ns += 3 * kMs;  // nor is that a read's
  meter_.SampleBegins(now_);
  Pass(10 * kMs, kMs, 1);  // it sleeps for 2 ms, and then other threads have the cores
  g_delay_ns += 7 * kMs;
  meter_.HasRead(now_);
  EXPECT_EQ(TotalsOf(meter_).slow_reads.count, 1U);
  EXPECT_EQ(TotalsOf(meter_).slow_reads.total_ns, 2 * kMs);
  Pass(kMs, kMs);
  meter_.SampleBegins(now_);
  Pass(9 * kMs, kMs, 1);  // it sleeps for a moment only, as for a lock
  g_delay_ns += 8 * kMs - 10 * kUs;
  meter_.HasRead(now_);
  EXPECT_EQ(TotalsOf(meter_).slow_reads.count, 1U);
  EXPECT_EQ(TotalsOf(meter_).read_ns, 19 * kMs);
  EXPECT_EQ(meter_.DelayInSample(), 8 * kMs - 10 * kUs);
}

TEST_F(UsageMeterTest, TimeBetweenEndAndBeginIsNobodys) {
  meter_.Begin(now_);
  Pass(kMs, kMs);
  meter_.Note(now_);
  Pass(kMs, kMs);
  meter_.Begin(now_);
  Pass(kMs, kMs);
  meter_.Note(now_);
  EXPECT_EQ(TotalsOf(meter_).work_ns, 2 * kMs);
  EXPECT_EQ(TotalsOf(meter_).work_cpu_ns, 2 * kMs);
}

TEST_F(UsageMeterTest, SumsAndDifferences) {
  meter_.Begin(now_);
  Pass(kMs, kMs / 2);
  meter_.SampleBegins(now_);
  Pass(kMs, kMs / 4, 1);
  meter_.HasRead(now_);
  const UsageTotals first = TotalsOf(meter_);
  Pass(3 * kMs, kMs);
  meter_.SampleBegins(now_);
  Pass(5 * kMs, 2 * kMs, 1);
  meter_.HasRead(now_);
  const UsageTotals second = TotalsOf(meter_);
  UsageTotals sum = first;
  sum.Add(second.Since(first));
  for (const UsageTotals& both : {sum, second}) {
    EXPECT_EQ(both.reads, 2U);
    EXPECT_EQ(both.read_ns, 6 * kMs);
    EXPECT_EQ(both.read_cpu_ns, 2 * kMs + kMs / 4);
    EXPECT_EQ(both.slow_reads.total_ns, 4 * kMs - kMs / 4);
    EXPECT_EQ(both.work_ns, 4 * kMs);
    EXPECT_EQ(both.work_cpu_ns, kMs + kMs / 2);
  }
}

#ifdef __linux__
TEST(ThreadUsage, AThreadThatSleepsUsesNoCoreAndSaysThatItSlept) {
  const ThreadUsage before = ReadThreadUsage();
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const ThreadUsage slept = ReadThreadUsage();
  EXPECT_GT(slept.sleeps, before.sleeps);
  EXPECT_LT(slept.cpu_ns - before.cpu_ns, 15 * kMs);
  const int64_t begin = NowNs();
  volatile double x = 1;
  while (ReadThreadUsage().cpu_ns - slept.cpu_ns < 20 * kMs) {
    for (int i = 0; i < 10000; ++i) x = std::sqrt(x + i);
    ASSERT_LT(NowNs() - begin, int64_t{60} * 1000 * kMs);
  }
}

// Two threads on one core: each waits for it half of the time, and neither sleeps.
TEST(ThreadUsage, AThreadThatWaitsForACoreSaysSo) {
  if (ReadThreadDelayNs() == 0 && access("/proc/thread-self/schedstat", R_OK) != 0) {
    GTEST_SKIP() << "this kernel does not tell";
  }
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core) {
    if (CPU_ISSET(core, &before)) CPU_SET(core, &one);
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  std::atomic<bool> stop{false};
  std::thread other([&] {  // which has the same core
    while (!stop.load(std::memory_order_relaxed)) continue;
  });
  const int64_t delay = ReadThreadDelayNs();
  const int64_t begin = NowNs();
  while (ReadThreadDelayNs() - delay < 20 * kMs) {
    if (NowNs() - begin >= int64_t{60} * 1000 * kMs) break;
  }
  const int64_t waited = ReadThreadDelayNs() - delay;
  stop = true;
  other.join();
  sched_setaffinity(0, sizeof before, &before);
  EXPECT_GE(waited, 20 * kMs);
  EXPECT_LE(waited, NowNs() - begin);
}

// Spells that are shorter than a tick of the scheduler, as of a worker whose queue is soon full
// again.
TEST(ThreadUsage, TheCpuTimeOfShortSpellsBetweenSleepsIsNotLost) {
  UsageMeter meter;
  const int64_t before = ReadThreadUsageExactly().cpu_ns;
  for (int spell = 0; spell < 100; ++spell) {
    const int64_t begin = NowNs();
    meter.Begin(begin);
    while (NowNs() - begin < kMs) {
    }
    meter.Note(NowNs());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  const int64_t used = ReadThreadUsageExactly().cpu_ns - before;
  EXPECT_GT(TotalsOf(meter).work_cpu_ns, 3 * used / 4) << "the sleeps cost little";
}
#endif

}  // namespace
}  // namespace stoker
