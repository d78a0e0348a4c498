// Reads a sample's file with what the decode index knows of it: which checkpoints its decoding may
// go by, whether it shall make some, and, of a large file, which part of it the sample's crop
// needs.
//
// One per worker, reused. Threads: one at a time; the index is shared. Without an index it reads
// the file and that is all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/image_decoder.h"
#include "codec/jpeg/checkpoints.h"
#include "image/geometry.h"
#include "image/philox.h"
#include "io/file_reader.h"
#include "pipeline/decode_index.h"
#include "pipeline/sample_plan.h"
#include "stats/index_counter.h"

namespace stoker {

// Files from this size on are read in part, where that does. Measured: a smaller one costs as much,
// cold, as a part of it (csrc/README.md).
inline constexpr uint64_t kPartialReadBytes = 512 << 10;

class IndexedReader {
 public:
  // `index` may be null: none.
  IndexedReader(const SamplePlan& plan, std::shared_ptr<DecodeIndex> index);

  // Reads the file at `path`, open as `fd`, for sample `key`; the bytes live in `buffer`. Where
  // partial() says so, only those are there which decoding by use() touches. Throws StageError.
  ByteSpan Read(const UniqueFd& fd, const std::string& path, const SampleKey& key,
                ByteBuffer* buffer);
  bool partial() const { return index_ && use_.partial(); }
  // All of the file, whatever the index knows of it.
  ByteSpan ReadWhole(const UniqueFd& fd, ByteBuffer* buffer) const;
  // What the decoder shall do about checkpoints; null: nothing.
  CheckpointUse* use() { return index_ ? &use_ : nullptr; }

  // After decoding: whether it was by a part of the file that turned out not to do, so that its
  // result (or its error) counts for nothing.
  bool MustReadWhole() const { return use_.partial() && !use_.used; }
  // After decoding for good: counts what the index did, and leaves there what it did not know.
  void Finish(const ImageDecoder& decoder, ByteSpan bytes);

  // Opens the file that sample `key` will read, and asks the kernel to fetch what it will read.
  // False: there is no descriptor left for it.
  bool ReadAhead(const std::string& path, const SampleKey& key, ReadAheadSlot* slot);

  const IndexCounter& counter() const { return counter_; }

 private:
  std::optional<FileRange> DataFor(const SampleKey& key, const FileIdentity& file,
                                   const Checkpoints& checkpoints);

  const SamplePlan plan_;
  const std::shared_ptr<DecodeIndex> index_;
  DecodeIndex::Cursor cursor_;
  IndexCounter counter_;
  Geometry geometry_;
  std::vector<CheckpointRun> runs_;
  Checkpoints ahead_;  // of the file in ReadAhead
  // Of the present file.
  std::string path_;
  FileIdentity identity_;
  Checkpoints checkpoints_;
  CheckpointUse use_;
  IndexOutcome outcome_ = IndexOutcome::kUnknown;
};

}  // namespace stoker
