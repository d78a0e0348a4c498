#include "image/apply_geometry.h"

#include <cstring>

#include "image/color_kernels.h"
#include "image/resize_kernels.h"

namespace stoker {
namespace {

MutableImageView ViewOf(ByteBuffer* buffer, Size size) {
  const ptrdiff_t row_bytes = static_cast<ptrdiff_t>(size.width) * kChannels;
  return {buffer->Reserve(static_cast<size_t>(row_bytes) * static_cast<size_t>(size.height)), size,
          row_bytes};
}

void CopyPixel(const uint8_t* from, uint8_t* to) { std::memcpy(to, from, kChannels); }

void FlipHorizontal(const ImageView& in, const MutableImageView& out) {
  for (int y = 0; y < in.size.height; ++y) {
    const uint8_t* from = in.row(y) + static_cast<ptrdiff_t>(in.size.width - 1) * kChannels;
    uint8_t* to = out.row(y);
    for (int x = 0; x < in.size.width; ++x, from -= kChannels, to += kChannels) CopyPixel(from, to);
  }
}

void FlipVertical(const ImageView& in, const MutableImageView& out) {
  const size_t bytes = static_cast<size_t>(in.size.width) * kChannels;
  for (int y = 0; y < in.size.height; ++y) {
    std::memcpy(out.row(in.size.height - 1 - y), in.row(y), bytes);
  }
}

void PadCrop(const Step& step, const ImageView& in, const MutableImageView& out) {
  const Rect& window = step.out_window;
  for (int y = 0; y < window.height; ++y) {
    const int from_y =
        PaddedCoordinate(window.top + y + step.rect.top, step.in.height, step.pad_mode);
    uint8_t* to = out.row(y);
    for (int x = 0; x < window.width; ++x, to += kChannels) {
      const int from_x =
          PaddedCoordinate(window.left + x + step.rect.left, step.in.width, step.pad_mode);
      if (from_x < 0 || from_y < 0) {
        CopyPixel(step.fill.data(), to);
      } else {
        CopyPixel(in.row(from_y - step.in_window.top) +
                      static_cast<ptrdiff_t>(from_x - step.in_window.left) * kChannels,
                  to);
      }
    }
  }
}

// torchvision's: the fraction of a turn in 256ths of 255, wrapped.
uint8_t HueShift(float factor) {
  return static_cast<uint8_t>(static_cast<int>(double{factor} * 255.0));
}

}  // namespace

MutableImageView GeometryApplier::NextImage(Size size) {
  next_ = 1 - next_;
  return ViewOf(&images_[static_cast<size_t>(next_)], size);
}

ImageView GeometryApplier::Apply(const Geometry& geometry, ImageView image, size_t first) {
  for (size_t i = first; i < geometry.steps.size(); ++i) {
    const Step& step = geometry.steps[i];
    if (step.kind == StepKind::kCrop) continue;  // the windows fit already
    const MutableImageView out = NextImage(step.out_window.size());
    switch (step.kind) {
      case StepKind::kCrop: break;
      case StepKind::kPadCrop: PadCrop(step, image, out); break;
      case StepKind::kFlipHorizontal: FlipHorizontal(image, out); break;
      case StepKind::kFlipVertical: FlipVertical(image, out); break;
      case StepKind::kResize: Resize(step, image, out); break;
      case StepKind::kBrightness: BlendWithConstant(image, 0, step.factor, out); break;
      case StepKind::kContrast:
        BlendWithConstant(image.Crop(step.out_window), MeanLuma(image), step.factor, out);
        break;
      case StepKind::kSaturation:
      case StepKind::kGrayscale: BlendWithLuma(image, step.factor, out); break;
      case StepKind::kHue: ShiftHue(image, HueShift(step.factor), out); break;
    }
    image = out;
  }
  return image;
}

void GeometryApplier::Resize(const Step& step, const ImageView& in, const MutableImageView& out) {
  if (step.interpolation == Interpolation::kNearest) return ResizeNearest(step, in, out);
  const Rect& window = step.out_window;
  const bool rows = step.in.width != step.out.width;
  const bool columns = step.in.height != step.out.height;
  if (rows) {
    row_weights_.Compute(step.in.width, step.out.width, window.left, window.right(),
                         step.interpolation);
  }
  if (columns) {
    column_weights_.Compute(step.in.height, step.out.height, window.top, window.bottom(),
                            step.interpolation);
  }
  if (rows && columns && ColumnsFirst(step.in, step.out)) {
    const MutableImageView between = ViewOf(&between_, {in.size.width, window.height});
    ResizeColumns(in, column_weights_, step.in_window.top, between);
    ResizeRows(between, row_weights_, step.in_window.left, out);
  } else if (rows && columns) {
    const MutableImageView between = ViewOf(&between_, {window.width, in.size.height});
    ResizeRows(in, row_weights_, step.in_window.left, between);
    ResizeColumns(between, column_weights_, step.in_window.top, out);
  } else if (rows) {
    ResizeRows(in, row_weights_, step.in_window.left, out);
  } else {
    ResizeColumns(in, column_weights_, step.in_window.top, out);
  }
}

void GeometryApplier::ResizeNearest(const Step& step, const ImageView& in,
                                    const MutableImageView& out) {
  const Rect& window = step.out_window;
  columns_from_.resize(static_cast<size_t>(window.width));
  rows_from_.resize(static_cast<size_t>(window.height));
  NearestCoordinates(step.in.width, step.out.width, window.left, window.right(),
                     columns_from_.data());
  NearestCoordinates(step.in.height, step.out.height, window.top, window.bottom(),
                     rows_from_.data());
  for (int y = 0; y < window.height; ++y) {
    const uint8_t* row = in.row(rows_from_[static_cast<size_t>(y)] - step.in_window.top);
    uint8_t* to = out.row(y);
    for (const int from : columns_from_) {
      CopyPixel(row + static_cast<ptrdiff_t>(from - step.in_window.left) * kChannels, to);
      to += kChannels;
    }
  }
}

void GeometryApplier::ShrinkTo(size_t limit) {
  for (ByteBuffer& image : images_) image.ShrinkTo(limit);
  between_.ShrinkTo(limit);
}

}  // namespace stoker
