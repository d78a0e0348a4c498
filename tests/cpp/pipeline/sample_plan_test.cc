#include "pipeline/sample_plan.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include "support/ops.h"

namespace stoker {
namespace {

using testing::MakeOp;

TEST(SamplePlanTest, FixedSizeIsWhatEverySampleComesOutWith) {
  const Op flip = MakeOp(OpKind::kRandomHorizontalFlip);
  const Op short_side = testing::ResizeShortSide(10);
  const auto fixed = [](std::vector<Op> ops) {
    SamplePlan plan;
    plan.ops = std::move(ops);
    return plan.FixedSize();
  };
  EXPECT_EQ(fixed({}), std::nullopt);
  EXPECT_EQ(fixed({flip}), std::nullopt);
  EXPECT_EQ(fixed({short_side}), std::nullopt);
  for (const OpKind kind :
       {OpKind::kResize, OpKind::kCenterCrop, OpKind::kRandomCrop, OpKind::kRandomResizedCrop}) {
    EXPECT_EQ(fixed({flip, MakeOp(kind, {40, 20}), flip}), (Size{40, 20}));
    EXPECT_EQ(fixed({short_side, MakeOp(kind, {40, 20})}), (Size{40, 20}));
    EXPECT_EQ(fixed({MakeOp(kind, {40, 20}), short_side}), (Size{20, 10}));
  }
}

}  // namespace
}  // namespace stoker
