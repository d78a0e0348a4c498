// JPEGs made to exhaust memory: small files that claim much, and large ones that say nothing. Each
// is decoded in a process of its own, whose peak is measured.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "base/error.h"
#include "codec/image_decoder.h"
#include "support/jpeg_writer.h"
#include "support/processes.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Append;
using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::Segment;
using testing::Span;

constexpr int64_t kMaxPixels = 4'000'000;

size_t FindMarker(const Bytes& jpeg, uint8_t first, uint8_t last) {
  for (size_t i = 2; i + 1 < jpeg.size(); ++i) {
    if (jpeg[i] == 0xFF && jpeg[i + 1] >= first && jpeg[i + 1] <= last) return i;
  }
  return jpeg.size();
}

// A file of one MCU that claims to be so large.
Bytes Claiming(int width, int height, JpegSpec spec) {
  spec.width = spec.height = 8;
  Bytes jpeg = MakeJpeg(spec);
  const size_t frame = FindMarker(jpeg, 0xC0, 0xC2);
  jpeg[frame + 5] = static_cast<uint8_t>(height >> 8);
  jpeg[frame + 6] = static_cast<uint8_t>(height);
  jpeg[frame + 7] = static_cast<uint8_t>(width >> 8);
  jpeg[frame + 8] = static_cast<uint8_t>(width);
  return jpeg;
}

JpegSpec Spec(int components, int sampling, bool progressive) {
  JpegSpec spec;
  spec.components = components;
  spec.h_sampling = spec.v_sampling = sampling;
  spec.progressive = progressive;
  return spec;
}

// The first scan of a progressive file, so many times.
Bytes Scans(int count) {
  const Bytes jpeg = Claiming(500, 500, Spec(3, 1, true));
  const auto scan = jpeg.begin() + static_cast<std::ptrdiff_t>(FindMarker(jpeg, 0xDA, 0xDA));
  const auto behind = std::search(scan + 2, jpeg.end(), scan + 1, scan + 2);
  Bytes out(jpeg.begin(), scan);
  for (int i = 0; i < count; ++i) Append(&out, Bytes(scan, behind - 1));
  Append(&out, {0xFF, 0xD9});
  return out;
}

// A small picture behind `count` segments.
Bytes Behind(int count, const Bytes& segment) {
  const Bytes jpeg = MakeJpeg({});
  Bytes out(jpeg.begin(), jpeg.begin() + 2);
  for (int i = 0; i < count; ++i) Append(&out, segment);
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

// The first segment of a file with this marker.
Bytes FirstSegment(const Bytes& jpeg, uint8_t marker) {
  const size_t at = FindMarker(jpeg, marker, marker);
  const auto begin = jpeg.begin() + static_cast<std::ptrdiff_t>(at);
  return {begin, begin + 2 + (begin[2] << 8 | begin[3])};
}

Bytes Exif() {
  Bytes body = {'E', 'x', 'i', 'f', 0, 0};
  body.resize(60'000, 'x');
  return Segment(0xE1, body);
}

struct Bomb {
  const char* name;
  Bytes jpeg;
  bool refused;
  int most_mb;  // of memory, beyond the file; measured, and a little more
};

std::vector<Bomb> Bombs() {
  const JpegSpec gray = Spec(1, 1, false);
  JpegSpec wide = Spec(3, 4, true);
  wide.v_sampling = 2;  // ten blocks an MCU, as many as there may be
  const Bytes tables = MakeJpeg({});
  return {
      {"baseline, 65,500 x 65,500", Claiming(65500, 65500, Spec(3, 2, false)), true, 3},
      {"progressive, 65,500 x 65,500", Claiming(65500, 65500, Spec(3, 2, true)), true, 3},
      {"CMYK, 65,500 x 65,500", Claiming(65500, 65500, Spec(4, 1, true)), true, 3},
      {"gray, a pixel more than the limit", Claiming(4001, 1000, gray), true, 3},
      {"baseline, 4 Mpx of one MCU", Claiming(2000, 2000, Spec(3, 2, false)), false, 20},
      {"progressive, 4 Mpx of one MCU", Claiming(2000, 2000, Spec(3, 1, true)), false, 45},
      {"progressive CMYK, 4 Mpx of one MCU", Claiming(2000, 2000, Spec(4, 1, true)), false, 50},
      {"one row, ten blocks an MCU", Claiming(65500, 1, wide), false, 8},
      {"one column, ten blocks an MCU", Claiming(1, 65500, wide), false, 8},
      {"256 scans", Scans(256), false, 5},
      {"20,000 scans", Scans(20'000), true, 5},
      {"10,000 Huffman tables", Behind(10'000, FirstSegment(tables, 0xC4)), false, 2},
      {"10,000 quantisation tables", Behind(10'000, FirstSegment(tables, 0xDB)), false, 2},
      {"200 comments of 60 KB", Behind(200, Segment(0xFE, Bytes(60'000))), false, 2},
      {"200 EXIF segments, 12 MB, joined", Behind(200, Exif()), false, 30},
  };
}

// Lowers the process's recorded peak to what it uses now, and reads it, in KB.
void ForgetPeak() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5;
}

int64_t PeakKb() {
  std::ifstream in("/proc/self/status");
  for (std::string word; in >> word;) {
    int64_t kb = 0;
    if (word == "VmHWM:" && in >> kb) return kb;
  }
  return -1;
}

// The megabytes that it took at most, and 100 more where it was refused; −1: it died.
int Outcome(const Bomb& bomb) {
  return testing::ReturnedByFork([&] {
    ForgetPeak();
    const int64_t before = PeakKb();
    int refused = 0;
    {
      DecodeOptions options;
      options.limits.max_pixels = kMaxPixels;
      ImageDecoder decoder(options);
      try {
        decoder.Decode(Whole(decoder.Open(Span(bomb.jpeg))));
      } catch (const StageError&) {
        refused = 100;
      }
    }
    return refused + static_cast<int>(std::min<int64_t>(99, (PeakKb() - before + 1023) / 1024));
  });
}

TEST(JpegBombs, TakeNoMoreThanTheirCheckedSizeNeeds) {
  for (const Bomb& bomb : Bombs()) {
    SCOPED_TRACE(bomb.name);
    const int outcome = Outcome(bomb);
    ASSERT_GE(outcome, 0);
    EXPECT_EQ(outcome >= 100, bomb.refused);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    EXPECT_LE(outcome % 100, bomb.most_mb);
#endif
  }
}

}  // namespace
}  // namespace stoker
