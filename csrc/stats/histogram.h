// Durations in constant memory: a histogram with eight buckets an octave, so that a quantile is at
// most 1/16 (6.25 %) off, however long the run.
//
// Threads: one writer, any number of readers; both are lock-free. Never fails, never allocates.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace stoker {

inline constexpr int kBucketsPerOctave = 8;
// Up to 2^44 ns, nearly five hours. Longer durations count in the last bucket.
inline constexpr int kHistogramBuckets = 42 * kBucketsPerOctave;

// The bucket of a duration. Below 8 ns there is a bucket for each nanosecond.
inline int HistogramBucket(int64_t ns) {
  if (ns < kBucketsPerOctave) return ns < 0 ? 0 : static_cast<int>(ns);
  const int octave =
      63 - __builtin_clzll(static_cast<uint64_t>(ns));  // ns in [2^octave, 2^(octave+1))
  const int step = static_cast<int>(ns >> (octave - 3)) & (kBucketsPerOctave - 1);
  const int bucket = (octave - 2) * kBucketsPerOctave + step;
  return bucket < kHistogramBuckets ? bucket : kHistogramBuckets - 1;
}

// The middle of a bucket in nanoseconds; the inverse of HistogramBucket up to 1/16.
inline double HistogramBucketMiddleNs(int bucket) {
  if (bucket < kBucketsPerOctave) return bucket;
  const int octave = bucket / kBucketsPerOctave + 2;
  const double low = static_cast<double>(int64_t{1} << octave);
  return low + low / kBucketsPerOctave * (bucket % kBucketsPerOctave + 0.5);
}

// A plain copy of one or more histograms, for reading.
struct HistogramSnapshot {
  uint64_t count = 0;
  int64_t total_ns = 0;
  int64_t max_ns = 0;
  std::array<uint64_t, kHistogramBuckets> buckets{};

  double mean_ns() const {
    return count == 0 ? 0.0 : static_cast<double>(total_ns) / static_cast<double>(count);
  }
  void Add(const HistogramSnapshot& other);
  // What came on top of `earlier`, a former value of the same sum. Where the longest of all came
  // before, the longest since is known to 1/16 only, as quantiles are.
  HistogramSnapshot Since(const HistogramSnapshot& earlier) const;
  // The smallest duration that a share q of all do not exceed, to 1/16; 0 when empty. q in [0, 1].
  double QuantileNs(double q) const;
};

class Histogram {
 public:
  void Record(int64_t ns) { Record(ns, 1); }
  // `times` durations of `ns` each.
  void Record(int64_t ns, uint64_t times) {
    Bump(buckets_[static_cast<size_t>(HistogramBucket(ns))], times);
    Bump(count_, times);
    Bump(total_ns_, ns * static_cast<int64_t>(times));
    if (ns > max_ns_.load(std::memory_order_relaxed)) max_ns_.store(ns, std::memory_order_relaxed);
  }
  void AddTo(HistogramSnapshot* sum) const;
  int64_t total_ns() const { return total_ns_.load(std::memory_order_relaxed); }

 private:
  // One writer: a load and a store are enough, and much cheaper than a locked addition.
  template <typename T>
  static void Bump(std::atomic<T>& value, T by) {
    value.store(value.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }
  std::atomic<uint64_t> count_{0};
  std::atomic<int64_t> total_ns_{0};
  std::atomic<int64_t> max_ns_{0};
  std::array<std::atomic<uint64_t>, kHistogramBuckets> buckets_{};
};

}  // namespace stoker
