#include "stats/worker_clock.h"

#include <algorithm>

namespace stoker {

void WorkerClock::Begin(int64_t now_ns) {
  const uint32_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  const int64_t since = off_since_ns_.load(std::memory_order_relaxed);
  auto& total = off_ns_[static_cast<size_t>(off_state_.load(std::memory_order_relaxed))];
  total.store(total.load(std::memory_order_relaxed) + (now_ns - since), std::memory_order_release);
  off_since_ns_.store(0, std::memory_order_release);
  version_.store(version + 2, std::memory_order_release);
  last_ns_ = now_ns;
}

void WorkerClock::End(int64_t now_ns, OffState why) {
  const uint32_t version = version_.load(std::memory_order_relaxed);
  version_.store(version + 1, std::memory_order_relaxed);
  off_state_.store(why, std::memory_order_release);
  off_since_ns_.store(now_ns, std::memory_order_release);
  version_.store(version + 2, std::memory_order_release);
}

void WorkerClock::Off(int64_t now_ns, OffState why) {
  Begin(now_ns);
  End(now_ns, why);
}

int64_t WorkerClock::OffNs(OffState state, int64_t now_ns) const {
  for (;;) {
    const uint32_t version = version_.load(std::memory_order_acquire);
    int64_t total = off_ns_[static_cast<size_t>(state)].load(std::memory_order_acquire);
    const int64_t since = off_since_ns_.load(std::memory_order_acquire);
    const OffState now_in = off_state_.load(std::memory_order_acquire);
    if (version % 2 == 0 && version == version_.load(std::memory_order_acquire)) {
      if (since != 0 && now_in == state) total += std::max<int64_t>(0, now_ns - since);
      return total;
    }
  }
}

double MeasureSpanNs(int spans) {
  const int64_t begin = NowNs();
  WorkerClock clock(begin);
  clock.Begin(begin);
  for (int i = 0; i < spans; ++i) clock.Lap(Stage::kDecode);
  return static_cast<double>(NowNs() - begin) / std::max(1, spans);
}

}  // namespace stoker
