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

SampleSet Checked(SampleSet samples) {
  samples.Check();
  return samples;
}

// How many samples ahead of a worker's own files are opened and asked of the kernel: enough to keep
// a disk's queue busy, few enough for the limit on open files.
size_t ReadAheadSamples(int workers) { return static_cast<size_t>(std::min(64, 8 + 2 * workers)); }

}  // namespace

// One batch on its way. Shared by the queue, the consumer and the workers on it; a worker's last
// reference may be the one that frees it.
struct Loader::Job {
  Job(std::vector<int64_t> batch_indices, std::vector<SampleSource> batch_sources)
      : indices(std::move(batch_indices)),
        sources(std::move(batch_sources)),
        occurrences(indices.size()),
        ahead(std::make_unique<ReadAheadSlot[]>(indices.size())),
        left(indices.size()),
        finished(std::make_unique<std::atomic<bool>[]>(indices.size())) {}

  // Constant after Submit.
  const std::vector<int64_t> indices;
  const std::vector<SampleSource> sources;  // empty, or one for each index
  std::vector<uint32_t> occurrences;
  uint64_t base_seed = 0;
  uint32_t epoch = 0;

  // Each slot is written by the worker that claimed it; `left` publishes them to the consumer.
  HostBlock samples;
  HostBlock labels;
  const std::unique_ptr<ReadAheadSlot[]> ahead;
  std::atomic<size_t> next{0};                          // position to claim
  std::atomic<size_t> left;                             // positions not finished
  const std::unique_ptr<std::atomic<bool>[]> finished;  // of each position

  // The job behind this one, for read-ahead. `following` is what workers look at; `keep_following`
  // is set once, before it, and keeps that job alive.
  std::shared_ptr<Job> keep_following;
  std::atomic<Job*> following{nullptr};

  // Guarded by the loader's mutex_.
  std::vector<SampleFailure> failures;

  const SampleSource* SourceAt(size_t position) const {
    return sources.empty() ? nullptr : &sources[position];
  }
  SampleKey Key(size_t position) const {
    return {base_seed, epoch, static_cast<uint64_t>(indices[position]), occurrences[position]};
  }
  bool done() const { return left.load(std::memory_order_acquire) == 0; }
  // Nobody claims what nobody has claimed yet.
  void Abandon() { next.store(indices.size(), std::memory_order_relaxed); }
};

// Where a sample's bytes are, and which part it belongs to.
struct Loader::Located {
  const SampleSource& source;
  size_t part;
};

struct Loader::Worker {
  Worker(const SampleSet& samples, const std::shared_ptr<DecodeIndex>& index, int64_t now_ns)
      : clock(now_ns) {
    for (const SamplePart& part : samples.parts) {
      by_part.push_back(std::make_unique<SampleWorker>(part.plan, index));
    }
  }
  std::vector<std::unique_ptr<SampleWorker>> by_part;
  WorkerClock clock;
  SampleSource source;  // of a table's row
};

Loader::Loader(SampleSet samples, const LoaderOptions& options,
               std::shared_ptr<HostAllocator> allocator, std::shared_ptr<Executor> executor,
               std::shared_ptr<DecodeIndex> index)
    : samples_(Checked(std::move(samples))),
      options_(options),
      allocator_(std::move(allocator)),
      executor_(std::move(executor)),
      index_(std::move(index)),
      pid_(getpid()),
      size_(samples_.FixedSize()),
      sample_bytes_(samples_.format().SampleBytes(size_)),
      read_ahead_(ReadAheadSamples(options.workers)) {
  if (options.workers < 0) throw std::invalid_argument("workers must not be negative");
  if (options.prefetch < 1) throw std::invalid_argument("prefetch must be at least 1");
  if (options.workers > 0 && !executor_) throw std::invalid_argument("workers need an executor");
  const int64_t now = NowNs();
  for (int i = 0; i < std::max(1, options.workers); ++i) {
    workers_.push_back(std::make_unique<Worker>(samples_, index_, now));
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
  NoMoreIndices();
  full_ = false;
  changed_->wait(lock, [this] { return running_ == 0; });
  in_flight_.clear();
  wait_ = {};
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
  occurrences_.Reset(samples_.size);
  if (index_) {
    index_->Flush();
    index_->Refresh();  // other processes may have added to it
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  more_indices_ = true;
}

int64_t Loader::CheckedIndex(int64_t index) const {
  const auto size = static_cast<int64_t>(samples_.size);
  if (index < -size || index >= size) {
    throw std::out_of_range("the sampler gave index " + std::to_string(index) +
                            ", but the data set has " + std::to_string(size) + " samples");
  }
  return index < 0 ? index + size : index;
}

void Loader::Submit(std::vector<int64_t> indices, std::vector<SampleSource> sources) {
  CheckProcess();
  if (in_flight_.size() >= static_cast<size_t>(options_.prefetch)) {
    throw std::logic_error("more batches submitted than may be in flight");
  }
  if (sources.size() != (samples_.table ? 0 : indices.size())) {
    throw std::invalid_argument("sources must come with each sample where there is no table");
  }
  for (int64_t& index : indices) index = CheckedIndex(index);
  const auto job = std::make_shared<Job>(std::move(indices), std::move(sources));
  const size_t count = job->indices.size();
  job->base_seed = base_seed_;
  job->epoch = epoch_;
  job->samples = allocator_->Allocate(std::max<size_t>(1, count * sample_bytes_));
  job->labels = allocator_->Allocate(std::max<size_t>(1, count * sizeof(int64_t)));
  for (size_t i = 0; i < count; ++i) {
    const auto index = static_cast<size_t>(job->indices[i]);
    job->occurrences[i] = occurrences_.CountBefore(index);
    const int64_t label = samples_.table ? samples_.table->label(samples_.RowOf(index)) : 0;
    std::memcpy(static_cast<char*>(job->labels.data()) + i * sizeof label, &label, sizeof label);
  }
  if (!in_flight_.empty()) {
    in_flight_.back()->keep_following = job;
    in_flight_.back()->following.store(job.get(), std::memory_order_release);
  }
  in_flight_.push_back(job);
  std::unique_lock<std::mutex> lock(mutex_);
  full_ = in_flight_.size() >= static_cast<size_t>(options_.prefetch);
  if (options_.workers > 0 && count > 0) {
    open_.push_back(job);
    Launch(&lock);
  }
}

void Loader::Skip(std::vector<int64_t> indices) {
  CheckProcess();
  for (int64_t& index : indices) index = CheckedIndex(index);
  for (const int64_t index : indices) occurrences_.CountBefore(static_cast<size_t>(index));
}

void Loader::EndOfIndices() {
  CheckProcess();
  const std::lock_guard<std::mutex> lock(mutex_);
  NoMoreIndices();
}

// Workers without work are idle from now on, and not waiting. Under mutex_.
void Loader::NoMoreIndices() {
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

// The oldest job with samples to claim. Under mutex_.
std::shared_ptr<Loader::Job> Loader::OldestOpen() {
  while (!open_.empty()) {
    if (open_.front()->next.load(std::memory_order_relaxed) < open_.front()->indices.size()) {
      return open_.front();
    }
    open_.pop_front();
  }
  return nullptr;
}

// The oldest job with samples to claim; none: the worker stops.
std::shared_ptr<Loader::Job> Loader::NextJob(Worker* worker) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (std::shared_ptr<Job> job = OldestOpen()) return job;
  lock.unlock();
  worker->clock.NoteUsage(NowNs());  // may cost the core, while nobody waits for the lock
  lock.lock();
  if (std::shared_ptr<Job> job = OldestOpen()) return job;
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
  worker->clock.BeginSample(NowNs());
  ReadAhead(job, position + read_ahead_, worker);
  const SampleKey key = job->Key(position);
  std::optional<DataError> error =
      Load(key, job->SourceAt(position), &job->ahead[position], worker,
           static_cast<char*>(job->samples.data()) + position * sample_bytes_);
  worker->clock.EndSample(job->indices[position]);
  if (error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    job->failures.push_back({position, key.occurrence, std::move(*error)});
  }
  job->finished[position].store(true, std::memory_order_relaxed);
  if (job->left.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    const std::lock_guard<std::mutex> lock(mutex_);
    changed_->notify_all();
  }
  return true;
}

// Where sample `index` is: in `source`, or, where that is null, in the table.
Loader::Located Loader::Locate(int64_t index, const SampleSource* source, Worker* worker) const {
  if (source != nullptr) return {*source, 0};
  const size_t row = samples_.RowOf(static_cast<size_t>(index));
  samples_.table->PathTo(row, &worker->source.path);
  return {worker->source, samples_.PartOf(row)};
}

// Loads one sample; what went wrong, where something did.
std::optional<DataError> Loader::Load(const SampleKey& key, const SampleSource* source,
                                      ReadAheadSlot* ahead, Worker* worker, void* slot) const {
  const Located at = Locate(static_cast<int64_t>(key.index), source, worker);
  try {
    worker->by_part[at.part]->LoadSample(at.source, key, ahead, &worker->clock, slot);
  } catch (const DataError& e) {
    return e;
  } catch (const std::exception& e) {
    return DataError(static_cast<int64_t>(key.index), at.source.path, Stage::kTransform, e.what());
  }
  return std::nullopt;
}

// Opens the file at `position`, counted on into the following jobs.
void Loader::ReadAhead(Job* job, size_t position, Worker* worker) const {
  while (job != nullptr && position >= job->indices.size()) {
    position -= job->indices.size();
    job = job->following.load(std::memory_order_acquire);
  }
  if (job == nullptr) return;
  const Located at = Locate(job->indices[position], job->SourceAt(position), worker);
  if (at.source.bytes) return;
  worker->by_part[at.part]->ReadAhead(at.source.path, job->Key(position), &job->ahead[position]);
}

// With no workers: the consumer's thread works on `job` until it is done or the time is up.
bool Loader::WorkInline(Job* job, std::chrono::steady_clock::time_point deadline) {
  Worker* worker = workers_.front().get();
  worker->clock.Begin(NowNs());
  while (!job->done() && std::chrono::steady_clock::now() < deadline && LoadOne(job, worker)) {
  }
  const int64_t now = NowNs();
  worker->clock.NoteUsage(now);
  worker->clock.End(now, OffState::kIdle);
  return job->done();
}

bool Loader::WaitReady(std::chrono::milliseconds timeout) {
  CheckProcess();
  if (in_flight_.empty()) throw std::logic_error("no batch is in flight");
  Job* job = in_flight_.front().get();
  if (!asked_) {
    asked_ = true;
    wait_.ready = ReadyBatches();
  }
  if (job->done()) return true;
  const int64_t begin = NowNs();
  const StateTimes before = WorkerTimes(begin);
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  bool ready = false;
  if (options_.workers == 0) {
    ready = WorkInline(job, deadline);
  } else {
    std::unique_lock<std::mutex> lock(mutex_);
    ready = changed_->wait_until(lock, deadline, [job] { return job->done(); });
  }
  const int64_t end = NowNs();
  const StateTimes after = WorkerTimes(end);
  wait_.wait_ns += end - begin;
  for (size_t s = 0; s < after.size(); ++s) wait_.blame[s] += after[s] - before[s];
  return ready;
}

// The batches that are complete, if all before them are: what the consumer could take at once.
int Loader::ReadyBatches() const {
  int ready = 0;
  for (const auto& job : in_flight_) {
    if (!job->done()) break;
    ++ready;
  }
  return ready;
}

// Over all workers.
StateTimes Loader::WorkerTimes(int64_t now_ns) const {
  StateTimes sum{};
  for (const auto& worker : workers_) {
    const StateTimes times = worker->clock.Times(now_ns);
    for (size_t s = 0; s < sum.size(); ++s) sum[s] += times[s];
  }
  return sum;
}

Batch Loader::Next() {
  while (!WaitReady(std::chrono::hours(1))) {
  }
  const std::shared_ptr<Job> job = std::move(in_flight_.front());
  in_flight_.pop_front();
  const std::lock_guard<std::mutex> lock(mutex_);
  const BatchWait wait = std::exchange(wait_, {});
  for (size_t s = 0; s < wait.blame.size(); ++s) counts_.blame_ns[s] += wait.blame[s];
  counts_.queue.resize(static_cast<size_t>(options_.prefetch) + 1);
  ++counts_.queue[static_cast<size_t>(wait.ready)];
  asked_ = false;
  full_ = false;
  ++counts_.batches;
  if (!job->failures.empty()) ++counts_.failed_batches;
  counts_.samples += job->indices.size() - job->failures.size();
  std::sort(job->failures.begin(), job->failures.end(),
            [](const auto& a, const auto& b) { return a.position < b.position; });
  return {job->indices.size(), std::move(job->samples),  std::move(job->labels),
          job->indices,        std::move(job->failures), wait};
}

std::vector<PendingSample> Loader::Pending() const {
  CheckProcess();
  std::vector<PendingSample> pending;
  if (in_flight_.empty()) return pending;
  const Job& job = *in_flight_.front();
  for (size_t i = 0; i < job.indices.size(); ++i) {
    if (job.finished[i].load(std::memory_order_relaxed)) continue;
    const auto index = static_cast<size_t>(job.indices[i]);
    const SampleSource* source = job.SourceAt(i);
    pending.push_back({job.indices[i], source != nullptr
                                           ? source->path
                                           : samples_.table->Path(samples_.RowOf(index))});
  }
  return pending;
}

int64_t Loader::LoadInto(int64_t index, uint32_t occurrence, const SampleSource* source,
                         void* slot) {
  CheckProcess();
  if ((source == nullptr) != (samples_.table != nullptr)) {
    throw std::invalid_argument("a source must come with a sample where there is no table");
  }
  index = CheckedIndex(index);
  const SampleKey key{base_seed_, epoch_, static_cast<uint64_t>(index), occurrence};
  if (!extra_) extra_ = std::make_unique<Worker>(samples_, index_, NowNs());
  extra_->clock.BeginSample(NowNs());
  ReadAheadSlot nothing;
  std::optional<DataError> error = Load(key, source, &nothing, extra_.get(), slot);
  if (error) throw DataError(std::move(*error));
  return samples_.table ? samples_.table->label(samples_.RowOf(key.index)) : 0;
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
    worker->clock.usage().AddTo(&stats.usage);
    worker->clock.slow_samples().AddTo(&stats.slow_samples);
    for (const auto& sample : worker->by_part) sample->index_counter().AddTo(&stats.index);
  }
  const StateTimes times = WorkerTimes(now);
  stats.waiting_ns = times[StateOf(OffState::kWaiting)];
  stats.idle_ns = times[StateOf(OffState::kIdle)];
  KeepSlowest(&stats.slow_samples, SlowSamples::kKept);
  if (samples_.table) {
    for (SlowSample& slow : stats.slow_samples) {
      slow.path = samples_.table->Path(samples_.RowOf(static_cast<size_t>(slow.index)));
    }
  }
  return stats;
}

std::vector<int64_t> Loader::WorkNs() const {
  CheckProcess();
  const int64_t now = NowNs();
  std::vector<int64_t> work;
  work.reserve(workers_.size());
  for (const auto& worker : workers_) work.push_back(worker->clock.WorkNs(now));
  return work;
}

}  // namespace stoker
