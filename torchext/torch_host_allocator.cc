#include "torch_host_allocator.h"

#include <ATen/Context.h>
#include <ATen/DeviceAccelerator.h>

#include <utility>

namespace stoker {
namespace {

void FreeDataPtr(void* context) { delete static_cast<at::DataPtr*>(context); }

class PinnedAllocator final : public HostAllocator {
 public:
  PinnedAllocator(at::DeviceType accelerator, at::HostAllocator* torch_allocator)
      : accelerator_(accelerator), torch_allocator_(torch_allocator) {}

  HostBlock Allocate(size_t bytes) override {
    at::globalContext().lazyInitDevice(accelerator_);  // once a process; then it does nothing
    auto owner = std::make_unique<at::DataPtr>(torch_allocator_->allocate(bytes));
    void* data = owner->get();
    return {data, bytes, owner.release(), &FreeDataPtr};
  }
  bool pinned() const override { return true; }

 private:
  const at::DeviceType accelerator_;
  at::HostAllocator* const torch_allocator_;  // PyTorch's, never destroyed
};

}  // namespace

std::shared_ptr<HostAllocator> MakePinnedAllocator() {
  const auto accelerator = at::getAccelerator(/*checked=*/false);
  if (!accelerator.has_value()) return nullptr;
  at::HostAllocator* allocator = at::getHostAllocator(*accelerator);
  if (allocator == nullptr) return nullptr;
  return std::make_shared<PinnedAllocator>(*accelerator, allocator);
}

at::Tensor TensorFromBlock(HostBlock block, at::IntArrayRef sizes, at::IntArrayRef strides,
                           at::ScalarType dtype) {
  const size_t bytes = block.bytes();
  void* data = block.data();
  const HostBlock::FreeFn free_fn = block.free_fn();
  void* context = block.Release();
  at::DataPtr owner;
  if (free_fn == &FreeDataPtr) {
    const std::unique_ptr<at::DataPtr> torch_owner(static_cast<at::DataPtr*>(context));
    owner = std::move(*torch_owner);
  } else {
    owner = at::DataPtr(data, context, free_fn, at::Device(at::kCPU));
  }
  at::Storage storage(c10::Storage::use_byte_size_t(), bytes, std::move(owner),
                      /*allocator=*/nullptr, /*resizable=*/false);
  return at::empty({0}, at::TensorOptions().dtype(dtype))
      .set_(std::move(storage), 0, sizes, strides);
}

}  // namespace stoker
