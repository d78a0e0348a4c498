// RandomErasing's last step: overwrites rectangles of a finished sample, in its slot.
//
// Threads: any; pure. Never fails.
#pragma once

#include <cstdint>

#include "base/rect.h"
#include "image/geometry.h"
#include "image/write_sample.h"

namespace stoker {

// Fills erasure.rect of the sample of `size` in `slot`. The noise of the i-th element of those
// that have any (channel, then row, then column of the rectangle) depends on erasure.noise_key and
// i alone; of a uint8 sample the sum is limited to 0..255 and truncated.
void Erase(const Erasure& erasure, Size size, const SampleFormat& format, void* slot);

// The x with P(N(0, 1) < x) = p, 0 < p < 1, to about seven digits: Wichura, "Algorithm AS 241: The
// Percentage Points of the Normal Distribution", Applied Statistics 37 (1988), PPND7.
double NormalQuantile(double p);

}  // namespace stoker
