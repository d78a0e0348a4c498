// Counts calls down to the one that is to fail.
#pragma once

#include <atomic>
#include <cstdint>

namespace stoker::testing {

// Threads: any. Constant-initialised: used before any constructor has run.
class FaultCountdown {
 public:
  // The `n`-th call from now on (from 0) fails; with `for_good`, all behind it too.
  void Start(int64_t n, bool for_good) {
    for_good_ = for_good;
    left_ = n;
    armed_ = true;
  }
  // Returns whether a call has failed.
  bool Stop() {
    armed_ = false;
    return left_ < 0;
  }
  // Of the present call.
  bool Fails() {
    if (!armed_.load(std::memory_order_relaxed)) return false;
    const int64_t left = left_.fetch_sub(1);
    return left == 0 || (left < 0 && for_good_);
  }

 private:
  std::atomic<bool> armed_{false};
  std::atomic<bool> for_good_{false};
  std::atomic<int64_t> left_{0};
};

}  // namespace stoker::testing
