#include "memory/recycling_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "support/executors.h"
#include "support/processes.h"

namespace stoker {
namespace {

TEST(RecyclingAllocator, GivesAlignedWritableMemory) {
  RecyclingAllocator allocator(4);
  EXPECT_FALSE(allocator.pinned());
  // The last two are large enough for huge pages.
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{64}, size_t{65}, size_t{4095},
                             size_t{4} << 20, (size_t{5} << 20) + 1}) {
    const HostBlock block = allocator.Allocate(bytes);
    ASSERT_NE(block.data(), nullptr);
    EXPECT_GE(block.bytes(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block.data()) % 64, 0U);
    std::memset(block.data(), 1, block.bytes());
  }
}

TEST(RecyclingAllocator, TakesNothingFreshInTheSteadyState) {
  RecyclingAllocator allocator(3);
  void* first = nullptr;
  for (int i = 0; i < 100; ++i) {
    const HostBlock block = allocator.Allocate(10'000);
    if (i == 0) first = block.data();
    EXPECT_EQ(block.data(), first);
  }
  EXPECT_EQ(allocator.fresh_blocks(), 1U);
}

TEST(RecyclingAllocator, TakesTheSmallestIdleBlockThatFits) {
  RecyclingAllocator allocator(10);
  void* data[3];
  {
    HostBlock blocks[3];
    const size_t sizes[3] = {3000, 2000, 2500};
    for (int i = 0; i < 3; ++i) {
      blocks[i] = allocator.Allocate(sizes[i]);
      data[i] = blocks[i].data();
    }
  }
  const HostBlock a = allocator.Allocate(1900);
  const HostBlock b = allocator.Allocate(2000);
  const HostBlock c = allocator.Allocate(2501);
  EXPECT_EQ(a.data(), data[1]);
  EXPECT_EQ(b.data(), data[2]);
  EXPECT_EQ(c.data(), data[0]);
  EXPECT_EQ(allocator.fresh_blocks(), 3U);
}

TEST(RecyclingAllocator, WastesAtMostHalfOfABlock) {
  RecyclingAllocator allocator(10);
  allocator.Allocate(2000);  // freed at once
  { const HostBlock half = allocator.Allocate(1000); }
  EXPECT_EQ(allocator.fresh_blocks(), 1U);
  { const HostBlock less = allocator.Allocate(999); }
  EXPECT_EQ(allocator.fresh_blocks(), 2U);
}

TEST(RecyclingAllocator, KeepsAtMostTheAgreedIdleBytes) {
  for (size_t kept = 0; kept <= 4; ++kept) {
    RecyclingAllocator allocator(kept);
    std::vector<HostBlock> blocks;
    for (int i = 0; i < 6; ++i) blocks.push_back(allocator.Allocate(1000));
    blocks.clear();
    ASSERT_EQ(allocator.fresh_blocks(), 6U);
    for (int i = 0; i < 6; ++i) blocks.push_back(allocator.Allocate(1000));
    EXPECT_EQ(allocator.fresh_blocks(), 6 + (6 - kept)) << "with " << kept << " idle blocks";
  }
}

TEST(RecyclingAllocator, DropsTheOldestBlockFirst) {
  RecyclingAllocator allocator(2);
  std::vector<HostBlock> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(allocator.Allocate(1000));
  const std::set<void*> younger = {blocks[0].data(), blocks[2].data()};
  for (const size_t i : {1, 0, 2}) blocks[i] = HostBlock();
  const HostBlock a = allocator.Allocate(1000);
  const HostBlock b = allocator.Allocate(1000);
  EXPECT_EQ(allocator.fresh_blocks(), 3U);
  EXPECT_EQ((std::set<void*>{a.data(), b.data()}), younger);
}

TEST(RecyclingAllocator, OddSizesDoNotPileUp) {
  RecyclingAllocator allocator(2);
  std::vector<HostBlock> blocks;
  for (size_t i = 0; i < 50; ++i) blocks.push_back(allocator.Allocate(1000 - i));
  blocks.clear();
  // At most 2000 idle bytes: two blocks of 951 to 1000.
  const size_t before = allocator.fresh_blocks();
  for (size_t i = 0; i < 50; ++i) blocks.push_back(allocator.Allocate(600));
  EXPECT_EQ(allocator.fresh_blocks() - before, 48U);
}

TEST(RecyclingAllocator, BlocksOutliveIt) {
  auto allocator = std::make_unique<RecyclingAllocator>(2);
  HostBlock live = allocator->Allocate(5000);
  { const HostBlock idle = allocator->Allocate(5000); }
  allocator.reset();
  std::memset(live.data(), 1, live.bytes());
  live = HostBlock();  // a leak or a use after free is for the address sanitizer to see
}

TEST(RecyclingAllocator, NoBlockIsGivenToTwoThreads) {
  RecyclingAllocator allocator(8);
  std::mutex mutex;
  std::vector<HostBlock> shared;  // so that blocks are freed on other threads than their own
  std::vector<std::thread> threads;
  for (uint32_t id = 0; id < 4; ++id) {
    threads.emplace_back([&, id] {
      std::mt19937 random(id);
      for (int i = 0; i < 2000; ++i) {
        HostBlock block = allocator.Allocate(500 + random() % 1000);
        auto* bytes = static_cast<uint8_t*>(block.data());
        const auto mine = static_cast<uint8_t>(random());
        std::fill_n(bytes, block.bytes(), mine);
        EXPECT_TRUE(
            std::all_of(bytes, bytes + block.bytes(), [&](uint8_t b) { return b == mine; }));
        const std::lock_guard<std::mutex> lock(mutex);
        shared.push_back(std::move(block));
        if (shared.size() > 6) shared.erase(shared.begin());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(RecyclingAllocator, ImpossibleSizesThrowAndLeaveItUsable) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer ends the process at such a request";
#endif
  RecyclingAllocator allocator(1);
  for (const size_t bytes : {SIZE_MAX / 4, SIZE_MAX - 1, SIZE_MAX}) {
    EXPECT_THROW(allocator.Allocate(bytes), std::bad_alloc) << bytes;
  }
  EXPECT_EQ(allocator.fresh_blocks(), 0U) << "nothing was taken from the system";
  std::vector<HostBlock> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(allocator.Allocate(1000));
  blocks.clear();
  for (int i = 0; i < 3; ++i) blocks.push_back(allocator.Allocate(1000));
  EXPECT_EQ(allocator.fresh_blocks(), 5U) << "the limit follows requests that were granted";
}

int frees = 0;
void CountFree(void* context) {
  EXPECT_EQ(context, &frees);
  ++frees;
}

TEST(HostBlock, FreesItselfOnceUnlessReleased) {
  int data = 0;
  frees = 0;
  {
    HostBlock block(&data, sizeof data, &frees, &CountFree);
    HostBlock moved(std::move(block));
    EXPECT_EQ(moved.data(), &data);
    EXPECT_EQ(moved.bytes(), sizeof data);
    block = HostBlock();  // NOLINT(bugprone-use-after-move): a moved-from block owns nothing
    EXPECT_EQ(frees, 0);
    moved = HostBlock(&data, sizeof data, &frees, &CountFree);
    EXPECT_EQ(frees, 1);
  }
  EXPECT_EQ(frees, 2);
  {
    HostBlock block(&data, sizeof data, &frees, &CountFree);
    EXPECT_EQ(block.free_fn(), &CountFree);
    EXPECT_EQ(block.Release(), &frees);
    EXPECT_EQ(block.data(), nullptr);
  }
  EXPECT_EQ(frees, 2);
}

// A thread of the parent may be at the pool as it forks; then nobody will ever leave it in the
// child.
TEST(RecyclingAllocator, AForkedChildFreesABlockWhateverTheParentsThreadsDo) {
  if (testing::kThreadSanitizer) GTEST_SKIP() << "no forks of threads under this sanitizer";
  RecyclingAllocator allocator(4);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) allocator.Allocate(100);
  });
  int good = 0;
  for (int i = 0; i < 50; ++i) {
    HostBlock block = allocator.Allocate(1000);
    good += testing::ReturnedByFork([&] {
              block = HostBlock();
              return 7;
            }) == 7
                ? 1
                : 0;
  }
  stop = true;
  busy.join();
  EXPECT_EQ(good, 50);
}

}  // namespace
}  // namespace stoker
