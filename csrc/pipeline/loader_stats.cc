#include "pipeline/loader_stats.h"

#include <algorithm>

namespace stoker {

void LoaderStats::Add(const LoaderStats& other) {
  for (size_t s = 0; s < stages.size(); ++s) stages[s].Add(other.stages[s]);
  waiting_ns += other.waiting_ns;
  idle_ns += other.idle_ns;
  usage.Add(other.usage);
  for (size_t s = 0; s < blame_ns.size(); ++s) blame_ns[s] += other.blame_ns[s];
  batches += other.batches;
  samples += other.samples;
  failed_batches += other.failed_batches;
  queue.resize(std::max(queue.size(), other.queue.size()));
  for (size_t n = 0; n < other.queue.size(); ++n) queue[n] += other.queue[n];
  max_running = std::max(max_running, other.max_running);
  slow_samples.insert(slow_samples.end(), other.slow_samples.begin(), other.slow_samples.end());
  KeepSlowest(&slow_samples, SlowSamples::kKept);
  index.Add(other.index);
}

LoaderStats LoaderStats::Since(const LoaderStats& earlier) const {
  LoaderStats since = *this;
  for (size_t s = 0; s < stages.size(); ++s) since.stages[s] = stages[s].Since(earlier.stages[s]);
  since.waiting_ns -= earlier.waiting_ns;
  since.idle_ns -= earlier.idle_ns;
  since.usage = usage.Since(earlier.usage);
  for (size_t s = 0; s < blame_ns.size(); ++s) since.blame_ns[s] -= earlier.blame_ns[s];
  since.batches -= earlier.batches;
  since.samples -= earlier.samples;
  since.failed_batches -= earlier.failed_batches;
  since.queue.resize(std::max(queue.size(), earlier.queue.size()));
  for (size_t n = 0; n < earlier.queue.size(); ++n) since.queue[n] -= earlier.queue[n];
  since.index = index.Since(earlier.index);
  return since;
}

}  // namespace stoker
