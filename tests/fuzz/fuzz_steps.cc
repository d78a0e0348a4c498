// A sample's way from pixels to its slot (crops, padding, resizes, flips, the contrast that a
// window must know the whole for, erasing, the last write) against the same operations on whole
// images. The input chooses the operations and their numbers, the image's size and, with what is
// left, its pixels.
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "base/error.h"
#include "harness.h"
#include "pipeline/load_sample.h"
#include "reference_sample.h"

namespace stoker::fuzz {
namespace {

using testing::Pixels;

constexpr int kLargestSide = 48;
constexpr int64_t kLargestImage = 160 * 160;

Size MakeSize(Input* in) { return {in->Between(1, kLargestSide), in->Between(1, kLargestSide)}; }

// 0 < low <= high; sometimes of any magnitude.
std::array<double, 2> MakeRange(Input* in, double top) {
  const bool extreme = in->Byte() % 8 == 7;
  const auto draw = [&] {
    const double share = in->Between(1, 1000) / 1000.0;
    return extreme ? std::pow(10.0, (share - 0.5) * 600) : share * top;
  };
  const double a = draw();
  const double b = draw();
  return {std::min(a, b), std::max(a, b)};
}

Padding MakePadding(Input* in) {
  const int most = in->Bool() ? 8 : 50;
  return {in->Between(0, most), in->Between(0, most), in->Between(0, most), in->Between(0, most)};
}

Op MakeErasing(const SampleFormat& format, Input* in) {
  Op op;
  op.kind = OpKind::kRandomErasing;
  op.probability = in->Between(0, 4) / 4.0;
  op.scale = MakeRange(in, 1.0);
  op.scale[1] = std::min(op.scale[1], 1.0);
  op.scale[0] = std::min(op.scale[0], op.scale[1]);
  op.ratio = MakeRange(in, 4.0);
  for (size_t c = 0; c < kChannels; ++c) {
    op.value[c] = static_cast<float>(in->Between(0, 255 * 4)) / 4.0F;
    if (format.type == ElementType::kFloat32) op.value[c] -= 100.0F;
    op.noise[c] = in->Bool() ? static_cast<float>(in->Between(0, 400)) / 4.0F : 0.0F;
  }
  return op;
}

Op MakeOp(Input* in) {
  constexpr OpKind kKinds[] = {OpKind::kResize,
                               OpKind::kCenterCrop,
                               OpKind::kRandomCrop,
                               OpKind::kRandomResizedCrop,
                               OpKind::kRandomHorizontalFlip,
                               OpKind::kRandomVerticalFlip,
                               OpKind::kPad,
                               OpKind::kColorJitter};
  Op op;
  op.kind = kKinds[static_cast<size_t>(in->Byte()) % std::size(kKinds)];
  op.size = MakeSize(in);
  op.interpolation = static_cast<Interpolation>(in->Byte() % 3);
  op.pad_mode = static_cast<PadMode>(in->Byte() % 4);
  if (op.kind == OpKind::kResize && in->Bool()) {
    op.short_side = in->Between(1, kLargestSide);
    op.max_size = in->Bool() ? op.short_side + in->Between(1, kLargestSide) : 0;
  }
  if (op.kind == OpKind::kPad || op.kind == OpKind::kRandomCrop) {
    op.padding = MakePadding(in);
    op.pad_if_needed = in->Bool();
    for (uint8_t& value : op.fill) value = static_cast<uint8_t>(in->Byte());
  }
  if (op.kind == OpKind::kRandomResizedCrop) {
    op.scale = MakeRange(in, 1.0);
    op.ratio = MakeRange(in, 4.0);
  }
  op.probability = in->Between(0, 4) / 4.0;
  for (size_t i = 0; i < 2; ++i) {
    const double factor = in->Between(0, 8) / 4.0;
    op.jitter[i] = {factor, factor};
  }
  return op;
}

SampleFormat MakeFormat(Input* in) {
  SampleFormat format;
  format.type = in->Bool() ? ElementType::kFloat32 : ElementType::kUint8;
  format.channels_last = in->Bool();
  format.channels = in->Bool() ? 1 : kChannels;
  if (format.type == ElementType::kFloat32) {
    format.scale = {0.5F, 0.25F, 1.0F / 3.0F};
    format.bias = {-1.0F, 0.0F, 7.0F};
  }
  return format;
}

// Operations as a plan may have them: erasing comes last, with flips around it.
std::vector<Op> MakeOps(const SampleFormat& format, Input* in) {
  std::vector<Op> ops;
  for (int count = in->Byte() % 6; count > 0; --count) ops.push_back(MakeOp(in));
  for (int count = in->Byte() % 4 - 1; count > 0; --count) {
    ops.push_back(MakeErasing(format, in));
    Op flip;
    flip.kind = in->Bool() ? OpKind::kRandomHorizontalFlip : OpKind::kRandomVerticalFlip;
    ops.push_back(flip);
  }
  return ops;
}

std::string FirstDifference(const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    return "byte " + std::to_string(i) + " is " + std::to_string(a[i]) + " for " +
           std::to_string(b[i]);
  }
  return "";
}

void Compare(const SamplePlan& plan, const Pixels& image, const SampleKey& key,
             const ReferenceSample& expected) {
  SampleWorker worker(plan);
  Size size;
  try {
    size = worker.PreparePixels(image.view(), key);
  } catch (const StageError& e) {
    if (std::strlen(e.what()) == 0) Finding("no reason");
    if (!expected.refused) Finding(std::string("refused: ") + e.what());
    return;
  }
  if (expected.refused) Finding("an operation that cannot be done was done");
  if (size != expected.image.size()) Finding("another size");
  if (const auto fixed = SizeAfter(plan.ops, image.size()); fixed && *fixed != size) {
    Finding("a size that was not foretold");
  }
  std::vector<uint8_t> slot(plan.format.SampleBytes(size), Pixels::kGuard);
  worker.Write(slot.data());
  const std::string difference = FirstDifference(slot, expected.Bytes(plan.format));
  if (!difference.empty()) Finding(difference);
}

void Check(Input in) {
  SamplePlan plan;
  plan.format = MakeFormat(&in);
  plan.ops = MakeOps(plan.format, &in);
  SampleKey key;
  key.index = static_cast<uint64_t>(in.Between(0, 1000));
  Pixels image(MakeSize(&in), in.Between(0, 7));
  const auto row_bytes = static_cast<size_t>(image.size().width) * kChannels;
  std::vector<uint8_t> values(row_bytes * static_cast<size_t>(image.size().height));
  in.Fill(values.data(), values.size());
  for (int y = 0; y < image.size().height; ++y) {
    std::memcpy(image.mutable_view().row(y), &values[static_cast<size_t>(y) * row_bytes],
                row_bytes);
  }
  ReferenceSample expected(image);
  for (size_t i = 0; i < plan.ops.size() && !expected.refused; ++i) {
    expected.Do(plan.ops[i], key, static_cast<int>(i));
    if (expected.image.size().pixels() > kLargestImage) return;
  }
  Compare(plan, image, key, expected);
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::SetTargetBy(size);
  stoker::fuzz::Check({data, size});
  return 0;
}
