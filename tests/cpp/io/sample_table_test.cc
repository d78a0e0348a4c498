#include "io/sample_table.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

namespace stoker {
namespace {

struct Sample {
  std::string path;
  int64_t label;
};

const std::vector<Sample>& OddSamples() {
  static const std::vector<Sample> samples = {
      {"/data/set/a.jpg", 0},
      {"/data/set/deep/er/b c.jpg", -1},
      {"/data/set", 2},     // the root itself
      {"/data/set/", 3},    // with its slash
      {"/data/settee", 4},  // only looks as if it were inside
      {"/elsewhere/d.jpg", std::numeric_limits<int64_t>::max()},
      {"relative/e.jpg", std::numeric_limits<int64_t>::min()},
      {"f", 7},
      {"/data/set//g.jpg", 8},
      {"/data/set/\xC3\xA4\xFF\x01\n.jpg", 9},  // not even UTF-8
      {"/", 10},
  };
  return samples;
}

SampleTable TableOf(const std::vector<Sample>& samples, const std::string& root) {
  SampleTable table(root);
  for (const Sample& sample : samples) table.Append(sample.path, sample.label);
  return table;
}

void ExpectSamples(const SampleTable& table, const std::vector<Sample>& samples) {
  ASSERT_EQ(table.size(), samples.size());
  std::string path = "from before";
  for (size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(table.Path(i), samples[i].path);
    table.PathTo(i, &path);
    EXPECT_EQ(path, samples[i].path);
    EXPECT_EQ(table.label(i), samples[i].label);
  }
}

TEST(SampleTable, ReturnsPathsAndLabelsAsGiven) {
  for (const char* root : {"", "/", "/data/set", "/data/set/", "relative", "/never/used"}) {
    SampleTable table = TableOf(OddSamples(), root);
    ExpectSamples(table, OddSamples());
    table.ShrinkToFit();
    ExpectSamples(table, OddSamples());
  }
}

TEST(SampleTable, RefusesPathsThatNoFileCanHave) {
  SampleTable table("/data");
  table.Append("/data/a", 1);
  EXPECT_THROW(table.Append("", 2), std::invalid_argument);
  EXPECT_THROW(table.Append(std::string_view("/data/a\0b", 9), 2), std::invalid_argument);
  EXPECT_THROW(table.Append(std::string_view("\0", 1), 2), std::invalid_argument);
  table.Append("/data/c", 3);
  ExpectSamples(table, {{"/data/a", 1}, {"/data/c", 3}});
}

TEST(SampleTable, HoldsImageNetInAtMost150Megabytes) {
  constexpr size_t kSamples = 1'300'000;
  SampleTable table("/data/imagenet/train");
  char path[100];
  size_t relative_bytes = 0;
  for (size_t i = 0; i < kSamples; ++i) {
    const int length =
        std::snprintf(path, sizeof path, "/data/imagenet/train/n%08zu/n%08zu_%zu.JPEG", i / 1300,
                      i / 1300, i % 100'000);
    relative_bytes += static_cast<size_t>(length) - std::strlen("/data/imagenet/train/");
    table.Append({path, static_cast<size_t>(length)}, static_cast<int64_t>(i / 1300));
  }
  EXPECT_LE(table.memory_bytes(), 150'000'000U);
  table.ShrinkToFit();
  EXPECT_LE(table.memory_bytes(), 65'000'000U);  // "about 60 MB"
  EXPECT_GE(table.memory_bytes(), relative_bytes + kSamples * sizeof(int64_t));
  EXPECT_EQ(table.Path(kSamples - 1), path);
  EXPECT_EQ(table.label(kSamples - 1), 999);
}

TEST(SampleTable, SurvivesSerialization) {
  for (const char* root : {"", "/data/set"}) {
    const SampleTable table = TableOf(OddSamples(), root);
    const SampleTable copy = SampleTable::Deserialize(table.Serialize());
    ExpectSamples(copy, OddSamples());
    EXPECT_EQ(copy.root(), table.root());
    EXPECT_EQ(copy.Serialize(), table.Serialize());
  }
  EXPECT_EQ(SampleTable::Deserialize(SampleTable("/r").Serialize()).size(), 0U);
}

TEST(SampleTable, AppendsAllRowsOfAnotherWhateverTheirRoots) {
  const std::vector<Sample> more = {{"/data/set/x", 20}, {"/other/y", 21}, {"z", 22}};
  std::vector<Sample> both = OddSamples();
  both.insert(both.end(), more.begin(), more.end());
  for (const char* root : {"", "/data/set", "/other"}) {
    for (const char* other_root : {"", "/data/set", "/other", "/data"}) {
      SampleTable table = TableOf(OddSamples(), root);
      const SampleTable other = TableOf(more, other_root);
      table.AppendAll(other);
      ExpectSamples(table, both);
      ExpectSamples(other, more);
      table.AppendAll(SampleTable("/empty"));
      ExpectSamples(table, both);
      table.Append("/data/set/last", 23);
      std::vector<Sample> all = both;
      all.push_back({"/data/set/last", 23});
      ExpectSamples(SampleTable::Deserialize(table.Serialize()), all);
    }
  }
}

TEST(SampleTable, AppendsItselfOnce) {
  SampleTable table = TableOf(OddSamples(), "/data/set");
  table.AppendAll(table);
  std::vector<Sample> twice = OddSamples();
  twice.insert(twice.end(), OddSamples().begin(), OddSamples().end());
  ExpectSamples(table, twice);
}

TEST(SampleTable, RefusesEveryCutAndAddition) {
  const std::string bytes = TableOf(OddSamples(), "/data/set").Serialize();
  for (size_t size = 0; size < bytes.size(); ++size) {
    // A heap copy of just that size, so that the address sanitizer sees a read beyond it.
    const std::vector<char> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(SampleTable::Deserialize({cut.data(), cut.size()}), std::invalid_argument) << size;
  }
  EXPECT_THROW(SampleTable::Deserialize(bytes + '\0'), std::invalid_argument);
  EXPECT_THROW(SampleTable::Deserialize(bytes + bytes), std::invalid_argument);
}

// Overwriting any eight bytes reaches every count and every offset: the table must be refused or
// still be whole.
TEST(SampleTable, ContradictoryBytesNeverReachOutOfTheTable) {
  const std::string bytes = TableOf(OddSamples(), "/data/set").Serialize();
  const uint64_t values[] = {0, 1, 2, bytes.size(), uint64_t{1} << 61, UINT64_MAX - 7, UINT64_MAX};
  int refused = 0;
  for (size_t at = 0; at + sizeof(uint64_t) <= bytes.size(); ++at) {
    for (const uint64_t value : values) {
      std::string wrong = bytes;
      std::memcpy(&wrong[at], &value, sizeof value);
      try {
        const SampleTable table = SampleTable::Deserialize(wrong);
        for (size_t i = 0; i < table.size(); ++i) {
          EXPECT_LE(table.Path(i).size(), bytes.size());
        }
      } catch (const std::invalid_argument&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 0);
}

TEST(SampleTable, RefusesPathsThatSerializeNeverWrites) {
  // "/data/" and "xyz" stand in the bytes as they are; the table has no checksum over them.
  const auto replaced = [](const std::string& from, const std::string& to) {
    std::string bytes = TableOf({{"/data/xyz", 1}, {"ab", 2}}, "/data").Serialize();
    const size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos);
    return bytes.replace(at, from.size(), to);
  };
  EXPECT_EQ(SampleTable::Deserialize(replaced("xyz", "zyx")).Path(0), "/data/zyx");
  const std::string zero(1, '\0');
  EXPECT_THROW(SampleTable::Deserialize(replaced("xyz", "x" + zero + "z")), std::invalid_argument);
  EXPECT_THROW(SampleTable::Deserialize(replaced("ab", "a" + zero)), std::invalid_argument);
  EXPECT_THROW(SampleTable::Deserialize(replaced("/data/", "/datax")), std::invalid_argument);
  EXPECT_THROW(SampleTable::Deserialize(replaced("/data/", "/da" + zero + "a/")),
               std::invalid_argument);
}

}  // namespace
}  // namespace stoker
