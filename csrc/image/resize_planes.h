// The fast pixel mode's way through a sample's geometry: crop and antialiased resize on the planes
// of a JPEG, each at its own resolution, up to where write_sample.h converts colours.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "base/bytes.h"
#include "base/planes.h"
#include "base/rect.h"
#include "image/geometry.h"
#include "image/plane_kernels.h"
#include "image/plane_weights.h"

namespace stoker {

// Beyond this, each of so many weights is so small that rounding them shows.
inline constexpr int kMaxPlaneReduction = 64;

// What a geometry begins with where the fast way can take it: one crop, one resize, and the window
// of its result that is wanted.
struct PlaneResize {
  Rect crop;    // in pixels of the image; the resize's filter does not look beyond it
  Size out;     // of the resize
  Rect window;  // of the result
  Interpolation interpolation;
  size_t steps;  // of the geometry that this stands for; those behind them go on pixels

  // The power of two that the image may be reduced by in the DCT domain, at most 8: halved as long
  // as the crop is at least four times as large as the result, across and down.
  int DctScale() const;
};

// None where the geometry has no resize, one by more than kMaxPlaneReduction, or steps before it
// that go on pixels only (padding, flips, colours, nearest neighbour).
std::optional<PlaneResize> AsPlaneResize(const Geometry& geometry);

// Scratch memory and the way through the planes; one per worker, reused. Threads: one at a time;
// the cache may be shared.
class PlaneResizer {
 public:
  explicit PlaneResizer(std::shared_ptr<PlaneWeightCache> cache) : cache_(std::move(cache)) {}

  // Resizes each plane to the window's size. `planes` hold what is under the resize's crop. The
  // result's planes have no margins, rows of whole multiples of 64 bytes, and live until the next
  // call.
  YccPlanes Resize(const PlaneResize& resize, const YccPlanes& planes);

  // Gives scratch memory above `limit` bytes (each) back.
  void ShrinkTo(size_t limit);

 private:
  void ResizeOne(const PlaneResize& resize, int scale, const PlaneView& in, ByteBuffer* out);

  const std::shared_ptr<PlaneWeightCache> cache_;
  PlaneWeights row_weights_;  // where the cache has no room
  PlaneWeights column_weights_;
  std::array<ByteBuffer, 3> out_;
  ByteBuffer between_;  // the two passes
};

}  // namespace stoker
