#include "pipeline/index_builder.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/rect.h"
#include "codec/jpeg/exif_orientation.h"
#include "codec/orientation.h"
#include "codec/sniff.h"
#include "image/geometry.h"

namespace stoker {
namespace {

DecodeOptions AsStored(const DecodeLimits& limits) {
  DecodeOptions options;
  options.limits = limits;
  options.apply_exif_orientation = false;
  return options;
}

bool SamePixels(const ImageView& a, const ImageView& b) {
  const auto bytes = static_cast<size_t>(a.size.width) * kChannels;
  for (int y = 0; y < a.size.height; ++y) {
    if (std::memcmp(a.row(y), b.row(y), bytes) != 0) return false;
  }
  return true;
}

}  // namespace

IndexBuilder::IndexBuilder(std::shared_ptr<DecodeIndex> index, const DecodeLimits& limits)
    : index_(std::move(index)),
      limits_(limits),
      decoder_(AsStored(limits)),
      own_(limits),
      turbo_(limits) {}

bool IndexBuilder::Lookup(const std::string& path, UniqueFd* fd) {
  *fd = OpenFile(path.c_str());
  identity_ = IdentifyFile(*fd);
  CheckFileBytes(identity_.bytes, limits_);
  return index_->Find(path, identity_, &cursor_, &checkpoints_);
}

VerifyResult IndexBuilder::Unknown(const std::string& path) {
  if (index_->TooSmall(identity_)) return VerifyResult::kSmall;
  return index_->HasOthersEntry(path, identity_, &cursor_) ? VerifyResult::kOthers
                                                           : VerifyResult::kUnknown;
}

BuildResult IndexBuilder::Build(const std::string& path) {
  UniqueFd fd;
  if (Lookup(path, &fd)) return BuildResult::kKnown;
  CheckpointUse use;
  use.record = &checkpoints_;
  if (index_->TooSmall(identity_)) return BuildResult::kSmall;
  use.budget_bytes = index_->BudgetToRecord(path, identity_, &cursor_);
  if (use.budget_bytes == 0) return BuildResult::kJustChanged;
  const ByteSpan bytes = ReadFile(fd, identity_.bytes, &file_);
  if (!(IdentifyFile(fd) == identity_)) return BuildResult::kJustChanged;
  checkpoints_.Clear();
  checkpoints_.size = {};
  checkpoints_.orientation = 1;
  const ImageFormat format = SniffFormat(bytes);
  if (format == ImageFormat::kJpeg) {
    checkpoints_.size = decoder_.Open(bytes, &use);
    checkpoints_.orientation = JpegExifOrientation(bytes);
    YccPlanes planes;
    decoder_.DecodePlanes({0, 0, 1, 1}, /*dct_scale=*/1, &planes);
    if (!use.recorded) checkpoints_.Clear();
  } else if (format == ImageFormat::kUnknown) {
    throw StageError(Stage::kDecode, "not an image of a known format");
  }
  index_->Record(path, identity_, use.budget_bytes, &checkpoints_, &cursor_);
  return checkpoints_.usable() ? BuildResult::kCheckpoints : BuildResult::kSizeOnly;
}

VerifyResult IndexBuilder::Survey(const std::string& path, uint64_t* bytes) {
  UniqueFd fd;
  const bool known = Lookup(path, &fd);
  *bytes = identity_.bytes;
  if (!known) return Unknown(path);
  return checkpoints_.usable() ? VerifyResult::kGood : VerifyResult::kSizeOnly;
}

VerifyResult IndexBuilder::Verify(const std::string& path) {
  UniqueFd fd;
  if (!Lookup(path, &fd)) return Unknown(path);
  const ByteSpan bytes = ReadFile(fd, identity_.bytes, &file_);
  const bool jpeg = SniffFormat(bytes) == ImageFormat::kJpeg;
  if (checkpoints_.usable()) return jpeg ? VerifyJpeg(bytes) : VerifyResult::kWrong;
  if (!jpeg) return VerifyResult::kSizeOnly;  // nothing uses what an entry says of it
  const bool right = decoder_.Open(bytes) == checkpoints_.size &&
                     JpegExifOrientation(bytes) == checkpoints_.orientation;
  return right ? VerifyResult::kSizeOnly : VerifyResult::kWrong;
}

// In strips as wide as the way from checkpoint to checkpoint, so that each is begun at.
VerifyResult IndexBuilder::VerifyJpeg(ByteSpan jpeg) {
  if (turbo_.Open(jpeg) != checkpoints_.size ||
      JpegExifOrientation(jpeg) != checkpoints_.orientation) {
    return VerifyResult::kWrong;
  }
  const Rect all = Whole(checkpoints_.size);
  const ImageView whole = turbo_.Decode(all, &whole_pixels_);
  const int64_t step_pixels = int64_t{checkpoints_.step} * checkpoints_.max_h * kBlockSize;
  const int strip = static_cast<int>(std::min<int64_t>(step_pixels, all.width));
  for (int left = 0; left < all.width; left += strip) {
    const Rect part{left, 0, std::min(strip, all.width - left), all.height};
    CheckpointUse use;
    use.use = &checkpoints_;
    own_.Open(jpeg, &use);
    const ImageView pixels = own_.Decode(part, &pixels_);
    if (!use.used || !SamePixels(pixels, whole.Crop(part))) return VerifyResult::kWrong;
  }
  return VerifyResult::kGood;
}

IndexEstimate IndexBuilder::Estimate(const std::string& path, const std::vector<Op>& ops,
                                     const SampleKey& key) {
  IndexEstimate estimate;
  UniqueFd fd;
  if (!Lookup(path, &fd) || !checkpoints_.usable()) return estimate;
  Geometry geometry;
  ResolveGeometry(ops, UprightSize(checkpoints_.size, checkpoints_.orientation), key, &geometry);
  const Rect region = StoredRect(geometry.decode, checkpoints_.size, checkpoints_.orientation);
  const McuRect mcus =
      McusUnder(region, /*dct_scale=*/1, checkpoints_.size, checkpoints_.max_h, checkpoints_.max_v);
  estimate.known = true;
  estimate.decoded_bytes = checkpoints_.BitsFor(mcus) / 8;
  estimate.plain_bytes = checkpoints_.PlainBitsFor(mcus) / 8;
  return estimate;
}

}  // namespace stoker
