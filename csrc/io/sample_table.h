// The data set as flat arrays: where each sample's bytes are, and its label. No object per sample:
// 1.3 million ImageNet samples take about 60 MB, and nothing is copied to workers.
//
// Threads: any number may read a table that nobody appends to any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace stoker {

class SampleTable {
 public:
  // `root` is a folder that most paths lie in; it is stored once. May be empty.
  explicit SampleTable(std::string root = {});

  // Paths are bytes, as the file system has them. Throws std::invalid_argument when the path is
  // empty or contains a zero byte.
  void Append(std::string_view path, int64_t label);
  // Appends all rows of `other`.
  void AppendAll(const SampleTable& other);
  // Gives back what growing left over; call once after the last Append.
  void ShrinkToFit();

  size_t size() const { return labels_.size(); }
  int64_t label(size_t index) const { return labels_[index]; }
  // Writes the path of sample `index` < size() into `out`, whose memory is reused.
  void PathTo(size_t index, std::string* out) const;
  std::string Path(size_t index) const;
  const std::string& root() const { return root_; }
  // Heap memory held, in bytes.
  size_t memory_bytes() const;

  // A self-contained copy of the table as bytes (this machine's byte order), for pickling.
  std::string Serialize() const;
  // Throws std::invalid_argument when `bytes` is not what Serialize() wrote.
  static SampleTable Deserialize(std::string_view bytes);

 private:
  std::string root_;  // "" or ends in '/'
  std::vector<char> path_bytes_;
  std::vector<uint64_t> path_begins_;  // size() + 1 offsets into path_bytes_
  std::vector<int64_t> labels_;
};

}  // namespace stoker
