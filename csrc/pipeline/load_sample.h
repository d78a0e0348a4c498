// One sample's way from file to slot: read → decode → transform. Start reading here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/planes.h"
#include "codec/image_decoder.h"
#include "image/apply_geometry.h"
#include "image/geometry.h"
#include "image/philox.h"
#include "image/resize_planes.h"
#include "image/write_sample.h"
#include "io/file_reader.h"
#include "pipeline/indexed_reader.h"
#include "pipeline/sample_plan.h"
#include "pipeline/sample_set.h"
#include "stats/worker_clock.h"

namespace stoker {

// Everything that a worker needs and reuses: buffers, decoder, scratch. Threads: one at a time.
class SampleWorker {
 public:
  // `index` may be null: none. `make_room`: for files that are opened at their turn.
  explicit SampleWorker(const SamplePlan& plan, std::shared_ptr<DecodeIndex> index = nullptr,
                        MakeRoom make_room = {});

  // Reads, decodes and transforms sample `key.index`, whose bytes are at `source`, straight into
  // `slot`, which has plan.format.SampleBytes(*plan.FixedSize()) bytes. `ahead` may hold the file
  // opened already. Each stage's time goes to `clock`. Throws DataError; the slot's contents are
  // then undefined.
  void LoadSample(const SampleSource& source, const SampleKey& key, ReadAheadSlot* ahead,
                  WorkerClock* clock, void* slot);

  // The same in two steps, for one image of any size in memory or in a file: Prepare decodes and
  // returns the size of the result, Write puts it into memory of SampleBytes(size). Throw
  // StageError. The view that Prepare made lives until the next call of either function.
  Size Prepare(ByteSpan bytes, const SampleKey& key, CheckpointUse* checkpoints = nullptr);
  Size PrepareFile(const std::string& path, const SampleKey& key);
  // From pixels in place of a file, which are copied.
  Size PreparePixels(const ImageView& image, const SampleKey& key);
  void Write(void* slot);

  // Opens the file of a sample whose turn comes later and asks the kernel to fetch what will be
  // read of it; leaves it in `slot`. False: there is no descriptor left. Errors come at the
  // sample's turn.
  bool ReadAhead(const std::string& path, const SampleKey& key, ReadAheadSlot* slot);

  const IndexCounter& index_counter() const { return reader_.counter(); }

 private:
  void PrepareSource(const SampleSource& source, const SampleKey& key, UniqueFd fd,
                     WorkerClock* clock, Stage* stage);
  void PrepareFound(UniqueFd fd, ByteSpan bytes, const SampleKey& key);
  ImageView ResizedPixels();

  const SamplePlan plan_;
  const MakeRoom make_room_;
  ImageDecoder decoder_;
  GeometryApplier applier_;
  Geometry geometry_;
  ByteBuffer file_;
  // What Prepare has decoded: planes for the fast mode where fast_ is set, else pixels.
  PlaneResizer plane_resizer_;
  std::optional<PlaneResize> fast_;
  YccPlanes planes_;
  ByteBuffer rgb_;           // of the fast mode's planes
  ByteBuffer decoded_copy_;  // of the caller's pixels
  ImageView decoded_;
  IndexedReader reader_;
};

}  // namespace stoker
