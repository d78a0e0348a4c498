// The decode index of a data set, as a loader sees it: checkpoints for a sample's file, and a place
// to leave those that were made. Joins what codec/jpeg/checkpoints.h packs to where
// io/index_reader.h and io/index_writer.h keep it.
//
// Looks into several index files, in order; may record into one of them. What is recorded is held
// in memory until there is enough of it, then appended by a thread that lives for as long as that
// takes; nothing waits for it but Flush(wait) and the destructor. Nothing about an index is an
// error of the loader's: where it cannot be read it is not used, and where it cannot be written,
// recording ends and problem() says why.
//
// Where no thread can be made, what was recorded waits for the next Flush; with `wait` the caller's
// own writes it.
//
// Threads: any, each with a Cursor of its own. Fork: in another process than its own it reads, but
// records nothing.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>
#include <vector>

#include "codec/jpeg/checkpoints.h"
#include "io/file_reader.h"
#include "io/index_reader.h"
#include "io/index_writer.h"
#include "io/sample_table.h"

namespace stoker {

// Of a file's size, what its entry may take in all.
inline constexpr double kIndexShare = 0.0098;

struct IndexSource {
  std::string path;    // of the index file
  std::string prefix;  // what a sample's name begins with in it: "" or a folder, ending in '/'
};

struct DecodeIndexOptions {
  std::string samples_root;          // names are paths relative to it, where they lie in it
  std::vector<IndexSource> sources;  // looked into in this order
  bool record = false;               // into the last of them
  // This user's secret; none: nothing is known or recorded, for the reason `no_key`.
  std::optional<IndexKey> key;
  std::string no_key;
  std::string index_root;      // what that one's names are relative to, should it be made
  double share = kIndexShare;  // of a file's size
  // Entries are written once they are worth so many bytes; a large index takes larger portions.
  size_t portion_bytes = size_t{4} << 20;
};

class DecodeIndex {
 public:
  // What a worker keeps between look-ups.
  struct Cursor {
    uint64_t generation = 0;
    std::vector<std::shared_ptr<const IndexReader>> readers;  // null: that source is of no use
    IndexReader::Scratch scratch;
    std::string name;
    std::vector<uint8_t> packed;
  };
  // Of one source.
  struct SourceInfo {
    std::string path;
    IndexState state = IndexState::kMissing;
    uint64_t records = 0;
    uint64_t bytes = 0;  // on disk
    size_t blocks = 0;
  };

  explicit DecodeIndex(DecodeIndexOptions options);
  // Writes what is left, and waits for that.
  ~DecodeIndex();
  DecodeIndex(const DecodeIndex&) = delete;
  DecodeIndex& operator=(const DecodeIndex&) = delete;

  // What is known of the file at `path`, in `checkpoints`; false: nothing.
  bool Find(std::string_view path, const FileIdentity& file, Cursor* cursor,
            Checkpoints* checkpoints) const;
  // Whether a source has a record of this file that Find does not take: damaged, or by another key.
  bool HasOthersEntry(std::string_view path, const FileIdentity& file, Cursor* cursor) const;
  // Whether any source has an entry by this name; the file itself is not looked at.
  bool Contains(std::string_view path, Cursor* cursor) const;

  bool recording() const { return recording_.load(std::memory_order_relaxed); }
  // Whether an entry, even of its size alone, would take more than its share of a file.
  bool TooSmall(const FileIdentity& file) const { return ShareOf(file) < kSmallestEntry; }
  // How many bytes the checkpoints of a file that Find does not know may take when packed; 0: it is
  // not to be recorded. That is so while it waits to be written, where it is too small for an
  // entry, or where it was changed a moment ago (it may be again, and its time of change stay the
  // same).
  size_t BudgetToRecord(std::string_view path, const FileIdentity& file, Cursor* cursor) const;
  // Keeps what is now known of such a file, thinning the checkpoints until they fit.
  // REQUIRES: `budget` is what BudgetToRecord has said, more than 0.
  void Record(std::string_view path, const FileIdentity& file, size_t budget,
              Checkpoints* checkpoints, Cursor* cursor);

  // Starts writing what has been recorded; look-ups find it when that is done. With `wait`: returns
  // then. Does nothing while a writing goes on.
  void Flush(bool wait = false);
  // Looks at the files again.
  void Refresh();
  // Merges the blocks of the index that is recorded into, and drops the entries of files that are
  // not in `table`, and of what files were before they changed. True where it was worth it. Throws
  // IndexError.
  bool CompactTo(const SampleTable& table);

  std::vector<SourceInfo> Sources() const;
  // Why nothing is recorded (any more); "" where there is no reason.
  std::string problem() const;

 private:
  // Record, tag and its part of the buckets.
  static constexpr size_t kEntryBytes = sizeof(IndexRecord) + kTagBytes + 1;
  static constexpr size_t kSmallestEntry = kEntryBytes + kPackedSizeBytes;

  size_t ShareOf(const FileIdentity& file) const {
    return static_cast<size_t>(static_cast<double>(file.bytes) * options_.share);
  }
  void NameOf(std::string_view path, const IndexSource& source, std::string* name) const;
  void Update(Cursor* cursor) const;
  std::vector<std::shared_ptr<const IndexReader>> OpenSources(
      std::vector<IndexState>* states) const;
  void Start(bool wait);
  void Write() noexcept;
  void WritePending();
  void Join();
  void Fail(std::string problem) noexcept;

  const DecodeIndexOptions options_;
  const pid_t pid_;
  std::atomic<bool> recording_;

  mutable std::mutex mutex_;
  // Guarded by mutex_; generation_ may be read without it.
  std::atomic<uint64_t> generation_{1};
  std::vector<std::shared_ptr<const IndexReader>> readers_;
  std::vector<IndexState> states_;
  NewEntries pending_;
  std::unordered_set<uint64_t> pending_names_;  // also of what is being written
  size_t portion_bytes_;                        // that the next writing waits for
  bool writing_ = false;
  std::string problem_;

  std::mutex thread_mutex_;  // guards writer_
  std::unique_ptr<std::thread> writer_;
};

}  // namespace stoker
