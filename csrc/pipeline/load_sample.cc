#include "pipeline/load_sample.h"

#include <new>
#include <utility>

#include "base/error.h"

namespace stoker {
namespace {

// Scratch that one unusually large image leaves behind is given back above this size.
constexpr size_t kKeptScratchBytes = size_t{16} << 20;

}  // namespace

SampleWorker::SampleWorker(const SamplePlan& plan, std::shared_ptr<DecodeIndex> index)
    : plan_(plan),
      decoder_(plan.decode),
      plane_resizer_(plan.plane_weights),
      reader_(plan, std::move(index)) {}

void SampleWorker::LoadSample(const SampleTable& table, const SampleKey& key, ReadAheadSlot* ahead,
                              WorkerClock* clock, void* slot) {
  Stage stage = Stage::kRead;
  const auto fail = [&](Stage at, const char* reason) -> DataError {
    return {static_cast<int64_t>(key.index), table.Path(key.index), at, reason};
  };
  try {
    UniqueFd fd = ahead->Take();
    table.PathTo(key.index, &path_);
    if (!fd.valid()) fd = OpenFile(path_.c_str());
    const ByteSpan bytes = reader_.Read(fd, path_, key, &file_);
    clock->Lap(Stage::kRead);

    stage = Stage::kDecode;
    PrepareSample(fd, bytes, key);
    clock->Lap(Stage::kDecode);

    stage = Stage::kTransform;
    Write(slot);
    clock->Lap(Stage::kTransform);
  } catch (const StageError& e) {
    throw fail(e.stage(), e.what());
  } catch (const std::bad_alloc&) {
    throw fail(stage, "out of memory");
  }
  file_.ShrinkTo(kKeptScratchBytes);
  decoder_.ShrinkTo(kKeptScratchBytes);
  applier_.ShrinkTo(kKeptScratchBytes);
  plane_resizer_.ShrinkTo(kKeptScratchBytes);
}

void SampleWorker::ReadAhead(const SampleTable& table, const SampleKey& key, ReadAheadSlot* slot) {
  table.PathTo(key.index, &ahead_path_);
  reader_.ReadAhead(ahead_path_, key, slot);
}

// Prepare, by what the index knows of the file. Where only a part of it was read and that does not
// do, from the whole of it.
void SampleWorker::PrepareSample(const UniqueFd& fd, ByteSpan bytes, const SampleKey& key) {
  try {
    Prepare(bytes, key, reader_.use());
  } catch (const StageError&) {
    if (!reader_.partial()) throw;
  }
  if (reader_.MustReadWhole()) {
    bytes = ReadFile(fd, &file_);
    Prepare(bytes, key);
  }
  reader_.Finish(decoder_, bytes);
}

Size SampleWorker::Prepare(ByteSpan bytes, const SampleKey& key, CheckpointUse* checkpoints) {
  const Size size = decoder_.Open(bytes, checkpoints);
  ResolveGeometry(plan_.ops, size, key, &geometry_);
  fast_.reset();
  if (plan_.pixels == PixelMode::kFast) fast_ = AsPlaneResize(geometry_);
  if (fast_) {
    const int scale = plan_.dct_scaling ? fast_->DctScale() : 1;
    if (decoder_.DecodePlanes(geometry_.decode, scale, &planes_)) return geometry_.out;
    fast_.reset();
  }
  decoded_ = decoder_.Decode(geometry_.decode);
  return geometry_.out;
}

Size SampleWorker::PrepareFile(const std::string& path, const SampleKey& key) {
  return Prepare(ReadFile(OpenFile(path.c_str()), &file_), key);
}

void SampleWorker::Write(void* slot) {
  if (fast_) {
    const YccPlanes planes = plane_resizer_.Resize(*fast_, planes_);
    WriteSample(planes, geometry_.flip_horizontal, geometry_.flip_vertical, plan_.format, slot);
    return;
  }
  const ImageView image = applier_.Apply(geometry_, decoded_);
  WriteSample(image, geometry_.flip_horizontal, geometry_.flip_vertical, plan_.format, slot);
}

}  // namespace stoker
