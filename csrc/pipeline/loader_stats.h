// What a loader has measured since it was made: sums, of which the difference of two is what
// happened in between.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "stats/histogram.h"
#include "stats/index_counter.h"
#include "stats/slow_samples.h"
#include "stats/usage_meter.h"
#include "stats/worker_clock.h"

namespace stoker {

// Durations in nanoseconds. batches, samples and failed_batches are what Next() gave: whoever takes
// its batches may replace or leave out what failed, and counts for itself then.
struct LoaderStats {
  std::array<HistogramSnapshot, kStageCount> stages;  // per sample, over all workers
  int64_t waiting_ns = 0;                // over all workers: every batch ahead was full
  int64_t idle_ns = 0;                   // over all workers: nothing was asked for
  UsageTotals usage;                     // of the cores, and reads that slept
  StateTimes blame_ns{};                 // what the workers did while the consumer waited, over all
  uint64_t batches = 0;                  // handed over
  uint64_t samples = 0;                  // that were loaded
  uint64_t failed_batches = 0;           // with a sample that failed
  std::vector<uint64_t> queue;           // requests that found so many complete batches
  int max_running = 0;                   // the most workers that ran at one time
  std::vector<SlowSample> slow_samples;  // the slowest since construction, slowest first
  IndexCounts index;

  // Takes in what another loader has measured.
  void Add(const LoaderStats& other);
  // What came on top of `earlier`, a former value of the same sums. max_running and slow_samples
  // stay those of all time.
  LoaderStats Since(const LoaderStats& earlier) const;
};

}  // namespace stoker
