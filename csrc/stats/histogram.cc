#include "stats/histogram.h"

#include <algorithm>
#include <cmath>

namespace stoker {

double HistogramSnapshot::QuantileNs(double q) const {
  if (count == 0) return 0.0;
  const double wanted = std::max(1.0, std::ceil(q * static_cast<double>(count)));
  uint64_t seen = 0;
  for (int b = 0; b < kHistogramBuckets; ++b) {
    seen += buckets[static_cast<size_t>(b)];
    if (static_cast<double>(seen) >= wanted) {
      return std::min(HistogramBucketMiddleNs(b), static_cast<double>(max_ns));
    }
  }
  return static_cast<double>(max_ns);
}

void HistogramSnapshot::Add(const HistogramSnapshot& other) {
  count += other.count;
  total_ns += other.total_ns;
  max_ns = std::max(max_ns, other.max_ns);
  for (size_t b = 0; b < buckets.size(); ++b) buckets[b] += other.buckets[b];
}

HistogramSnapshot HistogramSnapshot::Since(const HistogramSnapshot& earlier) const {
  HistogramSnapshot since;
  since.count = count - earlier.count;
  since.total_ns = total_ns - earlier.total_ns;
  for (int b = 0; b < kHistogramBuckets; ++b) {
    const auto i = static_cast<size_t>(b);
    since.buckets[i] = buckets[i] - earlier.buckets[i];
    if (since.buckets[i] > 0) since.max_ns = static_cast<int64_t>(HistogramBucketMiddleNs(b));
  }
  if (max_ns > earlier.max_ns) since.max_ns = max_ns;
  return since;
}

void Histogram::AddTo(HistogramSnapshot* sum) const {
  sum->count += count_.load(std::memory_order_relaxed);
  sum->total_ns += total_ns_.load(std::memory_order_relaxed);
  sum->max_ns = std::max(sum->max_ns, max_ns_.load(std::memory_order_relaxed));
  for (size_t b = 0; b < buckets_.size(); ++b) {
    sum->buckets[b] += buckets_[b].load(std::memory_order_relaxed);
  }
}

}  // namespace stoker
