// ByteSpan (borrowed bytes) and ByteBuffer (owned, reused, never zero-filled).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace stoker {

// Bytes that somebody else owns and keeps alive for as long as the span is used.
struct ByteSpan {
  const uint8_t* data = nullptr;
  size_t size = 0;

  const uint8_t* begin() const { return data; }
  const uint8_t* end() const { return data + size; }
  uint8_t operator[](size_t i) const { return data[i]; }
};

// A growable scratch buffer, owned by one worker and reused for sample after sample, so that the
// steady state allocates nothing. Contents are lost when it grows. Always has kPadding readable
// and writable bytes behind its size, so that SIMD kernels may overrun. 64-byte aligned.
// Threads: one at a time. Throws std::bad_alloc.
class ByteBuffer {
 public:
  static constexpr size_t kAlignment = 64;
  static constexpr size_t kPadding = 64;

  // Makes room for `size` bytes and returns them, uninitialised unless they were there already.
  uint8_t* Reserve(size_t size) {
    if (size > capacity_ || !data_) {
      if (size > SIZE_MAX / 2) throw std::bad_alloc();
      const size_t grown = size + size / 4;
      const size_t total = (grown + kPadding + kAlignment - 1) / kAlignment * kAlignment;
      data_.reset();
      capacity_ = 0;
      data_.reset(static_cast<uint8_t*>(std::aligned_alloc(kAlignment, total)));
      if (!data_) throw std::bad_alloc();
      capacity_ = total - kPadding;
    }
    return data_.get();
  }

  // Gives memory back when one unusual sample made the buffer larger than `limit` bytes.
  void ShrinkTo(size_t limit) {
    if (capacity_ > limit) {
      data_.reset();
      capacity_ = 0;
    }
  }

  uint8_t* data() { return data_.get(); }
  const uint8_t* data() const { return data_.get(); }
  size_t capacity() const { return capacity_; }

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  std::unique_ptr<uint8_t, Free> data_;
  size_t capacity_ = 0;
};

}  // namespace stoker
