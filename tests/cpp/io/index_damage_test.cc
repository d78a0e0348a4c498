// Every byte of an index damaged, and every part of it cut off: entries get lost, none becomes
// wrong, and writing puts it right again.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "io/index_format.h"
#include "io/index_reader.h"
#include "io/index_writer.h"
#include "support/index_files.h"

namespace stoker {
namespace {

using testing::AppendEntries;
using testing::Bytes;
using testing::CountFound;
using testing::EntriesOf;
using testing::Found;
using testing::IndexEntry;
using testing::ReadBytes;
using testing::TemporaryFolder;

class IndexDamage : public ::testing::Test {
 protected:
  IndexDamage() {
    for (const auto& block : blocks_) AppendEntries(path_, block);
    good_ = ReadBytes(path_);
    const auto index = testing::OpenIndex(path_);
    for (const IndexReader::Block& block : index->blocks()) ends_.push_back(block.offset);
    ends_.push_back(index->end());
    EXPECT_EQ(ends_.size(), blocks_.size() + 1);
    EXPECT_EQ(ends_.back(), good_.size());
  }

  // How many whole blocks lie in front of `at`.
  size_t BlocksBefore(size_t at) const {
    size_t blocks = 0;
    while (blocks < blocks_.size() && at >= ends_[blocks + 1]) ++blocks;
    return blocks;
  }

  // `at`: nothing before it was changed. `blocks`: how many there are, whatever they have.
  void Check(const Bytes& bytes, size_t at, size_t blocks = kUnknown) {
    folder_.Write("index", bytes);
    IndexState state{};
    const auto index = IndexReader::Open(path_, testing::kTestKey, &state);
    if (index) {
      const size_t damaged = BlocksBefore(at);
      EXPECT_TRUE(blocks == kUnknown || index->blocks().size() == blocks)
          << index->blocks().size() << " blocks";
      for (size_t i = 0; i < blocks_.size(); ++i) {
        const size_t right = CountFound(*index, blocks_[i]);
        EXPECT_EQ(right + CountFound(*index, blocks_[i], Found::kNothing), blocks_[i].size());
        const bool whole = i < damaged || (i > damaged && blocks == blocks_.size());
        EXPECT_TRUE(right == blocks_[i].size() || !whole) << "block " << i;
      }
    } else {
      EXPECT_LT(at, ends_[0]) << IndexStateText(state);
    }
    const bool writable =
        index != nullptr || state == IndexState::kDamaged || state == IndexState::kOlder;
    try {
      AppendEntries(path_, all_);
      EXPECT_TRUE(writable);
      testing::ExpectAll(path_, all_);
    } catch (const IndexError& e) {
      EXPECT_FALSE(writable) << e.what();
      EXPECT_EQ(ReadBytes(path_), bytes);
    }
  }
  void Flip(size_t at, int bit, size_t blocks) {
    SCOPED_TRACE("byte " + std::to_string(at) + ", bit " + std::to_string(bit));
    Bytes bytes = good_;
    bytes[at] ^= static_cast<uint8_t>(1U << bit);
    Check(bytes, at, blocks);
  }

  static constexpr size_t kUnknown = SIZE_MAX;
  const std::vector<std::vector<IndexEntry>> blocks_ = {EntriesOf(0, 3), EntriesOf(3, 1),
                                                        EntriesOf(4, 2)};
  const std::vector<IndexEntry> all_ = EntriesOf(0, 7);  // and one more
  // In memory where that is possible: this writes thousands of times, and each is flushed to disk.
  const TemporaryFolder folder_{access("/dev/shm", W_OK) == 0 ? "/dev/shm" : ""};
  const std::string path_ = folder_.path() + "/index";
  Bytes good_;
  std::vector<uint64_t> ends_;  // of the header, and of each block
};

TEST_F(IndexDamage, EveryBitOfTheHeaders) {
  for (size_t at = 0; at < ends_[0]; ++at) {
    for (int bit = 0; bit < 8; ++bit) Flip(at, bit, blocks_.size());
  }
  for (size_t block = 0; block < blocks_.size(); ++block) {
    for (size_t at = ends_[block]; at < ends_[block] + sizeof(BlockHeader); ++at) {
      for (int bit = 0; bit < 8; ++bit) Flip(at, bit, block);
    }
  }
}

TEST_F(IndexDamage, EveryByteOfTheBlocks) {
  std::mt19937 random(1);
  for (size_t block = 0; block < blocks_.size(); ++block) {
    for (size_t at = ends_[block] + sizeof(BlockHeader); at < ends_[block + 1]; ++at) {
      Flip(at, static_cast<int>(random() % 8), blocks_.size());
    }
  }
}

TEST_F(IndexDamage, EveryLength) {
  for (size_t length = 0; length < good_.size(); ++length) {
    SCOPED_TRACE("cut to " + std::to_string(length) + " bytes");
    const auto end = good_.begin() + static_cast<std::ptrdiff_t>(length);
    Check({good_.begin(), end}, length, BlocksBefore(length));
  }
}

TEST_F(IndexDamage, AnyBytesBehindIt) {
  std::mt19937 random(2);
  for (const size_t length : {1, 63, 64, 65, 1000}) {
    Bytes bytes = good_;
    for (size_t i = 0; i < length; ++i) bytes.push_back(static_cast<uint8_t>(random()));
    Check(bytes, good_.size(), blocks_.size());
  }
  // A block that says where it belongs, and does not.
  Bytes bytes = good_;
  bytes.insert(bytes.end(), good_.begin() + static_cast<std::ptrdiff_t>(ends_[0]), good_.end());
  Check(bytes, good_.size(), blocks_.size());
}

TEST_F(IndexDamage, ManyBytesAtOnce) {
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    Bytes bytes = good_;
    const size_t begin = random() % bytes.size();
    const size_t end = begin + random() % (bytes.size() - begin) + 1;
    for (size_t at = begin; at < end; ++at) bytes[at] = static_cast<uint8_t>(random());
    SCOPED_TRACE("noise from " + std::to_string(begin) + " to " + std::to_string(end));
    Check(bytes, begin);
  }
}

}  // namespace
}  // namespace stoker
