// Geometric operations as plain descriptions, with torchvision's semantics (transforms v2 on PIL
// images). What they mean for one sample is worked out in geometry.h.
#pragma once

#include <array>
#include <cstdint>

#include "base/rect.h"

namespace stoker {

enum class OpKind : uint8_t {
  kResize,
  kCenterCrop,
  kRandomCrop,
  kRandomResizedCrop,
  kRandomHorizontalFlip,
  kRandomVerticalFlip,
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
  std::array<double, 2> scale{0.08, 1.0};                  // kRandomResizedCrop: share of the area
  std::array<double, 2> ratio{3.0 / 4.0, 4.0 / 3.0};       // kRandomResizedCrop: width / height
  double probability = 0.5;                                // the flips
  Padding padding;                                         // kRandomCrop
  bool pad_if_needed = false;                              // kRandomCrop
  PadMode pad_mode = PadMode::kConstant;                   // kRandomCrop
  std::array<uint8_t, 3> fill{0, 0, 0};                    // kRandomCrop, kConstant: R, G, B
};

}  // namespace stoker
