// Every kernel on every SIMD target against its scalar oracle, with shapes and contents from the
// input. What a kernel reads and writes has exactly the size that its header promises, so that the
// address sanitizer sees a step beyond.
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codec/jpeg/inverse_dct.h"
#include "codec/jpeg/planes_to_rgb.h"
#include "harness.h"
#include "image/plane_kernels.h"
#include "image/plane_weights.h"
#include "image/resize_kernels.h"
#include "image/simd.h"
#include "image/write_sample.h"
#include "support/pixels.h"

namespace stoker::fuzz {
namespace {

using testing::Pixels;
using testing::SamePixels;

// Runs `same` on every target; false is a finding.
void OnEveryTarget(const char* kernel, const std::function<bool()>& same) {
  static const auto targets = SimdTargets();
  for (const std::string& target : targets) {
    SetSimdTarget(target);
    if (!same()) Finding(std::string(kernel) + " differs from its oracle on " + target);
  }
}

Pixels FilledPixels(const Input& in, Size size, int gap) {
  Pixels pixels(size, gap);
  std::vector<uint8_t> values(static_cast<size_t>(size.pixels()) * kChannels);
  in.Fill(values.data(), values.size());
  const auto row_bytes = static_cast<size_t>(size.width) * kChannels;
  for (int y = 0; y < size.height; ++y) {
    std::memcpy(pixels.mutable_view().row(y), &values[static_cast<size_t>(y) * row_bytes],
                row_bytes);
  }
  return pixels;
}

bool SameAndIntact(const Pixels& result, const Pixels& expected) {
  return SamePixels(result.view(), expected.view()) && result.GuardsAreIntact();
}

// ---- InverseDctRow ------------------------------------------------------------------------------

struct FreeBlocks {
  void operator()(int16_t* p) const { std::free(p); }
};

void CheckInverseDct(Input in) {
  constexpr size_t kBlock = 64;
  const int count = in.Between(1, 20);
  const int kept = in.Between(1, kBlock);  // coefficients of each block that are not zero
  const int shift = in.Between(0, 12);     // how small they are
  const int quant_mask = in.Bool() ? 0xFFFF : 0xFF;
  const ptrdiff_t row_bytes = count * ptrdiff_t{8} + in.Between(0, 9);
  uint16_t quant[kBlock];
  for (uint16_t& q : quant) {
    const int high = in.Byte();
    q = static_cast<uint16_t>((high << 8 | in.Byte()) & quant_mask);
  }
  const size_t coefficients = static_cast<size_t>(count) * kBlock;
  const std::unique_ptr<int16_t[], FreeBlocks> blocks(
      static_cast<int16_t*>(std::aligned_alloc(64, coefficients * sizeof(int16_t))));
  in.Fill(reinterpret_cast<uint8_t*>(blocks.get()), coefficients * sizeof(int16_t));
  for (size_t i = 0; i < coefficients; ++i) {
    const bool keep = static_cast<int>(i % kBlock) < kept;
    blocks[i] = keep ? static_cast<int16_t>(blocks[i] / (1 << shift)) : int16_t{0};
  }
  const auto bytes = static_cast<size_t>(row_bytes) * 7 + static_cast<size_t>(count) * 8;
  std::vector<uint8_t> expected(bytes, Pixels::kGuard);
  InverseDctRowScalar(blocks.get(), count, quant, expected.data(), row_bytes);
  OnEveryTarget("InverseDctRow", [&] {
    std::vector<uint8_t> result(bytes, Pixels::kGuard);
    InverseDctRow(blocks.get(), count, quant, result.data(), row_bytes);
    return result == expected;
  });
}

// ---- PlanesToRgb --------------------------------------------------------------------------------

// A plane's samples under `region` and one beside it on each side where the image goes on.
PlaneView MakePlane(const Input& in, const Rect& region, Size image, int h, int v, int gap,
                    std::vector<uint8_t>* samples) {
  PlaneView plane;
  plane.size = {(image.width + h - 1) / h, (image.height + v - 1) / v};
  plane.h_factor = h;
  plane.v_factor = v;
  plane.triangle = (h == 2 || v == 2) && (h == 1 || plane.size.width > 2);
  const int margin_x = h > 1 ? 1 : 0;
  const int margin_y = v > 1 ? 1 : 0;
  const int left = std::max(0, region.left / h - margin_x);
  const int top = std::max(0, region.top / v - margin_y);
  const int right = std::min(plane.size.width, (region.right() - 1) / h + 1 + margin_x);
  const int bottom = std::min(plane.size.height, (region.bottom() - 1) / v + 1 + margin_y);
  plane.rect = {left, top, right - left, bottom - top};
  plane.row_bytes = ptrdiff_t{plane.rect.width} + gap;
  const auto bytes = static_cast<size_t>(plane.row_bytes) * static_cast<size_t>(plane.rect.height);
  samples->assign(bytes + ByteBuffer::kPadding, Pixels::kGuard);
  in.Fill(samples->data(), bytes);
  plane.samples = samples->data();
  return plane;
}

void CheckPlanesToRgb(Input in) {
  constexpr int kFactors[][2] = {{1, 1}, {2, 1}, {2, 2}, {1, 2}, {4, 1}};
  const int kind = in.Between(0, 5);  // the last: gray
  const Size image{in.Between(1, 150), in.Between(1, 20)};
  Rect region;
  region.left = in.Between(0, image.width - 1);
  region.top = in.Between(0, image.height - 1);
  region.width = in.Between(1, image.width - region.left);
  region.height = in.Between(1, image.height - region.top);
  const int gap = in.Between(0, 7);
  const int gap_out = in.Between(0, 7);
  YccPlanes planes;
  planes.count = kind == 5 ? 1 : 3;
  std::vector<uint8_t> samples[3];
  for (int c = 0; c < planes.count; ++c) {
    in.Byte();  // so that the planes differ
    const int* factors = kFactors[c == 0 ? 0 : kind];
    planes.plane[static_cast<size_t>(c)] =
        MakePlane(in, region, image, factors[0], factors[1], gap, &samples[c]);
  }
  Pixels expected(region.size());
  PlanesToRgbScalar(planes, region, nullptr, expected.mutable_view());
  OnEveryTarget("PlanesToRgb", [&] {
    ByteBuffer scratch;
    Pixels result(region.size(), gap_out);
    PlanesToRgb(planes, region, &scratch, result.mutable_view());
    return SameAndIntact(result, expected);
  });
}

// ---- ResizeRows, ResizeColumns ------------------------------------------------------------------

void CheckResize(Input in) {
  const bool rows = in.Bool();
  const auto method = in.Bool() ? Interpolation::kBicubic : Interpolation::kBilinear;
  const int from = in.Between(1, in.Bool() ? 2000 : 60);
  const int to = in.Between(1, 200);
  const int across = in.Between(1, 24);  // the axis that stays
  const int begin = in.Between(0, to - 1);
  const int end = in.Between(begin + 1, to);
  const int gap_in = in.Between(0, 7);
  const int gap_out = in.Between(0, 7);
  ResizeWeights weights;
  weights.Compute(from, to, begin, end, method);
  int first = from;
  int last = 0;
  for (const ResizeWeights::Run& run : weights.runs) {
    first = std::min(first, run.begin);
    last = std::max(last, run.begin + run.taps);
  }
  const Size part = rows ? Size{last - first, across} : Size{across, last - first};
  const Size out = rows ? Size{end - begin, across} : Size{across, end - begin};
  const Pixels input = FilledPixels(in, part, gap_in);
  Pixels expected(out);
  (rows ? &ResizeRowsScalar : &ResizeColumnsScalar)(input.view(), weights, first,
                                                    expected.mutable_view());
  OnEveryTarget(rows ? "ResizeRows" : "ResizeColumns", [&] {
    Pixels result(out, gap_out);
    (rows ? &ResizeRows : &ResizeColumns)(input.view(), weights, first, result.mutable_view());
    return SameAndIntact(result, expected);
  });
}

// ---- ResizePlaneRows, ResizePlaneColumns --------------------------------------------------------

PlaneAxis MakeAxis(Input* in) {
  const int scale = 1 << in->Between(0, 3);
  const int factor = 1 << in->Between(0, 2);
  const int size = in->Between(1, in->Bool() ? 2000 : 60);
  const int begin = in->Between(0, 100);
  const int unit = scale * factor;
  const int plane_size = (begin + size + in->Between(0, 40) + unit - 1) / unit;
  PlaneAxis axis = PlaneAxis::Make(begin, size, scale, factor, factor == 2, plane_size);
  axis.out_size = in->Between(1, 200);
  axis.out_begin = in->Between(0, axis.out_size - 1);
  axis.out_end = in->Between(axis.out_begin + 1, axis.out_size);
  axis.interpolation = in->Bool() ? Interpolation::kBicubic : Interpolation::kBilinear;
  return axis;
}

// Bytes so that an output's sum is as large, or as small, as it can be: white or black by the sign
// of its weights, in all of the `across` lines `line_step` apart.
void FillExtreme(const PlaneWeights& weights, size_t output, bool bright, ptrdiff_t step,
                 ptrdiff_t line_step, int across, uint8_t* samples) {
  const PlaneWeights::Run run = weights.runs[output];
  for (int k = 0; k < run.taps; ++k) {
    const int16_t weight =
        weights.weights[output * static_cast<size_t>(weights.taps) + static_cast<size_t>(k)];
    for (int i = 0; i < across; ++i) {
      samples[(run.begin - weights.begin + k) * step + i * line_step] =
          bright == (weight > 0) ? uint8_t{255} : uint8_t{0};
    }
  }
}

void CheckResizePlane(Input in) {
  const bool rows = in.Bool();
  PlaneWeights weights;
  weights.Compute(MakeAxis(&in));
  const int outputs = static_cast<int>(weights.runs.size());
  const int needed = weights.end - weights.begin;
  const int across = in.Between(1, rows ? 20 : 150);  // the axis that stays
  const int width = rows ? needed : across;
  const int height = rows ? across : needed;
  const ptrdiff_t row_bytes = width + in.Between(0, 70);
  const int extreme = in.Between(0, 2);
  const int extreme_output = in.Between(0, outputs - 1);
  // Readable: 64 bytes behind what is looked at.
  std::vector<uint8_t> samples(static_cast<size_t>(row_bytes * (height - 1) + width) + 64);
  in.Fill(samples.data(), samples.size());
  if (extreme != 0) {
    FillExtreme(weights, static_cast<size_t>(extreme_output), extreme == 1, rows ? 1 : row_bytes,
                rows ? row_bytes : 1, across, samples.data());
  }
  const PlaneRows input{samples.data(), row_bytes, rows ? weights.begin : 0,
                        rows ? 0 : weights.begin};
  // Writable: whole multiples of 64 bytes.
  const int out_width = rows ? outputs : across;
  const int out_height = rows ? across : outputs;
  const ptrdiff_t out_row_bytes = (out_width + 63) / 64 * 64;
  const auto bytes = static_cast<size_t>(out_row_bytes * out_height);
  std::vector<uint8_t> expected(bytes);
  (rows ? &ResizePlaneRowsScalar : &ResizePlaneColumnsScalar)(
      input, weights, {expected.data(), out_row_bytes, out_width, out_height});
  OnEveryTarget(rows ? "ResizePlaneRows" : "ResizePlaneColumns", [&] {
    std::vector<uint8_t> result(bytes);
    (rows ? &ResizePlaneRows : &ResizePlaneColumns)(
        input, weights, {result.data(), out_row_bytes, out_width, out_height});
    for (ptrdiff_t y = 0; y < out_height; ++y) {
      const uint8_t* const row = result.data() + y * out_row_bytes;
      if (!std::equal(row, row + out_width, expected.data() + y * out_row_bytes)) return false;
    }
    return true;
  });
}

// ---- WriteSample --------------------------------------------------------------------------------

SampleFormat MakeFormat(Input* in) {
  SampleFormat format;
  format.type = in->Bool() ? ElementType::kFloat32 : ElementType::kUint8;
  format.channels_last = in->Bool();
  for (size_t c = 0; c < kChannels; ++c) {
    format.scale[c] = static_cast<float>(in->Between(-30000, 30000)) / 12345.0F;
    format.bias[c] = static_cast<float>(in->Between(-30000, 30000)) / 123.0F;
  }
  return format;
}

// From pixels or from planes.
template <typename Image>
void CheckWriteSampleFrom(const Image& image, Size size, Input* in) {
  const SampleFormat format = MakeFormat(in);
  const bool flip_horizontal = in->Bool();
  const bool flip_vertical = in->Bool();
  const size_t bytes = format.SampleBytes(size);
  std::vector<uint8_t> expected(bytes, Pixels::kGuard);
  WriteSampleScalar(image, flip_horizontal, flip_vertical, format, expected.data());
  OnEveryTarget("WriteSample", [&] {
    std::vector<uint8_t> result(bytes, Pixels::kGuard);
    WriteSample(image, flip_horizontal, flip_vertical, format, result.data());
    return result == expected;
  });
}

void CheckWriteSample(Input in) {
  const Size size{in.Between(1, 150), in.Between(1, 6)};
  const int gap = in.Between(0, 7);
  const Pixels input = FilledPixels(in, size, gap);
  CheckWriteSampleFrom(input.view(), size, &in);
}

void CheckWriteSampleOfPlanes(Input in) {
  const Size size{in.Between(1, 150), in.Between(1, 6)};
  YccPlanes planes;
  planes.count = in.Bool() ? 3 : 1;
  std::vector<uint8_t> samples[3];
  for (int c = 0; c < planes.count; ++c) {
    const int gap = in.Between(0, 7);
    planes.plane[static_cast<size_t>(c)] = MakePlane(in, Whole(size), size, 1, 1, gap, &samples[c]);
  }
  CheckWriteSampleFrom(planes, size, &in);
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace stoker::fuzz;  // NOLINT(google-build-using-namespace): once, at the very end
  constexpr void (*kChecks[])(Input) = {&CheckInverseDct,  &CheckPlanesToRgb,
                                        &CheckResize,      &CheckResizePlane,
                                        &CheckWriteSample, &CheckWriteSampleOfPlanes};
  Input in(data, size);
  kChecks[in.Byte() % 6](in);
  return 0;
}
