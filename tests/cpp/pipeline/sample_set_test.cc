#include "pipeline/sample_set.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/ops.h"

namespace stoker {
namespace {

using testing::MakeOp;

SamplePlan Plan(Size size = {8, 6}) {
  SamplePlan plan;
  plan.ops = {MakeOp(OpKind::kCenterCrop, size)};
  return plan;
}

std::shared_ptr<const SampleTable> Table(int rows) {
  const auto table = std::make_shared<SampleTable>();
  for (int i = 0; i < rows; ++i) table->Append("/file" + std::to_string(i), i);
  return table;
}

// Ten rows in three parts.
SampleSet Parts() {
  SampleSet set = SampleSet::OfTable(Table(10), Plan());
  set.parts = {{0, Plan()}, {4, Plan()}, {5, Plan()}};
  return set;
}

TEST(SampleSetTest, OfATableHasAllItsRowsByOnePlan) {
  SamplePlan plan = Plan({5, 7});
  plan.format.type = ElementType::kFloat32;
  const auto table = Table(3);
  const SampleSet set = SampleSet::OfTable(table, plan);
  EXPECT_EQ(set.size, 3U);
  EXPECT_EQ(set.table, table);
  ASSERT_EQ(set.parts.size(), 1U);
  EXPECT_NO_THROW(set.Check());
  EXPECT_EQ(set.FixedSize(), (Size{5, 7}));
  EXPECT_EQ(set.format().type, ElementType::kFloat32);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(set.RowOf(i), i);
    EXPECT_EQ(set.PartOf(i), 0U);
  }
}

TEST(SampleSetTest, SamplesHaveTheRowsThatAreNamed) {
  SampleSet set = Parts();
  set.rows = std::vector<int64_t>{9, 0, 0, 4};
  set.size = 4;
  EXPECT_NO_THROW(set.Check());
  EXPECT_EQ(set.RowOf(0), 9U);
  EXPECT_EQ(set.RowOf(1), 0U);
  EXPECT_EQ(set.RowOf(2), 0U);
  EXPECT_EQ(set.RowOf(3), 4U);
}

TEST(SampleSetTest, RowsBelongToThePartThatBeginsLastBeforeThem) {
  const SampleSet set = Parts();
  EXPECT_NO_THROW(set.Check());
  const size_t expected[] = {0, 0, 0, 0, 1, 2, 2, 2, 2, 2};
  for (size_t row = 0; row < 10; ++row) EXPECT_EQ(set.PartOf(row), expected[row]) << row;
}

// Data sets put together may be empty: their rows begin where the next one's do.
TEST(SampleSetTest, AnEmptyPartHasNoRows) {
  SampleSet set = Parts();
  set.parts = {{0, Plan()}, {0, Plan()}, {6, Plan()}, {6, Plan()}, {10, Plan()}};
  EXPECT_NO_THROW(set.Check());
  for (size_t row = 0; row < 10; ++row) EXPECT_EQ(set.PartOf(row), row < 6 ? 1U : 3U) << row;
}

void ExpectRefused(const SampleSet& set, const std::string& reason_has) {
  try {
    set.Check();
    FAIL() << "not refused: " << reason_has;
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find(reason_has), std::string::npos) << error.what();
  }
}

TEST(SampleSetTest, CheckRefusesRowsThatAreNotInTheTable) {
  for (const int64_t row : {int64_t{10}, int64_t{-1}, int64_t{1} << 40, INT64_MIN}) {
    SampleSet set = Parts();
    set.rows = {0, 9, row, 3};
    set.size = 4;
    ExpectRefused(set, "row " + std::to_string(row));
  }
}

TEST(SampleSetTest, CheckRefusesASizeThatIsNotThatOfItsRows) {
  SampleSet set = Parts();
  for (const size_t size : {size_t{0}, size_t{9}, size_t{11}}) {
    set.size = size;
    ExpectRefused(set, "as many samples as rows");
  }
  set.rows = std::vector<int64_t>{1, 2, 3};
  for (const size_t size : {size_t{2}, size_t{4}, size_t{10}}) {
    set.size = size;
    ExpectRefused(set, "as many samples as rows");
  }
  set.size = 3;
  EXPECT_NO_THROW(set.Check());
}

TEST(SampleSetTest, CheckRefusesPartsInAnotherOrder) {
  SampleSet set = Parts();
  std::swap(set.parts[1], set.parts[2]);
  ExpectRefused(set, "must ascend");
}

TEST(SampleSetTest, CheckRefusesPartsAndRowsWithoutATable) {
  SampleSet set = Parts();
  set.table = nullptr;
  ExpectRefused(set, "need a table");
  set.parts.resize(1);
  EXPECT_NO_THROW(set.Check());
  set.rows = std::vector<int64_t>{0, 1};
  ExpectRefused(set, "need a table");
}

TEST(SampleSetTest, CheckRefusesPartsThatLeaveRowsOut) {
  SampleSet set = Parts();
  set.parts.clear();
  ExpectRefused(set, "begin at row 0");
  set.parts = {{1, Plan()}};
  ExpectRefused(set, "begin at row 0");
}

TEST(SampleSetTest, CheckRefusesPartsWhoseSamplesCannotShareABatch) {
  const std::function<void(SamplePlan*)> changes[] = {
      [](SamplePlan* plan) { plan->ops = {MakeOp(OpKind::kCenterCrop, {6, 8})}; },
      [](SamplePlan* plan) { plan->format.type = ElementType::kFloat32; },
      [](SamplePlan* plan) { plan->format.channels = 1; },
      [](SamplePlan* plan) { plan->format.channels_last = true; },
  };
  for (const auto& change : changes) {
    for (size_t part = 0; part < 3; ++part) {
      SampleSet set = Parts();
      change(&set.parts[part].plan);
      ExpectRefused(set, "different shapes or types");
    }
    SampleSet all = Parts();
    for (SamplePart& part : all.parts) change(&part.plan);
    EXPECT_NO_THROW(all.Check());
  }
  // Other operations and other constants may well.
  SampleSet set = Parts();
  set.parts[1].plan.ops = {MakeOp(OpKind::kRandomResizedCrop, {8, 6})};
  set.parts[1].plan.format.scale = {7, 7, 7};
  set.parts[2].plan.pixels = PixelMode::kFast;
  EXPECT_NO_THROW(set.Check());
}

TEST(SampleSetTest, CheckRefusesPlansWithoutASize) {
  for (size_t part = 0; part < 3; ++part) {
    SampleSet set = Parts();
    set.parts[part].plan.ops = {testing::ResizeShortSide(8)};
    ExpectRefused(set, "different sizes");
  }
}

// Their numbers are keyed by 8 bits of the operation.
TEST(SampleSetTest, CheckRefusesMoreThan255Operations) {
  const Op flip = MakeOp(OpKind::kRandomHorizontalFlip);
  SampleSet set = Parts();
  auto& ops = set.parts[1].plan.ops;
  ops.push_back(testing::Group(OpKind::kRandomApply, std::vector<Op>(253, flip)));  // 1 + 1 + 253
  EXPECT_NO_THROW(set.Check());
  ops.push_back(flip);
  ExpectRefused(set, "255");
}

TEST(SampleSetTest, WithoutATableRowsAreNotLookedFor) {
  SampleSet set;
  set.parts = {{0, Plan()}};
  set.size = 1000;
  EXPECT_NO_THROW(set.Check());
}

}  // namespace
}  // namespace stoker
