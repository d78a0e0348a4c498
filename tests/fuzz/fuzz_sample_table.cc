// The sample table as it comes out of a pickle, which may be any bytes: it is refused, or every row
// of it can be read and it serializes to what it came from. The first byte chooses between bytes as
// they are and a table made of them by Append, with some changed.
#include <stdexcept>
#include <string>
#include <string_view>

#include "harness.h"
#include "io/sample_table.h"

namespace stoker::fuzz {
namespace {

std::string TextOf(Input* in) {
  std::string text;
  for (int left = in->Byte() % 40; left > 0; --left) text.push_back(static_cast<char>(in->Byte()));
  return text;
}

void CheckBytes(const std::string& bytes) {
  SampleTable table;
  try {
    table = SampleTable::Deserialize(bytes);
  } catch (const std::invalid_argument&) {
    return;
  }
  std::string path;
  SampleTable copy(table.root());
  for (size_t i = 0; i < table.size(); ++i) {
    table.PathTo(i, &path);
    if (path.empty() || path.find('\0') != std::string::npos) Finding("no path");
    copy.Append(path, table.label(i));
    if (copy.Path(i) != path || copy.label(i) != table.label(i)) Finding("another row");
  }
  if (table.Serialize() != bytes) Finding("it serializes to something else");
  SampleTable twice(table.root());
  twice.AppendAll(table);
  twice.AppendAll(twice);
  if (twice.size() != 2 * table.size()) Finding("rows are lost");
}

void CheckMade(Input in) {
  SampleTable table(TextOf(&in));
  for (int rows = in.Byte() % 20; rows > 0; --rows) {
    const std::string path = TextOf(&in);
    const bool good = !path.empty() && path.find('\0') == std::string::npos;
    const size_t before = table.size();
    try {
      table.Append(path, in.Byte());
      if (!good) Finding("no path is taken for one");
      if (table.Path(before) != path) Finding("another path");
    } catch (const std::invalid_argument&) {
      if (good || table.size() != before) Finding("a good path is refused, or half of it kept");
    }
  }
  std::string bytes = table.Serialize();
  CheckBytes(bytes);
  for (int changes = in.Byte() % 4; changes > 0; --changes) {
    const int at = in.Between(0, 2000);
    bytes[static_cast<size_t>(at) % bytes.size()] = static_cast<char>(in.Byte());
  }
  CheckBytes(bytes);
}

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::Input in(data, size);
  if (in.Bool()) {
    stoker::fuzz::CheckMade(in);
  } else {
    const auto rest = in.rest();
    stoker::fuzz::CheckBytes({rest.begin(), rest.end()});
  }
  return 0;
}
