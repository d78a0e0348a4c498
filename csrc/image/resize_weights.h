// The weights of Pillow's antialiased resize, bit for bit (libImaging/Resample.c: precompute_coeffs
// and normalize_coeffs_8bpc): for each output pixel a run of input pixels and a fixed-point weight
// for each, 22 bits behind the point.
//
// Threads: any; pure. Doubles with + − × ÷ only.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "base/rect.h"
#include "image/ops.h"

namespace stoker {

inline constexpr int kWeightBits = 22;
// A weight w is kept as two 16-bit halves, w = (high << kLowBits) + low with 0 <= low < 2^15, so
// that a kernel can multiply pixels by it with 16-bit multiply-and-add instructions. Sums are taken
// modulo 2^32 on either half and stay exact.
inline constexpr int kLowBits = 15;
// Runs are padded with zero weights to a multiple of this many taps.
inline constexpr int kTapGroup = 4;

// Pillow's antialiasing filter: widened by the scale where an image shrinks.
class ResizeFilter {
 public:
  // `scale`: input pixels to an output pixel. REQUIRES: interpolation is not kNearest.
  ResizeFilter(double scale, Interpolation interpolation)
      : scale_(scale),
        filter_scale_(scale > 1.0 ? scale : 1.0),
        inverse_(1.0 / filter_scale_),
        cubic_(interpolation == Interpolation::kBicubic) {}

  double scale() const { return scale_; }
  double support() const { return (cubic_ ? 2.0 : 1.0) * filter_scale_; }
  // The weight (not normalised) of an input pixel whose middle is `x` pixels from the output's.
  double operator()(double x) const;

 private:
  double scale_;
  double filter_scale_;
  double inverse_;
  bool cubic_;
};

// Weights along one axis for the outputs [out_begin, out_end) of a resize in → out.
// Reused: Compute keeps the memory.
struct ResizeWeights {
  struct Run {
    int begin;  // first input pixel
    int taps;   // how many follow, itself included; at least 1
  };
  int padded_taps = 0;  // the longest run, rounded up to kTapGroup
  std::vector<Run> runs;
  // runs.size() × padded_taps, in pairs of taps: low0 low1 as one 32-bit word, high0 high1 as
  // another.
  std::vector<uint32_t> low_pairs;
  std::vector<uint32_t> high_pairs;
  // runs.size() × padded_taps: whole weights, for the scalar oracle.
  std::vector<int32_t> weights;

  // REQUIRES: interpolation is not kNearest; 0 <= out_begin < out_end <= out_size; in_size > 0.
  void Compute(int in_size, int out_size, int out_begin, int out_end, Interpolation interpolation);

 private:
  std::vector<double> scratch_;
};

// Whether Pillow (since 13.0) resamples columns before rows: when the height shrinks by more than
// twice as many pixels as the width (libImaging/Resample.c: ImagingResampleInner). Each pass rounds
// to 8 bits, so the order shows in the result.
inline bool ColumnsFirst(Size in, Size out) {
  const int shrink = in.height - out.height;
  return shrink > 0 && shrink > 2 * (in.width - out.width);
}

// The input pixels [first, second) that the outputs [out_begin, out_end) look at.
std::pair<int, int> ResizeSupport(int in_size, int out_size, int out_begin, int out_end,
                                  Interpolation interpolation);

// Pillow's nearest neighbour (libImaging/Geometry.c: ImagingScaleAffine): the input pixel of each
// output in [out_begin, out_end), written to `from`.
void NearestCoordinates(int in_size, int out_size, int out_begin, int out_end, int* from);

}  // namespace stoker
