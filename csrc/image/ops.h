// Operations on images as plain descriptions, with torchvision's semantics (transforms v2 on PIL
// images). What they mean for one sample is worked out in geometry.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/rect.h"

namespace stoker {

enum class OpKind : uint8_t {
  kResize,
  kCenterCrop,
  kRandomCrop,
  kRandomResizedCrop,
  kRandomHorizontalFlip,
  kRandomVerticalFlip,
  kPad,
  kColorJitter,
  kRandomGrayscale,
  kRandomErasing,
  kRandomApply,   // all children, or none of them
  kRandomChoice,  // one child
  kRandomOrder,   // all children, shuffled
};

// Bilinear and bicubic are antialiased: the filter widens when the image shrinks, as in Pillow.
enum class Interpolation : uint8_t { kNearest, kBilinear, kBicubic };

// How a crop is filled where it reaches beyond the image. kReflect leaves the edge pixel out when
// it mirrors, kSymmetric repeats it.
enum class PadMode : uint8_t { kConstant, kEdge, kReflect, kSymmetric };

struct Padding {
  int left = 0;
  int top = 0;
  int right = 0;
  int bottom = 0;
};

// Fields that a kind does not name are ignored by it.
struct Op {
  OpKind kind = OpKind::kResize;
  Size size;                                               // the result; all but the flips
  int short_side = 0;                                      // kResize: > 0 in place of `size`
  int max_size = 0;                                        // kResize with short_side; 0: none
  Interpolation interpolation = Interpolation::kBilinear;  // kResize, kRandomResizedCrop
  // kRandomResizedCrop: share of the area, width / height; kRandomErasing: …, height / width.
  std::array<double, 2> scale{0.08, 1.0};
  std::array<double, 2> ratio{3.0 / 4.0, 4.0 / 3.0};
  double probability = 0.5;    // the flips, kRandomGrayscale, kRandomErasing, kRandomApply
  Padding padding;             // kPad, kRandomCrop
  bool pad_if_needed = false;  // kRandomCrop
  PadMode pad_mode = PadMode::kConstant;  // kPad, kRandomCrop
  std::array<uint8_t, 3> fill{0, 0, 0};   // kPad, kRandomCrop; kConstant: R, G, B
  // kColorJitter: what the factors of brightness, contrast, saturation and hue are drawn from.
  std::array<std::array<double, 2>, 4> jitter{{{1, 1}, {1, 1}, {1, 1}, {0, 0}}};
  // kRandomErasing, in the units of the finished sample: value + noise · N(0, 1) for each channel.
  std::array<float, 3> value{};
  std::array<float, 3> noise{};
  std::vector<Op> children;     // the last three kinds
  std::vector<double> weights;  // kRandomChoice: one for each child; empty: all the same
};

// How many operations `op` is: itself and all below it.
int CountOps(const Op& op);
int CountOps(const std::vector<Op>& ops);

// Each operation has random numbers of its own, by its number in the order of its description.
inline constexpr int kMaxOps = 255;

// The size that images of size `in` (none: of any size) come out with; none where that depends on
// the image, or on chance.
std::optional<Size> SizeAfter(const std::vector<Op>& ops, std::optional<Size> in);

}  // namespace stoker
