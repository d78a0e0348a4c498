// Where batches live. The core never decides what kind of memory that is: the binding injects an
// allocator (PyTorch's pinned one where there is an accelerator), and a HostBlock carries the
// owner's handle unchanged from allocation to the tensor.
#pragma once

#include <cstddef>
#include <utility>

namespace stoker {

// One allocation, owned. Movable, not copyable; frees itself unless released.
// Threads: a block may be freed on any thread.
class HostBlock {
 public:
  // `free(context)` gives the memory back; `context` is the allocator's own handle.
  using FreeFn = void (*)(void* context);

  HostBlock() = default;
  HostBlock(void* data, size_t bytes, void* context, FreeFn free)
      : data_(data), bytes_(bytes), context_(context), free_(free) {}
  HostBlock(HostBlock&& other) noexcept { *this = std::move(other); }
  HostBlock& operator=(HostBlock&& other) noexcept {
    if (this != &other) {
      Reset();
      data_ = std::exchange(other.data_, nullptr);
      bytes_ = std::exchange(other.bytes_, 0);
      context_ = std::exchange(other.context_, nullptr);
      free_ = std::exchange(other.free_, nullptr);
    }
    return *this;
  }
  HostBlock(const HostBlock&) = delete;
  HostBlock& operator=(const HostBlock&) = delete;
  ~HostBlock() { Reset(); }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  FreeFn free_fn() const { return free_; }
  // Hands the memory to the caller, who must call free_fn() on the result (read it beforehand).
  void* Release() {
    data_ = nullptr;
    bytes_ = 0;
    free_ = nullptr;
    return std::exchange(context_, nullptr);
  }

 private:
  void Reset() {
    if (free_ != nullptr) free_(context_);
    free_ = nullptr;
  }
  void* data_ = nullptr;
  size_t bytes_ = 0;
  void* context_ = nullptr;
  FreeFn free_ = nullptr;
};

// Threads: Allocate is called by the consumer's thread only; blocks are freed on any.
class HostAllocator {
 public:
  virtual ~HostAllocator() = default;
  // At least `bytes` bytes, uninitialised, aligned to 64. Throws std::bad_alloc or the owner's
  // error.
  virtual HostBlock Allocate(size_t bytes) = 0;
  // Page-locked, so that a copy to the accelerator can be asynchronous.
  virtual bool pinned() const = 0;
};

}  // namespace stoker
