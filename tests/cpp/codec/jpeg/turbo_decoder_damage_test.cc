// What TurboDecoder makes of files that are cut, damaged or hostile.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/jpeg/turbo_decoder.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::Span;

constexpr Size kSize{70, 50};

JpegSpec SpecOf(int components, bool progressive, bool arithmetic, int restart_interval) {
  JpegSpec spec;
  spec.width = kSize.width;
  spec.height = kSize.height;
  spec.components = components;
  spec.progressive = progressive;
  spec.arithmetic = arithmetic;
  spec.restart_interval = restart_interval;
  if (components == 4) spec.h_sampling = spec.v_sampling = 1;
  return spec;
}

// Where the first segment with `marker` begins, at or after `from`; the size where there is none.
size_t FindMarker(const Bytes& jpeg, uint8_t marker, size_t from = 0) {
  for (size_t i = from; i + 1 < jpeg.size(); ++i) {
    if (jpeg[i] == 0xFF && jpeg[i + 1] == marker) return i;
  }
  return jpeg.size();
}

void Add(Bytes* out, const Bytes& from, size_t begin, size_t end) {
  out->insert(out->end(), from.begin() + static_cast<std::ptrdiff_t>(begin),
              from.begin() + static_cast<std::ptrdiff_t>(end));
}

// A sequential file with one scan for each component, put together from three gray files, whose
// tables are all the same.
Bytes NonInterleaved() {
  Bytes out;
  for (uint8_t c = 0; c < 3; ++c) {
    JpegSpec spec = SpecOf(1, false, false, 0);
    spec.seed = c + 1U;
    const Bytes gray = MakeJpeg(spec);
    const size_t frame = FindMarker(gray, 0xC0);
    const size_t scan = FindMarker(gray, 0xDA);
    if (c == 0) {
      Add(&out, gray, 0, frame);
      const uint8_t of_three[] = {0xFF, 0xC0, 0, 17, 8, 0, kSize.height, 0, kSize.width, 3};
      out.insert(out.end(), of_three, of_three + sizeof of_three);
      for (uint8_t id = 1; id <= 3; ++id) out.insert(out.end(), {id, 0x11, 0});
      Add(&out, gray, frame + 13, scan);
    }
    out.insert(out.end(), {0xFF, 0xDA, 0, 8, 1, static_cast<uint8_t>(c + 1)});
    Add(&out, gray, scan + 6, gray.size() - 2);
  }
  out.insert(out.end(), {0xFF, 0xD9});
  return out;
}

std::vector<std::pair<std::string, Bytes>> Files() {
  return {{"baseline", MakeJpeg(SpecOf(3, false, false, 0))},
          {"gray", MakeJpeg(SpecOf(1, false, false, 0))},
          {"CMYK", MakeJpeg(SpecOf(4, false, false, 0))},
          {"restarts", MakeJpeg(SpecOf(3, false, false, 2))},
          {"progressive", MakeJpeg(SpecOf(3, true, false, 0))},
          {"arithmetic", MakeJpeg(SpecOf(3, false, true, 0))},
          {"progressive arithmetic", MakeJpeg(SpecOf(3, true, true, 0))},
          {"non-interleaved", NonInterleaved()}};
}

// The pixels, packed; throws what the decoder throws. The bytes are handed over in a heap block of
// exactly their size, so that the address sanitizer sees a read beyond.
Bytes Decode(TurboDecoder* decoder, const Bytes& jpeg, const Rect* part = nullptr) {
  const std::unique_ptr<uint8_t[]> exact(new uint8_t[jpeg.size()]);
  std::copy(jpeg.begin(), jpeg.end(), exact.get());
  const Size size = decoder->Open({exact.get(), jpeg.size()});
  ByteBuffer pixels;
  Rect region = part != nullptr ? *part : Whole(size);
  region.width = std::max(0, std::min(region.right(), size.width) - region.left);
  region.height = std::max(0, std::min(region.bottom(), size.height) - region.top);
  const ImageView image = decoder->Decode(region, &pixels);
  EXPECT_EQ(image.size, region.size());
  Bytes out;
  for (int y = 0; y < image.size.height; ++y) {
    out.insert(out.end(), image.row(y), image.row(y) + ptrdiff_t{image.size.width} * kChannels);
  }
  return out;
}

std::string ReasonOf(TurboDecoder* decoder, const Bytes& jpeg, const Rect* part = nullptr) {
  try {
    Decode(decoder, jpeg, part);
  } catch (const StageError& e) {
    EXPECT_EQ(e.stage(), Stage::kDecode);
    return e.what();
  }
  return "none: it was decoded";
}

::testing::AssertionResult Says(const std::string& reason, const std::string& word) {
  if (reason.find(word) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "the reason is " << reason;
}

void CheckCuts(const std::string& name, const Bytes& jpeg) {
  TurboDecoder decoder({});
  const Rect parts[] = {Whole(kSize), {0, 0, kSize.width, 8}, {20, 10, 20, 20}, {60, 40, 10, 10}};
  std::vector<Bytes> right;
  for (const Rect& part : parts) right.push_back(Decode(&decoder, jpeg, &part));
  for (size_t size = 0; size < jpeg.size(); size += size + 40 < jpeg.size() ? 7 : 1) {
    SCOPED_TRACE(name + " cut to " + std::to_string(size) + " of " + std::to_string(jpeg.size()));
    const Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(size));
    for (size_t i = 0; i < right.size(); ++i) {
      try {
        ASSERT_TRUE(Decode(&decoder, cut, &parts[i]) == right[i]) << "garbage without an error";
      } catch (const StageError& e) {
        ASSERT_TRUE(Says(e.what(), "truncated"));
      }
    }
  }
  EXPECT_TRUE(Decode(&decoder, jpeg, &parts[0]) == right[0]) << name << ": no longer usable";
}

TEST(TurboDecoderDamage, CutFilesFailAsTruncatedOrGiveTheRightPixels) {
  for (const auto& [name, jpeg] : Files()) CheckCuts(name, jpeg);
}

TEST(TurboDecoderDamage, FilesWithoutTheirLastQuarterFailWhateverThePart) {
  TurboDecoder decoder({});
  const Rect top{0, 0, 30, 8};  // its rows are there in most of them
  for (auto [name, jpeg] : Files()) {
    jpeg.resize(jpeg.size() / 4 * 3);
    EXPECT_TRUE(Says(ReasonOf(&decoder, jpeg), "truncated")) << name;
    EXPECT_TRUE(Says(ReasonOf(&decoder, jpeg, &top), "truncated")) << name;
  }
}

TEST(TurboDecoderDamage, OnlyTheEndMarkerMayBeMissing) {
  TurboDecoder decoder({});
  for (const auto& [name, jpeg] : Files()) {
    // Arithmetic data say nothing of their own end: the decoder may always read on in zeros.
    if (name.find("arithmetic") != std::string::npos) continue;
    const Bytes right = Decode(&decoder, jpeg);
    for (std::ptrdiff_t missing = 1; missing <= 2; ++missing) {
      try {
        EXPECT_TRUE(Decode(&decoder, Bytes(jpeg.begin(), jpeg.end() - missing)) == right) << name;
      } catch (const StageError& e) {
        ADD_FAILURE() << name << ": " << e.what();
      }
    }
  }
}

TEST(TurboDecoderDamage, BytesBehindTheEndAreIgnored) {
  TurboDecoder decoder({});
  for (auto [name, jpeg] : Files()) {
    const Bytes right = Decode(&decoder, jpeg);
    jpeg.insert(jpeg.end(), 1000, 0x5A);
    EXPECT_TRUE(Decode(&decoder, jpeg) == right) << name;
  }
}

TEST(TurboDecoderDamage, DamageAnywhereIsDecodedOrRefusedButNoMore) {
  DecodeLimits limits;
  limits.max_pixels = 1'000'000;  // what a damaged size may cost this test
  TurboDecoder decoder(limits);
  std::mt19937 random(1);
  const Rect part{13, 11, 40, 30};
  int decoded = 0;
  int refused = 0;
  for (const auto& [name, jpeg] : Files()) {
    const Bytes right = Decode(&decoder, jpeg);
    const size_t scan = FindMarker(jpeg, 0xDA);
    for (int i = 0; i < 400; ++i) {
      Bytes damaged = jpeg;
      // Every other time in the headers, which make up a small part of the file.
      const size_t within = i % 2 == 0 ? scan + 10 : damaged.size();
      for (auto flips = random() % 3; flips < 3; ++flips) {
        damaged[random() % within] ^= static_cast<uint8_t>(1U << random() % 8);
      }
      try {
        Decode(&decoder, damaged, i % 3 == 0 ? nullptr : &part);
        ++decoded;
      } catch (const StageError& e) {
        EXPECT_EQ(e.stage(), Stage::kDecode);
        ++refused;
      }
      if (i % 20 != 0) continue;
      ASSERT_TRUE(Decode(&decoder, jpeg) == right) << "no longer usable";
    }
  }
  EXPECT_GT(decoded, 100);
  EXPECT_GT(refused, 100);
}

TEST(TurboDecoderDamage, AbsurdSizesAreRefusedByOpen) {
  for (const bool progressive : {false, true}) {
    Bytes jpeg = MakeJpeg(SpecOf(3, progressive, false, 0));
    const size_t frame = FindMarker(jpeg, progressive ? 0xC2 : 0xC0);
    for (const size_t at : {frame + 5, frame + 7}) {
      jpeg[at] = 0xFF;
      jpeg[at + 1] = 0xDC;  // 65500, libjpeg's own limit
    }
    TurboDecoder decoder({});
    try {
      decoder.Open(Span(jpeg));
      FAIL() << "was opened";
    } catch (const StageError& e) {
      EXPECT_TRUE(Says(e.what(), "65500 x 65500"));
    }
    EXPECT_FALSE(Decode(&decoder, MakeJpeg(SpecOf(3, progressive, false, 0))).empty());
  }
}

TEST(TurboDecoderDamage, ThePixelLimitIsInclusive) {
  const Bytes jpeg = MakeJpeg(SpecOf(3, false, false, 0));
  DecodeLimits limits;
  limits.max_pixels = kSize.pixels();
  EXPECT_EQ(TurboDecoder(limits).Open(Span(jpeg)), kSize);
  --limits.max_pixels;
  EXPECT_THROW(TurboDecoder(limits).Open(Span(jpeg)), StageError);
}

TEST(TurboDecoderDamage, TheScanLimitIsInclusive) {
  const Bytes jpeg = MakeJpeg(SpecOf(3, true, false, 0));
  int scans = 0;
  for (size_t at = 0; (at = FindMarker(jpeg, 0xDA, at)) < jpeg.size(); ++at) ++scans;
  ASSERT_GT(scans, 5);
  DecodeLimits limits;
  const Rect corner{0, 0, 1, 1};
  for (limits.max_scans = 1; limits.max_scans < scans; ++limits.max_scans) {
    TurboDecoder decoder(limits);
    EXPECT_TRUE(Says(ReasonOf(&decoder, jpeg), "scans"));
    EXPECT_THROW(Decode(&decoder, jpeg, &corner), StageError);
  }
  TurboDecoder decoder(limits);
  EXPECT_EQ(Decode(&decoder, jpeg),
            Decode(std::make_unique<TurboDecoder>(DecodeLimits{}).get(), jpeg));
}

// The last scan again and again: small files that cost a pass over all coefficients each time.
TEST(TurboDecoderDamage, AThousandScansAreRefused) {
  JpegSpec spec = SpecOf(3, true, false, 0);
  const Bytes jpeg = MakeJpeg(spec);
  size_t last = 0;
  for (size_t at = 0; (at = FindMarker(jpeg, 0xDA, at)) < jpeg.size(); ++at) last = at;
  const auto with_scans_more = [&](int more) {
    Bytes out(jpeg.begin(), jpeg.end() - 2);
    for (int i = 0; i < more; ++i) Add(&out, jpeg, last, jpeg.size() - 2);
    out.insert(out.end(), {0xFF, 0xD9});
    return out;
  };
  TurboDecoder decoder({});
  EXPECT_TRUE(Says(ReasonOf(&decoder, with_scans_more(1000)), "scans"));
  EXPECT_EQ(Decode(&decoder, with_scans_more(100)).size(), Decode(&decoder, jpeg).size());
}

TEST(TurboDecoderDamage, WhatIsNoJpegIsRefused) {
  TurboDecoder decoder({});
  const Bytes jpeg = MakeJpeg(SpecOf(3, false, false, 0));
  for (const Bytes& bytes :
       {Bytes{}, Bytes{0xFF}, Bytes{'n', 'o'}, Bytes(1000, 0), Bytes(1000, 0xFF)}) {
    EXPECT_THROW(decoder.Open(Span(bytes)), StageError);
    decoder.Open(Span(jpeg));  // opened and never decoded
    EXPECT_FALSE(Decode(&decoder, jpeg).empty());
  }
}

}  // namespace
}  // namespace stoker
