#include "codec/jpeg/exif_orientation.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "codec/jpeg/segments.h"
#include "support/jpeg_writer.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Append;
using testing::Bytes;
using testing::MakeJpeg;
using testing::Segment;
using testing::Span;
using testing::WithExifOrientation;

// From memory of exactly its size, so that reading beyond it is seen by the address sanitizer.
int Orientation(const Bytes& jpeg) {
  const auto exact = std::make_unique<uint8_t[]>(jpeg.size());
  if (!jpeg.empty()) std::memcpy(exact.get(), jpeg.data(), jpeg.size());
  return JpegExifOrientation({exact.get(), jpeg.size()});
}

Bytes Text(const std::string& text) { return {text.begin(), text.end()}; }

// A picture with `more` behind its SOI.
Bytes With(const Bytes& more, const Bytes& jpeg = MakeJpeg({})) {
  Bytes out(jpeg.begin(), jpeg.begin() + 2);
  Append(&out, more);
  out.insert(out.end(), jpeg.begin() + 2, jpeg.end());
  return out;
}

Bytes Xmp(const std::string& text) {
  return Segment(kApp1, Text(std::string("http://ns.adobe.com/xap/1.0/\0", 29) + text));
}

// The body of the EXIF segment behind SOI, of a file by WithExifOrientation.
Bytes ExifBody(const Bytes& turned) {
  const ptrdiff_t length = turned[4] << 8 | turned[5];
  return {turned.begin() + 6, turned.begin() + 4 + length};
}

TEST(JpegExifOrientation, IsReadInBothByteOrders) {
  const Bytes jpeg = MakeJpeg({});
  EXPECT_EQ(Orientation(jpeg), 1);
  for (const bool big_endian : {false, true}) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
      EXPECT_EQ(Orientation(WithExifOrientation(jpeg, orientation, big_endian)), orientation);
    }
    for (const int wrong : {0, 9, 255, 0x0600, 65535}) {
      EXPECT_EQ(Orientation(WithExifOrientation(jpeg, wrong, big_endian)), 1) << wrong;
    }
  }
}

TEST(JpegExifOrientation, IsFoundBehindWhateverLibjpegPassesOver) {
  const Bytes turned = WithExifOrientation(MakeJpeg({}), 6);
  for (const Bytes& before : {Segment(kApp1, Text("XXXX")), Bytes{0xFF, 0xFF, 0xFF}, Bytes{1, 2, 3},
                              Bytes{0xFF, 0}, Bytes{0xFF, kRst0}, Bytes{0xFF, kTem}}) {
    EXPECT_EQ(Orientation(With(before, turned)), 6);
  }
}

TEST(JpegExifOrientation, BehindTheFirstScanCountsNoMore) {
  Bytes jpeg = MakeJpeg({});
  Append(&jpeg, Segment(kApp1, ExifBody(WithExifOrientation(jpeg, 6))));
  EXPECT_EQ(Orientation(jpeg), 1);
}

TEST(JpegExifOrientation, SeveralSegmentsAreOneBlock) {
  const Bytes body = ExifBody(WithExifOrientation(MakeJpeg({}), 6));
  for (size_t cut = 6; cut <= body.size(); ++cut) {
    const auto middle = body.begin() + static_cast<ptrdiff_t>(cut);
    Bytes segments = Segment(kApp1, Bytes(body.begin(), middle));
    Bytes second(body.begin(), body.begin() + 6);
    second.insert(second.end(), middle, body.end());
    Append(&segments, Segment(kApp1, second));
    EXPECT_EQ(Orientation(With(segments)), 6) << cut;
  }
}

TEST(JpegExifOrientation, IsXmpsWhereExifSaysNothing) {
  EXPECT_EQ(Orientation(With(Xmp("tiff:Orientation=\"8\""))), 8);
  Bytes two = Xmp("<tiff:Orientation>8<");
  Append(&two, Xmp("<tiff:Orientation>3<"));
  EXPECT_EQ(Orientation(With(two)), 3) << "the last packet counts";
  Bytes both = Segment(kApp1, ExifBody(WithExifOrientation(MakeJpeg({}), 6)));
  Append(&both, Xmp("tiff:Orientation=\"8\""));
  EXPECT_EQ(Orientation(With(both)), 6);
  both = Segment(kApp1, ExifBody(WithExifOrientation(MakeJpeg({}), 0)));
  Append(&both, Xmp("tiff:Orientation=\"8\""));
  EXPECT_EQ(Orientation(With(both)), 1) << "EXIF has the tag, whatever it says";
}

TEST(JpegExifOrientation, DamageMeansUpright) {
  const Bytes turned = WithExifOrientation(MakeJpeg({}), 6);
  const size_t exif_bytes = 2 + 4 + 6 + 8 + 2 + 12;  // up to the end of the orientation's entry
  for (size_t size = 0; size < exif_bytes; ++size) {
    EXPECT_EQ(Orientation(Bytes(turned.begin(), turned.begin() + static_cast<ptrdiff_t>(size))), 1)
        << size;
  }
  std::mt19937 random(6);
  for (int i = 0; i < 20'000; ++i) {
    Bytes damaged(turned.begin(),
                  turned.begin() + static_cast<ptrdiff_t>(exif_bytes + random() % 9));
    damaged[random() % exif_bytes] = static_cast<uint8_t>(random());
    const int orientation = Orientation(damaged);
    EXPECT_GE(orientation, 1);
    EXPECT_LE(orientation, 8);
  }
}

}  // namespace
}  // namespace stoker
