// For tests of kernels, which run on each SIMD target that this machine has.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "image/simd.h"

namespace stoker::testing {

// Kernels run on the target that is the test's parameter, and afterwards on the one before.
class SimdTargetTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(SetSimdTarget(GetParam()));
    ASSERT_EQ(SimdTarget(), GetParam());
  }
  void TearDown() override { SetSimdTarget(at_start_); }

 private:
  const std::string at_start_ = SimdTarget();
};

}  // namespace stoker::testing
