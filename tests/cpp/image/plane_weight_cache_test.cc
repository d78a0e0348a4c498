#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "image/plane_weights.h"
#include "support/reference_planes.h"

namespace stoker {
namespace {

using testing::PlaneLine;

// Axis number `n`: no two are alike.
PlaneAxis Axis(int n, int out_size = 3) {
  return PlaneLine::Of(20000, 8, 10 + n, 1, 1 + n % 2, true)
      .Axis(out_size, Interpolation::kBilinear);
}

bool Same(const PlaneWeights& a, const PlaneWeights& b) {
  const auto same_steps = [](const PlaneWeights::Step& x, const PlaneWeights::Step& y) {
    return x.pick == y.pick && x.weights == y.weights;
  };
  const auto same_runs = [](const PlaneWeights::Run& x, const PlaneWeights::Run& y) {
    return x.begin == y.begin && x.taps == y.taps;
  };
  const auto same_groups = [](const PlaneWeights::Group& x, const PlaneWeights::Group& y) {
    return x.begin == y.begin && x.count == y.count;
  };
  return a.axis == b.axis && a.taps == b.taps && a.begin == b.begin && a.end == b.end &&
         a.weights == b.weights && a.offsets == b.offsets &&
         std::equal(a.runs.begin(), a.runs.end(), b.runs.begin(), b.runs.end(), same_runs) &&
         std::equal(a.groups.begin(), a.groups.end(), b.groups.begin(), b.groups.end(),
                    same_groups) &&
         std::equal(a.steps.begin(), a.steps.end(), b.steps.begin(), b.steps.end(), same_steps);
}

bool IsComputed(const PlaneWeights& weights, const PlaneAxis& axis) {
  PlaneWeights fresh;
  fresh.Compute(axis);
  return Same(weights, fresh);
}

TEST(PlaneWeightCacheTest, TheSameAxisHasTheSameWeightsInTheSamePlace) {
  PlaneWeightCache cache;
  PlaneWeights own;
  std::vector<const PlaneWeights*> found;
  for (int n = 0; n < 50; ++n) {
    found.push_back(&cache.Get(Axis(n), &own));
    ASSERT_NE(found.back(), &own);
    ASSERT_TRUE(IsComputed(*found.back(), Axis(n)));
  }
  const size_t used = cache.memory_bytes();
  EXPECT_GT(used, 50 * sizeof(PlaneWeights));
  for (int n = 49; n >= 0; --n) {
    ASSERT_EQ(&cache.Get(Axis(n), &own), found[static_cast<size_t>(n)]);
    ASSERT_TRUE(IsComputed(*found[static_cast<size_t>(n)], Axis(n)));
  }
  EXPECT_EQ(cache.memory_bytes(), used);
  EXPECT_TRUE(own.runs.empty());
}

TEST(PlaneWeightCacheTest, MemoryIsCountedInFull) {
  PlaneWeightCache cache;
  PlaneWeights own;
  const PlaneWeights& w = cache.Get(Axis(1000, 400), &own);
  EXPECT_EQ(cache.memory_bytes(), w.memory_bytes());
  EXPECT_GE(w.memory_bytes(),
            sizeof w + w.runs.size() * sizeof w.runs[0] + w.weights.size() * sizeof w.weights[0] +
                w.groups.size() * sizeof w.groups[0] + w.steps.size() * sizeof w.steps[0] +
                w.offsets.size() * sizeof w.offsets[0]);
}

TEST(PlaneWeightCacheTest, HoldsNoMoreThanItsBudgetAndOneEntryAndGoesOnWhenFull) {
  for (const size_t budget : {size_t{0}, size_t{1}, size_t{10000}, size_t{100000}}) {
    PlaneWeightCache cache(budget);
    PlaneWeights own;
    size_t largest = 0;
    int kept = 0;
    for (int round = 0; round < 2; ++round) {
      for (int n = 0; n < 300; ++n) {
        const PlaneWeights& weights = cache.Get(Axis(n, 1 + n % 40), &own);
        ASSERT_TRUE(IsComputed(weights, Axis(n, 1 + n % 40)));
        if (&weights != &own) {
          largest = std::max(largest, weights.memory_bytes());
          ++kept;
        }
        ASSERT_LE(cache.memory_bytes(), budget + largest);
      }
      EXPECT_GE(cache.memory_bytes(), budget);  // more was asked for than there is room
    }
    EXPECT_EQ(kept > 0, budget > 0);
    EXPECT_LT(kept, 600);
  }
}

TEST(PlaneWeightCacheTest, WhatIsKeptStaysWhereItIsWhenTheCacheIsFull) {
  PlaneWeightCache cache(20000);
  PlaneWeights own;
  const PlaneWeights* const first = &cache.Get(Axis(0), &own);
  for (int n = 1; n < 200; ++n) cache.Get(Axis(n), &own);
  EXPECT_EQ(&cache.Get(Axis(0), &own), first);
  EXPECT_TRUE(IsComputed(*first, Axis(0)));
}

// More axes than the cache has places for: many find all of theirs taken.
TEST(PlaneWeightCacheTest, AxesThatCollideHaveTheirOwnWeights) {
  constexpr int kAxes = 6000;
  PlaneWeightCache cache(size_t{1} << 30);
  PlaneWeights own;
  int not_kept = 0;
  for (int round = 0; round < 2; ++round) {
    for (int n = 0; n < kAxes; ++n) {
      const PlaneAxis axis = PlaneLine::Of(20000, 8, 1 + n, 1, 1, false)
                                 .Axis(1 + n, n / 2, n / 2 + 1, Interpolation::kBilinear);
      const PlaneWeights& weights = cache.Get(axis, &own);
      ASSERT_TRUE(IsComputed(weights, axis));
      not_kept += &weights == &own ? 1 : 0;
    }
  }
  EXPECT_GE(not_kept, 2 * (kAxes - 4096));
  EXPECT_LT(not_kept, 2 * kAxes - 2 * 3000);  // and most places are used
}

TEST(PlaneWeightCacheTest, ManyThreadsGetWhatOneWould) {
  constexpr int kAxes = 150;
  constexpr int kThreads = 8;
  for (const size_t budget : {size_t{8} << 20, size_t{30000}}) {
    PlaneWeightCache cache(budget);
    std::vector<std::vector<const PlaneWeights*>> found(kThreads);
    std::atomic<int> waiting{kThreads};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        PlaneWeights own;
        auto& mine = found[static_cast<size_t>(t)];
        mine.resize(kAxes);
        for (--waiting; waiting > 0;) std::this_thread::yield();
        for (int i = 0; i < 3 * kAxes; ++i) {
          // All begin with the same axes, and part later.
          const int n = (i < kAxes ? i : i * (2 * t + 1)) % kAxes;
          const PlaneWeights& weights = cache.Get(Axis(n), &own);
          if (!IsComputed(weights, Axis(n))) ++wrong;
          if (&weights != &own) mine[static_cast<size_t>(n)] = &weights;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
    for (size_t n = 0; n < kAxes; ++n) {
      for (const auto& mine : found) {
        // Kept once, for all of them; under a small budget perhaps not at all.
        if (mine[n] != nullptr && found[0][n] != nullptr) {
          ASSERT_EQ(mine[n], found[0][n]);
        }
        ASSERT_TRUE(budget < 100000 || mine[n] != nullptr);
      }
    }
  }
}

}  // namespace
}  // namespace stoker
