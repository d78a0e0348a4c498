#include "stats/python_worker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>

namespace stoker {
namespace {

constexpr int64_t kUs = 1'000;
constexpr int64_t kMs = 1'000'000;

struct Measured {
  int64_t now_ns = 1'000 * kMs;
  std::array<Histogram, kPythonKinds> histograms;
  std::array<PythonSlowSample, kPythonSlowKept> slow{};
  ThreadTimes times{1, 0, 0, 900 * kMs};  // it has waited for a core before
  PythonWorker worker{histograms.data(), slow.data(), [this] { return now_ns; },
                      [this] {
                        times.wall_ns = now_ns;
                        return times;
                      }};

  HistogramSnapshot Of(PythonKind kind) const {
    HistogramSnapshot snapshot;
    histograms[kind].AddTo(&snapshot);
    return snapshot;
  }
};

TEST(PythonWorker, SamplesTogetherAreTheirMean) {
  Measured m;
  m.worker.Begin();
  m.now_ns += 60 * kUs;
  NativeSpansNs() += 20 * kUs;
  m.worker.EndTogether(4);
  EXPECT_FALSE(m.worker.at_work());
  EXPECT_EQ(m.Of(kNative).count, 4);
  EXPECT_EQ(m.Of(kNative).total_ns, 20 * kUs);
  EXPECT_EQ(m.Of(kPython).total_ns, 40 * kUs);
  EXPECT_EQ(m.Of(kWork).total_ns, 60 * kUs);
  EXPECT_FALSE(m.worker.Begin()) << "they are quick";
}

TEST(PythonWorker, SlowSamplesAreWantedOneByOne) {
  Measured m;
  EXPECT_TRUE(m.worker.Begin()) << "nothing is known yet";
  m.now_ns += 10 * kMs;
  m.worker.EndTogether(4);
  EXPECT_TRUE(m.worker.Begin());
  m.now_ns += 10 * kUs;
  m.worker.Sample(1);
  m.worker.End(false);
  EXPECT_FALSE(m.worker.Begin());
}

TEST(PythonWorker, ABatchOfAStream) {
  Measured m;
  m.worker.Begin();
  for (int64_t number = 0; number < 3; ++number) {
    m.now_ns += (number + 1) * kMs;
    m.worker.Sample(number);
  }
  EXPECT_TRUE(m.worker.at_work());
  m.now_ns += kMs;  // torch's own
  m.worker.BeginCollate();
  m.now_ns += 5 * kMs;
  m.worker.EndCollate();
  EXPECT_EQ(m.Of(kPython).total_ns, 6 * kMs);
  EXPECT_EQ(m.Of(kCollate).total_ns, 5 * kMs);
  EXPECT_EQ(m.Of(kWork).total_ns, 12 * kMs);
  EXPECT_EQ(m.Of(kComplete).total_ns, 3);
}

TEST(PythonWorker, SamplesThatAreLostAreInNoBatch) {
  Measured m;
  m.worker.Begin();
  m.worker.Sample(0);
  m.worker.End(true);
  m.worker.Begin();
  m.worker.EndTogether(2);
  m.worker.BeginCollate();
  m.worker.EndCollate();
  EXPECT_EQ(m.Of(kComplete).count, 1);
  EXPECT_EQ(m.Of(kComplete).total_ns, 2);
}

TEST(PythonWorker, TheSlowestAreKeptEachOnce) {
  Measured m;
  for (const int64_t factor : {10, 20, 19}) {
    for (int64_t index = 0; index < 40; ++index) {
      m.worker.Begin();
      m.now_ns += (1 + index * factor) * kMs;
      m.worker.Sample(index);
      m.worker.End(false);
    }
  }
  m.worker.Begin();
  m.now_ns += 10'000 * kMs;
  m.worker.Sample(std::nullopt);  // nobody could name it
  m.worker.End(false);
  std::sort(m.slow.begin(), m.slow.end());
  for (size_t i = 0; i < kPythonSlowKept; ++i) {
    const auto index = static_cast<int64_t>(32 + i);
    EXPECT_EQ(m.slow[i], (PythonSlowSample{index, 0, (1 + 20 * index) * kMs}));
  }
}

TEST(PythonWorker, ASampleWhoseThreadHadNoCoreIsNotSlowForThat) {
  Measured m;
  m.worker.Begin();
  for (int64_t index = 0; index < 20; ++index) {
    const int64_t starved_ns = index % 2 == 1 ? 50 * kMs : 0;
    m.now_ns += (index + 1) * kMs + starved_ns;
    m.times.no_core_ns += starved_ns;
    m.worker.Sample(index);
  }
  m.worker.End(false);
  std::sort(m.slow.begin(), m.slow.end());
  for (size_t i = 0; i < kPythonSlowKept; ++i) {
    const auto index = static_cast<int64_t>(12 + i);
    EXPECT_EQ(m.slow[i][0], index);
    EXPECT_NEAR(static_cast<double>(m.slow[i][2]), static_cast<double>((index + 1) * kMs), 10);
  }
}

TEST(PythonWorker, WaitsOfAnotherThreadAreNotASamples) {
  Measured m;
  m.worker.Begin();
  m.times = {2, 0, 0, 5'000 * kMs};
  m.now_ns += 7 * kMs;
  m.worker.Sample(3);
  EXPECT_EQ(m.slow[0], (PythonSlowSample{3, 0, 7 * kMs}));
}

}  // namespace
}  // namespace stoker
