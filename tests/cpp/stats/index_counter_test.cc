#include "stats/index_counter.h"

#include <gtest/gtest.h>

#include <array>

namespace stoker {
namespace {

TEST(IndexCounter, AddsUp) {
  IndexCounter a;
  IndexCounter b;
  a.Count(IndexOutcome::kUsed, 10, 100);
  a.Count(IndexOutcome::kUsed, 5, 50);
  a.Count(IndexOutcome::kRejected, 0, 0);
  b.Count(IndexOutcome::kNothing, 0, 0);
  b.Count(IndexOutcome::kUnknown, 0, 0);
  b.Count(IndexOutcome::kRecorded, 1, 2);
  IndexCounts sum;
  a.AddTo(&sum);
  b.AddTo(&sum);
  EXPECT_EQ(sum.samples, (std::array<uint64_t, kIndexOutcomes>{2, 1, 1, 1, 1}));
  EXPECT_EQ(sum.decoded_bytes, 16U);
  EXPECT_EQ(sum.plain_bytes, 152U);
  IndexCounts twice = sum;
  twice.Add(sum);
  EXPECT_EQ(twice.samples, (std::array<uint64_t, kIndexOutcomes>{4, 2, 2, 2, 2}));
  EXPECT_EQ(twice.decoded_bytes, 32U);
  EXPECT_EQ(twice.plain_bytes, 304U);
}

}  // namespace
}  // namespace stoker
