#include "image/ops.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "support/ops.h"

namespace stoker {
namespace {

using testing::Choice;
using testing::Group;
using testing::MakeOp;
using testing::PadBy;
using testing::ResizeShortSide;

constexpr OpKind kKeepingSize[] = {OpKind::kRandomHorizontalFlip, OpKind::kRandomVerticalFlip,
                                   OpKind::kColorJitter, OpKind::kRandomGrayscale,
                                   OpKind::kRandomErasing};
constexpr OpKind kSizing[] = {OpKind::kResize, OpKind::kCenterCrop, OpKind::kRandomCrop,
                              OpKind::kRandomResizedCrop};
constexpr OpKind kGroups[] = {OpKind::kRandomApply, OpKind::kRandomChoice, OpKind::kRandomOrder};

TEST(CountOpsTest, CountsAnOperationAndAllBelowIt) {
  const Op flip = MakeOp(OpKind::kRandomHorizontalFlip);
  EXPECT_EQ(CountOps(std::vector<Op>{}), 0);
  EXPECT_EQ(CountOps(flip), 1);
  EXPECT_EQ(CountOps({flip, flip, flip}), 3);
  for (const OpKind kind : kGroups) {
    EXPECT_EQ(CountOps(Group(kind, {})), 1);
    EXPECT_EQ(CountOps(Group(kind, {flip, flip})), 3);
    const Op nested = Group(kind, {flip, Group(OpKind::kRandomApply, {flip, flip}), flip});
    EXPECT_EQ(CountOps(nested), 6);
    EXPECT_EQ(CountOps({flip, nested, nested}), 13);
  }
}

TEST(SizeAfterTest, OperationsThatKeepTheSizeLeaveItOpenOrAsItIs) {
  EXPECT_EQ(SizeAfter({}, std::nullopt), std::nullopt);
  EXPECT_EQ(SizeAfter({}, Size{5, 7}), (Size{5, 7}));
  for (const OpKind kind : kKeepingSize) {
    EXPECT_EQ(SizeAfter({MakeOp(kind, {3, 3})}, std::nullopt), std::nullopt);
    EXPECT_EQ(SizeAfter({MakeOp(kind, {3, 3})}, Size{5, 7}), (Size{5, 7}));
  }
}

TEST(SizeAfterTest, OperationsThatGiveASizeGiveItToAnyImage) {
  for (const OpKind kind : kSizing) {
    EXPECT_EQ(SizeAfter({MakeOp(kind, {40, 20})}, std::nullopt), (Size{40, 20}));
    EXPECT_EQ(SizeAfter({MakeOp(kind, {40, 20})}, Size{5, 7}), (Size{40, 20}));
  }
}

TEST(SizeAfterTest, TheShortSideAndPaddingDependOnWhatComesIn) {
  EXPECT_EQ(SizeAfter({ResizeShortSide(10)}, std::nullopt), std::nullopt);
  EXPECT_EQ(SizeAfter({ResizeShortSide(10)}, Size{40, 20}), (Size{20, 10}));
  EXPECT_EQ(SizeAfter({ResizeShortSide(10, 15)}, Size{40, 20}), (Size{15, 7}));
  EXPECT_EQ(SizeAfter({PadBy({1, 20, 300, 4000})}, std::nullopt), std::nullopt);
  EXPECT_EQ(SizeAfter({PadBy({1, 20, 300, 4000})}, Size{40, 20}), (Size{341, 4040}));
  EXPECT_EQ(SizeAfter({MakeOp(OpKind::kCenterCrop, {8, 8}), PadBy({1, 1, 1, 1}), ResizeShortSide(5),
                       MakeOp(OpKind::kColorJitter)},
                      std::nullopt),
            (Size{5, 5}));
}

TEST(SizeAfterTest, GroupsOfOperationsThatKeepTheSizeKeepIt) {
  for (const OpKind kind : kGroups) {
    for (const std::optional<Size> in : {std::optional<Size>{}, std::optional<Size>{{5, 7}}}) {
      EXPECT_EQ(SizeAfter({Group(kind, {})}, in), in);
      std::vector<Op> all;
      for (const OpKind keeps : kKeepingSize) all.push_back(MakeOp(keeps));
      EXPECT_EQ(SizeAfter({Group(kind, all)}, in), in);
      all.push_back(Group(OpKind::kRandomOrder, all));
      EXPECT_EQ(SizeAfter({Group(kind, all)}, in), in);
    }
  }
}

// With the operations and without them.
TEST(SizeAfterTest, RandomApplyHasASizeWhereItsOperationsLeaveThatOfTheImage) {
  const Op crop = MakeOp(OpKind::kRandomResizedCrop, {40, 20});
  const Op apply = Group(OpKind::kRandomApply, {crop});
  EXPECT_EQ(SizeAfter({apply}, std::nullopt), std::nullopt);
  EXPECT_EQ(SizeAfter({apply}, Size{41, 20}), std::nullopt);
  EXPECT_EQ(SizeAfter({apply}, Size{40, 20}), (Size{40, 20}));
  EXPECT_EQ(SizeAfter({crop, apply}, std::nullopt), (Size{40, 20}));
  // Out and back in again.
  const Op there_and_back =
      Group(OpKind::kRandomApply, {PadBy({2, 2, 2, 2}), MakeOp(OpKind::kRandomCrop, {40, 20})});
  EXPECT_EQ(SizeAfter({there_and_back}, Size{40, 20}), (Size{40, 20}));
  EXPECT_EQ(SizeAfter({there_and_back}, Size{40, 21}), std::nullopt);
  EXPECT_EQ(SizeAfter({Group(OpKind::kRandomApply, {PadBy({1, 0, 0, 0})})}, Size{40, 20}),
            std::nullopt);
  // What comes behind may bring the images together again.
  EXPECT_EQ(SizeAfter({apply, crop}, std::nullopt), (Size{40, 20}));
}

TEST(SizeAfterTest, RandomChoiceHasASizeWhereAllItsOperationsGiveTheSame) {
  const Op crop = MakeOp(OpKind::kCenterCrop, {40, 20});
  const Op resize = MakeOp(OpKind::kResize, {40, 20});
  const Op other = MakeOp(OpKind::kResize, {20, 40});
  const Op flip = MakeOp(OpKind::kRandomHorizontalFlip);
  EXPECT_EQ(SizeAfter({Choice({crop, resize})}, std::nullopt), (Size{40, 20}));
  EXPECT_EQ(SizeAfter({Choice({crop, Choice({crop, resize})})}, std::nullopt), (Size{40, 20}));
  EXPECT_EQ(SizeAfter({Choice({crop, other})}, std::nullopt), std::nullopt);
  EXPECT_EQ(SizeAfter({Choice({crop, crop, other})}, std::nullopt), std::nullopt);
  EXPECT_EQ(SizeAfter({Choice({crop, flip})}, std::nullopt), std::nullopt);
  EXPECT_EQ(SizeAfter({Choice({flip, crop})}, Size{9, 9}), std::nullopt);
  EXPECT_EQ(SizeAfter({Choice({flip, crop})}, Size{40, 20}), (Size{40, 20}));
  EXPECT_EQ(SizeAfter({Choice({ResizeShortSide(20), resize})}, Size{80, 40}), (Size{40, 20}));
}

TEST(SizeAfterTest, RandomOrderHasASizeWhereOneOperationAloneChangesIt) {
  const auto order = [](std::vector<Op> children) {
    return Group(OpKind::kRandomOrder, std::move(children));
  };
  const Op crop = MakeOp(OpKind::kCenterCrop, {40, 20});
  const Op flip = MakeOp(OpKind::kRandomHorizontalFlip);
  EXPECT_EQ(SizeAfter({order({flip, crop, flip})}, std::nullopt), (Size{40, 20}));
  EXPECT_EQ(SizeAfter({order({flip, order({flip, crop})})}, std::nullopt), (Size{40, 20}));
  EXPECT_EQ(SizeAfter({order({PadBy({1, 1, 1, 1}), flip})}, Size{5, 7}), (Size{7, 9}));
  // Padded and then cropped, or the other way round.
  EXPECT_EQ(SizeAfter({order({crop, PadBy({1, 1, 1, 1})})}, Size{5, 7}), std::nullopt);
  EXPECT_EQ(SizeAfter({order({crop, MakeOp(OpKind::kResize, {1, 1})})}, Size{5, 7}), std::nullopt);
  EXPECT_EQ(SizeAfter({order({crop, PadBy({1, 1, 1, 1})}), crop}, std::nullopt), (Size{40, 20}));
}

}  // namespace
}  // namespace stoker
