#include "tensors.h"

#include <array>
#include <utility>

#include "torch_host_allocator.h"

namespace stoker {
namespace {

// Strides of (channels, height, width) in elements.
std::array<int64_t, 3> SampleStrides(const SampleFormat& format, Size size) {
  const int64_t width = size.width;
  if (format.channels_last) return {1, width * format.channels, format.channels};
  return {size.pixels(), width, 1};
}

}  // namespace

at::ScalarType DtypeOf(const SampleFormat& format) {
  return format.type == ElementType::kFloat32 ? at::kFloat : at::kByte;
}

at::Tensor ImagesTensor(Batch* batch, const SampleFormat& format, Size size) {
  const auto strides = SampleStrides(format, size);
  return TensorFromBlock(
      std::move(batch->samples),
      {static_cast<int64_t>(batch->count), format.channels, size.height, size.width},
      {size.pixels() * format.channels, strides[0], strides[1], strides[2]}, DtypeOf(format));
}

at::Tensor LabelsTensor(Batch* batch) {
  return TensorFromBlock(std::move(batch->labels), {static_cast<int64_t>(batch->count)}, {1},
                         at::kLong);
}

at::Tensor EmptySample(const SampleFormat& format, Size size) {
  const auto strides = SampleStrides(format, size);
  return at::empty_strided({format.channels, size.height, size.width}, strides,
                           at::TensorOptions().dtype(DtypeOf(format)));
}

}  // namespace stoker
