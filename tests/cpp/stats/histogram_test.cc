#include "stats/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <thread>
#include <vector>

namespace stoker {
namespace {

constexpr int64_t kLongestNs = (int64_t{1} << 42) - 1;  // that is told apart from longer ones

// Durations of every magnitude, sorted, with both ends of each octave.
std::vector<int64_t> ManyDurations() {
  std::vector<int64_t> all;
  for (int64_t ns = 0; ns < 5000; ++ns) all.push_back(ns);
  std::mt19937_64 random(1);
  for (int octave = 12; octave < 42; ++octave) {
    const int64_t low = int64_t{1} << octave;
    all.insert(all.end(), {low - 1, low, low + 1});
    for (int i = 0; i < 100; ++i)
      all.push_back(low + static_cast<int64_t>(random() % uint64_t(low)));
  }
  all.push_back(kLongestNs);
  std::sort(all.begin(), all.end());
  return all;
}

HistogramSnapshot Snapshot(const Histogram& histogram) {
  HistogramSnapshot snapshot;
  histogram.AddTo(&snapshot);
  return snapshot;
}

TEST(HistogramBucket, MiddleIsWithinASixteenth) {
  for (const int64_t ns : ManyDurations()) {
    const double middle = HistogramBucketMiddleNs(HistogramBucket(ns));
    const auto exact = static_cast<double>(ns);
    ASSERT_LE(std::abs(middle - exact), exact / 16) << ns;
  }
}

TEST(HistogramBucket, NeverFallsAndSkipsNone) {
  int last = 0;
  for (const int64_t ns : ManyDurations()) {
    const int bucket = HistogramBucket(ns);
    ASSERT_GE(bucket, last) << ns;
    ASSERT_LT(bucket, kHistogramBuckets) << ns;
    last = bucket;
  }
  for (int64_t ns = 0; ns < 5000; ++ns) {
    ASSERT_LE(HistogramBucket(ns + 1) - HistogramBucket(ns), 1) << ns;
  }
}

TEST(HistogramBucket, EachNanosecondBelowEightHasItsOwn) {
  for (int ns = 0; ns < 8; ++ns) EXPECT_EQ(HistogramBucketMiddleNs(HistogramBucket(ns)), ns);
}

TEST(HistogramBucket, TakesWhatIsOutOfRange) {
  EXPECT_EQ(HistogramBucket(-1), 0);
  EXPECT_EQ(HistogramBucket(std::numeric_limits<int64_t>::min()), 0);
  EXPECT_EQ(HistogramBucket(std::numeric_limits<int64_t>::max()), kHistogramBuckets - 1);
}

TEST(Histogram, EmptyIsZero) {
  const HistogramSnapshot empty = Snapshot(Histogram());
  EXPECT_EQ(empty.count, 0U);
  EXPECT_EQ(empty.mean_ns(), 0.0);
  EXPECT_EQ(empty.QuantileNs(0.5), 0.0);
}

TEST(Histogram, QuantileIsWithinASixteenthOfTheSortedDuration) {
  constexpr int kCount = 512;  // a power of two, so that k / kCount is exact
  std::mt19937_64 random(2);
  Histogram histogram;
  std::vector<int64_t> sorted;
  for (int i = 0; i < kCount; ++i) {
    sorted.push_back(static_cast<int64_t>(random() >> (22 + random() % 42)));
    histogram.Record(sorted.back());
  }
  std::sort(sorted.begin(), sorted.end());
  const HistogramSnapshot snapshot = Snapshot(histogram);
  for (int k = 0; k <= kCount; ++k) {
    // The smallest duration that a share k / kCount does not exceed is the k-th.
    const auto exact = static_cast<double>(sorted[static_cast<size_t>(std::max(k, 1) - 1)]);
    const double quantile = snapshot.QuantileNs(static_cast<double>(k) / kCount);
    ASSERT_LE(std::abs(quantile - exact), exact / 16) << k;
    ASSERT_LE(quantile, static_cast<double>(sorted.back()));
  }
}

TEST(Histogram, QuantileBetweenTwoDurationsIsTheUpperOne) {
  Histogram histogram;
  for (const int64_t ns : {1, 2, 3, 4, 5}) histogram.Record(ns);
  const HistogramSnapshot snapshot = Snapshot(histogram);
  EXPECT_EQ(snapshot.QuantileNs(0.5), 3);   // 2.5 of 5
  EXPECT_EQ(snapshot.QuantileNs(0.61), 4);  // 3.05 of 5
  EXPECT_EQ(snapshot.QuantileNs(0.99), 5);
}

TEST(Histogram, CountTotalMaximumAndMeanAreExact) {
  Histogram histogram;
  int64_t total = 0;
  for (const int64_t ns : {3, 1'000'000'007, 250, 250}) {
    histogram.Record(ns);
    total += ns;
  }
  const HistogramSnapshot snapshot = Snapshot(histogram);
  EXPECT_EQ(snapshot.count, 4U);
  EXPECT_EQ(snapshot.total_ns, total);
  EXPECT_EQ(histogram.total_ns(), total);
  EXPECT_EQ(snapshot.max_ns, 1'000'000'007);
  EXPECT_EQ(snapshot.mean_ns(), static_cast<double>(total) / 4);
}

TEST(Histogram, AddToGivesTheSameAsOneHistogramOfAll) {
  Histogram odd;
  Histogram even;
  Histogram all;
  for (const int64_t ns : ManyDurations()) {
    (ns % 2 == 0 ? even : odd).Record(ns);
    all.Record(ns);
  }
  HistogramSnapshot sum;
  odd.AddTo(&sum);  // holds the maximum, which the second must not overwrite
  even.AddTo(&sum);
  const HistogramSnapshot whole = Snapshot(all);
  EXPECT_EQ(sum.count, whole.count);
  EXPECT_EQ(sum.total_ns, whole.total_ns);
  EXPECT_EQ(sum.max_ns, whole.max_ns);
  EXPECT_EQ(sum.buckets, whole.buckets);
}

TEST(Histogram, MayBeReadWhileItIsWritten) {
  constexpr uint64_t kRecords = 200'000;
  Histogram histogram;
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      uint64_t last = 0;
      do {
        const HistogramSnapshot now = Snapshot(histogram);
        EXPECT_GE(now.count, last);
        EXPECT_LE(now.count, kRecords);
        last = now.count;
      } while (!done);
    });
  }
  for (uint64_t i = 0; i < kRecords; ++i) histogram.Record(static_cast<int64_t>(i));
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(Snapshot(histogram).count, kRecords);
}

TEST(Histogram, SinceKnowsOnlyWhatCameOnTop) {
  Histogram histogram;
  HistogramSnapshot before;
  for (int i = 0; i < 10; ++i) histogram.Record(1'000'000);
  histogram.AddTo(&before);
  for (int i = 0; i < 5; ++i) histogram.Record(2'000);
  HistogramSnapshot after;
  histogram.AddTo(&after);
  const HistogramSnapshot since = after.Since(before);
  EXPECT_EQ(since.count, 5U);
  EXPECT_EQ(since.total_ns, 10'000);
  EXPECT_NEAR(since.QuantileNs(0.5), 2'000, 2'000 / 16.0);
  EXPECT_NEAR(static_cast<double>(since.max_ns), 2'000, 2'000 / 16.0);
  histogram.Record(3'000'000);
  HistogramSnapshot last;
  histogram.AddTo(&last);
  EXPECT_EQ(last.Since(after).max_ns, 3'000'000);  // exact where it is the longest of all
  EXPECT_EQ(last.Since(last).count, 0U);
  EXPECT_EQ(last.Since(last).max_ns, 0);
}

}  // namespace
}  // namespace stoker
