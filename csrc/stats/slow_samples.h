// The samples that took longest, in constant memory: one very slow file in a thousand is found by
// its name, not by a quantile.
//
// Threads: Offer by the worker that owns it; AddTo by anybody at any time. Offer never fails, and
// never allocates.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"

namespace stoker {

struct SlowSample {
  int64_t index = 0;
  std::array<int64_t, kStageCount> stage_ns{};
  std::string path;  // filled in by whoever knows it, when the record is read

  int64_t total_ns() const;
};

// Keeps the `keep` slowest of `samples`, slowest first, each index once.
void KeepSlowest(std::vector<SlowSample>* samples, size_t keep);

class SlowSamples {
 public:
  static constexpr size_t kKept = 8;

  SlowSamples() { kept_.reserve(kKept); }

  void Offer(const SlowSample& sample) {
    if (sample.total_ns() > quickest_ns_.load(std::memory_order_relaxed)) Insert(sample);
  }
  void AddTo(std::vector<SlowSample>* sum) const;

 private:
  void Insert(const SlowSample& sample);

  std::atomic<int64_t> quickest_ns_{-1};  // of those kept; -1 while there is room
  mutable std::mutex mutex_;
  std::vector<SlowSample> kept_;  // guarded by mutex_; slowest first
};

}  // namespace stoker
