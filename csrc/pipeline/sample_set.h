// The samples of a loader: where the bytes of each are, and what is done to it.
//
// Threads: any number may read a set that nobody changes any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/sample_table.h"
#include "pipeline/sample_plan.h"

namespace stoker {

// The bytes of one sample: in a file, or in memory already.
struct SampleSource {
  std::string path;                          // of bytes: what errors call them
  std::shared_ptr<const std::string> bytes;  // null: the file at `path`
};

// The rows of a table from `first_row` to the next part's, and their plan. Each worker has a
// decoder and buffers (about 1 MB) for each part, and each part a table of weights: neighbours
// with equal plans are better one part.
struct SamplePart {
  size_t first_row;
  SamplePlan plan;
};

struct SampleSet {
  std::shared_ptr<const SampleTable> table;  // null: each batch brings its sources along
  std::vector<SamplePart> parts;             // ascending; the first begins at row 0
  std::optional<std::vector<int64_t>> rows;  // of sample i; none: row i
  size_t size = 0;                           // how many samples there are

  // All rows of `table`, by one plan.
  static SampleSet OfTable(std::shared_ptr<const SampleTable> table, const SamplePlan& plan);

  size_t RowOf(size_t sample) const { return rows ? static_cast<size_t>((*rows)[sample]) : sample; }
  // The part (its number) that a row belongs to.
  size_t PartOf(size_t row) const;

  // Throws std::invalid_argument where a row is not in the table, or the parts give samples of
  // different kinds or sizes, which cannot share a batch, or there are several without a table.
  void Check() const;
  // The size of every finished sample. Call Check first.
  Size FixedSize() const { return *parts.front().plan.FixedSize(); }
  const SampleFormat& format() const { return parts.front().plan.format; }
};

}  // namespace stoker
