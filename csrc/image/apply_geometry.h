// Carries out the steps that geometry.h worked out, on decoded pixels.
#pragma once

#include <array>

#include "base/bytes.h"
#include "base/image_view.h"
#include "image/geometry.h"
#include "image/resize_weights.h"

namespace stoker {

// Scratch memory and the way through the steps; one per worker, reused. Threads: one at a time.
class GeometryApplier {
 public:
  // `image` holds exactly what the step `first` needs: geometry.decode, for the first of all.
  // Returns the final image of geometry.out (its last flips not applied), which lives until the
  // next call or as long as `image`.
  ImageView Apply(const Geometry& geometry, ImageView image, size_t first = 0);

  // Gives scratch memory above `limit` bytes (each) back.
  void ShrinkTo(size_t limit);

 private:
  MutableImageView NextImage(Size size);
  void Resize(const Step& step, const ImageView& in, const MutableImageView& out);
  void ResizeNearest(const Step& step, const ImageView& in, const MutableImageView& out);

  std::array<ByteBuffer, 2> images_;  // a step reads one and writes the other
  int next_ = 0;
  ByteBuffer between_;  // the two passes of a resize
  ResizeWeights row_weights_;
  ResizeWeights column_weights_;
  std::vector<int> columns_from_;
  std::vector<int> rows_from_;
};

}  // namespace stoker
