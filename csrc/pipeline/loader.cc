#include "pipeline/loader.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace stoker {
namespace {

Size RequireFixedSize(const SamplePlan& plan) {
  const auto size = plan.FixedSize();
  if (!size) {
    throw std::invalid_argument(
        "the transforms leave samples of different sizes, which cannot share a batch: add a crop, "
        "or a Resize with height and width");
  }
  return *size;
}

// How many samples ahead of a worker's own files are opened and asked of the kernel: enough to keep
// a disk's queue busy, few enough for the limit on open files.
size_t ReadAheadSamples(int workers) { return static_cast<size_t>(std::min(64, 8 + 2 * workers)); }

}  // namespace

// One batch on its way. Shared by the queue, the consumer and the workers on it; a worker's last
// reference may be the one that frees it.
struct Loader::Job {
  explicit Job(std::vector<int64_t> batch_indices)
      : indices(std::move(batch_indices)),
        occurrences(indices.size()),
        ahead(std::make_unique<ReadAheadSlot[]>(indices.size())),
        left(indices.size()) {}

  // Constant after Submit.
  const std::vector<int64_t> indices;
  std::vector<uint32_t> occurrences;
  uint64_t base_seed = 0;
  uint32_t epoch = 0;

  // Each slot is written by the worker that claimed it; `left` publishes them to the consumer.
  HostBlock samples;
  HostBlock labels;
  const std::unique_ptr<ReadAheadSlot[]> ahead;
  std::atomic<size_t> next{0};  // position to claim
  std::atomic<size_t> left;     // positions not finished

  // The job behind this one, for read-ahead. `following` is what workers look at; `keep_following`
  // is set once, before it, and keeps that job alive.
  std::shared_ptr<Job> keep_following;
  std::atomic<Job*> following{nullptr};

  // Guarded by the loader's mutex_.
  std::optional<DataError> error;
  size_t error_position = 0;

  SampleKey Key(size_t position) const {
    return {base_seed, epoch, static_cast<uint64_t>(indices[position]), occurrences[position]};
  }
  bool done() const { return left.load(std::memory_order_acquire) == 0; }
  // Nobody claims what nobody has claimed yet.
  void Abandon() { next.store(indices.size(), std::memory_order_relaxed); }
};

struct Loader::Worker {
  Worker(const SamplePlan& plan, std::shared_ptr<DecodeIndex> index, int64_t now_ns)
      : sample(plan, std::move(index)), clock(now_ns) {}
  SampleWorker sample;
  WorkerClock clock;
};

Loader::Loader(std::shared_ptr<const SampleTable> table, const SamplePlan& plan,
               const LoaderOptions& options, std::shared_ptr<HostAllocator> allocator,
               std::shared_ptr<Executor> executor, std::shared_ptr<DecodeIndex> index)
    : table_(std::move(table)),
      plan_(plan),
      options_(options),
      allocator_(std::move(allocator)),
      executor_(std::move(executor)),
      index_(std::move(index)),
      pid_(getpid()),
      size_(RequireFixedSize(plan)),
      sample_bytes_(plan.format.SampleBytes(size_)),
      read_ahead_(ReadAheadSamples(options.workers)) {
  if (options.workers < 0) throw std::invalid_argument("workers must not be negative");
  if (options.prefetch < 1) throw std::invalid_argument("prefetch must be at least 1");
  if (options.workers > 0 && !executor_) throw std::invalid_argument("workers need an executor");
  const int64_t now = NowNs();
  for (int i = 0; i < std::max(1, options.workers); ++i) {
    workers_.push_back(std::make_unique<Worker>(plan_, index_, now));
    free_workers_.push_back(workers_.back().get());
  }
}

Loader::~Loader() {
  if (pid_ == getpid()) {
    Cancel();
    return;
  }
  // In a forked child the workers do not exist, so nothing that they may have waited on can be
  // destroyed: these two stay behind.
  changed_.release();  // NOLINT(bugprone-unused-return-value)
  static auto& left_behind = *new std::vector<std::shared_ptr<Executor>>;
  left_behind.push_back(executor_);
}

void Loader::CheckProcess() const {
  if (pid_ != getpid()) {
    throw std::logic_error(
        "this loader's iterator was inherited over a fork, and its workers exist in the parent "
        "process only; make a new iterator (or loader) in this process");
  }
}

void Loader::Cancel() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (const auto& job : in_flight_) job->Abandon();
  open_.clear();
  more_indices_ = full_ = false;
  changed_->wait(lock, [this] { return running_ == 0; });
  in_flight_.clear();
  wait_ns_ = 0;
  asked_ = false;
}

void Loader::Stop() {
  CheckProcess();
  Cancel();
  if (index_) index_->Flush();
}

void Loader::StartEpoch(uint64_t base_seed, uint32_t epoch) {
  CheckProcess();
  Cancel();
  base_seed_ = base_seed;
  epoch_ = epoch;
  occurrences_.Reset(table_->size());
  if (index_) {
    index_->Flush();
    index_->Refresh();  // other processes may have added to it
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  more_indices_ = true;
}

void Loader::Submit(std::vector<int64_t> indices) {
  CheckProcess();
  if (in_flight_.size() >= static_cast<size_t>(options_.prefetch)) {
    throw std::logic_error("more batches submitted than may be in flight");
  }
  const auto size = static_cast<int64_t>(table_->size());
  for (int64_t& index : indices) {
    if (index < -size || index >= size) {
      throw std::out_of_range("the sampler gave index " + std::to_string(index) +
                              ", but the data set has " + std::to_string(size) + " samples");
    }
    if (index < 0) index += size;
  }
  const auto job = std::make_shared<Job>(std::move(indices));
  const size_t count = job->indices.size();
  job->base_seed = base_seed_;
  job->epoch = epoch_;
  job->samples = allocator_->Allocate(std::max<size_t>(1, count * sample_bytes_));
  job->labels = allocator_->Allocate(std::max<size_t>(1, count * sizeof(int64_t)));
  for (size_t i = 0; i < count; ++i) {
    const auto index = static_cast<size_t>(job->indices[i]);
    job->occurrences[i] = occurrences_.CountBefore(index);
    const int64_t label = table_->label(index);
    std::memcpy(static_cast<char*>(job->labels.data()) + i * sizeof label, &label, sizeof label);
  }
  if (!in_flight_.empty()) {
    in_flight_.back()->keep_following = job;
    in_flight_.back()->following.store(job.get(), std::memory_order_release);
  }
  in_flight_.push_back(job);
  std::unique_lock<std::mutex> lock(mutex_);
  if (first_submit_ns_ == 0) first_submit_ns_ = NowNs();
  full_ = in_flight_.size() >= static_cast<size_t>(options_.prefetch);
  if (options_.workers > 0 && count > 0) {
    open_.push_back(job);
    Launch(&lock);
  }
}

void Loader::EndOfIndices() {
  CheckProcess();
  const std::lock_guard<std::mutex> lock(mutex_);
  more_indices_ = false;
  const int64_t now = NowNs();
  for (Worker* worker : free_workers_) worker->clock.Off(now, OffState::kIdle);
}

// Starts workers until as many run as there are, or as there are samples for. Unlocks.
void Loader::Launch(std::unique_lock<std::mutex>* lock) {
  size_t unclaimed = 0;
  for (const auto& job : open_) {
    const size_t next = job->next.load(std::memory_order_relaxed);
    unclaimed += job->indices.size() - std::min(next, job->indices.size());
  }
  std::vector<Worker*> start;
  while (!free_workers_.empty() && start.size() < unclaimed) {
    start.push_back(free_workers_.back());
    free_workers_.pop_back();
  }
  running_ += static_cast<int>(start.size());
  lock->unlock();
  for (Worker* worker : start) {
    executor_->Run([this, worker] { RunWorker(worker); });
  }
}

void Loader::RunWorker(Worker* worker) {
  worker->clock.Begin(NowNs());
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ++active_;
    counts_.max_running = std::max(counts_.max_running, active_);
  }
  while (const std::shared_ptr<Job> job = NextJob(worker)) {
    while (LoadOne(job.get(), worker)) {
    }
  }
  // NextJob has given the worker back: the loader may be gone by now.
}

// The oldest job with samples to claim; none: the worker stops.
std::shared_ptr<Loader::Job> Loader::NextJob(Worker* worker) {
  const std::lock_guard<std::mutex> lock(mutex_);
  while (!open_.empty()) {
    if (open_.front()->next.load(std::memory_order_relaxed) < open_.front()->indices.size()) {
      return open_.front();
    }
    open_.pop_front();
  }
  worker->clock.End(NowNs(), full_ && more_indices_ ? OffState::kWaiting : OffState::kIdle);
  free_workers_.push_back(worker);
  --active_;
  --running_;
  // Notified under the lock: whoever waits for the last worker may destroy the loader.
  changed_->notify_all();
  return nullptr;
}

// Claims and loads one sample; false: none left to claim.
bool Loader::LoadOne(Job* job, Worker* worker) {
  const size_t position = job->next.fetch_add(1, std::memory_order_relaxed);
  if (position >= job->indices.size()) return false;
  worker->clock.Mark(NowNs());
  ReadAhead(job, position + read_ahead_, worker);
  const SampleKey key = job->Key(position);
  std::optional<DataError> error;
  try {
    worker->sample.LoadSample(*table_, key, &job->ahead[position], &worker->clock,
                              static_cast<char*>(job->samples.data()) + position * sample_bytes_);
  } catch (const DataError& e) {
    error = e;
  } catch (const std::exception& e) {
    error.emplace(static_cast<int64_t>(key.index), table_->Path(key.index), Stage::kTransform,
                  e.what());
  }
  if (error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!job->error || position < job->error_position) {
      job->error = std::move(error);
      job->error_position = position;
    }
  }
  if (job->left.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    const std::lock_guard<std::mutex> lock(mutex_);
    changed_->notify_all();
  }
  return true;
}

// Opens the file at `position`, counted on into the following jobs.
void Loader::ReadAhead(Job* job, size_t position, Worker* worker) const {
  while (job != nullptr && position >= job->indices.size()) {
    position -= job->indices.size();
    job = job->following.load(std::memory_order_acquire);
  }
  if (job == nullptr) return;
  worker->sample.ReadAhead(*table_, job->Key(position), &job->ahead[position]);
}

// With no workers: the consumer's thread works on `job` until it is done or the time is up.
bool Loader::WorkInline(Job* job, std::chrono::steady_clock::time_point deadline) {
  Worker* worker = workers_.front().get();
  worker->clock.Begin(NowNs());
  while (!job->done() && std::chrono::steady_clock::now() < deadline && LoadOne(job, worker)) {
  }
  worker->clock.End(NowNs(), OffState::kIdle);
  return job->done();
}

bool Loader::WaitReady(std::chrono::milliseconds timeout) {
  CheckProcess();
  if (in_flight_.empty()) throw std::logic_error("no batch is in flight");
  Job* job = in_flight_.front().get();
  if (!asked_) {
    asked_ = true;
    was_ready_ = job->done();
  }
  const int64_t begin = NowNs();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  bool ready = job->done();
  if (!ready && options_.workers == 0) {
    ready = WorkInline(job, deadline);
  } else if (!ready) {
    std::unique_lock<std::mutex> lock(mutex_);
    ready = changed_->wait_until(lock, deadline, [job] { return job->done(); });
  }
  wait_ns_ += NowNs() - begin;
  return ready;
}

Batch Loader::Next() {
  while (!WaitReady(std::chrono::hours(1))) {
  }
  const std::shared_ptr<Job> job = std::move(in_flight_.front());
  in_flight_.pop_front();
  const std::lock_guard<std::mutex> lock(mutex_);
  consumer_wait_.Record(wait_ns_);
  wait_ns_ = 0;
  asked_ = false;
  full_ = false;
  if (counts_.first_batch_ns == 0) counts_.first_batch_ns = NowNs() - first_submit_ns_;
  if (was_ready_) ++counts_.ready_at_request;
  ++counts_.batches;
  if (job->error) {
    ++counts_.failed_batches;
    throw DataError(std::move(*job->error));
  }
  counts_.samples += job->indices.size();
  return {job->indices.size(), std::move(job->samples), std::move(job->labels), job->indices};
}

LoaderStats Loader::Stats() const {
  CheckProcess();
  LoaderStats stats;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats = counts_;
  }
  const int64_t now = NowNs();
  for (const auto& worker : workers_) {
    for (int s = 0; s < kStageCount; ++s) {
      worker->clock.AddStageTo(static_cast<Stage>(s), &stats.stages[static_cast<size_t>(s)]);
    }
    stats.waiting_ns += worker->clock.OffNs(OffState::kWaiting, now);
    stats.idle_ns += worker->clock.OffNs(OffState::kIdle, now);
    worker->sample.index_counter().AddTo(&stats.index);
  }
  consumer_wait_.AddTo(&stats.consumer_wait);
  return stats;
}

void LoaderStats::Add(const LoaderStats& other) {
  for (size_t s = 0; s < stages.size(); ++s) stages[s].Add(other.stages[s]);
  waiting_ns += other.waiting_ns;
  idle_ns += other.idle_ns;
  consumer_wait.Add(other.consumer_wait);
  if (first_batch_ns == 0) first_batch_ns = other.first_batch_ns;
  batches += other.batches;
  samples += other.samples;
  failed_batches += other.failed_batches;
  ready_at_request += other.ready_at_request;
  max_running = std::max(max_running, other.max_running);
  index.Add(other.index);
}

}  // namespace stoker
