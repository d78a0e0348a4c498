#include "pipeline/occurrence_counter.h"

#include <gtest/gtest.h>

namespace stoker {
namespace {

TEST(OccurrenceCounterTest, CountsEachIndexForItselfBeyondAByte) {
  OccurrenceCounter counter;
  counter.Reset(3);
  for (uint32_t before = 0; before < 1000; ++before) {
    EXPECT_EQ(counter.CountBefore(0), before);
    EXPECT_EQ(counter.CountBefore(2), before);
  }
  EXPECT_EQ(counter.CountBefore(1), 0U);
}

TEST(OccurrenceCounterTest, TakesBackWhatItCounted) {
  OccurrenceCounter counter;
  counter.Reset(1);
  for (uint32_t count = 0; count < 600; ++count) {
    for (uint32_t n = 0; n < count % 7; ++n) counter.CountBefore(0);
    for (uint32_t n = 0; n < count % 7; ++n) counter.TakeBack(0);
    ASSERT_EQ(counter.CountBefore(0), count);
  }
  for (uint32_t count = 600; count > 0; --count) counter.TakeBack(0);
  EXPECT_EQ(counter.CountBefore(0), 0U);
}

TEST(OccurrenceCounterTest, ResetForgetsFewAndMany) {
  OccurrenceCounter counter;
  counter.Reset(2);
  counter.CountBefore(0);
  for (int i = 0; i < 600; ++i) counter.CountBefore(1);
  counter.Reset(2);
  EXPECT_EQ(counter.CountBefore(0), 0U);
  for (uint32_t before = 0; before < 600; ++before) EXPECT_EQ(counter.CountBefore(1), before);
}

TEST(OccurrenceCounterTest, ResetTakesANewNumberOfSamples) {
  OccurrenceCounter counter;
  counter.Reset(1);
  counter.CountBefore(0);
  counter.Reset(1000);
  EXPECT_EQ(counter.CountBefore(0), 0U);
  EXPECT_EQ(counter.CountBefore(999), 0U);
  EXPECT_EQ(counter.CountBefore(999), 1U);
}

}  // namespace
}  // namespace stoker
