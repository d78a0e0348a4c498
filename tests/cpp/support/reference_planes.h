// What the fast pixel mode should make of a JPEG's planes, in doubles and in the plainest way:
// upsampling by the book, then Pillow's antialiased filter. And planes of noise to try it on.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/planes.h"
#include "image/ops.h"
#include "image/plane_weights.h"
#include "support/jpeg_samplings.h"

namespace stoker::testing {

// A matrix: the weight of each input (there are `in` of them) for each output.
using Weights = std::vector<std::vector<double>>;

// One axis of a plane and of a crop of the image, as PlaneAxis::Make takes them.
struct PlaneLine {
  int begin = 0;  // the crop, in pixels of the image
  int size = 0;
  int scale = 1;
  int factor = 1;
  bool triangle = false;
  int plane_size = 0;

  // A plane of an image of `pixels`.
  static PlaneLine Of(int pixels, int begin, int size, int scale, int factor, bool triangle) {
    const int stored = (pixels + factor - 1) / factor;
    return {begin, size, scale, factor, triangle, (stored + scale - 1) / scale};
  }
  int base() const { return PlaneAxis::Base(begin, scale, factor); }
  PlaneAxis Axis(int out_size, int out_begin, int out_end, Interpolation method) const {
    PlaneAxis axis = PlaneAxis::Make(begin, size, scale, factor, triangle, plane_size);
    axis.out_size = out_size;
    axis.out_begin = out_begin;
    axis.out_end = out_end;
    axis.interpolation = method;
    return axis;
  }
  PlaneAxis Axis(int out_size, Interpolation method) const {
    return Axis(out_size, 0, out_size, method);
  }
};

// The samples that make up luma sample `at` of the upsampled plane, and their shares.
inline std::vector<std::pair<int, double>> UpsampledFrom(const PlaneLine& line, int at) {
  const auto inside = [&](int s) { return std::min(line.plane_size - 1, std::max(0, s)); };
  const int near = at / line.factor;
  if (line.factor != 2 || !line.triangle) return {{inside(near), 1.0}};
  return {{inside(near), 0.75}, {inside(at % 2 == 0 ? near - 1 : near + 1), 0.25}};
}

// Pillow's filter on the crop's luma samples, those that it has a part of; by luma sample.
inline Weights FilterWeights(const PlaneLine& line, int out_size, Interpolation method) {
  const auto filter = [method](double at) {
    at = std::fabs(at);
    if (method == Interpolation::kBilinear) return at < 1.0 ? 1.0 - at : 0.0;
    if (at < 1.0) return 1.5 * at * at * at - 2.5 * at * at + 1;
    if (at < 2.0) return -0.5 * at * at * at + 2.5 * at * at - 4 * at + 2;
    return 0.0;
  };
  const double begin = static_cast<double>(line.begin) / line.scale;
  const double end = static_cast<double>(line.begin + line.size) / line.scale;
  const double ratio = (end - begin) / out_size;
  const double widened = std::max(1.0, ratio);
  const auto low = static_cast<int>(std::floor(begin));
  const auto high = static_cast<int>(std::ceil(end));
  Weights out(static_cast<size_t>(out_size), std::vector<double>(static_cast<size_t>(high)));
  for (int x = 0; x < out_size; ++x) {
    auto& weights = out[static_cast<size_t>(x)];
    const double center = begin + (x + 0.5) * ratio;
    double total = 0;
    for (int j = low; j < high; ++j) {
      total += weights[static_cast<size_t>(j)] = filter((j + 0.5 - center) / widened);
    }
    if (total == 0) {  // a crop of a fraction of a sample, so narrow that none lies within reach
      total = weights[static_cast<size_t>(low)] = 1;
    }
    for (double& weight : weights) weight /= total;
  }
  return out;
}

// The same behind the upsampling; by sample of the plane.
inline Weights ComposedWeights(const PlaneLine& line, int out_size, Interpolation method) {
  Weights out;
  for (const auto& luma : FilterWeights(line, out_size, method)) {
    std::vector<double> plane(static_cast<size_t>(line.plane_size));
    for (size_t j = 0; j < luma.size(); ++j) {
      for (const auto& [sample, share] : UpsampledFrom(line, static_cast<int>(j))) {
        plane[static_cast<size_t>(sample)] += luma[j] * share;
      }
    }
    out.push_back(std::move(plane));
  }
  return out;
}

// A plane of `size` samples, each of them noise in [low, high].
class NoisePlane {
 public:
  NoisePlane(Size size, uint32_t seed, int low = 0, int high = 255)
      : size_(size), samples_(static_cast<size_t>(size.pixels())) {
    std::minstd_rand random(seed + 1);
    for (uint8_t& sample : samples_) {
      const auto value = static_cast<unsigned>(random() >> 8);
      const int extreme = value % 2 == 0 ? low : high;
      const int any = low + static_cast<int>((value >> 4) % static_cast<unsigned>(high - low + 1));
      sample = static_cast<uint8_t>(value % 3 == 0 ? extreme : any);
    }
  }
  Size size() const { return size_; }
  uint8_t at(int x, int y) const { return samples_[static_cast<size_t>(y * size_.width + x)]; }

 private:
  Size size_;
  std::vector<uint8_t> samples_;
};

// The plane upsampled in both directions up to the crop's end, then resized in both; not rounded.
inline std::vector<std::vector<double>> ReferencePlaneResize(const NoisePlane& plane,
                                                             const PlaneLine& x_line,
                                                             const PlaneLine& y_line, Size out,
                                                             Interpolation method) {
  const Weights across = FilterWeights(x_line, out.width, method);
  const Weights down = FilterWeights(y_line, out.height, method);
  const auto luma = [&](int x, int y) {
    double sum = 0;
    for (const auto& [sx, share_x] : UpsampledFrom(x_line, x)) {
      for (const auto& [sy, share_y] : UpsampledFrom(y_line, y)) {
        sum += share_x * share_y * plane.at(sx, sy);
      }
    }
    return sum;
  };
  const size_t rows = down[0].size();
  const size_t columns = across[0].size();
  std::vector<std::vector<double>> narrow(rows);
  for (size_t y = 0; y < rows; ++y) {
    std::vector<double> row(columns);
    for (size_t x = 0; x < columns; ++x) row[x] = luma(static_cast<int>(x), static_cast<int>(y));
    for (const auto& weights : across) {
      double sum = 0;
      for (size_t x = 0; x < columns; ++x) sum += weights[x] * row[x];
      narrow[y].push_back(sum);
    }
  }
  std::vector<std::vector<double>> result;
  for (const auto& weights : down) {
    std::vector<double> row(across.size());
    for (size_t y = 0; y < rows; ++y) {
      for (size_t x = 0; x < row.size(); ++x) row[x] += weights[y] * narrow[y][x];
    }
    result.push_back(std::move(row));
  }
  return result;
}

}  // namespace stoker::testing
