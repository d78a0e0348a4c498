// The operations on whole images, one after the other, written again from Pillow's published
// algorithms in the plainest way: what the core's windows, steps and kernels are measured against.
#pragma once

#include <cmath>
#include <vector>

#include "base/image_view.h"
#include "image/geometry.h"
#include "image/ops.h"
#include "support/pixels.h"

namespace stoker::testing {

// One output pixel along an axis: the inputs first, first + 1, … and their 22-bit weights.
struct ReferenceRun {
  int first = 0;
  std::vector<int> weights;
};

// precompute_coeffs and normalize_coeffs_8bpc of Pillow's Resample.c.
inline ReferenceRun ReferenceWeights(int in_size, int out_size, int x, Interpolation method) {
  const auto filter = [method](double at) {
    at = std::fabs(at);
    if (method == Interpolation::kBilinear) return at < 1.0 ? 1.0 - at : 0.0;
    const double a = -0.5;
    if (at < 1.0) return ((a + 2.0) * at - (a + 3.0)) * at * at + 1;
    if (at < 2.0) return (((at - 5) * at + 8) * at - 4) * a;
    return 0.0;
  };
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = std::max(1.0, scale);
  const double support = (method == Interpolation::kBilinear ? 1.0 : 2.0) * filter_scale;
  const double center = (x + 0.5) * scale;
  ReferenceRun run;
  run.first = std::max(0, static_cast<int>(center - support + 0.5));
  const int end = std::min(in_size, static_cast<int>(center + support + 0.5));
  std::vector<double> exact;
  double sum = 0.0;
  for (int i = run.first; i < end; ++i) {
    exact.push_back(filter((i - center + 0.5) * (1.0 / filter_scale)));
    sum += exact.back();
  }
  for (const double weight : exact) {
    const double fixed = weight / sum * (1 << 22);
    run.weights.push_back(static_cast<int>(weight / sum < 0 ? fixed - 0.5 : fixed + 0.5));
  }
  return run;
}

// The sum of a run over pixels `step` bytes apart, rounded and clipped to 8 bits.
inline uint8_t ReferenceSum(const ReferenceRun& run, const uint8_t* first, ptrdiff_t step) {
  int64_t sum = 1 << 21;
  for (size_t k = 0; k < run.weights.size(); ++k) {
    sum += int64_t{run.weights[k]} * first[static_cast<ptrdiff_t>(k) * step];
  }
  return static_cast<uint8_t>(std::min<int64_t>(255, std::max<int64_t>(0, sum >> 22)));
}

inline Pixels ReferenceResizeRows(const Pixels& in, int width, Interpolation method) {
  if (width == in.size().width) return in;
  Pixels out({width, in.size().height});
  for (int x = 0; x < width; ++x) {
    const ReferenceRun run = ReferenceWeights(in.size().width, width, x, method);
    for (int y = 0; y < in.size().height; ++y) {
      for (int c = 0; c < kChannels; ++c) {
        out.mutable_view().row(y)[x * kChannels + c] =
            ReferenceSum(run, in.view().row(y) + run.first * kChannels + c, kChannels);
      }
    }
  }
  return out;
}

inline Pixels ReferenceResizeColumns(const Pixels& in, int height, Interpolation method) {
  if (height == in.size().height) return in;
  Pixels out({in.size().width, height});
  for (int y = 0; y < height; ++y) {
    const ReferenceRun run = ReferenceWeights(in.size().height, height, y, method);
    for (int i = 0; i < in.size().width * kChannels; ++i) {
      out.mutable_view().row(y)[i] =
          ReferenceSum(run, in.view().row(run.first) + i, in.view().row_bytes);
    }
  }
  return out;
}

// ImagingScaleAffine of Pillow's Geometry.c: the position is summed up in doubles.
inline std::vector<int> ReferenceNearest(int in_size, int out_size) {
  std::vector<int> from;
  const double step = static_cast<double>(in_size) / out_size;
  double at = step * 0.5;
  for (int x = 0; x < out_size; ++x, at += step) from.push_back(static_cast<int>(at));
  return from;
}

// `pixel_at(x, y)` is the address of the pixel at (x, y) of the result.
template <typename PixelAt>
Pixels FromPixels(Size size, const PixelAt& pixel_at) {
  Pixels out(size);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      std::copy_n(pixel_at(x, y), kChannels, out.mutable_view().row(y) + x * kChannels);
    }
  }
  return out;
}

inline const uint8_t* PixelOf(const Pixels& in, int x, int y) {
  return in.view().row(y) + x * kChannels;
}

// ImagingResample of Pillow 13: columns first where the height shrinks by more than twice as many
// pixels as the width.
inline Pixels ReferenceResize(const Pixels& in, Size out, Interpolation method) {
  if (method == Interpolation::kNearest) {
    const auto columns = ReferenceNearest(in.size().width, out.width);
    const auto rows = ReferenceNearest(in.size().height, out.height);
    return FromPixels(out, [&](int x, int y) {
      return PixelOf(in, columns[static_cast<size_t>(x)], rows[static_cast<size_t>(y)]);
    });
  }
  const int lower = in.size().height - out.height;
  if (lower > 0 && lower > 2 * (in.size().width - out.width)) {
    return ReferenceResizeRows(ReferenceResizeColumns(in, out.height, method), out.width, method);
  }
  return ReferenceResizeColumns(ReferenceResizeRows(in, out.width, method), out.height, method);
}

inline Pixels ReferenceFlip(const Pixels& in, bool horizontal, bool vertical) {
  const Size size = in.size();
  return FromPixels(size, [&](int x, int y) {
    return PixelOf(in, horizontal ? size.width - 1 - x : x, vertical ? size.height - 1 - y : y);
  });
}

// NumPy's pad, by walking from the image's edge outwards and turning around at its ends;
// −1 for the fill colour.
inline int ReferencePadded(int x, int size, PadMode mode) {
  if (x >= 0 && x < size) return x;
  if (mode == PadMode::kConstant) return -1;
  int at = x < 0 ? 0 : size - 1;
  int towards = x < 0 ? -1 : 1;
  for (int left = x < 0 ? -x : x - size + 1; left > 0; --left) {
    const bool at_edge = at + towards < 0 || at + towards >= size;
    if (!at_edge) {
      at += towards;
    } else if (mode == PadMode::kReflect && size > 1) {
      towards = -towards;
      at += towards;
    } else if (mode == PadMode::kSymmetric) {
      towards = -towards;  // the edge pixel once more
    }
  }
  return at;
}

// The part `rect` of an image that goes on beyond its edges as `mode` says.
inline Pixels ReferenceCrop(const Pixels& in, const Rect& rect, PadMode mode,
                            const std::array<uint8_t, 3>& fill) {
  return FromPixels(rect.size(), [&](int x, int y) -> const uint8_t* {
    const int from_x = ReferencePadded(rect.left + x, in.size().width, mode);
    const int from_y = ReferencePadded(rect.top + y, in.size().height, mode);
    return from_x < 0 || from_y < 0 ? fill.data() : PixelOf(in, from_x, from_y);
  });
}

}  // namespace stoker::testing
