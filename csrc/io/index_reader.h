// Reads a decode index (index_format.h): one open file, and for each look-up two small reads to
// learn that a file is not there, three to get its entry.
//
// It reads with pread rather than through a mapping. The pages are the same ones of the page cache,
// shared by all processes; nothing stays resident in this one; and where the file is cut short or
// its disk fails under it, a read reports it where a mapping would end the process with SIGBUS.
// csrc/README.md has what it costs.
//
// An index is read by whoever may not trust it: whatever does not check, or was written by another
// key (index_key.h), is as if it were not there.
// Ownership: owns the descriptor. Threads: constant once opened; any number may look up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "io/file_reader.h"
#include "io/index_format.h"

namespace stoker {

enum class IndexState : uint8_t {
  kGood,
  kMissing,     // no such file
  kUnreadable,  // the system refuses
  kForeign,     // not a decode index
  kNewer,       // of a version that we do not know
  kOlder,       // of one that is not read any more: made anew, as a damaged one is
  kDamaged,     // an index once
  kUntrusted,   // somebody else than this user, root or the folder's owner may have written it
};

// In words, as the end of a sentence that begins with the file's name.
const char* IndexStateText(IndexState state);

class IndexReader {
 public:
  struct Block {
    uint64_t offset = 0;  // in the file
    BlockHeader header{};
  };
  // What Find leaves behind; kept by a worker so that its memory is reused.
  struct Scratch {
    std::vector<uint8_t> payload;
  };

  // Null unless `state` is kGood. Entries count only where their tag is by `key`.
  static std::shared_ptr<const IndexReader> Open(const std::string& path, const IndexKey& key,
                                                 IndexState* state);
  // The same for a file that is open already, whatever `path` now names.
  static std::shared_ptr<const IndexReader> Open(UniqueFd fd, const std::string& path,
                                                 const IndexKey& key, IndexState* state);

  // The payload of the file with this name and identity, in scratch->payload. False: not there.
  bool Find(uint64_t name, const FileIdentity& file, Scratch* scratch) const;
  // Whether there is an entry of this name, of whatever identity.
  bool Contains(uint64_t name) const;
  // Whether there is a record of this file, though it be damaged or by another key.
  bool ContainsAnybodys(uint64_t name, const FileIdentity& file) const;
  // Calls `visit` with every record, oldest block first.
  void ForEach(const std::function<void(const Block&, const IndexRecord&)>& visit) const;
  // The payload that belongs to a record of a block. False: it does not check.
  bool ReadPayload(const Block& block, const IndexRecord& record, Scratch* scratch) const;

  const std::string& path() const { return path_; }
  const std::string& root() const { return root_; }
  const std::vector<Block>& blocks() const { return blocks_; }
  uint64_t records() const;
  // Where the next block goes.
  uint64_t end() const { return end_; }

 private:
  IndexReader(UniqueFd fd, std::string path, const IndexKey& key)
      : fd_(std::move(fd)), path_(std::move(path)), key_(key) {}
  IndexState Load();
  bool ReadAt(uint64_t offset, void* out, size_t bytes) const;
  template <typename Visit>
  bool VisitBucket(const Block& block, uint64_t name, const Visit& visit) const;

  // Constant after Open.
  UniqueFd fd_;
  const std::string path_;
  const IndexKey key_;
  std::string root_;
  uint64_t end_ = 0;
  std::vector<Block> blocks_;
};

}  // namespace stoker
