// One sample's way from file to slot: read → decode → transform. Start reading here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/planes.h"
#include "codec/image_decoder.h"
#include "image/apply_geometry.h"
#include "image/geometry.h"
#include "image/ops.h"
#include "image/philox.h"
#include "image/plane_weights.h"
#include "image/resize_planes.h"
#include "image/write_sample.h"
#include "io/file_reader.h"
#include "io/sample_table.h"
#include "pipeline/decode_index.h"
#include "stats/index_counter.h"
#include "stats/worker_clock.h"

namespace stoker {

// Which pixels a sample has. kExact: Pillow's, bit for bit. kFast: crop, resize and flip on the
// planes of a JPEG, colours converted at the result's size; within rounding of the same. Images and
// operations that have no fast way take the exact one.
enum class PixelMode : uint8_t { kFast, kExact };

// What is done to every sample; compiled once from the transforms, constant afterwards.
struct SamplePlan {
  PixelMode pixels = PixelMode::kExact;
  // Reduce JPEGs in the DCT domain while the crop is at least four times as large as the result,
  // across and down. Faster on large photographs, and less like Pillow. kFast only.
  bool dct_scaling = false;
  DecodeOptions decode;
  std::vector<Op> ops;
  SampleFormat format;

  // The size that every sample comes out with, whatever its own; none where that depends on the
  // sample, so that samples cannot share a batch.
  std::optional<Size> FixedSize() const;

  // Weights of the fast mode's resizes, shared by all workers of the plan and its copies.
  std::shared_ptr<PlaneWeightCache> plane_weights = std::make_shared<PlaneWeightCache>();
};

// Everything that a worker needs and reuses: buffers, decoder, scratch. Threads: one at a time.
class SampleWorker {
 public:
  // `index` may be null: none.
  explicit SampleWorker(const SamplePlan& plan, std::shared_ptr<DecodeIndex> index = nullptr);

  // Reads, decodes and transforms sample `key.index` of `table` straight into `slot`, which has
  // plan.format.SampleBytes(*plan.FixedSize()) bytes. `ahead` may hold the file opened already.
  // Each stage's time goes to `clock`. Throws DataError; the slot's contents are then undefined.
  void LoadSample(const SampleTable& table, const SampleKey& key, ReadAheadSlot* ahead,
                  WorkerClock* clock, void* slot);

  // The same in two steps, for one image of any size in memory or in a file: Prepare decodes and
  // returns the size of the result, Write puts it into memory of SampleBytes(size). Throw
  // StageError. The view that Prepare made lives until the next call of either function.
  Size Prepare(ByteSpan bytes, const SampleKey& key, CheckpointUse* checkpoints = nullptr);
  Size PrepareFile(const std::string& path, const SampleKey& key);
  void Write(void* slot);

  const IndexCounter& index_counter() const { return index_counter_; }

 private:
  ByteSpan ReadSample(const UniqueFd& fd);
  void RecordSample();

  const SamplePlan plan_;
  ImageDecoder decoder_;
  GeometryApplier applier_;
  Geometry geometry_;
  ByteBuffer file_;
  std::string path_;
  // What Prepare has decoded: planes for the fast mode where fast_ is set, else pixels.
  PlaneResizer plane_resizer_;
  std::optional<PlaneResize> fast_;
  YccPlanes planes_;
  ImageView decoded_;
  // What the index knows of the file at path_, or will.
  const std::shared_ptr<DecodeIndex> index_;
  DecodeIndex::Cursor cursor_;
  FileIdentity identity_;
  Checkpoints checkpoints_;
  CheckpointUse use_;
  IndexOutcome outcome_ = IndexOutcome::kUnknown;
  IndexCounter index_counter_;
};

}  // namespace stoker
