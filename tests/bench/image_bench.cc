// The image kernels on a typical training crop: 300 × 280 pixels to 224 × 224, on each target.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/planes.h"
#include "image/apply_geometry.h"
#include "image/plane_kernels.h"
#include "image/plane_weights.h"
#include "image/resize_kernels.h"
#include "image/simd.h"
#include "image/write_sample.h"
#include "support/test_images.h"

namespace stoker {
namespace {

constexpr Size kIn{300, 280};
constexpr Size kOut{224, 224};

struct Image {
  explicit Image(Size size) {
    const auto rgb = testing::MakeRgb(size.width, size.height, 7);
    uint8_t* data = buffer.Reserve(rgb.size());
    std::copy(rgb.begin(), rgb.end(), data);
    view = {data, size, static_cast<ptrdiff_t>(size.width) * kChannels};
  }
  ByteBuffer buffer;
  MutableImageView view;
};

// Selects the target of this benchmark's number; false if the machine has fewer.
bool UseTarget(benchmark::State& state) {
  const auto targets = SimdTargets();
  const auto i = static_cast<size_t>(state.range(0));
  if (i >= targets.size()) {
    state.SkipWithError("no such target here");
    return false;
  }
  SetSimdTarget(targets[i]);
  state.SetLabel(targets[i]);
  return true;
}

void BM_ResizeRows(benchmark::State& state) {
  if (!UseTarget(state)) return;
  const Image in(kIn);
  const Image out({kOut.width, kIn.height});
  ResizeWeights weights;
  weights.Compute(kIn.width, kOut.width, 0, kOut.width, Interpolation::kBilinear);
  for (auto _ : state) ResizeRows(in.view, weights, 0, out.view);
  SetSimdTarget("");
}
BENCHMARK(BM_ResizeRows)->DenseRange(0, 3);

void BM_ResizeColumns(benchmark::State& state) {
  if (!UseTarget(state)) return;
  const Image in({kOut.width, kIn.height});
  const Image out(kOut);
  ResizeWeights weights;
  weights.Compute(kIn.height, kOut.height, 0, kOut.height, Interpolation::kBilinear);
  for (auto _ : state) ResizeColumns(in.view, weights, 0, out.view);
  SetSimdTarget("");
}
BENCHMARK(BM_ResizeColumns)->DenseRange(0, 3);

void BM_ResizeWeights(benchmark::State& state) {
  ResizeWeights weights;
  for (auto _ : state) weights.Compute(300, 224, 0, 224, Interpolation::kBilinear);
}
BENCHMARK(BM_ResizeWeights);

// One plane, as many samples as a channel of the above.
void BM_ResizePlane(benchmark::State& state) {
  if (!UseTarget(state)) return;
  const bool rows = state.range(1) != 0;
  const int in_size = rows ? kIn.width : kIn.height;
  PlaneAxis axis = PlaneAxis::Make(10, in_size, 1, 1, false, in_size + 20);
  axis.out_size = axis.out_end = 224;
  PlaneWeights weights;
  weights.Compute(axis);
  const Image in({(320 + 2) / 3, 320});
  const Image out({320 / 3, 320});
  constexpr ptrdiff_t kRowBytes = 320;
  for (auto _ : state) {
    if (rows) {
      ResizePlaneRows({in.view.pixels_hwc, kRowBytes, 0, 0}, weights,
                      {out.view.pixels_hwc, kRowBytes, 224, 224});
    } else {
      ResizePlaneColumns({in.view.pixels_hwc, kRowBytes, 0, 0}, weights,
                         {out.view.pixels_hwc, kRowBytes, 300, 224});
    }
    benchmark::ClobberMemory();
  }
  SetSimdTarget("");
}
BENCHMARK(BM_ResizePlane)->ArgNames({"target", "rows"})->ArgsProduct({{0, 1, 2, 3}, {0, 1}});

void BM_PlaneWeights(benchmark::State& state) {
  PlaneAxis axis = PlaneAxis::Make(10, 300, 1, 1, false, 400);
  axis.out_size = axis.out_end = 224;
  PlaneWeights weights;
  for (auto _ : state) weights.Compute(axis);
}
BENCHMARK(BM_PlaneWeights);

void BM_WriteYcc(benchmark::State& state) {
  if (!UseTarget(state)) return;
  const Image in({kOut.width, 3 * kOut.height});
  YccPlanes planes;
  planes.count = 3;
  for (size_t c = 0; c < 3; ++c) {
    planes.plane[c].samples = in.view.pixels_hwc + c * 224 * 256;
    planes.plane[c].row_bytes = 256;
    planes.plane[c].size = kOut;
    planes.plane[c].rect = Whole(kOut);
  }
  SampleFormat format;
  format.type = ElementType::kFloat32;
  std::vector<uint8_t> slot(format.SampleBytes(kOut) + 64);
  for (auto _ : state) {
    WriteSample(planes, false, false, format, slot.data());
    benchmark::ClobberMemory();
  }
  SetSimdTarget("");
}
BENCHMARK(BM_WriteYcc)->DenseRange(0, 3);

void BM_WriteSample(benchmark::State& state) {
  if (!UseTarget(state)) return;
  const Image in(kOut);
  SampleFormat format;
  format.type = state.range(1) != 0 ? ElementType::kFloat32 : ElementType::kUint8;
  format.channels_last = state.range(2) != 0;
  std::vector<uint8_t> slot(format.SampleBytes(kOut) + 64);
  for (auto _ : state) {
    WriteSample(in.view, state.range(3) != 0, false, format, slot.data());
    benchmark::ClobberMemory();
  }
  SetSimdTarget("");
}
BENCHMARK(BM_WriteSample)
    ->ArgNames({"target", "float", "channels_last", "flip"})
    ->ArgsProduct({{0, 1, 2, 3}, {0, 1}, {0, 1}, {0, 1}});

}  // namespace
}  // namespace stoker
