// Where a worker's time goes, and how long the consumer had to wait: the figures behind
// loader.stats() and loader.report().
//
// Every worker owns one WorkerClock, and each moment between its construction and now lies in at
// most one of five states (three stages, two off): see Times. In none lies what a worker does
// between two samples and before its first: it claims one, or hands a failure over.
// Cost: one clock reading (about 25 ns) and one histogram entry for each stage of a sample, and two
// readings of the thread's use of its core (usage_meter.h); see tests/bench/stats_bench.cc.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/error.h"
#include "stats/histogram.h"
#include "stats/slow_samples.h"
#include "stats/usage_meter.h"

namespace stoker {

// What a worker does when it is off the stages.
enum class OffState : uint8_t {
  kIdle = 0,     // nothing was asked for: before the first batch, between epochs, at an epoch's end
  kWaiting = 1,  // every batch ahead is full: the consumer is the slower side
};

// Nanoseconds by what a worker does: its stages, then its off states.
inline constexpr size_t kWorkerStates = static_cast<size_t>(kStageCount) + 2;
using StateTimes = std::array<int64_t, kWorkerStates>;
constexpr size_t StateOf(OffState state) {
  return static_cast<size_t>(kStageCount) + static_cast<size_t>(state);
}

// Threads: `Times`, `WorkNs`, `AddStageTo`, `usage` and `slow_samples` for anybody at any time;
// everything else by the worker that owns the clock (ownership passes from thread to thread under
// the loader's mutex).
class WorkerClock {
 public:
  // `delay`: for how long the calling thread had no core.
  explicit WorkerClock(int64_t now_ns, UsageMeter::DelayReading delay = &ReadThreadDelayNs)
      : usage_(&ReadThreadUsage, &ReadThreadUsageExactly, delay), since_ns_(now_ns) {}

  // The worker starts to run; the time since End() (or construction) was spent in that off state.
  void Begin(int64_t now_ns);
  // How much of its time the worker has been on a core until now: where its work may be over.
  void NoteUsage(int64_t now_ns) { usage_.Note(now_ns); }
  // The worker stops running because there is nothing to do.
  void End(int64_t now_ns, OffState why);
  // Off work from now on for another reason than End said.
  void Off(int64_t now_ns, OffState why);
  // A sample begins: its read. The span before it is no state's.
  void BeginSample(int64_t now_ns);
  // The sample, `index`, has been through its stages, or failed in one.
  void EndSample(int64_t index);
  // The span from the last BeginSample, Begin or Lap until now was spent in `stage`.
  void Lap(Stage stage) { LapAt(stage, NowNs()); }
  void LapAt(Stage stage, int64_t now_ns);
  // As Lap, for the stage in which the sample failed: no other follows.
  void Fail(Stage stage) { FailAt(stage, NowNs()); }
  void FailAt(Stage stage, int64_t now_ns) { LeaveStage(stage, now_ns, kBetweenSamples); }

  void AddStageTo(Stage stage, HistogramSnapshot* sum) const {
    stages_[static_cast<size_t>(stage)].AddTo(sum);
  }
  // Time in each state until `now_ns`, the present spell included. Never less than told before: a
  // worker may lose its core between reading the time and noting it here, and then ends a spell
  // before what a reader has been told of it; that stands until the state's time has caught up.
  StateTimes Times(int64_t now_ns) const;
  int64_t OffNs(OffState state, int64_t now_ns) const { return Times(now_ns)[StateOf(state)]; }
  // Time in its stages, all together.
  int64_t WorkNs(int64_t now_ns) const;
  const UsageMeter& usage() const { return usage_; }
  const SlowSamples& slow_samples() const { return slow_samples_; }

 private:
  // At work, but in no stage: that time is nobody's.
  static constexpr size_t kBetweenSamples = kWorkerStates;

  void Enter(size_t state, int64_t now_ns, int64_t owned_ns, size_t owner);
  void LeaveStage(Stage stage, int64_t now_ns, size_t next);
  void LeaveSample(size_t next, int64_t now_ns);
  StateTimes TimesNoted(int64_t now_ns) const;

  std::array<Histogram, kStageCount> stages_;
  UsageMeter usage_;
  SlowSamples slow_samples_;
  // These belong together, so readers take them by a sequence lock: `version_` is odd while the
  // writer is at it, and a reader that saw it change tries again.
  std::atomic<uint32_t> version_{0};
  std::array<std::atomic<int64_t>, kWorkerStates> spent_ns_{};
  std::atomic<int64_t> since_ns_;
  std::atomic<size_t> state_{StateOf(OffState::kIdle)};
  // The readers': the most that any was told.
  mutable std::array<std::atomic<int64_t>, kWorkerStates> told_ns_{};
  // The worker's own.
  std::array<int64_t, kStageCount> sample_ns_{};
};

// Clock readings that a sample takes: one at its start and one behind each stage.
inline constexpr int kSpansPerSample = kStageCount + 1;

// What one costs here and now, in nanoseconds: the mean of `spans` laps of a clock of its own.
double MeasureSpanNs(int spans);
// And of the thread's usage, before and behind its read; before it, of its delay, too.
inline constexpr int kUsagesPerSample = 2;

// What a reading of it costs here and now, in nanoseconds: the mean of `readings`.
double MeasureUsageNs(int readings);

}  // namespace stoker
