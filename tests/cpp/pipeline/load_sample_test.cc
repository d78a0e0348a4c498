#include "pipeline/load_sample.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/limits.h"
#include "support/ops.h"
#include "support/reference_ops.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::MakeOp;
using testing::Pixels;
using testing::TemporaryFolder;

// As in training: a random crop resized to 20 × 16, flipped or not, uint8 channels last.
SamplePlan TrainingPlan() {
  SamplePlan plan;
  plan.ops = {MakeOp(OpKind::kRandomResizedCrop, {20, 16}), MakeOp(OpKind::kRandomHorizontalFlip)};
  plan.format.channels_last = true;
  return plan;
}

JpegSpec Picture(int width, int height) {
  JpegSpec spec;
  spec.width = width;
  spec.height = height;
  return spec;
}

// The whole image as libjpeg's plain interface gives it.
Pixels Decoded(const Bytes& jpeg) {
  int width = 0;
  int height = 0;
  int channels = 0;
  const Bytes rgb = testing::DecodeWithLibjpeg(jpeg, &width, &height, &channels);
  EXPECT_EQ(channels, kChannels);
  return testing::FromPixels({width, height}, [&](int x, int y) {
    return rgb.data() + static_cast<ptrdiff_t>(y * width + x) * kChannels;
  });
}

// What TrainingPlan makes of it.
Bytes ByReference(const Bytes& jpeg, const SampleKey& key) {
  const Pixels image = Decoded(jpeg);
  const SamplePlan plan = TrainingPlan();
  OpRandom crop(key, 0);
  OpRandom flip(key, 1);
  const Rect rect = RandomResizedCropRect(plan.ops[0], image.size(), &crop);
  const Pixels part = testing::ReferenceCrop(image, rect, PadMode::kConstant, {});
  const Pixels resized = testing::ReferenceResize(part, {20, 16}, Interpolation::kBilinear);
  const Pixels result = testing::ReferenceFlip(resized, flip.Uniform() < 0.5, false);
  return {result.view().row(0), result.view().row(0) + 20 * 16 * kChannels};
}

class LoadSampleTest : public ::testing::Test {
 protected:
  // Appends a file with these bytes to the table.
  std::string Add(const std::string& name, const Bytes& bytes) {
    const std::string path = folder_.Write(name, bytes);
    table_.Append(path, 0);
    return path;
  }

  Bytes Load(const SampleKey& key, ReadAheadSlot* ahead = nullptr) {
    ReadAheadSlot nothing;
    Bytes slot(size_t{20} * 16 * kChannels);
    worker_->LoadSample({table_.Path(key.index), nullptr}, key, ahead == nullptr ? &nothing : ahead,
                        &clock_, slot.data());
    return slot;
  }

  // Expects sample `index` to fail, with all that the error says about it.
  void ExpectFailure(uint64_t index, Stage stage, const std::string& reason_has) {
    try {
      Load({0, 0, index, 0});
      FAIL() << "no error";
    } catch (const DataError& error) {
      EXPECT_EQ(error.index(), static_cast<int64_t>(index));
      EXPECT_EQ(error.path(), table_.Path(index));
      EXPECT_EQ(error.stage(), stage) << error.what();
      EXPECT_NE(error.reason().find(reason_has), std::string::npos) << error.reason();
      EXPECT_EQ(error.what(), "cannot " + std::string(StageName(stage)) + " sample " +
                                  std::to_string(index) + " (" + error.path() +
                                  "): " + error.reason());
    }
  }

  TemporaryFolder folder_;
  SampleTable table_;
  std::optional<SampleWorker> worker_{TrainingPlan()};
  WorkerClock clock_{NowNs()};
};

TEST_F(LoadSampleTest, IsWhatLibjpegAndPillowWouldMakeOfTheFile) {
  std::vector<Bytes> files;
  for (const auto& [width, height] : {std::pair{64, 48}, {31, 200}, {500, 375}, {1, 1}, {17, 16}}) {
    files.push_back(MakeJpeg(Picture(width, height)));
    Add(std::to_string(files.size()), files.back());
  }
  for (uint64_t index = 0; index < files.size(); ++index) {
    for (uint32_t occurrence = 0; occurrence < 20; ++occurrence) {
      const SampleKey key{5, 2, index, occurrence};
      ASSERT_EQ(Load(key), ByReference(files[index], key)) << "sample " << index;
    }
  }
}

TEST_F(LoadSampleTest, RecordsEachStageOnce) {
  Add("a", MakeJpeg({}));
  Load({});
  Load({});
  for (const Stage stage : {Stage::kRead, Stage::kDecode, Stage::kTransform}) {
    HistogramSnapshot snapshot;
    clock_.AddStageTo(stage, &snapshot);
    EXPECT_EQ(snapshot.count, 2U);
  }
}

TEST_F(LoadSampleTest, TakesTheFileThatWasOpenedAhead) {
  const Bytes jpeg = MakeJpeg({});
  const std::string path = Add("a", jpeg);
  ReadAheadSlot ahead;
  ahead.Start(path.c_str());
  std::filesystem::remove(path);  // the open file is still there
  EXPECT_EQ(Load({}, &ahead), ByReference(jpeg, {}));
}

TEST_F(LoadSampleTest, OpensTheFileItselfWhereOpeningAheadFailed) {
  const Bytes jpeg = MakeJpeg({});
  Add("a", jpeg);
  ReadAheadSlot ahead;
  ahead.Start((folder_.path() + "/nothing").c_str());
  EXPECT_EQ(Load({}, &ahead), ByReference(jpeg, {}));
}

TEST_F(LoadSampleTest, ErrorsNameTheSampleTheStageAndTheReason) {
  Bytes cut = MakeJpeg({});
  cut.resize(100);
  table_.Append(folder_.path() + "/missing.jpg", 0);
  table_.Append(folder_.path(), 0);
  Add("empty.jpg", {});
  Add("garbage.jpg", Bytes(1000, 'x'));
  Add("cut.jpg", cut);
  ExpectFailure(0, Stage::kRead, std::strerror(ENOENT));
  ExpectFailure(1, Stage::kRead, "");
  ExpectFailure(2, Stage::kDecode, "");
  ExpectFailure(3, Stage::kDecode, "");
  ExpectFailure(4, Stage::kDecode, "");
}

TEST_F(LoadSampleTest, AnImageTooSmallForItsCropFailsInTheTransform) {
  SamplePlan plan;
  plan.ops = {MakeOp(OpKind::kRandomCrop, {20, 16})};
  worker_.emplace(plan);
  Add("small.jpg", MakeJpeg(Picture(19, 16)));
  ExpectFailure(0, Stage::kTransform, "20 x 16");
}

TEST_F(LoadSampleTest, GoesOnAfterAnError) {
  const Bytes jpeg = MakeJpeg({});
  Add("garbage.jpg", Bytes(1000, 'x'));
  Add("good.jpg", jpeg);
  ExpectFailure(0, Stage::kDecode, "");
  EXPECT_EQ(Load({0, 0, 1, 0}), ByReference(jpeg, {0, 0, 1, 0}));
}

TEST_F(LoadSampleTest, PrepareAndWriteAreTheSameInTwoSteps) {
  const Bytes jpeg = MakeJpeg(Picture(90, 70));
  const std::string path = Add("a", jpeg);
  const SampleKey key{1, 2, 0, 3};
  const Bytes expected = Load(key);
  Bytes slot(expected.size());
  EXPECT_EQ(worker_->Prepare(testing::Span(jpeg), key), (Size{20, 16}));
  worker_->Write(slot.data());
  EXPECT_EQ(slot, expected);
  slot.assign(slot.size(), 0);
  EXPECT_EQ(worker_->PrepareFile(path, key), (Size{20, 16}));
  worker_->Write(slot.data());
  EXPECT_EQ(slot, expected);
}

TEST(SampleWorkerTest, PreparesImagesOfAnySizeWhereThePlanLeavesItOpen) {
  SamplePlan plan;
  plan.format.channels_last = true;
  SampleWorker worker(plan);
  for (const auto& [width, height] : {std::pair{64, 48}, {7, 5}}) {
    const Bytes jpeg = MakeJpeg(Picture(width, height));
    const Pixels expected = Decoded(jpeg);
    ASSERT_EQ(worker.Prepare(testing::Span(jpeg), {}), expected.size());
    Pixels result(expected.size());
    worker.Write(result.mutable_view().pixels_hwc);
    EXPECT_TRUE(testing::SamePixels(result.view(), expected.view()));
    EXPECT_TRUE(result.GuardsAreIntact());
  }
}

TEST(SampleWorkerTest, PrepareFailsWithTheStage) {
  SampleWorker worker{SamplePlan{}};
  const auto stage_of = [](const auto& fails) {
    try {
      fails();
    } catch (const StageError& error) {
      return std::string(StageName(error.stage()));
    }
    return std::string("no error");
  };
  EXPECT_EQ(stage_of([&] { worker.PrepareFile("/nonexistent/file", {}); }), "read");
  EXPECT_EQ(stage_of([&] { worker.Prepare({}, {}); }), "decode");
}

TEST(SampleWorkerTest, RefusesMorePixelsThanThePlanAllows) {
  SamplePlan plan;
  plan.decode.limits.max_pixels = 64 * 48;
  SampleWorker worker(plan);
  EXPECT_NO_THROW(worker.Prepare(testing::Span(MakeJpeg(Picture(64, 48))), {}));
  EXPECT_THROW(worker.Prepare(testing::Span(MakeJpeg(Picture(64, 49))), {}), StageError);
}

// A file that no image could fill is refused by its size, before there is memory for it.
TEST(SampleWorkerTest, AFileTooLargeForAnyImageIsNotRead) {
  SamplePlan plan;
  plan.decode.limits.max_pixels = 1000;
  const TemporaryFolder folder;
  const std::string path = folder.Write("huge.jpg", {0xFF, 0xD8});
  const int64_t most = MaxFileBytes(plan.decode.limits);
  SampleWorker worker(plan);
  for (const int64_t bytes : {most, most + 1, int64_t{1} << 42}) {
    ASSERT_EQ(truncate(path.c_str(), bytes), 0);  // sparse
    try {
      worker.PrepareFile(path, {});
      FAIL() << bytes;
    } catch (const StageError& e) {
      EXPECT_EQ(e.stage(), bytes > most ? Stage::kRead : Stage::kDecode) << e.what();
      const std::string said = e.what();
      EXPECT_EQ(said.find(std::to_string(bytes)) != std::string::npos, bytes > most) << said;
      EXPECT_EQ(said.find(std::to_string(most)) != std::string::npos, bytes > most) << said;
    }
  }
  const Bytes bytes(static_cast<size_t>(most) + 1, 'x');  // that somebody has in memory already
  EXPECT_THROW(worker.Prepare(testing::Span(bytes), {}), StageError);
}

TEST(SampleWorkerTest, TheLargestFileFollowsThePixelsAndNeverWraps) {
  DecodeLimits limits;
  EXPECT_EQ(MaxFileBytes(limits), limits.max_pixels * kMaxBytesPerPixel + kMaxOtherBytes);
  limits.max_pixels = INT64_MAX;
  EXPECT_GT(MaxFileBytes(limits), INT64_MAX - (int64_t{1} << 10));
  limits.max_pixels = -1;
  EXPECT_EQ(MaxFileBytes(limits), kMaxOtherBytes);
}

}  // namespace
}  // namespace stoker
