#include "codec/orientation.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace stoker {
namespace {

// The oracle: rows of numbered pixels, turned by the named operations of Pillow's exif_transpose.
using Picture = std::vector<std::vector<int>>;

Picture FlipLeftRight(const Picture& in) {
  Picture out;
  for (const auto& row : in) out.emplace_back(row.rbegin(), row.rend());
  return out;
}

Picture FlipTopBottom(const Picture& in) { return {in.rbegin(), in.rend()}; }

Picture Transpose(const Picture& in) {
  Picture out(in[0].size());
  for (const auto& row : in) {
    for (size_t x = 0; x < row.size(); ++x) out[x].push_back(row[x]);
  }
  return out;
}

Picture Upright(const Picture& stored, int orientation) {
  switch (orientation) {
    case 2: return FlipLeftRight(stored);
    case 3: return FlipLeftRight(FlipTopBottom(stored));  // ROTATE_180
    case 4: return FlipTopBottom(stored);
    case 5: return Transpose(stored);
    case 6: return FlipLeftRight(Transpose(stored));                 // ROTATE_270, counterclockwise
    case 7: return FlipTopBottom(FlipLeftRight(Transpose(stored)));  // TRANSVERSE
    case 8: return FlipTopBottom(Transpose(stored));                 // ROTATE_90, counterclockwise
    default: return stored;
  }
}

Picture Numbered(Size size) {
  Picture picture(static_cast<size_t>(size.height));
  int next = 0;
  for (auto& row : picture) {
    for (int x = 0; x < size.width; ++x) row.push_back(next++);
  }
  return picture;
}

// Pixels in memory, rows `padding` bytes longer than they need be.
struct Pixels {
  Pixels(Size image_size, int padding)
      : size(image_size),
        row_bytes(ptrdiff_t{size.width} * kChannels + padding),
        bytes(static_cast<size_t>(row_bytes * size.height), 0xEE) {}

  MutableImageView view() { return {bytes.data(), size, row_bytes}; }

  Size size;
  ptrdiff_t row_bytes;
  std::vector<uint8_t> bytes;
};

Pixels Stored(Size size) {
  Pixels pixels(size, 5);
  const Picture picture = Numbered(size);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      for (int c = 0; c < kChannels; ++c) {
        const int value = 3 * picture[static_cast<size_t>(y)][static_cast<size_t>(x)] + c;
        pixels.view().row(y)[x * kChannels + c] = static_cast<uint8_t>(value);
      }
    }
  }
  return pixels;
}

void ExpectPart(const ImageView& image, const Picture& whole, const Rect& part) {
  for (int y = 0; y < part.height; ++y) {
    for (int x = 0; x < part.width; ++x) {
      const auto& row = whole[static_cast<size_t>(part.top + y)];
      for (int c = 0; c < kChannels; ++c) {
        ASSERT_EQ(image.row(y)[x * kChannels + c], 3 * row[static_cast<size_t>(part.left + x)] + c);
      }
    }
  }
}

void CheckEveryPart(Size size, int orientation) {
  Pixels stored = Stored(size);
  const Picture upright = Upright(Numbered(size), orientation);
  const Size upright_size = UprightSize(size, orientation);
  ASSERT_EQ(upright_size.height, static_cast<int>(upright.size()));
  ASSERT_EQ(upright_size.width, static_cast<int>(upright[0].size()));
  for (int top = 0; top < upright_size.height; ++top) {
    for (int left = 0; left < upright_size.width; ++left) {
      for (int height = 1; top + height <= upright_size.height; ++height) {
        for (int width = 1; left + width <= upright_size.width; ++width) {
          const Rect part{left, top, width, height};
          const Rect from = StoredRect(part, size, orientation);
          ASSERT_TRUE(Whole(size).Contains(from));
          Pixels out(part.size(), 7);
          ASSERT_EQ(UprightSize(from.size(), orientation), part.size());
          MakeUpright(ImageView(stored.view()).Crop(from), orientation, out.view());
          ExpectPart(out.view(), upright, part);
          for (int y = 0; y < height; ++y) {  // nothing is written between the rows
            for (int i = 0; i < 7; ++i) ASSERT_EQ(out.view().row(y)[width * kChannels + i], 0xEE);
          }
        }
      }
    }
  }
}

TEST(Orientation, EveryPartOfEveryOrientationIsTheUprightOne) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (int width = 1; width <= 6; ++width) {
      for (int height = 1; height <= 5; ++height) {
        SCOPED_TRACE(::testing::Message() << orientation << " " << width << " x " << height);
        CheckEveryPart({width, height}, orientation);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST(Orientation, FiveToEightSwapTheAxes) {
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(SwapsAxes(orientation), orientation >= 5);
    EXPECT_EQ(UprightSize({3, 2}, orientation), orientation >= 5 ? (Size{2, 3}) : (Size{3, 2}));
  }
}

}  // namespace
}  // namespace stoker
