// Operations for tests, in one line each.
#pragma once

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

}  // namespace stoker::testing
