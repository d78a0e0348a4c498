#include "codec/jpeg/jpeg_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "support/jpeg_coefficients.h"
#include "support/jpeg_samplings.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::Span;

// What a decoder makes of a file: pixels, or the text of its error.
struct Outcome {
  Size size;
  Bytes pixels;
  std::string error;

  friend bool operator==(const Outcome& a, const Outcome& b) {
    return a.size == b.size && a.pixels == b.pixels && a.error == b.error;
  }
};

// Of the part of the image that lies in `region`, or of all where that is empty. The bytes are
// handed over in a heap block of exactly their size, for the address sanitizer.
template <typename Decoder>
Outcome OutcomeOf(Decoder* decoder, const Bytes& jpeg, const Rect& region = {}) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[jpeg.size()]);
  std::copy(jpeg.begin(), jpeg.end(), exact.get());
  Outcome outcome;
  try {
    outcome.size = decoder->Open({exact.get(), jpeg.size()});
    Rect part = region;
    part.width = std::min(region.right(), outcome.size.width) - part.left;
    part.height = std::min(region.bottom(), outcome.size.height) - part.top;
    if (part.empty()) part = Whole(outcome.size);
    ByteBuffer pixels;
    const ImageView image = decoder->Decode(part, &pixels);
    EXPECT_EQ(image.size, part.size());
    for (int y = 0; y < image.size.height; ++y) {
      outcome.pixels.insert(outcome.pixels.end(), image.row(y),
                            image.row(y) + ptrdiff_t{image.size.width} * kChannels);
    }
  } catch (const StageError& e) {
    EXPECT_EQ(e.stage(), Stage::kDecode);
    outcome.error = e.what();
    outcome.size = {};  // when an error comes is the decoder's own affair
  }
  return outcome;
}

// The same from both; returns whether our own decoder took it. Both are new each time: libjpeg
// keeps tables from file to file.
bool ExpectLikeTurbo(const Bytes& jpeg, const Rect& region = {}, const DecodeLimits& limits = {}) {
  const auto decoder = std::make_unique<JpegDecoder>(limits);
  TurboDecoder turbo(limits);
  const Outcome expected = OutcomeOf(&turbo, jpeg, region);
  const Outcome outcome = OutcomeOf(decoder.get(), jpeg, region);
  EXPECT_EQ(outcome.error, expected.error);
  EXPECT_TRUE(outcome == expected) << "other pixels";
  return decoder->own();
}

size_t FindMarker(const Bytes& jpeg, uint8_t marker) {
  size_t i = 0;
  while (i + 1 < jpeg.size() && (jpeg[i] != 0xFF || jpeg[i + 1] != marker)) ++i;
  EXPECT_LT(i + 1, jpeg.size());
  return i;
}

// Without its first segment with `marker`.
Bytes Without(Bytes jpeg, uint8_t marker) {
  const auto begin = jpeg.begin() + static_cast<std::ptrdiff_t>(FindMarker(jpeg, marker));
  jpeg.erase(begin, begin + 2 + (begin[2] << 8 | begin[3]));
  return jpeg;
}

TEST(JpegDecoder, TakesTheCommonKindsItself) {
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    for (const int interval : {0, 1, 5}) {
      for (const bool optimize : {false, true}) {
        JpegSpec spec = sampling.Spec({77, 53}, 1);
        spec.restart_interval = interval;
        spec.optimize = optimize;
        const Bytes jpeg = MakeJpeg(spec);
        EXPECT_TRUE(ExpectLikeTurbo(jpeg)) << sampling.name;
        EXPECT_TRUE(ExpectLikeTurbo(jpeg, {13, 21, 40, 17})) << sampling.name;
      }
    }
  }
  JpegSpec gray;
  gray.components = 1;  // with sampling factors of 2 × 2, which say nothing there
  EXPECT_TRUE(ExpectLikeTurbo(MakeJpeg(gray)));
  EXPECT_TRUE(ExpectLikeTurbo(Without(MakeJpeg({}), 0xE0)));
  EXPECT_TRUE(ExpectLikeTurbo(testing::WithExifOrientation(MakeJpeg({}), 6)));
}

TEST(JpegDecoder, LeavesTheRareKindsToLibjpeg) {
  using Change = void (*)(JpegSpec*);
  constexpr std::pair<const char*, Change> kKinds[] = {
      {"progressive", [](JpegSpec* s) { s->progressive = true; }},
      {"arithmetic", [](JpegSpec* s) { s->arithmetic = true; }},
      {"CMYK", [](JpegSpec* s) { s->components = 4; }},
      {"YCCK", [](JpegSpec* s) { s->components = 4, s->ycck = true; }},
      {"RGB", [](JpegSpec* s) { s->stored_rgb = true, s->h_sampling = s->v_sampling = 1; }},
      {"3x1", [](JpegSpec* s) { s->h_sampling = 3, s->v_sampling = 1; }},
      {"1x4", [](JpegSpec* s) { s->h_sampling = 1, s->v_sampling = 4; }},
      {"4x2", [](JpegSpec* s) { s->h_sampling = 4; }},
      {"2x1 chroma", [](JpegSpec* s) { s->chroma_h = 2; }},
      {"all 2x1", [](JpegSpec* s) { s->chroma_h = 2, s->v_sampling = 1; }},
      {"1x2 chroma", [](JpegSpec* s) { s->chroma_v = 2; }},
      {"a scan for each component", [](JpegSpec* s) { s->separate_scans = true; }},
      {"16-bit factors", [](JpegSpec* s) { s->wide_quant = true, s->quality = 3; }},
  };
  for (const auto& [name, change] : kKinds) {
    JpegSpec spec;
    change(&spec);
    const Bytes jpeg = MakeJpeg(spec);
    EXPECT_FALSE(ExpectLikeTurbo(jpeg)) << name;
    EXPECT_FALSE(ExpectLikeTurbo(jpeg, {9, 7, 30, 31})) << name;
  }
}

TEST(JpegDecoder, LeavesIncompleteAndDamagedFilesToLibjpeg) {
  const Bytes jpeg = MakeJpeg({});
  Bytes twelve_bits = jpeg;
  twelve_bits[FindMarker(jpeg, 0xC0) + 4] = 12;
  EXPECT_FALSE(ExpectLikeTurbo(twelve_bits));
  EXPECT_FALSE(ExpectLikeTurbo(Without(jpeg, 0xDB)));
  EXPECT_FALSE(ExpectLikeTurbo(Without(jpeg, 0xC4)));
  EXPECT_FALSE(ExpectLikeTurbo(Without(jpeg, 0xC0)));
  EXPECT_FALSE(ExpectLikeTurbo(Bytes(jpeg.begin(), jpeg.end() - 1)));
  EXPECT_FALSE(ExpectLikeTurbo(Bytes(jpeg.begin(), jpeg.end() - 100)));
  EXPECT_FALSE(ExpectLikeTurbo({}));
  Bytes damaged = jpeg;
  const size_t middle = (FindMarker(jpeg, 0xDA) + jpeg.size()) / 2;
  for (size_t i = 0; i < 40; ++i) damaged[middle + i] = i % 2 == 0 ? 0xFF : 0;
  EXPECT_FALSE(ExpectLikeTurbo(damaged));
  // The number of restart intervals.
  JpegSpec spec;
  spec.restart_interval = 3;
  Bytes restarts = MakeJpeg(spec);
  restarts[FindMarker(restarts, 0xDD) + 5] = 2;
  EXPECT_FALSE(ExpectLikeTurbo(restarts));
}

TEST(JpegDecoder, PlanesAreThereForItsOwnFilesOnly) {
  JpegDecoder decoder({});
  YccPlanes planes;
  const Bytes own = MakeJpeg({});
  decoder.Open(Span(own));
  EXPECT_TRUE(decoder.own());
  EXPECT_TRUE(decoder.DecodePlanes({3, 4, 20, 30}, /*dct_scale=*/1, &planes));
  EXPECT_EQ(planes.count, 3);
  EXPECT_TRUE(decoder.own());
  JpegSpec spec;
  spec.progressive = true;
  Bytes cut = own;
  cut.resize(cut.size() - 50);
  for (const Bytes& other : {MakeJpeg(spec), Bytes(own.begin(), own.end() - 2)}) {
    decoder.Open(Span(other));
    EXPECT_FALSE(decoder.DecodePlanes({3, 4, 20, 30}, /*dct_scale=*/1, &planes));
    EXPECT_FALSE(decoder.own());
    // Decode will do.
    ByteBuffer pixels;
    const ImageView image = decoder.Decode({3, 4, 20, 30}, &pixels);
    TurboDecoder turbo({});
    ByteBuffer expected_pixels;
    turbo.Open(Span(other));
    const ImageView expected = turbo.Decode({3, 4, 20, 30}, &expected_pixels);
    for (int y = 0; y < 30; ++y) {
      ASSERT_TRUE(std::equal(image.row(y), image.row(y) + 60, expected.row(y)));
    }
  }
}

// Reused from file to file, of both kinds and of none.
TEST(JpegDecoder, NothingIsLeftOfTheFilesBefore) {
  JpegDecoder decoder({});
  std::vector<Bytes> files;
  for (uint32_t seed = 1; seed <= 12; ++seed) {
    JpegSpec spec = testing::kJpegSamplings[seed % 6].Spec({static_cast<int>(seed) * 17, 40}, seed);
    spec.optimize = seed % 2 == 0;
    spec.quality = static_cast<int>(seed) * 8;
    spec.progressive = seed % 4 == 3;
    spec.restart_interval = static_cast<int>(seed % 3);
    files.push_back(MakeJpeg(spec));
    if (seed % 5 == 4) files.back().resize(files.back().size() - 40);
  }
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < files.size(); ++i) {
      const Bytes& file = files[(i * 5 + static_cast<size_t>(round)) % files.size()];
      ASSERT_TRUE(OutcomeOf(&decoder, file) ==
                  OutcomeOf(std::make_unique<JpegDecoder>(DecodeLimits{}).get(), file));
      if (i % 4 == 3) decoder.ShrinkTo(0);
    }
  }
}

TEST(JpegDecoder, ThePixelLimitIsInclusiveAndLibjpegs) {
  const Bytes jpeg = MakeJpeg({});
  DecodeLimits limits;
  limits.max_pixels = 64 * 48;
  EXPECT_TRUE(ExpectLikeTurbo(jpeg, {}, limits));
  --limits.max_pixels;
  ExpectLikeTurbo(jpeg, {}, limits);
  EXPECT_THROW(JpegDecoder(limits).Open(Span(jpeg)), StageError);
}

std::vector<Bytes> SmallFiles() {
  std::vector<Bytes> files;
  for (const testing::JpegSampling& sampling : testing::kJpegSamplings) {
    JpegSpec spec = sampling.Spec({29, 21}, 1);
    spec.optimize = true;
    spec.quality = 40;
    spec.restart_interval = static_cast<int>(files.size()) % 3;
    files.push_back(MakeJpeg(spec));
  }
  return files;
}

// Whatever byte is damaged: the same pixels or the same error, of the whole and of a part.
TEST(JpegDecoder, EveryDamagedByteIsAsByLibjpeg) {
  DecodeLimits limits;
  limits.max_pixels = 20'000;  // what a damaged size may cost this test
  int own = 0;
  int left = 0;
  for (const Bytes& jpeg : SmallFiles()) {
    for (size_t i = 0; i < jpeg.size(); ++i) {
      for (const int value : {0, 255, 255 - jpeg[i], jpeg[i] ^ 1, jpeg[i] ^ 16}) {
        if (value == jpeg[i]) continue;
        Bytes damaged = jpeg;
        damaged[i] = static_cast<uint8_t>(value);
        const Rect region = i % 2 == 0 ? Rect{} : Rect{11, 9, 9, 4};
        ++(ExpectLikeTurbo(damaged, region, limits) ? own : left);
        if (HasFailure()) FAIL() << "byte " << i << " is " << value << ", not " << int{jpeg[i]};
      }
    }
  }
  EXPECT_GT(own, 1000);
  EXPECT_GT(left, 1000);
}

TEST(JpegDecoder, EveryCutFileIsAsByLibjpeg) {
  for (const Bytes& jpeg : SmallFiles()) {
    for (size_t size = 0; size < jpeg.size(); ++size) {
      const Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size));
      EXPECT_FALSE(ExpectLikeTurbo(cut, size % 2 == 0 ? Rect{} : Rect{3, 2, 9, 4}));
      if (HasFailure()) FAIL() << "cut to " << size << " of " << jpeg.size();
    }
  }
}

// Every photograph below the folder that STOKER_PHOTOS names.
TEST(JpegDecoder, PhotographsAreLibjpegs) {
  const char* const folder = std::getenv("STOKER_PHOTOS");
  if (folder == nullptr) GTEST_SKIP() << "STOKER_PHOTOS names no folder";
  JpegDecoder decoder({});
  int own = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream in(entry.path(), std::ios::binary);
    const Bytes file((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (file.size() < 2 || file[0] != 0xFF || file[1] != 0xD8) continue;
    const Outcome outcome = OutcomeOf(&decoder, file);
    ASSERT_EQ(outcome.error, "") << entry.path();
    if (!decoder.own()) continue;
    ++own;
    Size size;
    int channels = 0;
    const Bytes expected = testing::DecodeWithLibjpeg(file, &size.width, &size.height, &channels);
    ASSERT_TRUE(outcome.pixels == expected) << entry.path();
    ASSERT_TRUE(testing::OwnCoefficients(file, 5) == testing::ReadCoefficientsWithLibjpeg(file))
        << entry.path();
  }
  EXPECT_GT(own, 0);
}

}  // namespace
}  // namespace stoker
