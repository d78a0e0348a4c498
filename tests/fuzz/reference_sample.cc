#include "reference_sample.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "image/erase.h"
#include "image/portable_math.h"
#include "support/reference_colors.h"
#include "support/reference_ops.h"

namespace stoker::fuzz {

using testing::Pixels;

namespace {

// Half of what is missing in front of a small image; Python's round of half the rest otherwise.
int CenterBegin(int size, int crop) {
  if (crop > size) return -((crop - size) / 2);
  return static_cast<int>(std::nearbyint((size - crop) / 2.0));
}

// Brightness and contrast in the order that is drawn.
Pixels Jittered(const Op& op, const Pixels& in, OpRandom* random) {
  std::array<uint8_t, 4> order{};
  random->Permutation(4, &order);
  Pixels out = in;
  for (const uint8_t i : order) {
    const auto factor = static_cast<float>(op.jitter[i][0]);
    if (i > 1 || factor == 1.0F) continue;
    out = testing::ReferenceBlended(out, i == 0 ? 0 : testing::ReferenceMeanLuma(out), factor);
  }
  return out;
}

float NoiseAt(const Erasure& erasure, uint64_t element) {
  const PhiloxBlock block = Philox4x32(
      {static_cast<uint32_t>(element / 4), static_cast<uint32_t>(element / 4 >> 32), 0, 0},
      {static_cast<uint32_t>(erasure.noise_key), static_cast<uint32_t>(erasure.noise_key >> 32)});
  return static_cast<float>(NormalQuantile((block[element % 4] + 0.5) * 0x1p-32));
}

void Put(float value, const SampleFormat& format, int64_t at, std::vector<uint8_t>* bytes) {
  if (format.type == ElementType::kFloat32) {
    std::memcpy(bytes->data() + at * static_cast<int64_t>(sizeof value), &value, sizeof value);
  } else {
    (*bytes)[static_cast<size_t>(at)] =
        static_cast<uint8_t>(value <= 0 ? 0 : std::min(255.0F, std::floor(value)));
  }
}

void Overwrite(const Erasure& erasure, Size size, const SampleFormat& format,
               std::vector<uint8_t>* bytes) {
  uint64_t noisy = 0;  // elements that had noise so far
  for (int c = 0; c < format.channels; ++c) {
    const auto channel = static_cast<size_t>(c);
    for (int y = erasure.rect.top; y < erasure.rect.bottom(); ++y) {
      for (int x = erasure.rect.left; x < erasure.rect.right(); ++x) {
        float value = erasure.value[channel];
        if (erasure.noise[channel] != 0) {
          value += erasure.noise[channel] * NoiseAt(erasure, noisy++);
        }
        const int64_t pixel = int64_t{y} * size.width + x;
        Put(value, format,
            format.channels_last ? pixel * format.channels + c : c * size.pixels() + pixel, bytes);
      }
    }
  }
}

}  // namespace

void ReferenceSample::Crop(const Rect& rect, PadMode mode, const std::array<uint8_t, 3>& fill) {
  image = testing::ReferenceCrop(image, rect, mode, fill);
}

void ReferenceSample::Flip(bool horizontal) {
  image = testing::ReferenceFlip(image, horizontal, !horizontal);
  for (Erasure& erasure : erasures) {
    Rect& rect = erasure.rect;
    if (horizontal) rect.left = image.size().width - rect.left - rect.width;
    if (!horizontal) rect.top = image.size().height - rect.top - rect.height;
  }
}

// Pads first, then cuts from what there is.
void ReferenceSample::RandomCrop(const Op& op, OpRandom* random) {
  Padding pad = op.padding;
  const Size in = image.size();
  if (op.pad_if_needed) {
    const int rows = std::max(0, op.size.height - in.height - pad.top - pad.bottom);
    const int columns = std::max(0, op.size.width - in.width - pad.left - pad.right);
    pad = {pad.left + columns, pad.top + rows, pad.right + columns, pad.bottom + rows};
  }
  const Size all{in.width + pad.left + pad.right, in.height + pad.top + pad.bottom};
  refused = all.width < op.size.width || all.height < op.size.height;
  if (refused) return;
  const int top = random->Below(all.height - op.size.height + 1);
  const int left = random->Below(all.width - op.size.width + 1);
  Crop({left - pad.left, top - pad.top, op.size.width, op.size.height}, op.pad_mode, op.fill);
}

// torchvision's RandomErasing.get_params.
void ReferenceSample::Erase(const Op& op, OpRandom* random) {
  const Size in = image.size();
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area =
        static_cast<double>(in.pixels()) * random->Uniform(op.scale[0], op.scale[1]);
    const double ratio =
        PortableExp(random->Uniform(PortableLog(op.ratio[0]), PortableLog(op.ratio[1])));
    const double height = std::nearbyint(std::sqrt(area * ratio));
    const double width = std::nearbyint(std::sqrt(area / ratio));
    if (!(height < in.height && width < in.width)) continue;
    const Size hole{static_cast<int>(width), static_cast<int>(height)};
    const int top = random->Below(in.height - hole.height + 1);
    const int left = random->Below(in.width - hole.width + 1);
    erasures.push_back(
        {{left, top, hole.width, hole.height}, op.value, op.noise, random->Next64()});
    return;
  }
}

void ReferenceSample::Do(const Op& op, const SampleKey& key, int number) {
  OpRandom random(key, number);
  const Size in = image.size();
  switch (op.kind) {
    case OpKind::kResize: {
      const Size out = ResizedSize(op, in);
      refused = out.width < 1 || out.height < 1;
      if (!refused) image = testing::ReferenceResize(image, out, op.interpolation);
      return;
    }
    case OpKind::kCenterCrop:
      return Crop({CenterBegin(in.width, op.size.width), CenterBegin(in.height, op.size.height),
                   op.size.width, op.size.height},
                  PadMode::kConstant, {});
    case OpKind::kRandomCrop: return RandomCrop(op, &random);
    case OpKind::kRandomResizedCrop: {
      const Rect rect = RandomResizedCropRect(op, in, &random);
      refused = rect.empty() || !Whole(in).Contains(rect);  // which the core must never make
      if (refused) return;
      Crop(rect, PadMode::kConstant, {});
      image = testing::ReferenceResize(image, op.size, op.interpolation);
      return;
    }
    case OpKind::kRandomHorizontalFlip:
    case OpKind::kRandomVerticalFlip:
      if (random.Uniform() < op.probability) Flip(op.kind == OpKind::kRandomHorizontalFlip);
      return;
    case OpKind::kPad:
      return Crop({-op.padding.left, -op.padding.top, in.width + op.padding.left + op.padding.right,
                   in.height + op.padding.top + op.padding.bottom},
                  op.pad_mode, op.fill);
    case OpKind::kColorJitter: image = Jittered(op, image, &random); return;
    case OpKind::kRandomErasing:
      if (random.Uniform() < op.probability) Erase(op, &random);
      return;
    default: return;
  }
}

std::vector<uint8_t> ReferenceSample::Bytes(const SampleFormat& format) const {
  std::vector<uint8_t> bytes(format.SampleBytes(image.size()));
  WriteSampleScalar(image.view(), false, false, format, bytes.data());
  for (const Erasure& erasure : erasures) Overwrite(erasure, image.size(), format, &bytes);
  return bytes;
}

}  // namespace stoker::fuzz
