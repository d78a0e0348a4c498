#include "stats/slow_samples.h"

#include <algorithm>
#include <numeric>
#include <unordered_set>

namespace stoker {

int64_t SlowSample::total_ns() const {
  return std::accumulate(stage_ns.begin(), stage_ns.end(), int64_t{0});
}

void SlowSample::LeaveOut(int64_t no_core_ns) {
  const auto total = static_cast<double>(total_ns());
  if (total <= 0) return;
  const double kept = std::max(0.0, 1.0 - static_cast<double>(no_core_ns) / total);
  for (int64_t& ns : stage_ns) ns = static_cast<int64_t>(static_cast<double>(ns) * kept);
}

void KeepSlowest(std::vector<SlowSample>* samples, size_t keep) {
  std::sort(samples->begin(), samples->end(),
            [](const SlowSample& a, const SlowSample& b) { return a.total_ns() > b.total_ns(); });
  std::unordered_set<int64_t> seen;
  const auto again = [&](const SlowSample& sample) { return !seen.insert(sample.index).second; };
  samples->erase(std::remove_if(samples->begin(), samples->end(), again), samples->end());
  if (samples->size() > keep) samples->resize(keep);
}

void SlowSamples::Insert(const SlowSample& sample) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto same = std::find_if(kept_.begin(), kept_.end(),
                                 [&](const SlowSample& s) { return s.index == sample.index; });
  if (same != kept_.end()) {
    if (same->total_ns() >= sample.total_ns()) return;
    *same = sample;
  } else if (kept_.size() < kKept) {
    kept_.push_back(sample);
  } else {
    kept_.back() = sample;
  }
  std::sort(kept_.begin(), kept_.end(),
            [](const SlowSample& a, const SlowSample& b) { return a.total_ns() > b.total_ns(); });
  if (kept_.size() == kKept) {
    quickest_ns_.store(kept_.back().total_ns(), std::memory_order_relaxed);
  }
}

void SlowSamples::AddTo(std::vector<SlowSample>* sum) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  sum->insert(sum->end(), kept_.begin(), kept_.end());
}

}  // namespace stoker
