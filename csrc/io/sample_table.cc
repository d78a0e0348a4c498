#include "io/sample_table.h"

#include <cstring>
#include <stdexcept>
#include <utility>

namespace stoker {
namespace {

constexpr char kMagic[8] = {'S', 'T', 'O', 'K', 'T', 'A', 'B', '1'};
// A stored path that begins with this byte is complete; any other is relative to the root.
constexpr char kAbsolute = '\0';

template <typename T>
void PutArray(const T* data, size_t count, std::string* out) {
  const uint64_t n = count;
  out->append(reinterpret_cast<const char*>(&n), sizeof n);
  out->append(reinterpret_cast<const char*>(data), count * sizeof(T));
}

// Takes an array off the front of `bytes`.
template <typename Container>
void TakeArray(std::string_view* bytes, Container* out) {
  using T = typename Container::value_type;
  uint64_t n = 0;
  if (bytes->size() < sizeof n)
    throw std::invalid_argument("sample table: the bytes are cut short");
  std::memcpy(&n, bytes->data(), sizeof n);
  bytes->remove_prefix(sizeof n);
  if (n > bytes->size() / sizeof(T)) {
    throw std::invalid_argument("sample table: the bytes are cut short");
  }
  out->resize(n);
  if (n != 0) std::memcpy(&(*out)[0], bytes->data(), n * sizeof(T));
  bytes->remove_prefix(n * sizeof(T));
}

}  // namespace

SampleTable::SampleTable(std::string root) : root_(std::move(root)), path_begins_{0} {
  if (!root_.empty() && root_.back() != '/') root_.push_back('/');
}

void SampleTable::Append(std::string_view path, int64_t label) {
  if (path.empty()) throw std::invalid_argument("a sample's path is empty");
  if (path.find('\0') != std::string_view::npos) {
    throw std::invalid_argument("a sample's path contains a zero byte");
  }
  if (root_.empty() || path.substr(0, root_.size()) != root_ || path.size() == root_.size()) {
    path_bytes_.push_back(kAbsolute);
  } else {
    path.remove_prefix(root_.size());
  }
  path_bytes_.insert(path_bytes_.end(), path.begin(), path.end());
  path_begins_.push_back(path_bytes_.size());
  labels_.push_back(label);
}

void SampleTable::AppendAll(const SampleTable& other) {
  std::string path;
  const size_t count = other.size();  // which grows where it is this one
  for (size_t i = 0; i < count; ++i) {
    other.PathTo(i, &path);
    Append(path, other.label(i));
  }
}

void SampleTable::ShrinkToFit() {
  path_bytes_.shrink_to_fit();
  path_begins_.shrink_to_fit();
  labels_.shrink_to_fit();
}

void SampleTable::PathTo(size_t index, std::string* out) const {
  const char* begin = path_bytes_.data() + path_begins_[index];
  const char* end = path_bytes_.data() + path_begins_[index + 1];
  if (*begin == kAbsolute) {
    out->assign(begin + 1, end);
  } else {
    out->assign(root_);
    out->append(begin, end);
  }
}

std::string SampleTable::Path(size_t index) const {
  std::string path;
  PathTo(index, &path);
  return path;
}

size_t SampleTable::memory_bytes() const {
  return path_bytes_.capacity() + path_begins_.capacity() * sizeof(uint64_t) +
         labels_.capacity() * sizeof(int64_t) + root_.capacity();
}

std::string SampleTable::Serialize() const {
  std::string out(kMagic, sizeof kMagic);
  PutArray(root_.data(), root_.size(), &out);
  PutArray(path_bytes_.data(), path_bytes_.size(), &out);
  PutArray(path_begins_.data(), path_begins_.size(), &out);
  PutArray(labels_.data(), labels_.size(), &out);
  return out;
}

SampleTable SampleTable::Deserialize(std::string_view bytes) {
  if (bytes.substr(0, sizeof kMagic) != std::string_view(kMagic, sizeof kMagic)) {
    throw std::invalid_argument("sample table: not a serialized table");
  }
  bytes.remove_prefix(sizeof kMagic);
  SampleTable table;
  TakeArray(&bytes, &table.root_);
  TakeArray(&bytes, &table.path_bytes_);
  TakeArray(&bytes, &table.path_begins_);
  TakeArray(&bytes, &table.labels_);
  const bool good_root = table.root_.empty() ||
                         (table.root_.back() == '/' && table.root_.find('\0') == std::string::npos);
  bool good = good_root && bytes.empty() && table.path_begins_.size() == table.labels_.size() + 1 &&
              table.path_begins_.front() == 0 &&
              table.path_begins_.back() == table.path_bytes_.size();
  for (size_t i = 0; good && i < table.labels_.size(); ++i) {
    const uint64_t begin = table.path_begins_[i];
    const uint64_t end = table.path_begins_[i + 1];
    if (begin >= end || end > table.path_bytes_.size()) {
      good = false;
      break;
    }
    // What Append refuses: an empty path, or a zero byte behind the mark of a complete one.
    const char* path = table.path_bytes_.data() + begin;
    const size_t mark = *path == kAbsolute ? 1 : 0;
    good = end - begin > mark && std::memchr(path + mark, 0, end - begin - mark) == nullptr;
  }
  if (!good) throw std::invalid_argument("sample table: the bytes contradict one another");
  return table;
}

}  // namespace stoker
