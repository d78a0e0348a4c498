#include "codec/still/pnm_reader.h"

#include <gtest/gtest.h>

#include "support/still_files.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::ExpectRgb;
using testing::Refusal;

Bytes Text(const std::string& text) { return {text.begin(), text.end()}; }

TEST(PnmReader, ReadsEverySmallWidth) {
  for (int width = 1; width <= 20; ++width) {
    const Bytes rgb = testing::MakeRgb(width, 5, static_cast<uint32_t>(width));
    ExpectRgb(testing::MakePpm(width, 5, rgb), {width, 5}, rgb);
  }
}

TEST(PnmReader, ScalesByTheLargestValue) {
  Bytes file = Text("P5 4 1 11\n");
  file.insert(file.end(), {0, 1, 10, 11});
  ExpectRgb(file, {4, 1}, {0, 0, 0, 23, 23, 23, 232, 232, 232, 255, 255, 255});
  ExpectRgb(Text("P2 2 1 1023 512 1023"), {2, 1}, {128, 128, 128, 255, 255, 255});
}

// A comment ends with its line, however that ends: so nobody else reads another size.
TEST(PnmReader, ACommentEndsWithACarriageReturnToo) {
  ExpectRgb(Text("P2 #x\r1 1 #\n255\n7"), {1, 1}, {7, 7, 7});
  StillOptions options;
  options.limits.max_pixels = 100;
  EXPECT_NE(Refusal(Text("P5 #\r14000 14000 \n1 1\n255\n7"), options).find("limit"),
            std::string::npos);
}

TEST(PnmReader, RefusesWhatIsNoImage) {
  for (const char* text : {"P5 0 1 255 ", "P5 1 1 0 x", "P5 1 1 65536 xx", "P5 1 -1 255 x", "P5 1",
                           "P2 1 1 9 10", "P1 1 1 2", "P3 1 1 255 1 2", "P4 9 1 x", "P6 1 1 255 xx",
                           "P5 99999999999 1 255 x", "P5 2147483647 2147483647 255 x"}) {
    EXPECT_NE(Refusal(Text(text)), "") << text;
  }
}

}  // namespace
}  // namespace stoker
