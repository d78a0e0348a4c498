#include "stats/spell_usage.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/clock.h"

namespace stoker {
namespace {

constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;

// A thread that does what a test says, and a kernel that counts how often it is asked.
struct Thread {
  ThreadTimes now{1, kMs, 0, 0};
  int asked = 0;

  void Run(int64_t ns) { Pass(ns, ns, 0); }
  void Sleep(int64_t ns) { Pass(ns, 0, 0); }
  void WaitForACore(int64_t ns) { Pass(ns, 0, ns); }
  void Pass(int64_t wall_ns, int64_t cpu_ns, int64_t no_core_ns) {
    now.wall_ns += wall_ns;
    now.cpu_ns += cpu_ns;
    now.no_core_ns += no_core_ns;
  }
};

struct Spells {
  Thread thread;
  SpellTimes sum;
  SpellUsage usage{[this] {
    ++thread.asked;
    return thread.now;
  }};

  template <typename Work>
  void Spell(const Work& work) {
    usage.Begin(thread.now.wall_ns);
    work();
    const SpellTimes used = usage.End(thread.now.wall_ns);
    sum.cpu_ns += used.cpu_ns;
    sum.no_core_ns += used.no_core_ns;
  }
};

TEST(SpellUsage, LongSpellsAreExact) {
  Spells s;
  for (int i = 0; i < 5; ++i) {
    s.Spell([&] {
      s.thread.Run(2 * kMs);
      s.thread.Sleep(3 * kMs);
      s.thread.WaitForACore(kMs);
    });
    s.thread.Run(7 * kMs);
  }
  EXPECT_EQ(s.sum.cpu_ns, 10 * kMs);
  EXPECT_EQ(s.sum.no_core_ns, 5 * kMs);
}

TEST(SpellUsage, TheKernelIsAskedByTimeNotBySpell) {
  Spells s;
  for (int i = 0; i < 10'000; ++i) {  // 100 ms
    s.Spell([&] { s.thread.Run(4 * kUs); });
    s.thread.Run(6 * kUs);
  }
  EXPECT_LE(s.thread.asked, 2 * 100 * kMs / SpellUsage::kLeastNs + 2);
  EXPECT_NEAR(static_cast<double>(s.sum.cpu_ns), 40.0 * kMs, 0.4 * kMs);
}

TEST(SpellUsage, QuickSpellsThatSleepInALoopThatRuns) {
  Spells s;
  for (int i = 0; i < 10'000; ++i) {
    s.Spell([&] {
      s.thread.Run(10 * kUs);
      s.thread.Sleep(30 * kUs);
    });
    s.thread.Run(20 * kUs);
  }
  EXPECT_NEAR(static_cast<double>(s.sum.cpu_ns), 100.0 * kMs, 2.0 * kMs);
}

TEST(SpellUsage, QuickSpellsThatRunInALoopThatSleeps) {
  Spells s;
  for (int i = 0; i < 10'000; ++i) {
    s.Spell([&] { s.thread.Run(10 * kUs); });
    s.thread.Sleep(90 * kUs);
  }
  EXPECT_NEAR(static_cast<double>(s.sum.cpu_ns), 100.0 * kMs, 2.0 * kMs);
  EXPECT_EQ(s.sum.no_core_ns, 0);
}

TEST(SpellUsage, ASlowSpellAmongQuickOnesIsReadThoughItsBeginWasNot) {
  Spells s;
  for (int i = 0; i < 100; ++i) {
    s.Spell([&] { s.thread.Run(10 * kUs); });
    s.Spell([&] { s.thread.Sleep(20 * kMs); });
    s.Spell([&] { s.thread.Run(10 * kUs); });
  }
  EXPECT_NEAR(static_cast<double>(s.sum.cpu_ns), 2.0 * kMs, 0.2 * kMs);
}

TEST(SpellUsage, AWaitForACoreGoesToTheSpellsInWhichItWas) {
  Spells s;
  for (int i = 0; i < 200; ++i) {
    s.Spell([&] {
      s.thread.Run(kMs);
      s.thread.WaitForACore(kMs);
    });
    s.thread.Sleep(100 * kUs);
  }
  EXPECT_NEAR(static_cast<double>(s.sum.cpu_ns), 200.0 * kMs, 2.0 * kMs);
  EXPECT_NEAR(static_cast<double>(s.sum.no_core_ns), 200.0 * kMs, 20.0 * kMs);
}

TEST(SpellUsage, AWaitThatTheKernelBooksLateIsAtMostTheTimeOffTheCore) {
  Spells s;
  s.Spell([&] { s.thread.Pass(10 * kMs, 4 * kMs, 1'000'000 * kMs); });
  EXPECT_EQ(s.sum.cpu_ns, 4 * kMs);
  EXPECT_EQ(s.sum.no_core_ns, 6 * kMs);
}

TEST(SpellUsage, AnotherThreadBeginsAnew) {
  Spells s;
  s.Spell([&] { s.thread.Run(20 * kMs); });
  s.thread.now = {2, s.thread.now.wall_ns + 10 * kMs, 900 * kMs, 900 * kMs};
  s.Spell([&] { s.thread.Run(20 * kMs); });
  EXPECT_EQ(s.sum.cpu_ns, 40 * kMs);
  EXPECT_EQ(s.sum.no_core_ns, 0);
  s.usage.Begin(s.thread.now.wall_ns);  // and one that changes within a spell
  s.thread.now = {1, s.thread.now.wall_ns + 10 * kMs, 0, 0};
  const SpellTimes used = s.usage.End(s.thread.now.wall_ns);
  EXPECT_EQ(used.cpu_ns, 0);
}

TEST(SpellUsage, TheKernelsOwnFigures) {
  const auto read = ThreadTimesReader(&NowNs, true);
  const ThreadTimes before = read();
  while (read().cpu_ns - before.cpu_ns < 20 * kMs) continue;
  const ThreadTimes busy = read();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const ThreadTimes after = read();
  EXPECT_LT(after.cpu_ns - busy.cpu_ns, 10 * kMs);
  EXPECT_GE(after.wall_ns - busy.wall_ns, 20 * kMs);
  EXPECT_GE(busy.no_core_ns, before.no_core_ns);
  std::thread([&] { EXPECT_NE(read().thread, before.thread); }).join();
}

}  // namespace
}  // namespace stoker
