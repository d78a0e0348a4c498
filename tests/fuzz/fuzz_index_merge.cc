// Writing and merging of decode indexes: blocks by this user's key and another's, in any order,
// with bytes changed in between. Whatever is found afterwards must be what was written by the key;
// and where nothing was changed, the last entry of each name must be there.
#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "harness.h"
#include "io/index_format.h"
#include "io/index_reader.h"
#include "io/index_writer.h"
#include "support/test_images.h"

namespace stoker::fuzz {
namespace {

using testing::Bytes;
using testing::Span;

constexpr IndexKey kOwn{1, 2};
constexpr IndexKey kOthers{1, 3};
constexpr int kNames = 6;
constexpr int kStates = 3;

uint64_t NameOf(int i) { return HashName(std::to_string(i)); }
FileIdentity FileOf(int state) { return {1'000, state}; }

using Place = std::tuple<uint64_t, int64_t>;  // name, state

class Run {
 public:
  void Step(Input* in) {
    switch (in->Byte() % 5) {
      case 0:
      case 1: return Append(in, kOwn);
      case 2: return Append(in, kOthers);
      case 3: return Compact(in);
      default: return Spoil(in);
    }
  }

  void Check() const {
    IndexState state{};
    const auto index = IndexReader::Open(path_, kOwn, &state);
    if (!index) {
      if (!spoilt_ && !written_.empty()) Finding("the index is gone");
      return;
    }
    IndexReader::Scratch scratch;
    for (int i = 0; i < kNames; ++i) {
      for (int s = 0; s < kStates; ++s) {
        const bool found = index->Find(NameOf(i), FileOf(s), &scratch);
        const auto written = written_.find({NameOf(i), s});
        if (found && written == written_.end()) Finding("found what was not written");
        if (found && !OneOf(written->second, scratch.payload)) Finding("another payload");
        const auto last = last_.find(NameOf(i));
        const bool due = !unordered_ && !spoilt_ && last != last_.end() && last->second == s;
        if (due && !found) Finding("the last entry of a name is lost");
      }
    }
  }

 private:
  static bool OneOf(const std::vector<Bytes>& all, const Bytes& payload) {
    for (const Bytes& one : all) {
      if (one == payload) return true;
    }
    return false;
  }

  void Append(Input* in, const IndexKey& key) {
    NewEntries entries;
    const int count = in->Between(0, 8);
    std::set<int> names;
    for (int n = 0; n < count; ++n) {
      const int i = in->Between(0, kNames - 1);
      const int s = in->Between(0, kStates - 1);
      Bytes payload(static_cast<size_t>(in->Between(0, 200)));
      in->Fill(payload.data(), payload.size());
      entries.Add(NameOf(i), FileOf(s), Span(payload));
      if (key != kOwn || payload.size() > MaxPayloadBytes(FileOf(s))) continue;
      // What is there already stays as it is, and of one block's states of a file any may be the
      // last.
      const bool again = !written_[{NameOf(i), s}].empty() || !names.insert(i).second;
      unordered_ = unordered_ || again;
      last_[NameOf(i)] = s;
      written_[{NameOf(i), s}].push_back(payload);
    }
    unordered_ = unordered_ || key != kOwn;
    Try([&] { AppendToIndex(path_, "/data", entries, key); });
  }

  void Compact(Input* in) {
    const int dropped = in->Between(0, kNames);
    Try([&] { CompactIndex(path_, [=](uint64_t name) { return name != NameOf(dropped); }, kOwn); });
    if (dropped < kNames) last_.erase(NameOf(dropped));
  }

  void Spoil(Input* in) {
    const int at = in->Between(0, 4000);
    const int value = in->Byte();
    std::FILE* const file = std::fopen(path_.c_str(), "r+b");
    if (file == nullptr) return;
    std::fseek(file, at, SEEK_SET);
    std::fputc(value, file);
    std::fclose(file);
    spoilt_ = true;
  }

  template <typename Work>
  void Try(const Work& work) {
    try {
      work();
    } catch (const IndexError&) {
      if (!spoilt_ && !last_.empty()) Finding("an index that nobody has spoilt is refused");
    }
  }

  const testing::TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
  std::map<Place, std::vector<Bytes>> written_;  // by the own key, at any time
  std::map<uint64_t, int64_t> last_;
  bool spoilt_ = false;
  bool unordered_ = false;  // has entries whose order the model does not follow
};

}  // namespace
}  // namespace stoker::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  stoker::fuzz::Input in(data, size);
  stoker::fuzz::Run run;
  for (int steps = in.Between(1, 24); steps > 0 && in.rest().size > 0; --steps) {
    run.Step(&in);
    run.Check();
  }
  return 0;
}
