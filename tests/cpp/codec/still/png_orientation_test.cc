#include "codec/still/png_reader.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/still_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::kSize;
using testing::MakePng;
using testing::Span;

// An EXIF block of one field, little-endian.
std::string Exif(int orientation) {
  std::string exif("II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0", 18);
  exif.push_back(static_cast<char>(orientation));
  return exif + std::string(7, '\0');
}

int OrientationOf(const std::vector<std::pair<std::string, std::string>>& chunks) {
  std::vector<std::pair<std::string, Bytes>> more;
  for (const auto& [name, text] : chunks) more.emplace_back(name, Bytes(text.begin(), text.end()));
  const Bytes rgb = testing::MakeRgb(kSize.width, kSize.height, 1);
  return PngOrientation(Span(MakePng({2, 8, 3}, rgb, {}, more)));
}

std::string Hex(const std::string& bytes) {
  std::string out = "\nexif\n   26\n";
  for (const char byte : bytes) {
    for (const int digit : {byte >> 4 & 15, byte & 15}) out.push_back("0123456789abcdef"[digit]);
  }
  return out + "\n";
}

TEST(PngOrientation, IsFoundWhereverPillowLooks) {
  const std::string zero(1, '\0');
  const std::string xmp = "XML:com.adobe.xmp" + std::string(5, '\0') + "tiff:Orientation=\"5\"";
  EXPECT_EQ(OrientationOf({}), 1);
  EXPECT_EQ(OrientationOf({{"eXIf", Exif(6)}}), 6);
  EXPECT_EQ(OrientationOf({{"eXIf", Exif(6)}, {"eXIf", Exif(3)}}), 3);
  EXPECT_EQ(OrientationOf({{"tEXt", "exif" + zero + Exif(4)}}), 4);
  EXPECT_EQ(OrientationOf({{"tEXt", "Raw profile type exif" + zero + Hex(Exif(8))}}), 8);
  EXPECT_EQ(OrientationOf({{"iTXt", xmp}}), 5);
  EXPECT_EQ(OrientationOf({{"iTXt", xmp}, {"eXIf", Exif(2)}}), 2);
  EXPECT_EQ(OrientationOf({{"eXIf", "nothing"}, {"iTXt", "XML:com.adobe.xmp"}}), 1);
}

}  // namespace
}  // namespace stoker
