// One sample's way from file to slot: read → decode → transform. Start reading here.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "codec/image_decoder.h"
#include "image/apply_geometry.h"
#include "image/geometry.h"
#include "image/ops.h"
#include "image/philox.h"
#include "image/write_sample.h"
#include "io/file_reader.h"
#include "io/sample_table.h"
#include "stats/worker_clock.h"

namespace stoker {

// What is done to every sample; compiled once from the transforms, constant afterwards.
struct SamplePlan {
  DecodeOptions decode;
  std::vector<Op> ops;
  SampleFormat format;

  // The size that every sample comes out with, whatever its own; none where that depends on the
  // sample, so that samples cannot share a batch.
  std::optional<Size> FixedSize() const;
};

// Everything that a worker needs and reuses: buffers, decoder, scratch. Threads: one at a time.
class SampleWorker {
 public:
  explicit SampleWorker(const SamplePlan& plan);

  // Reads, decodes and transforms sample `key.index` of `table` straight into `slot`, which has
  // plan.format.SampleBytes(*plan.FixedSize()) bytes. `ahead` may hold the file opened already.
  // Each stage's time goes to `clock`. Throws DataError; the slot's contents are then undefined.
  void LoadSample(const SampleTable& table, const SampleKey& key, ReadAheadSlot* ahead,
                  WorkerClock* clock, void* slot);

  // The same in two steps, for one image of any size in memory or in a file: Prepare decodes and
  // returns the size of the result, Write puts it into memory of SampleBytes(size). Throw
  // StageError. The view that Prepare made lives until the next call of either function.
  Size Prepare(ByteSpan bytes, const SampleKey& key);
  Size PrepareFile(const std::string& path, const SampleKey& key);
  void Write(void* slot);

 private:
  const SamplePlan plan_;
  ImageDecoder decoder_;
  GeometryApplier applier_;
  Geometry geometry_;
  ByteBuffer file_;
  std::string path_;
  ImageView decoded_;
};

}  // namespace stoker
