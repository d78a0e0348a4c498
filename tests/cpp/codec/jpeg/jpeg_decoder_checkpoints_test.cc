// Checkpoints through JpegDecoder and ImageDecoder: pixels of any JPEG with them and without.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "codec/image_decoder.h"
#include "codec/jpeg/jpeg_decoder.h"
#include "codec/orientation.h"
#include "support/checkpoints.h"
#include "support/jpeg_samplings.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::kAmpleBytes;
using testing::MakeJpeg;
using testing::RandomPart;
using testing::Span;

Bytes Pixels(const ImageView& image) {
  Bytes out;
  for (int y = 0; y < image.size.height; ++y) {
    out.insert(out.end(), image.row(y), image.row(y) + ptrdiff_t{image.size.width} * kChannels);
  }
  return out;
}

Bytes Decode(ImageDecoder* decoder, const Bytes& file, const Rect& part, CheckpointUse* use) {
  decoder->Open(Span(file), use);
  return Pixels(decoder->Decode(part));
}

Bytes Decode(JpegDecoder* decoder, const Bytes& file, const Rect& part, CheckpointUse* use) {
  decoder->Open(Span(file), use);
  ByteBuffer pixels;
  return Pixels(decoder->Decode(part, &pixels));
}

// Records into `made` while it decodes `part`.
template <typename Decoder>
Bytes Record(Decoder* decoder, const Bytes& file, const Rect& part, Checkpoints* made,
             bool* recorded) {
  CheckpointUse use;
  use.record = made;
  use.budget_bytes = kAmpleBytes;
  const Bytes pixels = Decode(decoder, file, part, &use);
  EXPECT_FALSE(use.used || use.rejected);
  *recorded = use.recorded;
  return pixels;
}

TEST(ImageDecoderCheckpoints, GiveTheSamePixelsAtEveryOrientation) {
  std::mt19937 random(1);
  const Size stored{131, 97};
  ImageDecoder decoder({});
  ImageDecoder plain({});
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
      const Bytes jpeg =
          testing::WithExifOrientation(MakeJpeg(sampling.Spec(stored, 1)), orientation);
      const Size size = UprightSize(stored, orientation);
      Checkpoints made;
      bool recorded = false;
      for (int i = 0; i < 12; ++i) {
        const Rect part = RandomPart(size, &random);
        const Bytes expected = Decode(&plain, jpeg, part, nullptr);
        ASSERT_EQ(Record(&decoder, jpeg, part, &made, &recorded), expected);
        ASSERT_TRUE(recorded);
        ASSERT_EQ(made.size, stored);
        CheckpointUse use;
        use.use = &made;
        ASSERT_EQ(Decode(&decoder, jpeg, part, &use), expected) << sampling.name;
        ASSERT_TRUE(use.used) << sampling.name << ", orientation " << orientation;
      }
    }
  }
}

TEST(ImageDecoderCheckpoints, AreForPlanesToo) {
  const Bytes jpeg = MakeJpeg({});
  Checkpoints made;
  CheckpointUse use;
  use.record = &made;
  use.budget_bytes = kAmpleBytes;
  ImageDecoder decoder({});
  decoder.Open(Span(jpeg), &use);
  YccPlanes planes;
  ASSERT_TRUE(decoder.DecodePlanes({5, 6, 20, 30}, 2, &planes));
  ASSERT_TRUE(use.recorded);
  ImageDecoder other({});
  CheckpointUse by;
  by.use = &made;
  other.Open(Span(jpeg), &by);
  YccPlanes same;
  ASSERT_TRUE(other.DecodePlanes({5, 6, 20, 30}, 2, &same));
  EXPECT_TRUE(by.used);
  testing::ExpectSamePlanes(planes, same);
}

TEST(ImageDecoderCheckpoints, AreNotMadeOfOtherFormats) {
  const Bytes files[] = {testing::MakePpm(64, 48, testing::MakeRgb(64, 48, 1)),
                         testing::MakeBmp(64, 48, testing::MakeRgb(64, 48, 1))};
  ImageDecoder decoder({});
  for (const Bytes& file : files) {
    Checkpoints made;
    bool recorded = true;
    Record(&decoder, file, {1, 2, 3, 4}, &made, &recorded);
    EXPECT_FALSE(recorded);
  }
}

// libjpeg-turbo decodes these, and whatever is said of checkpoints changes nothing.
TEST(JpegDecoderCheckpoints, AreNotMadeOfFilesForLibjpegNorUsed) {
  std::vector<JpegSpec> specs(5);
  specs[0].progressive = true;
  specs[1].arithmetic = true;
  specs[2].separate_scans = true;
  specs[3].components = 4;
  specs[4].h_sampling = 3;
  JpegDecoder decoder({});
  JpegDecoder plain({});
  const Rect part{5, 6, 40, 30};
  const Checkpoints of_another = testing::Record(MakeJpeg({}));
  for (const JpegSpec& spec : specs) {
    const Bytes jpeg = MakeJpeg(spec);
    const Bytes expected = Decode(&plain, jpeg, part, nullptr);
    Checkpoints made;
    bool recorded = true;
    EXPECT_EQ(Record(&decoder, jpeg, part, &made, &recorded), expected);
    EXPECT_FALSE(recorded || decoder.own());
    CheckpointUse use;
    use.use = &of_another;
    EXPECT_EQ(Decode(&decoder, jpeg, part, &use), expected);
    EXPECT_FALSE(use.used);
  }
}

// Damage that our decoder declines: libjpeg-turbo's pixels.
TEST(JpegDecoderCheckpoints, AreNotMadeOfDamagedFiles) {
  Bytes damaged = MakeJpeg({});
  const Checkpoints recorded_before = testing::Record(damaged);
  const size_t middle = (testing::HeaderOf(damaged).scan_begin + damaged.size()) / 2;
  for (size_t i = 0; i < 40; ++i) damaged[middle + i] = i % 2 == 0 ? 0xFF : 0;
  JpegDecoder decoder({});
  JpegDecoder plain({});
  const Rect all = Whole({64, 48});
  const Bytes expected = Decode(&plain, damaged, all, nullptr);
  ASSERT_FALSE(plain.own());
  Checkpoints made;
  bool recorded = true;
  EXPECT_EQ(Record(&decoder, damaged, all, &made, &recorded), expected);
  EXPECT_FALSE(recorded);
  CheckpointUse use;
  use.use = &recorded_before;
  EXPECT_EQ(Decode(&decoder, damaged, all, &use), expected);
  EXPECT_TRUE(use.rejected);
}

int CropsOfEach() {
  const char* const crops = std::getenv("STOKER_CROPS");
  return crops == nullptr ? 20 : std::atoi(crops);
}

// Every photograph below the folder that STOKER_PHOTOS names, STOKER_CROPS crops of each.
TEST(JpegDecoderCheckpoints, GiveTheSamePixelsOfPhotographs) {
  const char* const folder = std::getenv("STOKER_PHOTOS");
  if (folder == nullptr) GTEST_SKIP() << "STOKER_PHOTOS names no folder";
  const int crops = CropsOfEach();
  std::mt19937 random(2);
  JpegDecoder decoder({});
  JpegDecoder plain({});
  int with_checkpoints = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const Bytes file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (file.size() < 2 || file[0] != 0xFF || file[1] != 0xD8) continue;
    Checkpoints made;
    const Size size = plain.Open(Span(file));
    bool recorded = false;
    {
      // As an index keeps them: a few for a hundred kilobytes of the file.
      const size_t budget = 200 + file.size() / 50;
      CheckpointUse use;
      use.record = &made;
      use.budget_bytes = budget;
      const Rect part = RandomPart(size, &random);
      ASSERT_EQ(Decode(&decoder, file, part, &use), Decode(&plain, file, part, nullptr))
          << entry.path();
      recorded = use.recorded;
      if (recorded) {
        Bytes packed;
        made.PackWithin(budget, &packed);
        ASSERT_LE(packed.size(), budget);
        ASSERT_TRUE(made.Unpack(Span(packed)));
      }
    }
    if (!recorded || !made.usable()) continue;
    ++with_checkpoints;
    for (int i = 0; i < crops; ++i) {
      const Rect part = RandomPart(size, &random);
      CheckpointUse use;
      use.use = &made;
      ASSERT_EQ(Decode(&decoder, file, part, &use), Decode(&plain, file, part, nullptr))
          << entry.path();
      ASSERT_TRUE(use.used) << entry.path();
    }
  }
  EXPECT_GT(with_checkpoints, 0);
  RecordProperty("with_checkpoints", with_checkpoints);
}

}  // namespace
}  // namespace stoker
