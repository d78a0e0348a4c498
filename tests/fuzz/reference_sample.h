// What a sample must be, by the plainest way: whole images, one operation after the other, as
// torchvision has them. What the core's windows, steps and last pass are measured against.
#pragma once

#include <cstdint>
#include <vector>

#include "image/geometry.h"
#include "image/ops.h"
#include "image/philox.h"
#include "image/write_sample.h"
#include "support/pixels.h"

namespace stoker::fuzz {

struct ReferenceSample {
  testing::Pixels image;
  // In the finished image's coordinates, in order.
  std::vector<Erasure> erasures;
  bool refused = false;  // an operation cannot be done; the image is what came before it

  explicit ReferenceSample(testing::Pixels pixels) : image(std::move(pixels)) {}

  // Carries out `op`, the `number`-th of its plan. REQUIRES: one of the geometry's, kPad,
  // kColorJitter of brightness and contrast at fixed factors, or kRandomErasing with nothing but
  // flips behind it.
  void Do(const Op& op, const SampleKey& key, int number);

  // The sample's bytes in its slot.
  std::vector<uint8_t> Bytes(const SampleFormat& format) const;

 private:
  void Crop(const Rect& rect, PadMode mode, const std::array<uint8_t, 3>& fill);
  void Flip(bool horizontal);
  void RandomCrop(const Op& op, OpRandom* random);
  void Erase(const Op& op, OpRandom* random);
};

}  // namespace stoker::fuzz
