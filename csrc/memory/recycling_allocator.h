// Pageable batch memory that is used again and again: a fresh 38 MB batch would cost a page fault
// for each 4 KB, a recycled one costs none.
//
// Freed blocks go back to the pool; a request takes the smallest idle one that fits without wasting
// more than half of it. The pool keeps at most `max_free_blocks` times the largest request in idle
// bytes and drops its oldest blocks above that, so odd sizes do not pile up. Blocks keep the pool
// alive, so a batch may outlive its loader. Threads: any.
#pragma once

#include <cstddef>
#include <memory>

#include "memory/host_allocator.h"

namespace stoker {

class RecyclingAllocator final : public HostAllocator {
 public:
  explicit RecyclingAllocator(size_t max_free_blocks);
  ~RecyclingAllocator() override;
  RecyclingAllocator(const RecyclingAllocator&) = delete;
  RecyclingAllocator& operator=(const RecyclingAllocator&) = delete;

  HostBlock Allocate(size_t bytes) override;
  bool pinned() const override { return false; }

  // Blocks taken from the system since construction, for tests: flat in the steady state.
  size_t fresh_blocks() const;

 private:
  struct Pool;
  struct Block;
  std::shared_ptr<Pool> pool_;
};

}  // namespace stoker
