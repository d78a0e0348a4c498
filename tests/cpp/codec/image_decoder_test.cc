#include "codec/image_decoder.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "codec/orientation.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::MakeJpeg;
using testing::MakeRgb;
using testing::Span;

constexpr Size kSize{53, 37};

Bytes Ppm() { return testing::MakePpm(kSize.width, kSize.height, MakeRgb(53, 37, 1)); }
Bytes Bmp() { return testing::MakeBmp(kSize.width, kSize.height, MakeRgb(53, 37, 1)); }
Bytes Jpeg() {
  testing::JpegSpec spec;
  spec.width = kSize.width;
  spec.height = kSize.height;
  return MakeJpeg(spec);
}

Bytes Packed(const ImageView& image) {
  Bytes out;
  for (int y = 0; y < image.size.height; ++y) {
    out.insert(out.end(), image.row(y), image.row(y) + ptrdiff_t{image.size.width} * kChannels);
  }
  return out;
}

// The part of an upright image whose whole is `pixels`, rows packed.
Bytes Part(const Bytes& pixels, Size size, const Rect& part) {
  return Packed(ImageView{pixels.data(), size, ptrdiff_t{size.width} * kChannels}.Crop(part));
}

Rect RandomPart(std::mt19937* random, Size size) {
  const auto below = [&](int n) {
    return static_cast<int>((*random)() % static_cast<unsigned>(n));
  };
  const int left = below(size.width);
  const int top = below(size.height);
  return {left, top, 1 + below(size.width - left), 1 + below(size.height - top)};
}

std::string ReasonOf(ImageDecoder* decoder, const Bytes& bytes) {
  try {
    const Size size = decoder->Open(Span(bytes));
    decoder->Decode(Whole(size));
  } catch (const StageError& e) {
    EXPECT_EQ(e.stage(), Stage::kDecode);
    return e.what();
  }
  ADD_FAILURE() << "was decoded";
  return {};
}

TEST(ImageDecoder, EveryOrientationOfAJpegComesUpright) {
  int width = 0;
  int height = 0;
  int channels = 0;
  const Bytes stored = testing::DecodeWithLibjpeg(Jpeg(), &width, &height, &channels);
  std::mt19937 random(1);
  ImageDecoder decoder({});
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const Bytes jpeg = testing::WithExifOrientation(Jpeg(), orientation);
    const Size size = UprightSize(kSize, orientation);
    Bytes upright(stored.size());
    const ptrdiff_t row_bytes = ptrdiff_t{size.width} * kChannels;
    MakeUpright({stored.data(), kSize, ptrdiff_t{kSize.width} * kChannels}, orientation,
                {upright.data(), size, row_bytes});
    for (int i = 0; i < 30; ++i) {
      const Rect part = i == 0 ? Whole(size) : RandomPart(&random, size);
      ASSERT_EQ(decoder.Open(Span(jpeg)), size);
      const ImageView image = decoder.Decode(part);
      EXPECT_EQ(image.size, part.size());
      ASSERT_EQ(Packed(image), Part(upright, size, part)) << orientation;
    }
  }
}

TEST(ImageDecoder, OrientationCanBeLeftAlone) {
  DecodeOptions options;
  options.apply_exif_orientation = false;
  ImageDecoder decoder(options);
  ImageDecoder reference({});
  const Bytes turned = testing::WithExifOrientation(Jpeg(), 6);
  const Bytes plain = Jpeg();
  ASSERT_EQ(decoder.Open(Span(turned)), kSize);
  ASSERT_EQ(reference.Open(Span(plain)), kSize);
  EXPECT_EQ(Packed(decoder.Decode(Whole(kSize))), Packed(reference.Decode(Whole(kSize))));
}

TEST(ImageDecoder, ContentDecidesTheFormat) {
  ImageDecoder decoder({});
  const Bytes rgb = MakeRgb(kSize.width, kSize.height, 1);
  std::mt19937 random(2);
  for (const auto& [bytes, format] :
       {std::pair{Ppm(), ImageFormat::kPnm}, {Bmp(), ImageFormat::kBmp}}) {
    ASSERT_EQ(decoder.Open(Span(bytes)), kSize);
    EXPECT_EQ(decoder.format(), format);
    EXPECT_EQ(Packed(decoder.Decode(Whole(kSize))), rgb);
    for (int i = 0; i < 20; ++i) {
      const Rect part = RandomPart(&random, kSize);
      ASSERT_EQ(decoder.Open(Span(bytes)), kSize);
      ASSERT_EQ(Packed(decoder.Decode(part)), Part(rgb, kSize, part));
    }
  }
  const Bytes jpeg = Jpeg();
  decoder.Open(Span(jpeg));
  EXPECT_EQ(decoder.format(), ImageFormat::kJpeg);
}

TEST(ImageDecoder, SaysWhatIsWrongAndStaysUsable) {
  ImageDecoder decoder({});
  const Bytes jpeg = Jpeg();
  Bytes cut = jpeg;
  cut.resize(cut.size() / 2);
  Bytes bmp = Bmp();
  bmp.resize(60);
  const Bytes png_signature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const std::pair<Bytes, const char*> cases[] = {
      {{}, "empty"},
      {{'h', 'e', 'l', 'l', 'o'}, "format"},
      {cut, "truncated"},
      {bmp, "BMP"},
      {png_signature, "PNG"},
      {{0xFF, 0xD8, 0xFF}, ""},
      {{'P', '6', '\n', 'x'}, "PNM"},
  };
  for (const auto& [bytes, word] : cases) {
    const std::string reason = ReasonOf(&decoder, bytes);
    EXPECT_NE(reason.find(word), std::string::npos) << reason;
    ASSERT_EQ(decoder.Open(Span(jpeg)), kSize) << reason;
    EXPECT_EQ(decoder.Decode({1, 1, 5, 5}).size, (Size{5, 5})) << reason;
  }
}

TEST(ImageDecoder, ItsLimitHoldsForEveryFormat) {
  DecodeOptions options;
  options.limits.max_pixels = kSize.pixels() - 1;
  ImageDecoder strict(options);
  options.limits.max_pixels = kSize.pixels();
  ImageDecoder exact(options);
  for (const Bytes& bytes : {Jpeg(), Ppm(), Bmp()}) {
    EXPECT_NE(ReasonOf(&strict, bytes).find("limit"), std::string::npos);
    EXPECT_EQ(exact.Open(Span(bytes)), kSize);
  }
}

// Only the header is there: whatever went on to read pixels would complain about their absence.
TEST(ImageDecoder, RefusesAbsurdSizesByTheHeaderAlone) {
  ImageDecoder decoder({});
  const std::string ppm = "P6\n65500 65500\n255\n";
  EXPECT_NE(ReasonOf(&decoder, {ppm.begin(), ppm.end()}).find("limit"), std::string::npos);
  Bytes bmp = Bmp();
  const uint8_t size[8] = {0xDC, 0xFF, 0, 0, 0xDC, 0xFF, 0, 0};  // 65500, twice
  std::memcpy(&bmp[18], size, sizeof size);
  EXPECT_NE(ReasonOf(&decoder, bmp).find("65500 x 65500"), std::string::npos);
}

TEST(ImageDecoder, WorksOnAfterItsMemoryWasGivenBack) {
  ImageDecoder decoder({});
  const Bytes jpeg = testing::WithExifOrientation(Jpeg(), 6);
  ASSERT_EQ(decoder.Open(Span(jpeg)), (Size{37, 53}));
  const Bytes before = Packed(decoder.Decode(Whole({37, 53})));
  decoder.ShrinkTo(0);
  ASSERT_EQ(decoder.Open(Span(jpeg)), (Size{37, 53}));
  EXPECT_EQ(Packed(decoder.Decode(Whole({37, 53}))), before);
}

}  // namespace
}  // namespace stoker
