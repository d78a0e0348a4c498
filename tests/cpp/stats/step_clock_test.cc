#include "stats/step_clock.h"

#include <gtest/gtest.h>

namespace stoker {
namespace {

constexpr int64_t kMs = 1'000'000;

struct Loop {
  ThreadTimes now{1, 1'000 * kMs, 0, 0};
  StepClock clock;

  explicit Loop(size_t kept = 4)
      : clock(kept, [this] { return now.wall_ns; }, [this] { return now; }) {}
  Loop(const Loop&) = delete;

  void Pass(int64_t ns, bool on_a_core = false) {
    now.wall_ns += ns;
    if (on_a_core) now.cpu_ns += ns;
  }
  void Request(int64_t wait_ns, bool on_a_core = false) {
    clock.Asked();
    Pass(wait_ns, on_a_core);
    clock.Answered(-1, nullptr);
  }
};

TEST(StepClock, NobodyAsksBeforeAnEpochHasBegun) {
  Loop loop;
  EXPECT_FALSE(loop.clock.Asked());
  loop.clock.EpochBegins();
  EXPECT_TRUE(loop.clock.Asked());
}

TEST(StepClock, TheLastStepsAreKeptInOrder) {
  Loop loop(4);
  loop.clock.EpochBegins();
  for (int64_t i = 0; i < 10; ++i) {
    loop.Request((i + 1) * kMs);
    loop.Pass(2 * kMs);
  }
  const auto steps = loop.clock.Steps();
  ASSERT_EQ(steps.size(), 4);
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(steps[static_cast<size_t>(i)].number, 6 + i);
    EXPECT_EQ(steps[static_cast<size_t>(i)].wait_ns, (7 + i) * kMs);
    EXPECT_EQ(steps[static_cast<size_t>(i)].step_ns, i < 3 ? 2 * kMs : 0);
  }
  EXPECT_EQ(loop.clock.batches, 10);
}

TEST(StepClock, WhatADeviceSaysLaterGoesToItsStepWhileThatIsKept) {
  Loop loop(2);
  loop.clock.EpochBegins();
  for (int i = 0; i < 3; ++i) loop.Request(kMs);
  loop.clock.DeviceIdle(0, 0.5);
  loop.clock.DeviceIdle(1, 0.25);
  loop.clock.DeviceIdle(7, 1.0);
  const auto steps = loop.clock.Steps();
  EXPECT_EQ(steps[0].device_idle_s, 0.25);
  EXPECT_LT(steps[1].device_idle_s, 0);
}

TEST(StepClock, WhatTheLoopsThreadComputesWhileItWaits) {
  Loop loop;
  loop.clock.EpochBegins();
  for (int i = 0; i < 3; ++i) {
    loop.Request(2 * kMs, true);
    loop.Pass(100 * kMs, true);  // its step
    loop.Request(5 * kMs);       // asleep
  }
  EXPECT_EQ(loop.clock.wait_cpu_ns, 6 * kMs);
}

TEST(StepClock, WhatTheCoreSaysOfAWait) {
  Loop loop;
  loop.clock.EpochBegins();
  loop.clock.Asked();
  const StepBlame blame{1, 2, 3, 4, 5};
  loop.clock.Answered(3, &blame);
  const auto steps = loop.clock.Steps();
  EXPECT_TRUE(steps[0].blamed);
  EXPECT_EQ(steps[0].blame_ns, blame);
  EXPECT_EQ(steps[0].ready, 3);
}

}  // namespace
}  // namespace stoker
