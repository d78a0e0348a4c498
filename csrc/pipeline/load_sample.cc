#include "pipeline/load_sample.h"

#include <cstring>
#include <new>
#include <utility>

#include "base/error.h"
#include "codec/limits.h"
#include "image/erase.h"

namespace stoker {
namespace {

// Scratch that one unusually large image leaves behind is given back above this size.
constexpr size_t kKeptScratchBytes = size_t{16} << 20;

}  // namespace

SampleWorker::SampleWorker(const SamplePlan& plan, std::shared_ptr<DecodeIndex> index,
                           MakeRoom make_room)
    : plan_(plan),
      make_room_(std::move(make_room)),
      decoder_(plan.decode),
      plane_resizer_(plan.plane_weights),
      reader_(plan, std::move(index)) {}

void SampleWorker::LoadSample(const SampleSource& source, const SampleKey& key,
                              ReadAheadSlot* ahead, WorkerClock* clock, void* slot) {
  Stage stage = Stage::kRead;
  const auto fail = [&](Stage at, const char* reason) -> DataError {
    clock->Fail(stage);
    return {static_cast<int64_t>(key.index), source.path, at, reason};
  };
  try {
    PrepareSource(source, key, ahead->Take(), clock, &stage);
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
  rgb_.ShrinkTo(kKeptScratchBytes);
}

bool SampleWorker::ReadAhead(const std::string& path, const SampleKey& key, ReadAheadSlot* slot) {
  return reader_.ReadAhead(path, key, slot);
}

// Reads and decodes; `stage` is brought up to date on the way.
void SampleWorker::PrepareSource(const SampleSource& source, const SampleKey& key, UniqueFd fd,
                                 WorkerClock* clock, Stage* stage) {
  if (source.bytes) {
    clock->Lap(Stage::kRead);
    *stage = Stage::kDecode;
    Prepare({reinterpret_cast<const uint8_t*>(source.bytes->data()), source.bytes->size()}, key);
    return;
  }
  if (!fd.valid()) fd = OpenFile(source.path.c_str(), make_room_);
  const ByteSpan bytes = reader_.Read(fd, source.path, key, &file_);
  clock->Lap(Stage::kRead);
  *stage = Stage::kDecode;
  PrepareFound(std::move(fd), bytes, key);
}

// Prepare, by what the index knows of the file. Where only a part of it was read and that does not
// do, from the whole of it.
void SampleWorker::PrepareFound(UniqueFd fd, ByteSpan bytes, const SampleKey& key) {
  if (!reader_.partial()) fd = UniqueFd();  // somebody else may need it
  try {
    Prepare(bytes, key, reader_.use());
  } catch (const StageError&) {
    if (!reader_.partial()) throw;
  }
  if (reader_.MustReadWhole()) {
    bytes = reader_.ReadWhole(fd, &file_);
    Prepare(bytes, key);
  }
  reader_.Finish(decoder_, bytes);
}

Size SampleWorker::Prepare(ByteSpan bytes, const SampleKey& key, CheckpointUse* checkpoints) {
  CheckFileBytes(bytes.size, plan_.decode.limits);
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
  return Prepare(reader_.ReadWhole(OpenFile(path.c_str()), &file_), key);
}

Size SampleWorker::PreparePixels(const ImageView& image, const SampleKey& key) {
  ResolveGeometry(plan_.ops, image.size, key, &geometry_);
  fast_.reset();
  // Kernels read on behind the last row, where the caller's memory may end.
  const ImageView part = image.Crop(geometry_.decode);
  const auto row_bytes = static_cast<size_t>(part.size.width) * kChannels;
  uint8_t* copy = decoded_copy_.Reserve(row_bytes * static_cast<size_t>(part.size.height));
  for (int y = 0; y < part.size.height; ++y) {
    std::memcpy(copy + static_cast<size_t>(y) * row_bytes, part.row(y), row_bytes);
  }
  decoded_ = {copy, part.size, static_cast<ptrdiff_t>(row_bytes)};
  return geometry_.out;
}

void SampleWorker::Write(void* slot) {
  const bool flip_h = geometry_.flip_horizontal;
  const bool flip_v = geometry_.flip_vertical;
  if (fast_ && fast_->steps == geometry_.steps.size()) {
    WriteSample(plane_resizer_.Resize(*fast_, planes_), flip_h, flip_v, plan_.format, slot);
  } else {
    const ImageView image = fast_ ? applier_.Apply(geometry_, ResizedPixels(), fast_->steps)
                                  : applier_.Apply(geometry_, decoded_);
    WriteSample(image, flip_h, flip_v, plan_.format, slot);
  }
  for (const Erasure& erasure : geometry_.erasures) {
    Erase(erasure, geometry_.out, plan_.format, slot);
  }
}

// The resized planes as pixels, for the steps behind the resize.
ImageView SampleWorker::ResizedPixels() {
  const YccPlanes planes = plane_resizer_.Resize(*fast_, planes_);
  SampleFormat pixels;
  pixels.channels_last = true;
  const Size size = fast_->window.size();
  uint8_t* rgb = rgb_.Reserve(pixels.SampleBytes(size));
  WriteSample(planes, false, false, pixels, rgb);
  return {rgb, size, static_cast<ptrdiff_t>(size.width) * kChannels};
}

}  // namespace stoker
