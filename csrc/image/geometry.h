// Which pixels a sample's output is made of, worked out before any is decoded: the operations are
// resolved against the image's size and the sample's random numbers into a few steps, and the
// window that each step must produce is followed back to the part of the image to decode. Changes
// of colour are steps among the others: their numbers are drawn here.
//
// Uses + − × ÷ √ only, so that the result is the same on every machine.
// Threads: any; pure. Fails with StageError(kTransform).
#pragma once

#include <array>
#include <vector>

#include "base/rect.h"
#include "image/ops.h"
#include "image/philox.h"

namespace stoker {

enum class StepKind : uint8_t {
  kCrop,
  kPadCrop,
  kResize,
  kFlipHorizontal,
  kFlipVertical,
  kBrightness,
  kContrast,
  kSaturation,
  kHue,
  kGrayscale,
};

// One step from an image of size `in` to one of size `out`. Only `out_window` of its result is
// needed, for which it needs `in_window` of its input.
struct Step {
  StepKind kind;
  Size in;
  Size out;
  Rect rect;  // kCrop, kPadCrop: the result in coordinates of the input; may reach outside
              // (kPadCrop)
  Interpolation interpolation = Interpolation::kBilinear;  // kResize
  PadMode pad_mode = PadMode::kConstant;                   // kPadCrop
  std::array<uint8_t, 3> fill{};                           // kPadCrop
  float factor = 1.0F;                                     // the colours' adjustments
  Rect in_window{};
  Rect out_window{};
};

// A rectangle of the finished sample that is overwritten: with value + noise · N(0, 1).
struct Erasure {
  Rect rect;
  std::array<float, 3> value;
  std::array<float, 3> noise;
  uint64_t noise_key;
};

struct Geometry {
  Rect decode;              // the part of the image that is needed
  std::vector<Step> steps;  // in order; reused from sample to sample
  Size out;
  // Flips that are left for the final write. They come last: earlier ones are moved behind crops,
  // and made a step of their own before a resize (Pillow's resize is not exactly symmetric).
  bool flip_horizontal = false;
  bool flip_vertical = false;
  std::vector<Erasure> erasures;  // in order
};

// Resolves `ops` for an image of size `in`. `geometry` is overwritten. Throws StageError where an
// operation cannot be done to this image, or something but a flip stands behind kRandomErasing.
void ResolveGeometry(const std::vector<Op>& ops, Size in, const SampleKey& key, Geometry* geometry);

// torchvision's RandomResizedCrop.get_params: the crop in an image of size `in`.
Rect RandomResizedCropRect(const Op& op, Size in, OpRandom* random);

// torchvision's rule for Resize: the short side to `short_side`, the long one in proportion. Under
// `max_size` the short side may come to 0, which ResolveGeometry refuses.
Size ResizedSize(const Op& op, Size in);

// Where coordinate `x`, which may lie outside, is found in an axis of `size` under `mode`; −1 for
// the fill colour.
int PaddedCoordinate(int x, int size, PadMode mode);

}  // namespace stoker
