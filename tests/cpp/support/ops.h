// Operations for tests, in one line each.
#pragma once

#include <array>
#include <utility>
#include <vector>

#include "image/ops.h"

namespace stoker::testing {

inline Op MakeOp(OpKind kind, Size size = {},
                 Interpolation interpolation = Interpolation::kBilinear) {
  Op op;
  op.kind = kind;
  op.size = size;
  op.interpolation = interpolation;
  return op;
}

inline Op Flip(double probability, OpKind kind = OpKind::kRandomHorizontalFlip) {
  Op op = MakeOp(kind);
  op.probability = probability;
  return op;
}

inline Op ResizeShortSide(int side, int max_size = 0) {
  Op op;
  op.short_side = side;
  op.max_size = max_size;
  return op;
}

inline Op PadBy(const Padding& padding) {
  Op op = MakeOp(OpKind::kPad);
  op.padding = padding;
  return op;
}

inline Op Grayscale(double probability) {
  Op op = MakeOp(OpKind::kRandomGrayscale);
  op.probability = probability;
  return op;
}

// The ranges of brightness, contrast, saturation and hue.
inline Op Jitter(const std::array<std::array<double, 2>, 4>& ranges) {
  Op op = MakeOp(OpKind::kColorJitter);
  op.jitter = ranges;
  return op;
}

// One of kRandomApply, kRandomChoice, kRandomOrder.
inline Op Group(OpKind kind, std::vector<Op> children, double probability = 0.5) {
  Op op = MakeOp(kind);
  op.children = std::move(children);
  op.probability = probability;
  return op;
}

inline Op Choice(std::vector<Op> children, std::vector<double> weights = {}) {
  Op op = Group(OpKind::kRandomChoice, std::move(children));
  op.weights = std::move(weights);
  return op;
}

}  // namespace stoker::testing
