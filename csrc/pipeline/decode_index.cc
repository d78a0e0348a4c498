#include "pipeline/decode_index.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <utility>

namespace stoker {
namespace {

constexpr size_t kMaxPortionBytes = size_t{64} << 20;
// File systems count time in steps, the coarsest common ones of two seconds.
constexpr int64_t kSettledNs = 2'000'000'000;

bool ChangedAMomentAgo(const FileIdentity& file) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::nanoseconds(now).count() - file.mtime_ns < kSettledNs;
}

}  // namespace

DecodeIndex::DecodeIndex(DecodeIndexOptions options)
    : options_(std::move(options)),
      pid_(getpid()),
      recording_(options_.record && options_.key && !options_.sources.empty()),
      readers_(options_.sources.size()),
      states_(options_.sources.size(), IndexState::kMissing),
      portion_bytes_(options_.portion_bytes),
      problem_(options_.key ? "" : options_.no_key) {
  Refresh();
}

DecodeIndex::~DecodeIndex() {
  if (pid_ != getpid()) {
    // The thread exists in the parent only.
    writer_.release();  // NOLINT(bugprone-unused-return-value)
    return;
  }
  Flush(/*wait=*/true);
}

// In an index whose root lies above the samples', names begin with the way from there.
void DecodeIndex::NameOf(std::string_view path, const IndexSource& source,
                         std::string* name) const {
  const std::string& root = options_.samples_root;
  name->clear();
  const bool ends =
      root.empty() || root.back() == '/' || (path.size() > root.size() && path[root.size()] == '/');
  const bool absolute = !path.empty() && path.front() == '/';
  if (ends && path.substr(0, root.size()) == root && !(root.empty() && absolute)) {
    path.remove_prefix(root.size());
    while (!path.empty() && path.front() == '/') path.remove_prefix(1);
    name->append(source.prefix);
  }
  name->append(path);
}

void DecodeIndex::Update(Cursor* cursor) const {
  if (cursor->generation == generation_.load(std::memory_order_acquire)) return;
  if (pid_ != getpid()) {
    // A thread of the parent may have held the mutex at the fork, and will never release it here.
    std::vector<IndexState> states;
    cursor->readers = OpenSources(&states);
    cursor->generation = generation_.load(std::memory_order_relaxed);
    return;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  cursor->generation = generation_.load(std::memory_order_relaxed);
  cursor->readers = readers_;
}

bool DecodeIndex::Find(std::string_view path, const FileIdentity& file, Cursor* cursor,
                       Checkpoints* checkpoints) const {
  if (!options_.key) return false;
  Update(cursor);
  for (size_t i = 0; i < cursor->readers.size(); ++i) {
    if (!cursor->readers[i]) continue;
    NameOf(path, options_.sources[i], &cursor->name);
    if (!cursor->readers[i]->Find(HashName(cursor->name), file, &cursor->scratch)) continue;
    const std::vector<uint8_t>& payload = cursor->scratch.payload;
    if (checkpoints->Unpack({payload.data(), payload.size()})) return true;
  }
  return false;
}

bool DecodeIndex::HasOthersEntry(std::string_view path, const FileIdentity& file,
                                 Cursor* cursor) const {
  Update(cursor);
  for (size_t i = 0; i < cursor->readers.size(); ++i) {
    if (!cursor->readers[i]) continue;
    NameOf(path, options_.sources[i], &cursor->name);
    if (cursor->readers[i]->ContainsAnybodys(HashName(cursor->name), file)) return true;
  }
  return false;
}

bool DecodeIndex::Contains(std::string_view path, Cursor* cursor) const {
  if (!options_.key) return false;
  Update(cursor);
  for (size_t i = 0; i < cursor->readers.size(); ++i) {
    if (!cursor->readers[i]) continue;
    NameOf(path, options_.sources[i], &cursor->name);
    if (cursor->readers[i]->Contains(HashName(cursor->name))) return true;
  }
  return false;
}

size_t DecodeIndex::BudgetToRecord(std::string_view path, const FileIdentity& file,
                                   Cursor* cursor) const {
  if (!recording() || pid_ != getpid() || TooSmall(file) || ChangedAMomentAgo(file)) return 0;
  NameOf(path, options_.sources.back(), &cursor->name);
  const std::lock_guard<std::mutex> lock(mutex_);
  return pending_names_.count(HashName(cursor->name)) > 0 ? 0 : ShareOf(file) - kEntryBytes;
}

void DecodeIndex::Record(std::string_view path, const FileIdentity& file, size_t budget,
                         Checkpoints* checkpoints, Cursor* cursor) {
  checkpoints->PackWithin(budget, &cursor->packed);
  NameOf(path, options_.sources.back(), &cursor->name);
  const uint64_t name = HashName(cursor->name);
  bool enough = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!recording() || !pending_names_.insert(name).second) return;
    pending_.Add(name, file, {cursor->packed.data(), cursor->packed.size()});
    enough = pending_.bytes() >= portion_bytes_ && !writing_;
  }
  if (enough) Flush();
}

void DecodeIndex::Flush(bool wait) {
  if (pid_ != getpid()) return;
  const std::lock_guard<std::mutex> thread_lock(thread_mutex_);
  for (;;) {
    bool idle = false;
    bool start = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      idle = !writing_;
      start = idle && recording() && !pending_.empty();
      writing_ = writing_ || start;
    }
    if (idle || wait) Join();
    if (start) Start(wait);
    if (!wait || (idle && !start)) return;
  }
}

void DecodeIndex::Start(bool wait) {
  try {
    writer_ = std::make_unique<std::thread>([this] { Write(); });
    return;
  } catch (const std::exception&) {  // no more threads, no more memory
    if (!wait) {
      const std::lock_guard<std::mutex> lock(mutex_);
      writing_ = false;
      if (pending_.bytes() > kMaxPortionBytes) Fail("no thread to write");
      return;
    }
  }
  Write();
}

void DecodeIndex::Join() {
  if (writer_) writer_->join();
  writer_.reset();
}

// The writing thread, which nothing may leave.
void DecodeIndex::Write() noexcept {
  std::string problem;
  try {
    WritePending();
  } catch (const std::bad_alloc&) {
    problem = "out of memory";  // so short that it takes none
  } catch (const std::exception& e) {
    try {
      problem = e.what();
    } catch (const std::bad_alloc&) {
      problem = "out of memory";
    }
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!problem.empty()) Fail(std::move(problem));
  // What came meanwhile may be recorded twice; the next writing notices.
  pending_names_.clear();
  // Portions grow with the index, so that it has few blocks.
  const auto& reader = readers_.back();
  const uint64_t size = reader ? reader->end() : 0;
  portion_bytes_ =
      std::min(kMaxPortionBytes, std::max(options_.portion_bytes, static_cast<size_t>(size / 8)));
  writing_ = false;
}

// Appends all that is pending.
void DecodeIndex::WritePending() {
  NewEntries entries;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::swap(entries, pending_);
  }
  AppendToIndex(options_.sources.back().path, options_.index_root, entries, *options_.key);
  Refresh();
}

// Ends the recording. REQUIRES: mutex_ is held.
void DecodeIndex::Fail(std::string problem) noexcept {
  problem_ = std::move(problem);
  recording_.store(false, std::memory_order_relaxed);
  pending_ = {};
}

std::vector<std::shared_ptr<const IndexReader>> DecodeIndex::OpenSources(
    std::vector<IndexState>* states) const {
  std::vector<std::shared_ptr<const IndexReader>> readers;
  const IndexKey key = options_.key.value_or(IndexKey{});  // none: no entry is looked for
  for (const IndexSource& source : options_.sources) {
    states->push_back(IndexState::kMissing);
    readers.push_back(IndexReader::Open(source.path, key, &states->back()));
  }
  return readers;
}

void DecodeIndex::Refresh() {
  std::vector<IndexState> states;
  std::vector<std::shared_ptr<const IndexReader>> readers = OpenSources(&states);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < readers.size(); ++i) {
    // There may be no descriptor left for the moment: what is open still is as good as before.
    if (states[i] != IndexState::kUnreadable || !readers_[i]) continue;
    readers[i] = readers_[i];
    states[i] = states_[i];
  }
  readers_ = std::move(readers);
  states_ = std::move(states);
  generation_.fetch_add(1, std::memory_order_release);
}

bool DecodeIndex::CompactTo(const SampleTable& table) {
  // An index of fewer blocks, and with fewer entries in vain, is as good as a new one.
  constexpr size_t kFewBlocks = 4;
  constexpr uint64_t kFewInVain = 8;  // one in so many
  if (!recording()) return false;
  std::vector<uint64_t> names;
  names.reserve(table.size());
  std::string path;
  std::string name;
  for (size_t i = 0; i < table.size(); ++i) {
    table.PathTo(i, &path);
    NameOf(path, options_.sources.back(), &name);
    names.push_back(HashName(name));
  }
  std::sort(names.begin(), names.end());
  const auto keep = [&names](uint64_t n) {
    return std::binary_search(names.begin(), names.end(), n);
  };
  std::shared_ptr<const IndexReader> reader;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    reader = readers_.back();
  }
  if (!reader) return false;
  std::unordered_set<uint64_t> live;
  reader->ForEach([&](const IndexReader::Block&, const IndexRecord& record) {
    if (keep(record.name)) live.insert(record.name);
  });
  const uint64_t in_vain = reader->records() - live.size();
  if (reader->blocks().size() <= kFewBlocks && in_vain * kFewInVain <= reader->records()) {
    return false;
  }
  CompactIndex(options_.sources.back().path, keep, *options_.key);
  Refresh();
  return true;
}

std::vector<DecodeIndex::SourceInfo> DecodeIndex::Sources() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<SourceInfo> infos;
  for (size_t i = 0; i < readers_.size(); ++i) {
    SourceInfo info{options_.sources[i].path, states_[i]};
    if (readers_[i]) {
      info.records = readers_[i]->records();
      info.bytes = readers_[i]->end();
      info.blocks = readers_[i]->blocks().size();
    }
    infos.push_back(std::move(info));
  }
  return infos;
}

std::string DecodeIndex::problem() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return problem_;
}

}  // namespace stoker
