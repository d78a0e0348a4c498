#include "pipeline/index_builder.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/index_files.h"
#include "support/jpeg_samplings.h"
#include "support/ops.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::TemporaryFolder;

class IndexBuilderTest : public ::testing::Test {
 protected:
  IndexBuilderTest() {
    DecodeIndexOptions options;
    options.samples_root = folder_.path();
    options.sources = {{folder_.path() + "/index", ""}};
    options.record = true;
    options.key = IndexKey{1, 2};
    options.index_root = folder_.path();
    index_ = std::make_shared<DecodeIndex>(options);
    builder_ = std::make_unique<IndexBuilder>(index_, DecodeLimits{});
  }
  static JpegSpec Large() {
    JpegSpec spec;
    spec.width = 640;
    spec.height = 400;
    spec.quality = 95;
    return spec;
  }
  // Writes a file that was changed so many hours ago.
  std::string Write(const std::string& name, const Bytes& bytes, int hours = 1) const {
    const std::string path = folder_.Write(name, bytes);
    const auto now = std::filesystem::file_time_type::clock::now();
    std::filesystem::last_write_time(path, now - std::chrono::hours(hours));
    return path;
  }
  BuildResult Build(const std::string& path) {
    const BuildResult result = builder_->Build(path);
    index_->Flush(/*wait=*/true);
    EXPECT_EQ(index_->problem(), "");
    return result;
  }
  VerifyResult Survey(const std::string& path) {
    uint64_t bytes = 0;
    const VerifyResult result = builder_->Survey(path, &bytes);
    EXPECT_EQ(bytes, std::filesystem::file_size(path));
    return result;
  }
  // What the index has of a file.
  Checkpoints EntryOf(const std::string& path) const {
    DecodeIndex::Cursor cursor;
    Checkpoints checkpoints;
    EXPECT_TRUE(index_->Find(path, IdentifyFile(OpenFile(path.c_str())), &cursor, &checkpoints));
    return checkpoints;
  }
  // Puts `wrong` into the index for the file as it is.
  void Record(const std::string& path, Checkpoints wrong) const {
    DecodeIndex::Cursor cursor;
    const FileIdentity file = IdentifyFile(OpenFile(path.c_str()));
    index_->Record(path, file, 100'000, &wrong, &cursor);
    index_->Flush(/*wait=*/true);
  }

  const TemporaryFolder folder_;
  std::shared_ptr<DecodeIndex> index_;
  std::unique_ptr<IndexBuilder> builder_;
};

TEST_F(IndexBuilderTest, MakesCheckpointsThatVerify) {
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    SCOPED_TRACE(sampling.name);
    JpegSpec spec = sampling.Spec({600, 420}, 3);
    spec.quality = 95;
    const std::string path = Write(std::string(sampling.name + 2) + ".jpg", MakeJpeg(spec));
    EXPECT_EQ(Survey(path), VerifyResult::kUnknown);
    EXPECT_EQ(builder_->Verify(path), VerifyResult::kUnknown);
    EXPECT_EQ(Build(path), BuildResult::kCheckpoints);
    EXPECT_EQ(Build(path), BuildResult::kKnown);
    EXPECT_EQ(Survey(path), VerifyResult::kGood);
    EXPECT_EQ(builder_->Verify(path), VerifyResult::kGood);
    EXPECT_EQ(EntryOf(path).size, (Size{600, 420}));
    EXPECT_GT(EntryOf(path).at.size(), 10U);
  }
}

TEST_F(IndexBuilderTest, EntriesStayWithinTheirShare) {
  const std::string path = Write("a.jpg", MakeJpeg(Large()));
  EXPECT_EQ(Build(path), BuildResult::kCheckpoints);
  const auto index = testing::OpenIndex(folder_.path() + "/index");
  index->ForEach([&](const IndexReader::Block&, const IndexRecord& record) {
    const double share = static_cast<double>(record.payload_bytes + sizeof record + 8) /
                         static_cast<double>(record.file.bytes);
    EXPECT_LE(share, kIndexShare);
    EXPECT_GT(share, kIndexShare * 0.6) << "most of its share is used";
  });
}

TEST_F(IndexBuilderTest, OtherCodingsAndFormatsHaveTheirSizeOnly) {
  JpegSpec progressive = Large();
  progressive.progressive = true;
  JpegSpec restarts = Large();
  restarts.restart_interval = 7;
  const Bytes rgb = testing::MakeRgb(90, 70, 1);
  const std::vector<std::pair<std::string, Size>> files = {
      {Write("progressive.jpg", MakeJpeg(progressive)), {640, 400}},
      {Write("restarts.jpg", MakeJpeg(restarts)), {640, 400}},
      // Nothing is said of what is no JPEG.
      {Write("a.ppm", testing::MakePpm(90, 70, rgb)), {}},
      {Write("a.bmp", testing::MakeBmp(90, 70, rgb)), {}}};
  for (const auto& [path, size] : files) {
    SCOPED_TRACE(path);
    EXPECT_EQ(Build(path), BuildResult::kSizeOnly);
    EXPECT_EQ(Build(path), BuildResult::kKnown);
    EXPECT_EQ(EntryOf(path).size, size);
    EXPECT_EQ(EntryOf(path).orientation, 1);
    EXPECT_EQ(Survey(path), VerifyResult::kSizeOnly);
    EXPECT_EQ(builder_->Verify(path), VerifyResult::kSizeOnly);
  }
}

// Something between the data and the marker behind them: libjpeg has its ways with such files.
TEST_F(IndexBuilderTest, FilesWithAFlawHaveTheirSizeOnly) {
  Bytes flawed = MakeJpeg(Large());
  flawed.insert(flawed.end() - 2, 40, 0x55);
  const std::string path = Write("a.jpg", flawed);
  EXPECT_EQ(Build(path), BuildResult::kSizeOnly);
  EXPECT_EQ(EntryOf(path).size, (Size{640, 400}));
  EXPECT_EQ(builder_->Verify(path), VerifyResult::kSizeOnly);
}

TEST_F(IndexBuilderTest, KeepsTheSizeAsStoredAndTheOrientation) {
  const std::string path = Write("a.jpg", testing::WithExifOrientation(MakeJpeg(Large()), 6));
  EXPECT_EQ(Build(path), BuildResult::kCheckpoints);
  EXPECT_EQ(EntryOf(path).size, (Size{640, 400}));
  EXPECT_EQ(EntryOf(path).orientation, 6);
  EXPECT_EQ(builder_->Verify(path), VerifyResult::kGood);
  // And of the file before it, nothing stays.
  const std::string other = Write("b.ppm", testing::MakePpm(90, 70, testing::MakeRgb(90, 70, 1)));
  EXPECT_EQ(Build(other), BuildResult::kSizeOnly);
  EXPECT_EQ(EntryOf(other).orientation, 1);
  EXPECT_EQ(EntryOf(other).size, Size{});
}

TEST_F(IndexBuilderTest, SmallFilesHaveNoEntry) {
  const std::string path = Write("a.jpg", MakeJpeg({}));
  EXPECT_EQ(Build(path), BuildResult::kSmall);
  EXPECT_EQ(Survey(path), VerifyResult::kSmall);
  EXPECT_EQ(builder_->Verify(path), VerifyResult::kSmall);
}

TEST_F(IndexBuilderTest, FilesThatWereJustChangedWait) {
  // In an hour: a moment ago may be long ago where this thread gets no core.
  const std::string path = Write("a.jpg", MakeJpeg(Large()), /*hours=*/-1);
  EXPECT_EQ(Build(path), BuildResult::kJustChanged);
  EXPECT_EQ(Survey(path), VerifyResult::kUnknown);
}

TEST_F(IndexBuilderTest, AChangedFileIsUnknown) {
  const std::string path = Write("a.jpg", MakeJpeg(Large()));
  EXPECT_EQ(Build(path), BuildResult::kCheckpoints);
  JpegSpec other = Large();
  other.seed = 2;
  Write("a.jpg", MakeJpeg(other));
  EXPECT_EQ(Survey(path), VerifyResult::kUnknown);
  EXPECT_EQ(Build(path), BuildResult::kCheckpoints);
  EXPECT_EQ(builder_->Verify(path), VerifyResult::kGood);
}

TEST_F(IndexBuilderTest, FailuresOfAFileLeaveTheIndexAsItWas) {
  Bytes damaged = MakeJpeg(Large());
  damaged.resize(300);
  damaged.resize(20'000);
  const std::string text = Write("a.txt", Bytes(20'000, 'x'));
  const std::string broken = Write("b.jpg", damaged);
  EXPECT_THROW(builder_->Build(text), StageError);
  EXPECT_THROW(builder_->Build(broken), StageError);
  EXPECT_THROW(builder_->Build(folder_.path() + "/none"), StageError);
  EXPECT_THROW(builder_->Build(folder_.path()), StageError);
  EXPECT_THROW(builder_->Verify(folder_.path() + "/none"), StageError);
  index_->Flush(/*wait=*/true);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/index"));
  const std::string good = Write("c.jpg", MakeJpeg(Large()));
  EXPECT_EQ(Build(good), BuildResult::kCheckpoints);
  EXPECT_EQ(builder_->Verify(good), VerifyResult::kGood);
}

TEST_F(IndexBuilderTest, NoticesWrongEntries) {
  const std::string model = Write("model.jpg", MakeJpeg(Large()));
  ASSERT_EQ(Build(model), BuildResult::kCheckpoints);
  const Checkpoints right = EntryOf(model);
  ASSERT_GT(right.at.size(), 20U);
  int file = 0;
  const auto verify = [&](const Checkpoints& entry) {
    const std::string path = Write(std::to_string(file++) + ".jpg", MakeJpeg(Large()));
    Record(path, entry);
    return builder_->Verify(path);
  };
  EXPECT_EQ(verify(right), VerifyResult::kGood);
  for (const size_t k : {size_t{1}, right.at.size() / 2, right.at.size() - 1}) {
    Checkpoints wrong = right;
    ++wrong.at[k].bit;
    EXPECT_EQ(verify(wrong), VerifyResult::kWrong) << k;
    wrong = right;
    --wrong.at[k].dc[0];
    EXPECT_EQ(verify(wrong), VerifyResult::kWrong) << k;
    wrong = right;
    ++wrong.at[k].dc[2];
    EXPECT_EQ(verify(wrong), VerifyResult::kWrong) << k;
  }
  // From there on, all DC values: of all these, only the first does not agree with the one before.
  Checkpoints wrong = right;
  for (size_t k = 5; k < wrong.at.size(); ++k) wrong.at[k].dc[0] += 8;
  EXPECT_EQ(verify(wrong), VerifyResult::kWrong);
  wrong = right;
  wrong.orientation = 3;
  EXPECT_EQ(verify(wrong), VerifyResult::kWrong);
  wrong = right;
  --wrong.size.height;  // as many MCUs
  EXPECT_EQ(verify(wrong), VerifyResult::kWrong);
  wrong = right;
  ++wrong.scan_begin;
  EXPECT_EQ(verify(wrong), VerifyResult::kWrong);
  wrong = right;
  wrong.Clear();
  EXPECT_EQ(verify(wrong), VerifyResult::kSizeOnly);
  wrong.orientation = 3;
  EXPECT_EQ(verify(wrong), VerifyResult::kWrong);
  wrong.orientation = right.orientation;
  ++wrong.size.width;
  EXPECT_EQ(verify(wrong), VerifyResult::kWrong);
  // Checkpoints of what is no JPEG.
  const std::string ppm = Write("a.ppm", testing::MakePpm(640, 400, testing::MakeRgb(640, 400, 1)));
  Record(ppm, right);
  EXPECT_EQ(builder_->Verify(ppm), VerifyResult::kWrong);
}

TEST_F(IndexBuilderTest, EstimatesWhatASampleTakes) {
  const std::string path = Write("a.jpg", MakeJpeg(Large()));
  Op crop = testing::MakeOp(OpKind::kCenterCrop, {64, 64});
  EXPECT_FALSE(builder_->Estimate(path, {crop}, {}).known);
  ASSERT_EQ(Build(path), BuildResult::kCheckpoints);
  const IndexEstimate all = builder_->Estimate(path, {}, {});
  EXPECT_TRUE(all.known);
  const auto file_bytes = static_cast<double>(std::filesystem::file_size(path));
  EXPECT_NEAR(static_cast<double>(all.plain_bytes), file_bytes, 0.05 * file_bytes);
  EXPECT_EQ(all.decoded_bytes, all.plain_bytes);

  const IndexEstimate part = builder_->Estimate(path, {crop}, {});
  // Down to (400 + 64) / 2 rows; and of these, 64 rows, 64 pixels and a little more.
  EXPECT_NEAR(static_cast<double>(part.plain_bytes) / static_cast<double>(all.plain_bytes), 0.58,
              0.1);
  EXPECT_LT(part.decoded_bytes, part.plain_bytes / 5);
  EXPECT_GT(part.decoded_bytes, all.plain_bytes * 64 * 64 / (640 * 400) / 2);
  // Of the upright image: its left top is the stored one's left bottom.
  const std::string turned = Write("b.jpg", testing::WithExifOrientation(MakeJpeg(Large()), 6));
  ASSERT_EQ(Build(turned), BuildResult::kCheckpoints);
  crop.size = {400, 64};
  const IndexEstimate upright = builder_->Estimate(turned, {crop}, {});
  EXPECT_GT(upright.plain_bytes, all.plain_bytes * 9 / 10);
  EXPECT_LT(upright.decoded_bytes, all.plain_bytes / 3);
  crop.size = {64, 640};  // and its columns are the stored one's rows
  const IndexEstimate column = builder_->Estimate(turned, {crop}, {});
  EXPECT_NEAR(static_cast<double>(column.plain_bytes) / static_cast<double>(all.plain_bytes), 0.58,
              0.1);
}

TEST_F(IndexBuilderTest, EstimatesNothingOfFilesWithoutCheckpoints) {
  const std::string path = Write("a.ppm", testing::MakePpm(90, 70, testing::MakeRgb(90, 70, 1)));
  ASSERT_EQ(Build(path), BuildResult::kSizeOnly);
  EXPECT_FALSE(builder_->Estimate(path, {}, {}).known);
}

}  // namespace
}  // namespace stoker
