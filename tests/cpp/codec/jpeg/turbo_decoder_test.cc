#include "codec/jpeg/turbo_decoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/error.h"
#include "support/test_images.h"

namespace stoker {
namespace {

using testing::Bytes;
using testing::JpegSpec;
using testing::MakeJpeg;
using testing::Span;

// An upright picture of packed rows, by libjpeg's plain interface.
struct Picture {
  Size size;
  Bytes rgb;
};

// Pillow's CMYK to RGB (Convert.c, cmyk2rgb, MULDIV255) of a file whose values are stored
// inverted, which Pillow takes every CMYK JPEG to be ("CMYK;I").
void PillowRgb(const uint8_t* inverted, uint8_t* rgb) {
  const int nk = inverted[3];  // 255 − K
  for (int c = 0; c < 3; ++c) {
    const int sum = (255 - inverted[c]) * nk + 128;
    const int product = (sum / 256 + sum) / 256;
    rgb[c] = static_cast<uint8_t>(std::clamp(nk - product, 0, 255));
  }
}

Picture Oracle(const Bytes& jpeg) {
  Picture picture;
  int channels = 0;
  Bytes raw =
      testing::DecodeWithLibjpeg(jpeg, &picture.size.width, &picture.size.height, &channels);
  if (channels == 3) {
    picture.rgb = std::move(raw);
    return picture;
  }
  picture.rgb.resize(raw.size() / 4 * 3);
  for (size_t i = 0; i < raw.size() / 4; ++i) PillowRgb(&raw[4 * i], &picture.rgb[3 * i]);
  return picture;
}

::testing::AssertionResult Equals(const ImageView& image, const Picture& whole, const Rect& part) {
  if (image.size != part.size()) return ::testing::AssertionFailure() << "another size";
  const auto row_bytes = ptrdiff_t{whole.size.width} * kChannels;
  const ImageView expected = ImageView{whole.rgb.data(), whole.size, row_bytes}.Crop(part);
  for (int y = 0; y < part.height; ++y) {
    for (int i = 0; i < part.width * kChannels; ++i) {
      if (image.row(y)[i] == expected.row(y)[i]) continue;
      return ::testing::AssertionFailure()
             << "of " << part.width << " x " << part.height << " at (" << part.left << ", "
             << part.top << "), pixel (" << i / kChannels << ", " << y << ") is "
             << int{image.row(y)[i]} << ", not " << int{expected.row(y)[i]};
    }
  }
  return ::testing::AssertionSuccess();
}

// The corners, single pixels, single rows and columns, and random parts.
std::vector<Rect> Parts(Size size, int random_parts) {
  const int w = size.width;
  const int h = size.height;
  std::vector<Rect> parts = {{0, 0, w, h},
                             {0, 0, 1, 1},
                             {w - 1, 0, 1, 1},
                             {0, h - 1, 1, 1},
                             {w - 1, h - 1, 1, 1},
                             {w / 2, h / 2, 1, 1},
                             {0, h / 2, w, 1},
                             {w / 2, 0, 1, h},
                             {0, 0, w / 2 + 1, h / 2 + 1},
                             {w / 2, 0, w - w / 2, h / 2 + 1}};
  parts.push_back({0, h / 2, w / 2 + 1, h - h / 2});
  parts.push_back({w / 2, h / 2, w - w / 2, h - h / 2});
  std::mt19937 random(static_cast<unsigned>(w * 1000 + h));
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  for (int i = 0; i < random_parts; ++i) {
    const int left = below(w);
    const int top = below(h);
    parts.push_back({left, top, 1 + below(w - left), 1 + below(h - top)});
  }
  return parts;
}

void ExpectEveryPartEqual(const Bytes& jpeg, int random_parts) {
  const Picture whole = Oracle(jpeg);
  TurboDecoder decoder({});
  ByteBuffer pixels;
  for (const Rect& part : Parts(whole.size, random_parts)) {
    ASSERT_EQ(decoder.Open(Span(jpeg)), whole.size);
    ASSERT_TRUE(Equals(decoder.Decode(part, &pixels), whole, part));
  }
}

struct Sampling {
  const char* name;
  int components, h, v;
};

constexpr Sampling kSamplings[] = {{"4:4:4", 3, 1, 1}, {"4:2:2", 3, 2, 1},   {"4:2:0", 3, 2, 2},
                                   {"4:4:0", 3, 1, 2}, {"4:1:1", 3, 4, 1},   {"gray", 1, 1, 1},
                                   {"3x1", 3, 3, 1},   {"1x4", 3, 1, 4},     {"4x2", 3, 4, 2},
                                   {"CMYK", 4, 1, 1},  {"CMYK 2x2", 4, 2, 2}};

enum class Coding {
  kBaseline,
  kProgressive,
  kArithmetic,
  kProgressiveArithmetic,
  kRestarts,
  kYcck
};

class TurboDecoderParts : public ::testing::TestWithParam<std::tuple<Sampling, Coding>> {
 protected:
  static JpegSpec Spec() {
    const auto [sampling, coding] = GetParam();
    JpegSpec spec;
    spec.components = sampling.components;
    spec.h_sampling = sampling.h;
    spec.v_sampling = sampling.v;
    spec.progressive = coding == Coding::kProgressive || coding == Coding::kProgressiveArithmetic;
    spec.arithmetic = coding == Coding::kArithmetic || coding == Coding::kProgressiveArithmetic;
    spec.restart_interval = coding == Coding::kRestarts ? 3 : 0;
    spec.ycck = coding == Coding::kYcck;
    return spec;
  }
};

TEST_P(TurboDecoderParts, EqualThePartsOfAFullDecode) {
  JpegSpec spec = Spec();
  for (const Size size : {Size{131, 97}, {64, 48}, {200, 33}, {33, 150}}) {
    spec.width = size.width;
    spec.height = size.height;
    ++spec.seed;
    ExpectEveryPartEqual(MakeJpeg(spec), 40);
  }
}

TEST_P(TurboDecoderParts, EqualItAtEverySmallSize) {
  JpegSpec spec = Spec();
  for (int n = 1; n <= 40; ++n) {
    spec.width = n;
    spec.height = 1 + n * 7 % 40;
    spec.seed = static_cast<uint32_t>(n);
    ExpectEveryPartEqual(MakeJpeg(spec), 6);
  }
}

std::string NameOf(const ::testing::TestParamInfo<std::tuple<Sampling, Coding>>& info) {
  constexpr const char* kCodings[] = {
      "Baseline", "Progressive", "Arithmetic", "Progressive_Arithmetic", "Restarts", "Ycck"};
  std::string name = std::get<0>(info.param).name;
  for (char& c : name) c = c == ':' || c == ' ' ? '_' : c;
  return name + "_" + kCodings[static_cast<int>(std::get<1>(info.param))];
}

INSTANTIATE_TEST_SUITE_P(
    Every, TurboDecoderParts,
    ::testing::Combine(::testing::ValuesIn(kSamplings),
                       ::testing::Values(Coding::kBaseline, Coding::kProgressive,
                                         Coding::kArithmetic, Coding::kProgressiveArithmetic,
                                         Coding::kRestarts)),
    NameOf);
INSTANTIATE_TEST_SUITE_P(FourComponents, TurboDecoderParts,
                         ::testing::Combine(::testing::Values(Sampling{"1x1", 4, 1, 1},
                                                              Sampling{"2x2", 4, 2, 2}),
                                            ::testing::Values(Coding::kYcck)),
                         NameOf);

}  // namespace
// Where scans are missing, libjpeg smooths: a block's pixels then depend on the blocks around it.
TEST(TurboDecoder, APartOfAProgressiveFileWithoutItsLastScansEqualsThatOfTheWhole) {
  for (const Sampling& sampling : {Sampling{"4:4:4", 3, 1, 1}, Sampling{"4:2:0", 3, 2, 2},
                                   Sampling{"gray", 1, 1, 1}, Sampling{"CMYK", 4, 1, 1}}) {
    for (const bool arithmetic : {false, true}) {
      JpegSpec spec;
      spec.width = 131;
      spec.height = 97;
      spec.components = sampling.components;
      spec.h_sampling = sampling.h;
      spec.v_sampling = sampling.v;
      spec.progressive = true;
      spec.arithmetic = arithmetic;
      const Bytes jpeg = MakeJpeg(spec);
      int scans = 0;
      for (size_t at = 2; at + 1 < jpeg.size(); ++at) {
        if (jpeg[at] != 0xFF || jpeg[at + 1] != 0xDA || ++scans == 1) continue;
        SCOPED_TRACE(std::string(sampling.name) + (arithmetic ? ", arithmetic, " : ", ") +
                     std::to_string(scans - 1) + " scans");
        Bytes cut(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(at));
        cut.insert(cut.end(), {0xFF, 0xD9});
        ExpectEveryPartEqual(cut, 20);
      }
      EXPECT_GT(scans, 5);
    }
  }
}

// A file without quantisation tables has none, whatever the last one had.
TEST(TurboDecoder, KeepsNoTablesFromFileToFile) {
  const Bytes whole = MakeJpeg({});
  Bytes bare = whole;
  for (size_t at = 2; bare[at + 1] != 0xDA;) {
    const size_t length = 2 + (static_cast<size_t>(bare[at + 2]) << 8 | bare[at + 3]);
    const auto segment = bare.begin() + static_cast<ptrdiff_t>(at);
    if (bare[at + 1] == 0xDB) {
      bare.erase(segment, segment + static_cast<ptrdiff_t>(length));
    } else {
      at += length;
    }
  }
  TurboDecoder decoder{DecodeLimits()};
  ByteBuffer pixels;
  decoder.Decode(Whole(decoder.Open(Span(whole))), &pixels);
  const Size size = decoder.Open(Span(bare));
  EXPECT_THROW(decoder.Decode(Whole(size), &pixels), StageError);
}

}  // namespace stoker
