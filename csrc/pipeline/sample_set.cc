#include "pipeline/sample_set.h"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

#include "base/error.h"

namespace stoker {
namespace {

std::optional<Size> FixedSizeOf(const SamplePlan& plan) {
  try {
    return plan.FixedSize();
  } catch (const StageError& e) {
    throw std::invalid_argument(e.what());
  }
}

}  // namespace

SampleSet SampleSet::OfTable(std::shared_ptr<const SampleTable> table, const SamplePlan& plan) {
  SampleSet set;
  set.size = table->size();
  set.table = std::move(table);
  set.parts.push_back({0, plan});
  return set;
}

size_t SampleSet::PartOf(size_t row) const {
  if (parts.size() == 1) return 0;
  const auto behind =
      std::upper_bound(parts.begin(), parts.end(), row,
                       [](size_t r, const SamplePart& part) { return r < part.first_row; });
  return static_cast<size_t>(behind - parts.begin()) - 1;
}

void SampleSet::Check() const {
  if (parts.empty() || parts.front().first_row != 0) {
    throw std::invalid_argument("the first part must begin at row 0");
  }
  size_t before = 0;
  for (const SamplePart& part : parts) {
    if (part.first_row < before) throw std::invalid_argument("the parts must ascend");
    before = part.first_row;
    const auto fixed = FixedSizeOf(part.plan);
    if (!fixed) {
      throw std::invalid_argument(
          "the transforms leave samples of different sizes, which cannot share a batch: add a "
          "crop, or a Resize with height and width");
    }
    if (CountOps(part.plan.ops) > kMaxOps) throw std::invalid_argument("more than 255 transforms");
    const SampleFormat& other = part.plan.format;
    if (*fixed != FixedSize() || other.type != format().type ||
        other.channels != format().channels || other.channels_last != format().channels_last) {
      throw std::invalid_argument("the parts give samples of different shapes or types");
    }
  }
  if (table == nullptr) {
    if (parts.size() > 1 || rows) throw std::invalid_argument("parts and rows need a table");
    return;
  }
  const size_t in_table = table->size();
  if (size != (rows ? rows->size() : in_table)) {
    throw std::invalid_argument("not as many samples as rows");
  }
  if (!rows) return;
  for (const int64_t row : *rows) {
    if (row < 0 || static_cast<size_t>(row) >= in_table) {
      throw std::invalid_argument("row " + std::to_string(row) + " is not in the table");
    }
  }
}

}  // namespace stoker
