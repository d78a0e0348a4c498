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
// Threads: the consumer's functions (all but Stats and WorkNs) by one thread at a time; a second
// one is refused with std::logic_error (Stop and the destructor wait for the first to leave). Stats
// and WorkNs by any.
// A sample that fails is named in its batch, whose other samples are as they should be. Nothing
// that a worker meets leaves its task: where there is no memory even to say what went wrong, the
// sample is marked as failed, and Next finds the words. Where no thread can be made, the consumer's
// does the work, as with no workers.
// Descriptors: where the process has none left, those that read-ahead holds are given back, and
// fewer files are opened ahead from then on.
// loader.cc is longer than the house's 400 lines: queue, workers and hand-over share one Job, whose
// members are private to that file.
// Fork: a loader belongs to the process that made it; elsewhere every function but the destructor
// throws std::logic_error.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/file_reader.h"
#include "memory/host_allocator.h"
#include "pipeline/decode_index.h"
#include "pipeline/executor.h"
#include "pipeline/load_sample.h"
#include "pipeline/loader_stats.h"
#include "pipeline/occurrence_counter.h"
#include "pipeline/sample_set.h"
#include "stats/worker_clock.h"

namespace stoker {

struct LoaderOptions {
  int workers = 1;   // 0: the consumer's own thread does the work, inside WaitReady and Next
  int prefetch = 2;  // batches in flight at most; at least 1
};

// A sample that could not be loaded; its slot's contents are undefined.
struct SampleFailure {
  size_t position = 0;  // within its batch
  uint32_t occurrence = 0;
  DataError error;
};

// How a batch was waited for.
struct BatchWait {
  int ready = 0;        // complete batches when it was asked for, itself included
  int64_t wait_ns = 0;  // for which Next() (with WaitReady) blocked
  StateTimes blame{};   // what the workers did meanwhile: summed over them
};

// A finished batch, owned by whoever takes it; may outlive its loader.
struct Batch {
  size_t count = 0;
  HostBlock samples;  // count slots of plan.format.SampleBytes(size), one behind the other
  HostBlock labels;   // count × int64; zeros where sources came along
  std::vector<int64_t> indices;
  std::vector<SampleFailure> failures;  // by position
  BatchWait wait;
};

// A sample of a batch that is not finished.
struct PendingSample {
  int64_t index;
  std::string path;
};

class Loader {
 public:
  // `executor` may be null when options.workers is 0. Throws std::invalid_argument where `samples`
  // cannot share a batch (SampleSet::Check), or an option is out of range.
  // `index` may be null (none), and shared by loaders of the same table.
  Loader(SampleSet samples, const LoaderOptions& options, std::shared_ptr<HostAllocator> allocator,
         std::shared_ptr<Executor> executor, std::shared_ptr<DecodeIndex> index = nullptr);
  // Drops what is in flight and waits for the samples that are being worked on.
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // Drops what is in flight and begins an epoch, whose randomness is keyed by both numbers.
  void StartEpoch(uint64_t base_seed, uint32_t epoch);

  // Drops what is in flight and waits for the samples that are being worked on.
  void Stop();

  // Queues a batch; a negative index counts from the set's end. `sources`: of each, where the set
  // has no table. REQUIRES: in_flight() < prefetch. Throws std::out_of_range (nothing is queued)
  // where an index is not in the set, or the allocator's error.
  void Submit(std::vector<int64_t> indices, std::vector<SampleSource> sources = {});
  // Counts a batch's samples as come, without loading them: what a resumed epoch leaves out. Throws
  // std::out_of_range (nothing is counted) where an index is not in the set.
  void Skip(std::vector<int64_t> indices);
  // No Submit follows in this epoch: from now on workers without work are idle, not waiting.
  void EndOfIndices();

  size_t in_flight() const { return in_flight_count_.load(std::memory_order_relaxed); }
  int prefetch() const { return options_.prefetch; }
  pid_t pid() const { return pid_; }  // of the process that the loader belongs to
  Size sample_size() const { return size_; }
  const SampleFormat& format() const { return samples_.format(); }

  // Waits until the oldest batch is complete, but not longer than `timeout`; true if it is.
  // REQUIRES: in_flight() > 0.
  bool WaitReady(std::chrono::milliseconds timeout);
  // The oldest batch; waits for it. REQUIRES: in_flight() > 0. Throws std::bad_alloc, and the batch
  // stays the oldest.
  Batch Next();
  // The samples of the oldest batch that are not finished, by position; at any time.
  std::vector<PendingSample> Pending();

  // Loads one sample in the calling thread, beside what is in flight: into `slot`, of
  // format().SampleBytes(sample_size()), with the numbers that it would have in this epoch. Returns
  // its label. `source`: as in Submit, or null. Not in Stats(). Throws DataError,
  // std::out_of_range, std::invalid_argument for a source too many or missing.
  int64_t LoadInto(int64_t index, uint32_t occurrence, const SampleSource* source, void* slot);

  LoaderStats Stats() const;
  // Nanoseconds that each worker has been at work, in its samples' stages, since construction.
  std::vector<int64_t> WorkNs() const;

 private:
  struct Job;
  struct Located;
  struct Worker;
  class Turn;
  enum class SampleEnd : uint8_t;

  void CheckProcess() const;
  void Cancel();
  void NoMoreIndices();
  void Queue(std::shared_ptr<Job> job);
  void Launch();
  Worker* WorkerToStart();
  bool HasWorkers() const;
  void RunWorker(Worker* worker) noexcept;
  std::shared_ptr<Job> OldestOpen();
  std::shared_ptr<Job> NextJob(Worker* worker);
  bool LoadOne(Job* job, Worker* worker) noexcept;
  SampleEnd LoadAt(Job* job, size_t position, Worker* worker) noexcept;
  Located Locate(int64_t index, const SampleSource* source, Worker* worker) const;
  std::optional<DataError> Load(const SampleKey& key, const SampleSource* source,
                                ReadAheadSlot* ahead, Worker* worker, void* slot) const;
  void ReadAhead(Job* job, size_t position, Worker* worker) noexcept;
  bool GiveBackDescriptors(int attempt);
  void FindWords(Job* job) const;
  void CountOccurrences(const std::vector<int64_t>& indices, uint32_t* before);
  int64_t CheckedIndex(int64_t index) const;
  std::string PathOf(uint64_t index, const SampleSource* source) const;
  bool WaitReadyInTurn(std::chrono::milliseconds timeout);
  StateTimes WorkerTimes(int64_t now_ns) const;
  int ReadyBatches() const;
  bool WorkInline(Job* job, std::chrono::steady_clock::time_point deadline);

  // Constant after construction.
  const SampleSet samples_;
  const LoaderOptions options_;
  const std::shared_ptr<HostAllocator> allocator_;
  const std::shared_ptr<Executor> executor_;
  const std::shared_ptr<DecodeIndex> index_;
  const pid_t pid_;
  const Size size_;
  const size_t sample_bytes_;
  std::vector<std::unique_ptr<Worker>> workers_;

  std::atomic<size_t> read_ahead_;     // samples; it only falls
  std::atomic<bool> has_turn_{false};  // one of the consumer's functions is under way

  // The consumer's own.
  std::deque<std::shared_ptr<Job>> in_flight_;
  std::atomic<size_t> in_flight_count_{0};  // the same, for any thread
  OccurrenceCounter occurrences_;
  std::unique_ptr<Worker> extra_;  // of LoadInto
  uint64_t base_seed_ = 0;
  uint32_t epoch_ = 0;
  BatchWait wait_;      // for the batch that Next will hand over
  bool asked_ = false;  // that batch has been asked for

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
  LoaderStats counts_;  // all that no worker's clock has
};

}  // namespace stoker
