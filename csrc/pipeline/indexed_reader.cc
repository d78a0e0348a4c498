#include "pipeline/indexed_reader.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/error.h"
#include "codec/jpeg/exif_orientation.h"
#include "codec/limits.h"
#include "codec/orientation.h"
#include "codec/sniff.h"
#include "image/resize_planes.h"

namespace stoker {

IndexedReader::IndexedReader(const SamplePlan& plan, std::shared_ptr<DecodeIndex> index)
    : plan_(plan), index_(std::move(index)) {}

ByteSpan IndexedReader::ReadWhole(const UniqueFd& fd, ByteBuffer* buffer) const {
  const uint64_t bytes = IdentifyFile(fd).bytes;
  CheckFileBytes(bytes, plan_.decode.limits);
  return ReadFile(fd, bytes, buffer);
}

ByteSpan IndexedReader::Read(const UniqueFd& fd, const std::string& path, const SampleKey& key,
                             ByteBuffer* buffer) {
  identity_ = IdentifyFile(fd);
  CheckFileBytes(identity_.bytes, plan_.decode.limits);
  if (!index_) return ReadFile(fd, identity_.bytes, buffer);
  use_ = {};
  outcome_ = IndexOutcome::kUnknown;
  path_ = path;
  const bool known = index_->Find(path_, identity_, &cursor_, &checkpoints_);
  std::optional<FileRange> data;
  if (known && checkpoints_.usable()) data = DataFor(key, identity_, checkpoints_);
  const ByteSpan bytes =
      data ? ReadFileParts(fd, identity_.bytes, {{0, checkpoints_.scan_begin}, *data}, buffer)
           : ReadFile(fd, identity_.bytes, buffer);
  if (!(IdentifyFile(fd) == identity_)) {
    // What was changed while it was read is no file that an index could know.
    return data ? ReadWhole(fd, buffer) : bytes;
  }
  if (known) {
    outcome_ = IndexOutcome::kNothing;
    if (checkpoints_.usable()) use_.use = &checkpoints_;
    if (data) {
      use_.data_begin = data->begin - checkpoints_.scan_begin;
      use_.data_end = use_.data_begin + data->bytes;
    }
  } else {
    use_.budget_bytes = index_->BudgetToRecord(path_, identity_, &cursor_);
    if (use_.budget_bytes > 0) use_.record = &checkpoints_;
  }
  return bytes;
}

// The entropy-coded data that the crop needs of a file; none where it should be read whole.
std::optional<FileRange> IndexedReader::DataFor(const SampleKey& key, const FileIdentity& file,
                                                const Checkpoints& checkpoints) {
  if (file.bytes < kPartialReadBytes) return std::nullopt;
  const int orientation = plan_.decode.apply_exif_orientation ? checkpoints.orientation : 1;
  try {
    ResolveGeometry(plan_.ops, UprightSize(checkpoints.size, orientation), key, &geometry_);
  } catch (const StageError&) {
    return std::nullopt;  // it comes again when the sample is decoded
  }
  int scale = 1;
  if (plan_.dct_scaling && plan_.pixels == PixelMode::kFast) {
    if (const auto resize = AsPlaneResize(geometry_)) scale = resize->DctScale();
  }
  const Rect region = StoredRect(geometry_.decode, checkpoints.size, orientation);
  checkpoints.RunsUnder(
      McusUnder(region, scale, checkpoints.size, checkpoints.max_h, checkpoints.max_v), &runs_);
  const uint64_t begin = checkpoints.scan_begin + checkpoints.at[runs_.front().first].bit / 8;
  const uint64_t end =
      std::min(file.bytes, checkpoints.scan_begin + checkpoints.at[runs_.back().last].bit / 8 + 1);
  // Not for a small gain; and a header that reaches so far is none.
  if (begin >= end || checkpoints.scan_begin + (end - begin) > file.bytes * 3 / 4) {
    return std::nullopt;
  }
  return FileRange{begin, end - begin};
}

void IndexedReader::Finish(const ImageDecoder& decoder, ByteSpan bytes) {
  if (!index_) return;
  if (use_.used) outcome_ = IndexOutcome::kUsed;
  if (use_.rejected || MustReadWhole()) outcome_ = IndexOutcome::kRejected;
  if (use_.record != nullptr) {
    outcome_ = IndexOutcome::kRecorded;
    if (!use_.recorded) checkpoints_.Clear();
    const bool jpeg = decoder.format() == ImageFormat::kJpeg;
    checkpoints_.size = jpeg ? decoder.stored_size() : Size{};
    checkpoints_.orientation = jpeg ? JpegExifOrientation(bytes) : 1;
    try {
      index_->Record(path_, identity_, use_.budget_bytes, &checkpoints_, &cursor_);
    } catch (const std::bad_alloc&) {
      outcome_ = IndexOutcome::kUnknown;  // the sample is as good without
    }
  }
  counter_.Count(outcome_, use_.decoded_bytes, use_.plain_bytes);
}

bool IndexedReader::ReadAhead(const std::string& path, const SampleKey& key, ReadAheadSlot* slot) {
  bool no_room = false;
  UniqueFd fd = slot->Open(path.c_str(), &no_room);
  if (!fd.valid()) return !no_room;
  FileRange part{0, 0};
  try {
    if (index_) {
      const FileIdentity file = IdentifyFile(fd);
      const bool large = file.bytes >= kPartialReadBytes;
      if (large && index_->Find(path, file, &cursor_, &ahead_) && ahead_.usable()) {
        part = DataFor(key, file, ahead_).value_or(part);
      }
    }
  } catch (const StageError&) {
    part = {0, 0};  // not a regular file, which is said at the sample's turn
  }
  AdviseWillNeed(fd, part);
  slot->Keep(std::move(fd));
  return true;
}

}  // namespace stoker
