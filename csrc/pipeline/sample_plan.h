// What is done to every sample of a loader: the one description that all its workers share.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/rect.h"
#include "codec/image_decoder.h"
#include "image/ops.h"
#include "image/plane_weights.h"
#include "image/write_sample.h"

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

}  // namespace stoker
