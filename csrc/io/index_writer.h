// Writes a decode index (index_format.h), so that whoever reads it at any moment, after any crash,
// finds a valid one or none.
//
// An index begins its life in a temporary file beside its place, which is fsynced and renamed, and
// the folder is fsynced. Entries are added to it as a block at its end: all of the block but its
// header is written and fsynced, then the header, which is what makes it count, and fsynced again.
// A block that was never finished is overwritten by the next. When there are many blocks, they are
// merged into one in a new temporary file, which takes the old one's place.
//
// Writers take turns by a lock on the file (flock), for which they wait ten seconds and no longer.
//
// Threads: any, and any number of processes. Failures are IndexError with the system's own words;
// the index is then what it was before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "io/index_file.h"
#include "io/index_format.h"

namespace stoker {

// Entries on their way into an index, in flat arrays.
class NewEntries {
 public:
  void Add(uint64_t name, const FileIdentity& file, ByteSpan payload);
  bool empty() const { return records_.empty(); }
  size_t count() const { return records_.size(); }
  // About what they will take on disk.
  size_t bytes() const;

  const std::vector<IndexRecord>& records() const { return records_; }
  ByteSpan payload(const IndexRecord& record) const;

 private:
  std::vector<IndexRecord> records_;  // whose payload is an offset into payloads_
  std::vector<uint8_t> payloads_;
};

// How many blocks an index has before they are merged.
inline constexpr size_t kMaxIndexBlocks = 16;

// Adds `entries`, with tags by `key`, to the index at `path`, which is made where there is none (or
// one that is damaged, or of an older version), for names relative to the folder `root`. What it
// has already is left out, and so are payloads of more than MaxPayloadBytes. Throws where `path` is
// something else, of a newer version, or for another root.
void AppendToIndex(const std::string& path, const std::string& root, const NewEntries& entries,
                   const IndexKey& key);

// Merges all blocks into one and drops what `keep` does not want (by name), or what a later entry
// of the same name has replaced. Null: keeps all names. Entries by another key than `key` go, too.
void CompactIndex(const std::string& path, const std::function<bool(uint64_t name)>& keep,
                  const IndexKey& key);

}  // namespace stoker
