#include "image/resize_weights.h"

#include <algorithm>
#include <cmath>

namespace stoker {
namespace {

double Triangle(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Keys' cubic with a = −0.5, as Pillow has it.
double Cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// One axis of a resize: where each output looks.
struct Axis {
  int in_size;
  ResizeFilter filter;

  Axis(int in, int out, Interpolation interpolation)
      : in_size(in), filter(static_cast<double>(in) / out, interpolation) {}
  double Center(int x) const { return 0.0 + (x + 0.5) * filter.scale(); }
  int Begin(double center) const {
    return std::max(0, static_cast<int>(center - filter.support() + 0.5));
  }
  int End(double center) const {
    return std::min(in_size, static_cast<int>(center + filter.support() + 0.5));
  }
};

int32_t Fixed(double weight) {
  return static_cast<int32_t>((weight < 0 ? -0.5 : 0.5) + weight * (1 << kWeightBits));
}

uint32_t Pair(int32_t first, int32_t second) {
  return (static_cast<uint32_t>(first) & 0xFFFF) | static_cast<uint32_t>(second) << 16;
}

}  // namespace

double ResizeFilter::operator()(double x) const {
  return cubic_ ? Cubic(x * inverse_) : Triangle(x * inverse_);
}

void ResizeWeights::Compute(int in_size, int out_size, int out_begin, int out_end,
                            Interpolation interpolation) {
  const Axis axis(in_size, out_size, interpolation);
  const auto outputs = static_cast<size_t>(out_end - out_begin);
  runs.resize(outputs);
  int longest = 1;
  for (size_t i = 0; i < outputs; ++i) {
    const double center = axis.Center(out_begin + static_cast<int>(i));
    const int begin = axis.Begin(center);
    runs[i] = {begin, axis.End(center) - begin};
    longest = std::max(longest, runs[i].taps);
  }
  padded_taps = (longest + kTapGroup - 1) / kTapGroup * kTapGroup;
  const auto stride = static_cast<size_t>(padded_taps);
  weights.assign(outputs * stride, 0);
  low_pairs.resize(outputs * stride / 2);
  high_pairs.resize(outputs * stride / 2);
  scratch_.resize(stride);
  for (size_t i = 0; i < outputs; ++i) {
    const double center = axis.Center(out_begin + static_cast<int>(i));
    double total = 0.0;
    for (int k = 0; k < runs[i].taps; ++k) {
      const double weight = axis.filter(k + runs[i].begin - center + 0.5);
      scratch_[static_cast<size_t>(k)] = weight;
      total += weight;
    }
    int32_t* row = weights.data() + i * stride;
    for (int k = 0; k < runs[i].taps; ++k) {
      double weight = scratch_[static_cast<size_t>(k)];
      if (total != 0.0) weight /= total;
      row[k] = Fixed(weight);
    }
    for (size_t k = 0; k < stride; k += 2) {
      constexpr int32_t kLowMask = (1 << kLowBits) - 1;
      low_pairs[(i * stride + k) / 2] = Pair(row[k] & kLowMask, row[k + 1] & kLowMask);
      high_pairs[(i * stride + k) / 2] = Pair(row[k] >> kLowBits, row[k + 1] >> kLowBits);
    }
  }
}

std::pair<int, int> ResizeSupport(int in_size, int out_size, int out_begin, int out_end,
                                  Interpolation interpolation) {
  if (interpolation == Interpolation::kNearest) {
    std::vector<int> from(static_cast<size_t>(out_end - out_begin));
    NearestCoordinates(in_size, out_size, out_begin, out_end, from.data());
    return {from.front(), from.back() + 1};
  }
  if (in_size == out_size) return {out_begin, out_end};  // this axis is not resampled
  const Axis axis(in_size, out_size, interpolation);
  return {axis.Begin(axis.Center(out_begin)), axis.End(axis.Center(out_end - 1))};
}

void NearestCoordinates(int in_size, int out_size, int out_begin, int out_end, int* from) {
  const double step = static_cast<double>(in_size) / out_size;
  double at = 0.0 + step * 0.5;
  // The position is summed up, not multiplied out: the rounding is Pillow's.
  for (int x = 0; x < out_end; ++x, at += step) {
    if (x >= out_begin) from[x - out_begin] = std::min(static_cast<int>(at), in_size - 1);
  }
}

}  // namespace stoker
