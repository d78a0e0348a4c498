#include "pipeline/indexed_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <string>

#include "pipeline/index_builder.h"
#include "support/ops.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::TemporaryFolder;

// A file that an index knows, and a plan that takes a part of it of `crop` pixels a side.
class IndexedReaderTest : public ::testing::Test {
 protected:
  void Make(int width, int height, int crop) {
    JpegSpec spec;
    spec.width = width;
    spec.height = height;
    spec.quality = 97;
    jpeg_ = MakeJpeg(spec);
    path_ = folder_.Write("a.jpg", jpeg_);
    const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
    ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), old, 0), 0);
    plan_.ops = {testing::MakeOp(OpKind::kCenterCrop, {crop, crop})};
    DecodeIndexOptions options;
    options.sources = {{folder_.path() + "/an.index", ""}};
    options.record = true;
    options.key = IndexKey{1, 2};
    index_ = std::make_shared<DecodeIndex>(options);
    ASSERT_EQ(IndexBuilder(index_, {}).Build(path_), BuildResult::kCheckpoints);
    index_->Flush(/*wait=*/true);
  }
  ByteSpan Read(IndexedReader* reader) {
    return reader->Read(OpenFile(path_.c_str()), path_, {}, &buffer_);
  }
  static uint64_t Count(const IndexedReader& reader, IndexOutcome outcome) {
    IndexCounts counts;
    reader.counter().AddTo(&counts);
    return counts.samples[static_cast<size_t>(outcome)];
  }

  const TemporaryFolder folder_;
  Bytes jpeg_;
  std::string path_;
  SamplePlan plan_;
  std::shared_ptr<DecodeIndex> index_;
  ByteBuffer buffer_;
};

TEST_F(IndexedReaderTest, WithoutAnIndexReadsTheFileAndNoMore) {
  Make(300, 200, 50);
  IndexedReader reader(plan_, nullptr);
  const ByteSpan bytes = Read(&reader);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), jpeg_.begin(), jpeg_.end()));
  EXPECT_EQ(reader.use(), nullptr);
  EXPECT_FALSE(reader.partial());
}

TEST_F(IndexedReaderTest, ReadsASmallFileWholeAndUsesWhatIsKnown) {
  Make(300, 200, 50);
  ASSERT_LT(jpeg_.size(), kPartialReadBytes);
  IndexedReader reader(plan_, index_);
  const ByteSpan bytes = Read(&reader);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), jpeg_.begin(), jpeg_.end()));
  ASSERT_NE(reader.use(), nullptr);
  EXPECT_NE(reader.use()->use, nullptr);
  EXPECT_FALSE(reader.partial());
}

TEST_F(IndexedReaderTest, ReadsOfALargeFileOnlyWhatTheCropNeeds) {
  Make(2000, 1500, 300);
  ASSERT_GE(jpeg_.size(), kPartialReadBytes);
  IndexedReader reader(plan_, index_);
  uint8_t* const memory = buffer_.Reserve(jpeg_.size());
  std::fill(memory, memory + jpeg_.size(), uint8_t{0});
  const ByteSpan bytes = Read(&reader);
  ASSERT_TRUE(reader.partial());
  ASSERT_EQ(bytes.size, jpeg_.size());
  const Checkpoints& known = *reader.use()->use;
  const size_t begin = known.scan_begin + reader.use()->data_begin;
  const size_t end = known.scan_begin + reader.use()->data_end;
  EXPECT_LT(end - begin, jpeg_.size() / 2);
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.begin() + known.scan_begin, jpeg_.begin()));
  EXPECT_TRUE(std::equal(bytes.begin() + begin, bytes.begin() + end, jpeg_.data() + begin));
  const auto zero = [](uint8_t byte) { return byte == 0; };
  EXPECT_TRUE(std::all_of(bytes.begin() + known.scan_begin, bytes.begin() + begin, zero));
  EXPECT_TRUE(std::all_of(bytes.begin() + end, bytes.end(), zero));

  // The part is enough for the decoder, and is counted.
  ImageDecoder decoder({});
  const Rect crop{850, 600, 300, 300};
  EXPECT_TRUE(reader.MustReadWhole());
  decoder.Open(bytes, reader.use());
  decoder.Decode(crop);
  EXPECT_FALSE(reader.MustReadWhole());
  reader.Finish(decoder, bytes);
  EXPECT_EQ(Count(reader, IndexOutcome::kUsed), 1U);
}

TEST_F(IndexedReaderTest, ReadsALargeFileWholeForACropOfMostOfIt) {
  Make(2000, 1500, 1450);
  IndexedReader reader(plan_, index_);
  const ByteSpan bytes = Read(&reader);
  EXPECT_FALSE(reader.partial());
  EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), jpeg_.begin(), jpeg_.end()));
}

TEST_F(IndexedReaderTest, APartThatDoesNotDoCountsAsRejected) {
  Make(2000, 1500, 300);
  IndexedReader reader(plan_, index_);
  Read(&reader);
  ASSERT_TRUE(reader.partial());
  ImageDecoder decoder({});
  decoder.Open(testing::Span(jpeg_));
  reader.Finish(decoder, testing::Span(jpeg_));
  EXPECT_EQ(Count(reader, IndexOutcome::kRejected), 1U);
}

TEST_F(IndexedReaderTest, LeavesNothingOfWhatIsNoJpeg) {
  Make(300, 200, 50);
  const Bytes rgb = testing::MakeRgb(300, 200, 1);
  path_ = folder_.Write("a.ppm", testing::MakePpm(300, 200, rgb));
  const timespec old[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), old, 0), 0);
  IndexedReader reader(plan_, index_);
  const ByteSpan bytes = Read(&reader);
  ImageDecoder decoder({});
  decoder.Open(bytes, reader.use());
  reader.Finish(decoder, bytes);
  EXPECT_EQ(Count(reader, IndexOutcome::kRecorded), 1U);
  index_->Flush(/*wait=*/true);
  DecodeIndex::Cursor cursor;
  Checkpoints found;
  found.size = {7, 7};
  ASSERT_TRUE(index_->Find(path_, IdentifyFile(OpenFile(path_.c_str())), &cursor, &found));
  EXPECT_EQ(found.size, Size{});
  EXPECT_EQ(found.orientation, 1);
}

TEST_F(IndexedReaderTest, ReadAheadLeavesTheFileOpen) {
  Make(2000, 1500, 300);
  IndexedReader reader(plan_, index_);
  ReadAheadSlot slot;
  reader.ReadAhead(path_, {}, &slot);
  EXPECT_TRUE(slot.Take().valid());
  ReadAheadSlot folder;
  reader.ReadAhead(folder_.path(), {}, &folder);  // said at the sample's turn
  ReadAheadSlot nothing;
  reader.ReadAhead(folder_.path() + "/b.jpg", {}, &nothing);
  EXPECT_FALSE(nothing.Take().valid());
}

}  // namespace
}  // namespace stoker
