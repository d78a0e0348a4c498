// The two passes of Pillow's resize on interleaved RGB, along rows and along columns, each rounded
// to 8 bits (libImaging/Resample.c); ColumnsFirst says in which order. Bit-identical to Pillow and
// to their scalar oracles on every target.
//
// Threads: any; pure. Input rows must be followed by ByteBuffer::kPadding readable bytes; output
// rows are written exactly.
#pragma once

#include "base/image_view.h"
#include "image/resize_weights.h"

namespace stoker {

// out(y, x) = Σ_k weight[x][k] · in(y, runs[x].begin − in_left + k), for all rows.
// `in_left`: the input coordinate of in's first column.
// REQUIRES: out.size == {weights.runs.size(), in.size.height}; every run lies within `in`.
void ResizeRows(const ImageView& in, const ResizeWeights& weights, int in_left,
                const MutableImageView& out);
void ResizeRowsScalar(const ImageView& in, const ResizeWeights& weights, int in_left,
                      const MutableImageView& out);

// out(y, x) = Σ_k weight[y][k] · in(runs[y].begin − in_top + k, x), for all columns.
// REQUIRES: out.size == {in.size.width, weights.runs.size()}; every run lies within `in`.
void ResizeColumns(const ImageView& in, const ResizeWeights& weights, int in_top,
                   const MutableImageView& out);
void ResizeColumnsScalar(const ImageView& in, const ResizeWeights& weights, int in_top,
                         const MutableImageView& out);

}  // namespace stoker
