// The loader: a bounded queue of batches between a sampler that gives indices and a training loop
// that takes tensors, worked on sample by sample by tasks of an Executor.
//
//   Submit(indices) ──▶ jobs, in order ──▶ workers claim samples ──▶ Next() hands over, in order
//
// Batches come out in the order they went in. At most `prefetch` are in flight (being filled, or
// full and not yet taken); a consumer that stops consuming stops the workers. A worker is a task
// that runs while there are samples to claim and ends when there are none, so an idle loader holds
// no thread.
//
// Threads: the consumer's functions (all but Stats) by one thread at a time; Stats by any.
// A sample that fails spoils its own batch only: Next() throws for it, and can be called again.
// Fork: a loader belongs to the process that made it; elsewhere every function but the destructor
// throws std::logic_error.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/error.h"
#include "io/file_reader.h"
#include "io/sample_table.h"
#include "memory/host_allocator.h"
#include "pipeline/decode_index.h"
#include "pipeline/executor.h"
#include "pipeline/load_sample.h"
#include "pipeline/occurrence_counter.h"
#include "stats/histogram.h"
#include "stats/index_counter.h"
#include "stats/worker_clock.h"

namespace stoker {

struct LoaderOptions {
  int workers = 1;   // 0: the consumer's own thread does the work, inside WaitReady and Next
  int prefetch = 2;  // batches in flight at most; at least 1
};

// A finished batch, owned by whoever takes it; may outlive its loader.
struct Batch {
  size_t count = 0;
  HostBlock samples;  // count slots of plan.format.SampleBytes(size), one behind the other
  HostBlock labels;   // count × int64
  std::vector<int64_t> indices;
};

// Sums since construction. Durations in nanoseconds.
struct LoaderStats {
  std::array<HistogramSnapshot, kStageCount> stages;  // per sample, over all workers
  int64_t waiting_ns = 0;           // over all workers: every batch ahead was full
  int64_t idle_ns = 0;              // over all workers: nothing was asked for
  HistogramSnapshot consumer_wait;  // per batch: how long Next() (with WaitReady) blocked
  int64_t first_batch_ns = 0;       // from the first Submit to the first batch; 0: none yet
  uint64_t batches = 0;             // handed over
  uint64_t samples = 0;
  uint64_t failed_batches = 0;
  uint64_t ready_at_request = 0;  // batches that were complete when they were asked for
  int max_running = 0;            // the most workers that ran at one time
  IndexCounts index;

  // Takes in what another loader has measured; the first batch is the earlier record's.
  void Add(const LoaderStats& other);
};

class Loader {
 public:
  // `executor` may be null when options.workers is 0. Throws std::invalid_argument where the plan
  // gives no fixed size, or an option is out of range.
  // `index` may be null (none), and shared by loaders of the same table.
  Loader(std::shared_ptr<const SampleTable> table, const SamplePlan& plan,
         const LoaderOptions& options, std::shared_ptr<HostAllocator> allocator,
         std::shared_ptr<Executor> executor, std::shared_ptr<DecodeIndex> index = nullptr);
  // Drops what is in flight and waits for the samples that are being worked on.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Drops what is in flight and begins an epoch, whose randomness is keyed by both numbers.
  void StartEpoch(uint64_t base_seed, uint32_t epoch);

  // Drops what is in flight and waits for the samples that are being worked on.
  void Stop();

  // Queues a batch; a negative index counts from the table's end. REQUIRES: in_flight() < prefetch.
  // Throws std::out_of_range (nothing is queued) where an index is not in the table, or the
  // allocator's error.
  void Submit(std::vector<int64_t> indices);
  // No Submit follows in this epoch: from now on workers without work are idle, not waiting.
  void EndOfIndices();

  size_t in_flight() const { return in_flight_.size(); }  // consumer only
  int prefetch() const { return options_.prefetch; }
  pid_t pid() const { return pid_; }  // of the process that the loader belongs to
  Size sample_size() const { return size_; }
  const SamplePlan& plan() const { return plan_; }

  // Waits until the oldest batch is complete, but not longer than `timeout`; true if it is.
  // REQUIRES: in_flight() > 0.
  bool WaitReady(std::chrono::milliseconds timeout);
  // The oldest batch; waits for it. Throws DataError if one of its samples failed (the one that
  // stands first), and the batch is gone. REQUIRES: in_flight() > 0.
  Batch Next();

  LoaderStats Stats() const;

 private:
  struct Job;
  struct Worker;

  void CheckProcess() const;
  void Cancel();
  void Launch(std::unique_lock<std::mutex>* lock);
  void RunWorker(Worker* worker);
  std::shared_ptr<Job> NextJob(Worker* worker);
  bool LoadOne(Job* job, Worker* worker);
  void ReadAhead(Job* job, size_t position, Worker* worker) const;
  bool WorkInline(Job* job, std::chrono::steady_clock::time_point deadline);

  // Constant after construction.
  const std::shared_ptr<const SampleTable> table_;
  const SamplePlan plan_;
  const LoaderOptions options_;
  const std::shared_ptr<HostAllocator> allocator_;
  const std::shared_ptr<Executor> executor_;
  const std::shared_ptr<DecodeIndex> index_;
  const pid_t pid_;
  const Size size_;
  const size_t sample_bytes_;
  const size_t read_ahead_;
  std::vector<std::unique_ptr<Worker>> workers_;

  // The consumer's own.
  std::deque<std::shared_ptr<Job>> in_flight_;
  OccurrenceCounter occurrences_;
  uint64_t base_seed_ = 0;
  uint32_t epoch_ = 0;
  int64_t wait_ns_ = 0;  // spent in WaitReady for the batch that Next will hand over
  bool asked_ = false;   // that batch has been asked for
  bool was_ready_ = false;

  mutable std::mutex mutex_;
  // A batch got complete, or a worker stopped.
  std::unique_ptr<std::condition_variable> changed_ = std::make_unique<std::condition_variable>();
  // Guarded by mutex_.
  std::deque<std::shared_ptr<Job>> open_;  // with samples to claim (or just run out of them)
  std::vector<Worker*> free_workers_;
  int running_ = 0;    // workers handed to the executor
  int active_ = 0;     // of these, workers that have begun to run
  bool full_ = false;  // as many batches in flight as allowed
  bool more_indices_ = false;
  int64_t first_submit_ns_ = 0;
  LoaderStats counts_;  // all but stages, waiting_ns, idle_ns and consumer_wait
  Histogram consumer_wait_;
};

}  // namespace stoker
