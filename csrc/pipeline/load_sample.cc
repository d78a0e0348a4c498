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
      index_(std::move(index)) {}

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
    const ByteSpan bytes = index_ ? ReadSample(fd) : ReadFile(fd, &file_);
    clock->Lap(Stage::kRead);

    stage = Stage::kDecode;
    Prepare(bytes, key, index_ ? &use_ : nullptr);
    if (index_) RecordSample();
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

// Reads the file, and decides what its decoding has to do with checkpoints.
ByteSpan SampleWorker::ReadSample(const UniqueFd& fd) {
  use_ = {};
  outcome_ = IndexOutcome::kUnknown;
  identity_ = IdentifyFile(fd);
  const bool known = index_->Find(path_, identity_, &cursor_, &checkpoints_);
  const ByteSpan bytes = ReadFile(fd, identity_.bytes, &file_);
  // What was changed while it was read is no file that an index could know.
  if (!(IdentifyFile(fd) == identity_)) return bytes;
  if (known) {
    outcome_ = IndexOutcome::kNothing;
    if (checkpoints_.usable()) use_.use = &checkpoints_;
  } else {
    use_.budget_bytes = index_->BudgetToRecord(path_, identity_, &cursor_);
    if (use_.budget_bytes > 0) use_.record = &checkpoints_;
  }
  return bytes;
}

// After decoding: counts what the index did, and leaves there what it did not know.
void SampleWorker::RecordSample() {
  if (use_.used) outcome_ = IndexOutcome::kUsed;
  if (use_.rejected) outcome_ = IndexOutcome::kRejected;
  if (use_.record != nullptr) {
    outcome_ = IndexOutcome::kRecorded;
    if (!use_.recorded) checkpoints_.Clear();
    checkpoints_.size = decoder_.stored_size();
    checkpoints_.orientation = decoder_.orientation();
    index_->Record(path_, identity_, use_.budget_bytes, &checkpoints_, &cursor_);
  }
  index_counter_.Count(outcome_, use_.decoded_bytes, use_.plain_bytes);
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

std::optional<Size> SamplePlan::FixedSize() const {
  std::optional<Size> size;
  for (const Op& op : ops) {
    switch (op.kind) {
      case OpKind::kCenterCrop:
      case OpKind::kRandomCrop:
      case OpKind::kRandomResizedCrop: size = op.size; break;
      case OpKind::kResize:
        if (op.short_side <= 0) {
          size = op.size;
        } else if (size) {
          size = ResizedSize(op, *size);
        }
        break;
      case OpKind::kRandomHorizontalFlip:
      case OpKind::kRandomVerticalFlip: break;
    }
  }
  return size;
}

}  // namespace stoker
