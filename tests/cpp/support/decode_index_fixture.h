// What the tests of the decode index as a loader sees it share: files that exist nowhere, to record
// and to find.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "codec/jpeg/checkpoints.h"
#include "pipeline/decode_index.h"
#include "support/index_files.h"
#include "support/test_images.h"

namespace stoker::testing {

inline constexpr int64_t kLongAgo = 1'600'000'000'000'000'000;

class DecodeIndexTest : public ::testing::Test {
 protected:
  // A file that exists nowhere: an index never looks at the files themselves.
  struct File {
    std::string path;
    FileIdentity identity;
    Size size;
  };
  static File FileOf(int i) {
    return {"/data/class/" + std::to_string(i) + ".jpg",
            {static_cast<uint64_t>(100'000 + i), kLongAgo + i},
            {100 + i, 50}};
  }
  DecodeIndexOptions Options(const std::string& path) const {
    DecodeIndexOptions options;
    options.samples_root = "/data/";
    options.sources = {{path, ""}};
    options.record = true;
    options.index_root = "/data";
    options.key = kTestKey;
    return options;
  }
  DecodeIndexOptions Options() const { return Options(path_); }

  static bool Record(DecodeIndex* index, const File& file, DecodeIndex::Cursor* cursor) {
    const size_t budget = index->BudgetToRecord(file.path, file.identity, cursor);
    if (budget == 0) return false;
    Checkpoints checkpoints;
    checkpoints.size = file.size;
    index->Record(file.path, file.identity, budget, &checkpoints, cursor);
    return true;
  }
  static bool Record(DecodeIndex* index, int i) {
    DecodeIndex::Cursor cursor;
    return Record(index, FileOf(i), &cursor);
  }
  static bool Finds(const DecodeIndex& index, const File& file) {
    DecodeIndex::Cursor cursor;
    Checkpoints checkpoints;
    const bool found = index.Find(file.path, file.identity, &cursor, &checkpoints);
    if (found) {
      EXPECT_EQ(checkpoints.size, file.size);
    }
    if (found) {
      EXPECT_TRUE(index.Contains(file.path, &cursor));
    }
    return found;
  }
  static bool Finds(const DecodeIndex& index, int i) { return Finds(index, FileOf(i)); }
  // Waits for what a writing thread does.
  static bool Becomes(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return condition();
  }
  // In `path`, for names relative to `samples_root`.
  static void MakeIndex(DecodeIndexOptions options, const std::vector<int>& files) {
    DecodeIndex index(std::move(options));
    for (const int i : files) EXPECT_TRUE(Record(&index, i));
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/index";
};

}  // namespace stoker::testing
