#include "image/resize_planes.h"

#include <algorithm>
#include <cstdint>

namespace stoker {
namespace {

constexpr ptrdiff_t kRowAlignment = 64;

ptrdiff_t RowBytes(int width) {
  return (width + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

MutablePlaneRows RowsIn(ByteBuffer* buffer, int width, int height) {
  const ptrdiff_t row_bytes = RowBytes(width);
  return {buffer->Reserve(static_cast<size_t>(row_bytes) * static_cast<size_t>(height)), row_bytes,
          width, height};
}

}  // namespace

int PlaneResize::DctScale() const {
  int scale = 1;
  while (scale < 8 && crop.width >= 4 * scale * out.width &&
         crop.height >= 4 * scale * out.height) {
    scale *= 2;
  }
  return scale;
}

std::optional<PlaneResize> AsPlaneResize(const Geometry& geometry) {
  Rect crop{};
  size_t at = 0;
  const auto crops = [&] {
    return at < geometry.steps.size() && geometry.steps[at].kind == StepKind::kCrop;
  };
  for (; crops(); ++at) crop = geometry.steps[at].rect.Shifted(crop.left, crop.top);
  if (at == geometry.steps.size() || geometry.steps[at].kind != StepKind::kResize)
    return std::nullopt;
  const Step& resize = geometry.steps[at++];
  if (resize.interpolation == Interpolation::kNearest) return std::nullopt;
  crop.width = resize.in.width;
  crop.height = resize.in.height;
  if (crop.width > int64_t{kMaxPlaneReduction} * resize.out.width ||
      crop.height > int64_t{kMaxPlaneReduction} * resize.out.height) {
    return std::nullopt;
  }
  while (crops()) ++at;
  return PlaneResize{crop, resize.out, resize.out_window, resize.interpolation, at};
}

YccPlanes PlaneResizer::Resize(const PlaneResize& resize, const YccPlanes& planes) {
  YccPlanes result;
  result.count = planes.count;
  result.scale = 1;
  for (int c = 0; c < planes.count; ++c) {
    const auto i = static_cast<size_t>(c);
    ResizeOne(resize, planes.scale, planes.plane[i], &out_[i]);
    PlaneView& view = result.plane[i];
    view.samples = out_[i].data();
    view.row_bytes = RowBytes(resize.window.width);
    view.size = resize.window.size();
    view.rect = Whole(view.size);
  }
  return result;
}

void PlaneResizer::ResizeOne(const PlaneResize& resize, int scale, const PlaneView& in,
                             ByteBuffer* out_buffer) {
  const Rect& window = resize.window;
  PlaneAxis x_axis = PlaneAxis::Make(resize.crop.left, resize.crop.width, scale, in.h_factor,
                                     in.triangle, in.size.width);
  x_axis.out_size = resize.out.width;
  x_axis.out_begin = window.left;
  x_axis.out_end = window.right();
  PlaneAxis y_axis = PlaneAxis::Make(resize.crop.top, resize.crop.height, scale, in.v_factor,
                                     in.triangle, in.size.height);
  y_axis.out_size = resize.out.height;
  y_axis.out_begin = window.top;
  y_axis.out_end = window.bottom();
  x_axis.interpolation = y_axis.interpolation = resize.interpolation;
  const PlaneWeights& rows = cache_->Get(x_axis, &row_weights_);
  const PlaneWeights& columns = cache_->Get(y_axis, &column_weights_);

  const PlaneRows source{in.samples, in.row_bytes,
                         in.rect.left - PlaneAxis::Base(resize.crop.left, scale, in.h_factor),
                         in.rect.top - PlaneAxis::Base(resize.crop.top, scale, in.v_factor)};
  const MutablePlaneRows out = RowsIn(out_buffer, window.width, window.height);
  // The pass along rows costs more, so the one along columns goes first where it leaves fewer rows.
  if (columns.end - columns.begin >= window.height) {
    const MutablePlaneRows between = RowsIn(&between_, rows.end - rows.begin, window.height);
    ResizePlaneColumns(
        {source.at(rows.begin, source.top), source.row_bytes, rows.begin, source.top}, columns,
        between);
    ResizePlaneRows({between.samples, between.row_bytes, rows.begin, 0}, rows, out);
  } else {
    const MutablePlaneRows between = RowsIn(&between_, window.width, columns.end - columns.begin);
    ResizePlaneRows(
        {source.at(source.left, columns.begin), source.row_bytes, source.left, columns.begin}, rows,
        between);
    ResizePlaneColumns({between.samples, between.row_bytes, 0, columns.begin}, columns, out);
  }
}

void PlaneResizer::ShrinkTo(size_t limit) {
  for (ByteBuffer& out : out_) out.ShrinkTo(limit);
  between_.ShrinkTo(limit);
}

}  // namespace stoker
