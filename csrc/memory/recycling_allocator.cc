#include "memory/recycling_allocator.h"

#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace stoker {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};
using Memory = std::unique_ptr<void, FreeDeleter>;

Memory FreshMemory(size_t bytes) {
  if (bytes > SIZE_MAX / 2) throw std::bad_alloc();
  // From two huge pages on, ask for them: one fault for 2 MB in place of 512.
  const bool huge = bytes >= 2 * kHugePage;
  const size_t alignment = huge ? kHugePage : kAlignment;
  const size_t rounded = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  void* p = nullptr;
  if (posix_memalign(&p, alignment, rounded) != 0) throw std::bad_alloc();
  if (huge) madvise(p, rounded / kHugePage * kHugePage, MADV_HUGEPAGE);  // advice: may fail
  return Memory(p);
}

}  // namespace

struct RecyclingAllocator::Pool {
  struct Entry {
    size_t bytes;
    Memory memory;
  };
  explicit Pool(size_t max_free) : max_free_blocks(max_free), pid(getpid()) {}

  const size_t max_free_blocks;
  const pid_t pid;
  std::mutex mutex;
  // Guarded by mutex.
  std::vector<Entry> free;  // oldest first
  size_t free_bytes = 0;
  size_t largest_request = 0;
  size_t fresh_blocks = 0;

  size_t limit() const { return max_free_blocks * largest_request; }

  // The best idle block for `bytes`, or none. REQUIRES: mutex held.
  Entry Take(size_t bytes) {
    auto best = free.end();
    for (auto it = free.begin(); it != free.end(); ++it) {
      const bool fits = it->bytes >= bytes && it->bytes / 2 <= bytes;
      if (fits && (best == free.end() || it->bytes <= best->bytes)) best = it;
    }
    if (best == free.end()) return {bytes, nullptr};
    Entry entry = std::move(*best);
    free.erase(best);
    free_bytes -= entry.bytes;
    return entry;
  }
  // Drops the oldest blocks until `more` bytes fit in. REQUIRES: mutex held.
  void MakeRoom(size_t more) {
    while (!free.empty() && free_bytes + more > limit()) {
      free_bytes -= free.front().bytes;
      free.erase(free.begin());
    }
  }
};

// What a HostBlock's context points to.
struct RecyclingAllocator::Block {
  std::shared_ptr<Pool> pool;
  Pool::Entry entry;

  static void Free(void* context) {
    std::unique_ptr<Block> block(static_cast<Block*>(context));
    Pool& pool = *block->pool;
    if (pool.pid != getpid()) {
      // A thread of the parent may have been at the pool when it forked: it stays as it is.
      block->entry.memory.reset();
      block.release();  // NOLINT(bugprone-unused-return-value)
      return;
    }
    const std::lock_guard<std::mutex> lock(pool.mutex);
    pool.MakeRoom(block->entry.bytes);
    if (pool.free_bytes + block->entry.bytes > pool.limit()) return;
    try {
      pool.free.reserve(pool.free.size() + 1);
    } catch (const std::bad_alloc&) {
      return;  // the block goes back to the system
    }
    pool.free_bytes += block->entry.bytes;
    pool.free.push_back(std::move(block->entry));
  }
};

RecyclingAllocator::RecyclingAllocator(size_t max_free_blocks)
    : pool_(std::make_shared<Pool>(max_free_blocks)) {}

RecyclingAllocator::~RecyclingAllocator() = default;

HostBlock RecyclingAllocator::Allocate(size_t bytes) {
  Pool::Entry entry;
  {
    const std::lock_guard<std::mutex> lock(pool_->mutex);
    entry = pool_->Take(bytes);
  }
  const bool fresh = !entry.memory;
  if (fresh) entry.memory = FreshMemory(bytes);
  {
    const std::lock_guard<std::mutex> lock(pool_->mutex);
    pool_->largest_request = std::max(pool_->largest_request, bytes);
    if (fresh) {
      ++pool_->fresh_blocks;
      pool_->MakeRoom(bytes);
    }
  }
  void* data = entry.memory.get();
  auto block = std::make_unique<Block>(Block{pool_, std::move(entry)});
  return {data, bytes, block.release(), &Block::Free};
}

size_t RecyclingAllocator::fresh_blocks() const {
  const std::lock_guard<std::mutex> lock(pool_->mutex);
  return pool_->fresh_blocks;
}

}  // namespace stoker
