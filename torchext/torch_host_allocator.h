// PyTorch's pinned host memory behind the core's HostAllocator.
#pragma once

#include <ATen/core/CachingHostAllocator.h>
#include <torch/types.h>

#include <memory>

#include "memory/host_allocator.h"

namespace stoker {

// Pinned memory of the current accelerator, from PyTorch's caching host allocator. Each block is
// one allocation of its own, which the allocator recognises by its pointer and context, so that it
// knows when a non_blocking copy out of it has finished. Null where there is no accelerator with a
// host allocator. Threads: as HostAllocator.
std::shared_ptr<HostAllocator> MakePinnedAllocator();

// A tensor that owns `block` alone. Memory from MakePinnedAllocator enters the tensor's storage by
// the very DataPtr that PyTorch gave. `sizes` and `strides` in elements.
at::Tensor TensorFromBlock(HostBlock block, at::IntArrayRef sizes, at::IntArrayRef strides,
                           at::ScalarType dtype);

}  // namespace stoker
