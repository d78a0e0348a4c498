// The two passes of the fast pixel mode's resize on one plane of 8-bit samples, each rounded to 8
// bits. One order of rounding for all targets and the scalar oracles: a sample less 128, times its
// weight, is rounded to 1/128; those are added up, and the sum is rounded.
//
// Threads: any; pure. Rows are read up to 64 bytes beyond what is looked at, and written in whole
// multiples of 64 bytes: out.row_bytes must be such a multiple.
#pragma once

#include <cstddef>
#include <cstdint>

#include "image/plane_weights.h"

namespace stoker {

// What is read: the first sample is (left, top) as the weights' runs count.
struct PlaneRows {
  const uint8_t* samples;
  ptrdiff_t row_bytes;
  int left;
  int top;

  const uint8_t* at(int x, int y) const { return samples + (y - top) * row_bytes + (x - left); }
};
struct MutablePlaneRows {
  uint8_t* samples;
  ptrdiff_t row_bytes;
  int width;
  int height;
};

// out(y, x) = Σ_k weight[x][k] · in(top + y, runs[x].begin + k). out.width is weights.runs.size().
void ResizePlaneRows(const PlaneRows& in, const PlaneWeights& weights, const MutablePlaneRows& out);
void ResizePlaneRowsScalar(const PlaneRows& in, const PlaneWeights& weights,
                           const MutablePlaneRows& out);

// out(y, x) = Σ_k weight[y][k] · in(runs[y].begin + k, left + x). out.height is
// weights.runs.size().
void ResizePlaneColumns(const PlaneRows& in, const PlaneWeights& weights,
                        const MutablePlaneRows& out);
void ResizePlaneColumnsScalar(const PlaneRows& in, const PlaneWeights& weights,
                              const MutablePlaneRows& out);

}  // namespace stoker
