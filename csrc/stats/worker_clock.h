// Where a worker's time goes, and how long the consumer had to wait: the figures behind
// loader.stats() and loader.report().
//
// Every worker owns one WorkerClock, and each moment between its first task and now lies in exactly
// one of the five states below, so that shares add up to 1. Cost: one clock reading (about 25 ns)
// and one histogram entry for each stage of a sample; see tests/bench/stats_bench.cc.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/error.h"
#include "stats/histogram.h"

namespace stoker {

// What a worker does when it is off the stages.
enum class OffState : uint8_t {
  kIdle = 0,     // nothing was asked for: before the first batch, between epochs, at an epoch's end
  kWaiting = 1,  // every batch ahead is full: the consumer is the slower side
};

// Threads: `Lap`, `Begin`, `End` and `Off` by the worker that owns the clock (ownership passes from
// thread to thread under the loader's mutex); `AddStageTo` and `OffNs` by anybody at any time.
class WorkerClock {
 public:
  explicit WorkerClock(int64_t now_ns) : off_since_ns_(now_ns) {}

  // The worker starts to run; the time since End() (or construction) was spent in that off state.
  void Begin(int64_t now_ns);
  // The worker stops running because there is nothing to do.
  void End(int64_t now_ns, OffState why);
  // Off work from now on for another reason than End said.
  void Off(int64_t now_ns, OffState why);
  // The span from the last Begin or Lap until now was spent in `stage`.
  void Lap(Stage stage) { LapAt(stage, NowNs()); }
  void LapAt(Stage stage, int64_t now_ns) {
    stages_[static_cast<size_t>(stage)].Record(now_ns - last_ns_);
    last_ns_ = now_ns;
  }
  // Starts a span that no stage owns yet: call before the first stage of a sample.
  void Mark(int64_t now_ns) { last_ns_ = now_ns; }

  void AddStageTo(Stage stage, HistogramSnapshot* sum) const {
    stages_[static_cast<size_t>(stage)].AddTo(sum);
  }
  // Nanoseconds in an off state until `now_ns`, the present spell included.
  int64_t OffNs(OffState state, int64_t now_ns) const;

 private:
  std::array<Histogram, kStageCount> stages_;
  // The off times belong together, so readers take them by a sequence lock: `version_` is odd while
  // the writer is at it, and a reader that saw it change tries again.
  std::atomic<uint32_t> version_{0};
  std::array<std::atomic<int64_t>, 2> off_ns_{};
  std::atomic<int64_t> off_since_ns_;  // 0 while running
  std::atomic<OffState> off_state_{OffState::kIdle};
  int64_t last_ns_ = 0;  // the worker's own
};

// Clock readings that a sample takes: one at its start and one behind each stage.
inline constexpr int kSpansPerSample = kStageCount + 1;

// What one costs here and now, in nanoseconds: the mean of `spans` laps of a clock of its own.
double MeasureSpanNs(int spans);

}  // namespace stoker
