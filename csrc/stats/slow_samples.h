// The samples that took longest, in constant memory: one very slow file in a thousand is found by
// its name, not by a quantile. What counts is the time on a core and asleep in a read. A thread
// that has no core for a while is no fault of the file that it had in hand.
//
// Threads: Wants and Offer by the worker that owns it; AddTo by anybody at any time. Offer never
// fails, and never allocates.
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
  // Takes the time for which its thread had no core out of its stages, out of each by its share.
  void LeaveOut(int64_t no_core_ns);
};

// Keeps the `keep` slowest of `samples`, slowest first, each index once.
void KeepSlowest(std::vector<SlowSample>* samples, size_t keep);

class SlowSamples {
 public:
  static constexpr size_t kKept = 8;

  SlowSamples() { kept_.reserve(kKept); }

  // Whether a sample that took so long is one of the slowest.
  bool Wants(int64_t total_ns) const {
    return total_ns > quickest_ns_.load(std::memory_order_relaxed);
  }
  void Offer(const SlowSample& sample) {
    if (Wants(sample.total_ns())) Insert(sample);
  }
  void AddTo(std::vector<SlowSample>* sum) const;

 private:
  void Insert(const SlowSample& sample);

  std::atomic<int64_t> quickest_ns_{-1};  // of those kept; -1 while there is room
  mutable std::mutex mutex_;
  std::vector<SlowSample> kept_;  // guarded by mutex_; slowest first
};

}  // namespace stoker
