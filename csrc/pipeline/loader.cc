#include "pipeline/loader.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace stoker {
namespace {

SampleSet Checked(SampleSet samples) {
  samples.Check();
  return samples;
}

// How many samples ahead of a worker's own files are opened and asked of the kernel: enough to keep
// a disk's queue busy, and not more than an eighth of the files that the process may open.
size_t ReadAheadSamples(int workers) {
  const auto wanted = static_cast<size_t>(std::min(64, 8 + 2 * workers));
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  return std::min(wanted, static_cast<size_t>(limit.rlim_cur / 8));
}

// A sample that finds no descriptor waits for one so often, so long, before it fails.
constexpr int kDescriptorPauses = 20;
constexpr std::chrono::milliseconds kDescriptorPause{5};

// How long Stop and the destructor wait for another thread to leave the loader.
constexpr std::chrono::seconds kTurnPatience{10};

}  // namespace

// How a sample of a batch is; `kWordless`: it failed, and there was no memory to say more.
enum class Loader::SampleEnd : uint8_t { kPending, kGood, kFailed, kWordless };

// One batch on its way. Shared by the queue, the consumer and the workers on it; a worker's last
// reference may be the one that frees it.
struct Loader::Job {
  Job(std::vector<int64_t> batch_indices, std::vector<SampleSource> batch_sources)
      : indices(std::move(batch_indices)),
        sources(std::move(batch_sources)),
        occurrences(indices.size()),
        ahead(std::make_unique<ReadAheadSlot[]>(indices.size())),
        left(indices.size()),
        ends(std::make_unique<std::atomic<SampleEnd>[]>(indices.size())) {}

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
  std::atomic<size_t> next{0};                           // position to claim
  std::atomic<size_t> left;                              // positions not finished
  const std::unique_ptr<std::atomic<SampleEnd>[]> ends;  // of each position

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
  // Positions that nobody has claimed.
  size_t unclaimed() const {
    return indices.size() - std::min(next.load(std::memory_order_relaxed), indices.size());
  }
  // Nobody claims what nobody has claimed yet.
  void Abandon() { next.store(indices.size(), std::memory_order_relaxed); }
};

// Where a sample's bytes are, and which part it belongs to.
struct Loader::Located {
  const SampleSource& source;
  size_t part;
};

struct Loader::Worker {
  Worker(Loader* loader, int64_t now_ns) : clock(now_ns) {
    const auto make_room = [loader](int attempt) { return loader->GiveBackDescriptors(attempt); };
    for (const SamplePart& part : loader->samples_.parts) {
      by_part.push_back(std::make_unique<SampleWorker>(part.plan, loader->index_, make_room));
    }
  }
  std::vector<std::unique_ptr<SampleWorker>> by_part;
  WorkerClock clock;
  SampleSource source;  // of a table's row
};

// The consumer's turn at the loader, which one thread has at a time.
class Loader::Turn {
 public:
  explicit Turn(Loader* loader) : loader_(loader) {
    loader->CheckProcess();
    if (!loader->has_turn_.exchange(true, std::memory_order_acquire)) return;
    throw std::logic_error(
        "another thread is using this loader's iterator at this moment: an iterator belongs to one "
        "thread at a time");
  }
  // As above, but for a while it waits.
  Turn(Loader* loader, std::chrono::seconds patience) : loader_(loader) {
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (loader->has_turn_.exchange(true, std::memory_order_acquire)) {
      if (std::chrono::steady_clock::now() > deadline) {
        throw std::logic_error("another thread does not leave this loader's iterator");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  ~Turn() { loader_->has_turn_.store(false, std::memory_order_release); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  Loader* const loader_;
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
    workers_.push_back(std::make_unique<Worker>(this, now));
    free_workers_.push_back(workers_.back().get());
  }
  counts_.queue.reserve(static_cast<size_t>(options.prefetch) + 1);
}

Loader::~Loader() {
  if (pid_ == getpid()) {
    Cancel();
    return;
  }
  // In a forked child the workers do not exist, and may have waited on this: it stays behind.
  changed_.release();  // NOLINT(bugprone-unused-return-value)
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
  in_flight_count_.store(0, std::memory_order_relaxed);
  wait_ = {};
  asked_ = false;
}

void Loader::Stop() {
  CheckProcess();
  const Turn turn(this, kTurnPatience);
  Cancel();
  if (index_) index_->Flush();
}

void Loader::StartEpoch(uint64_t base_seed, uint32_t epoch) {
  const Turn turn(this);
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
  const Turn turn(this);
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
    const int64_t label = samples_.table ? samples_.table->label(samples_.RowOf(index)) : 0;
    std::memcpy(static_cast<char*>(job->labels.data()) + i * sizeof label, &label, sizeof label);
  }
  CountOccurrences(job->indices, job->occurrences.data());
  try {
    Queue(job);
  } catch (const std::bad_alloc&) {
    for (const int64_t index : job->indices) occurrences_.TakeBack(static_cast<size_t>(index));
    throw;
  }
  Launch();
}

// Puts a batch into both queues, or into none.
void Loader::Queue(std::shared_ptr<Job> job) {
  Job* const before = in_flight_.empty() ? nullptr : in_flight_.back().get();
  in_flight_.push_back(job);
  try {
    const std::lock_guard<std::mutex> lock(mutex_);
    open_.push_back(job);
    full_ = in_flight_.size() >= static_cast<size_t>(options_.prefetch);
  } catch (const std::bad_alloc&) {
    in_flight_.pop_back();
    throw;
  }
  in_flight_count_.store(in_flight_.size(), std::memory_order_relaxed);
  if (before != nullptr) {
    Job* const next = job.get();
    before->keep_following = std::move(job);
    before->following.store(next, std::memory_order_release);
  }
}

// How often each index has come before, in `before` (null: nobody wants to know). All are counted,
// or none.
void Loader::CountOccurrences(const std::vector<int64_t>& indices, uint32_t* before) {
  size_t i = 0;
  try {
    for (; i < indices.size(); ++i) {
      const uint32_t count = occurrences_.CountBefore(static_cast<size_t>(indices[i]));
      if (before != nullptr) before[i] = count;
    }
  } catch (const std::bad_alloc&) {
    while (i > 0) occurrences_.TakeBack(static_cast<size_t>(indices[--i]));
    throw;
  }
}

void Loader::Skip(std::vector<int64_t> indices) {
  const Turn turn(this);
  for (int64_t& index : indices) index = CheckedIndex(index);
  CountOccurrences(indices, nullptr);
}

void Loader::EndOfIndices() {
  const Turn turn(this);
  const std::lock_guard<std::mutex> lock(mutex_);
  NoMoreIndices();
}

// Workers without work are idle from now on, and not waiting. Under mutex_.
void Loader::NoMoreIndices() {
  more_indices_ = false;
  const int64_t now = NowNs();
  for (Worker* worker : free_workers_) worker->clock.Off(now, OffState::kIdle);
}

// Starts workers until as many run as there are, or as there are samples for, or as the system
// gives threads for. Where it gives none, WaitReady does the work.
void Loader::Launch() {
  while (Worker* const worker = WorkerToStart()) {
    try {
      executor_->Run([this, worker] { RunWorker(worker); });
    } catch (const std::exception&) {  // no more threads, no more memory
      const std::lock_guard<std::mutex> lock(mutex_);
      free_workers_.push_back(worker);
      --running_;
      return;
    }
  }
}

// A worker that there is a sample for, counted as running from now on; or none.
Loader::Worker* Loader::WorkerToStart() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (options_.workers == 0 || free_workers_.empty()) return nullptr;
  // Those that are about to begin have claimed nothing yet.
  auto begun = static_cast<size_t>(running_ - active_);
  const bool work = std::any_of(open_.begin(), open_.end(), [&](const auto& job) {
    const size_t unclaimed = job->unclaimed();
    if (unclaimed > begun) return true;
    begun -= unclaimed;
    return false;
  });
  if (!work) return nullptr;
  Worker* const worker = free_workers_.back();
  free_workers_.pop_back();
  ++running_;
  return worker;
}

bool Loader::HasWorkers() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return running_ > 0;
}

// A task of the executor's.
void Loader::RunWorker(Worker* worker) noexcept {
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
    if (open_.front()->unclaimed() > 0) return open_.front();
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
bool Loader::LoadOne(Job* job, Worker* worker) noexcept {
  const size_t position = job->next.fetch_add(1, std::memory_order_relaxed);
  if (position >= job->indices.size()) return false;
  worker->clock.BeginSample(NowNs());
  ReadAhead(job, position + read_ahead_.load(std::memory_order_relaxed), worker);
  const SampleEnd end = LoadAt(job, position, worker);
  worker->clock.EndSample(job->indices[position]);
  job->ends[position].store(end, std::memory_order_relaxed);
  if (job->left.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    const std::lock_guard<std::mutex> lock(mutex_);
    changed_->notify_all();
  }
  return true;
}

// Loads the sample into its slot; how that ended.
Loader::SampleEnd Loader::LoadAt(Job* job, size_t position, Worker* worker) noexcept {
  try {
    const SampleKey key = job->Key(position);
    std::optional<DataError> error =
        Load(key, job->SourceAt(position), &job->ahead[position], worker,
             static_cast<char*>(job->samples.data()) + position * sample_bytes_);
    if (!error) return SampleEnd::kGood;
    const std::lock_guard<std::mutex> lock(mutex_);
    job->failures.push_back({position, key.occurrence, std::move(*error)});
    return SampleEnd::kFailed;
  } catch (const std::exception&) {  // no memory for the error
    return SampleEnd::kWordless;
  }
}

// Where sample `index` is: in `source`, or, where that is null, in the table.
Loader::Located Loader::Locate(int64_t index, const SampleSource* source, Worker* worker) const {
  if (source != nullptr) return {*source, 0};
  const size_t row = samples_.RowOf(static_cast<size_t>(index));
  samples_.table->PathTo(row, &worker->source.path);
  return {worker->source, samples_.PartOf(row)};
}

// Loads one sample; what went wrong, where something did. Throws where there is no memory to say
// it.
std::optional<DataError> Loader::Load(const SampleKey& key, const SampleSource* source,
                                      ReadAheadSlot* ahead, Worker* worker, void* slot) const {
  const auto index = static_cast<int64_t>(key.index);
  Stage stage = Stage::kRead;
  try {
    const Located at = Locate(index, source, worker);
    stage = Stage::kTransform;
    worker->by_part[at.part]->LoadSample(at.source, key, ahead, &worker->clock, slot);
    return std::nullopt;
  } catch (const DataError& e) {
    return e;
  } catch (const std::bad_alloc&) {
    return DataError(index, PathOf(key.index, source), stage, "out of memory");
  } catch (const std::exception& e) {
    return DataError(index, PathOf(key.index, source), stage, e.what());
  }
}

std::string Loader::PathOf(uint64_t index, const SampleSource* source) const {
  return source != nullptr ? source->path : samples_.table->Path(samples_.RowOf(index));
}

// Opens the file at `position`, counted on into the following jobs. What fails here comes again at
// the sample's turn.
void Loader::ReadAhead(Job* job, size_t position, Worker* worker) noexcept {
  while (job != nullptr && position >= job->indices.size()) {
    position -= job->indices.size();
    job = job->following.load(std::memory_order_acquire);
  }
  if (job == nullptr || read_ahead_.load(std::memory_order_relaxed) == 0) return;
  try {
    const Located at = Locate(job->indices[position], job->SourceAt(position), worker);
    if (at.source.bytes) return;
    SampleWorker& sample = *worker->by_part[at.part];
    if (!sample.ReadAhead(at.source.path, job->Key(position), &job->ahead[position])) {
      read_ahead_.store(read_ahead_.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
    }
  } catch (const std::exception&) {  // no memory
    return;
  }
}

// Where a sample finds no descriptor left: gives back those that read-ahead holds, and looks less
// far ahead from now on. When there are none of these, other workers have them, and soon will not.
bool Loader::GiveBackDescriptors(int attempt) {
  read_ahead_.store(read_ahead_.load(std::memory_order_relaxed) / 2, std::memory_order_relaxed);
  bool some = false;
  bool others = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    others = active_ > 1;
    for (const auto& job : open_) {
      for (size_t i = job->indices.size() - job->unclaimed(); i < job->indices.size(); ++i) {
        some = job->ahead[i].Take().valid() || some;
      }
    }
  }
  if (some) return true;
  if (!others || attempt >= kDescriptorPauses) return false;
  std::this_thread::sleep_for(kDescriptorPause);
  return true;
}

// With no workers, or no thread for any: the consumer's thread works on `job` until it is done or
// the time is up.
bool Loader::WorkInline(Job* job, std::chrono::steady_clock::time_point deadline) {
  Worker* worker = workers_.front().get();  // it does not run, as none does
  worker->clock.Begin(NowNs());
  while (!job->done() && std::chrono::steady_clock::now() < deadline && LoadOne(job, worker)) {
  }
  const int64_t now = NowNs();
  worker->clock.NoteUsage(now);
  worker->clock.End(now, OffState::kIdle);
  return job->done();
}

bool Loader::WaitReady(std::chrono::milliseconds timeout) {
  const Turn turn(this);
  return WaitReadyInTurn(timeout);
}

bool Loader::WaitReadyInTurn(std::chrono::milliseconds timeout) {
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
  if (!HasWorkers() && !job->done()) Launch();  // the system may give a thread by now
  if (!HasWorkers()) {
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
  const Turn turn(this);
  while (!WaitReadyInTurn(std::chrono::hours(1))) {
  }
  const std::shared_ptr<Job> job = in_flight_.front();
  const std::lock_guard<std::mutex> lock(mutex_);
  FindWords(job.get());
  std::vector<int64_t> indices = job->indices;
  // From here on nothing fails.
  in_flight_.pop_front();
  in_flight_count_.store(in_flight_.size(), std::memory_order_relaxed);
  OldestOpen();  // drops what is all claimed
  const BatchWait wait = std::exchange(wait_, {});
  for (size_t s = 0; s < wait.blame.size(); ++s) counts_.blame_ns[s] += wait.blame[s];
  counts_.queue.resize(static_cast<size_t>(options_.prefetch) + 1);
  ++counts_.queue[static_cast<size_t>(wait.ready)];
  asked_ = false;
  full_ = false;
  ++counts_.batches;
  if (!job->failures.empty()) ++counts_.failed_batches;
  counts_.samples += job->indices.size() - job->failures.size();
  return {job->indices.size(), std::move(job->samples),  std::move(job->labels),
          std::move(indices),  std::move(job->failures), wait};
}

// Says of each sample that failed what went wrong, in order. Under mutex_.
void Loader::FindWords(Job* job) const {
  for (size_t i = 0; i < job->indices.size(); ++i) {
    if (job->ends[i].load(std::memory_order_relaxed) != SampleEnd::kWordless) continue;
    DataError error(job->indices[i], PathOf(job->Key(i).index, job->SourceAt(i)), Stage::kRead,
                    "out of memory");
    job->failures.push_back({i, job->occurrences[i], std::move(error)});
    job->ends[i].store(SampleEnd::kFailed, std::memory_order_relaxed);
  }
  std::sort(job->failures.begin(), job->failures.end(),
            [](const auto& a, const auto& b) { return a.position < b.position; });
}

std::vector<PendingSample> Loader::Pending() {
  const Turn turn(this);
  std::vector<PendingSample> pending;
  if (in_flight_.empty()) return pending;
  const Job& job = *in_flight_.front();
  for (size_t i = 0; i < job.indices.size(); ++i) {
    if (job.ends[i].load(std::memory_order_relaxed) != SampleEnd::kPending) continue;
    pending.push_back({job.indices[i], PathOf(job.Key(i).index, job.SourceAt(i))});
  }
  return pending;
}

int64_t Loader::LoadInto(int64_t index, uint32_t occurrence, const SampleSource* source,
                         void* slot) {
  const Turn turn(this);
  if ((source == nullptr) != (samples_.table != nullptr)) {
    throw std::invalid_argument("a source must come with a sample where there is no table");
  }
  index = CheckedIndex(index);
  const SampleKey key{base_seed_, epoch_, static_cast<uint64_t>(index), occurrence};
  if (!extra_) extra_ = std::make_unique<Worker>(this, NowNs());
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
