// From the core's results to tensors.
#pragma once

#include <torch/types.h>

#include "memory/host_allocator.h"
#include "pipeline/load_sample.h"
#include "pipeline/loader.h"

namespace stoker {

at::ScalarType DtypeOf(const SampleFormat& format);

// (count, channels, height, width) of the plan's dtype, contiguous or channels_last; takes the
// memory.
at::Tensor ImagesTensor(Batch* batch, const SampleFormat& format, Size size);
// (count,) int64; takes the memory.
at::Tensor LabelsTensor(Batch* batch);
// A new (channels, height, width) tensor for one sample, contiguous or channels_last.
at::Tensor EmptySample(const SampleFormat& format, Size size);

}  // namespace stoker
