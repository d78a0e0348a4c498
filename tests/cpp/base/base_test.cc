#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/image_view.h"
#include "base/rect.h"

namespace stoker {
namespace {

bool Covers(const Rect& r, int x, int y) {
  return x >= r.left && x < r.left + r.width && y >= r.top && y < r.top + r.height;
}

std::vector<Rect> SmallRects() {
  std::vector<Rect> rects;
  for (int left = -1; left <= 2; ++left) {
    for (int top = 0; top <= 2; ++top) {
      for (int width = 0; width <= 3; ++width) {
        for (int height = 0; height <= 3; ++height) rects.push_back({left, top, width, height});
      }
    }
  }
  return rects;
}

TEST(Rect, ContainsMeansThatEveryPixelIsInside) {
  for (const Rect& a : SmallRects()) {
    for (const Rect& b : SmallRects()) {
      if (b.empty()) continue;
      bool all = true;
      for (int y = b.top; y < b.bottom(); ++y) {
        for (int x = b.left; x < b.right(); ++x) all = all && Covers(a, x, y);
      }
      ASSERT_EQ(a.Contains(b), all);
    }
  }
}

TEST(Rect, ShiftedAndWholeKeepTheSize) {
  const Rect r{3, 4, 5, 6};
  EXPECT_EQ(r.Shifted(-2, 7), (Rect{1, 11, 5, 6}));
  EXPECT_EQ(Whole({9, 8}), (Rect{0, 0, 9, 8}));
  EXPECT_EQ(r.size(), (Size{5, 6}));
  EXPECT_NE(r.size(), (Size{6, 5}));
  EXPECT_FALSE(r == r.Shifted(0, 1));
}

TEST(Size, PixelsDoNotOverflow) {
  EXPECT_EQ((Size{65500, 65500}).pixels(), int64_t{65500} * 65500);
}

TEST(ByteBuffer, IsAlignedAndPaddedAtEverySize) {
  for (size_t size = 0; size <= 300; ++size) {
    ByteBuffer buffer;
    uint8_t* data = buffer.Reserve(size);
    ASSERT_NE(data, nullptr);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(data) % ByteBuffer::kAlignment, 0U);
    ASSERT_GE(buffer.capacity(), size);
    // An overrun beyond the padding is for the address sanitizer to see.
    std::memset(data, 1, buffer.capacity() + ByteBuffer::kPadding);
  }
}

TEST(ByteBuffer, KeepsMemoryAndContentsWhenItNeedNotGrow) {
  ByteBuffer buffer;
  uint8_t* data = buffer.Reserve(1000);
  data[0] = 42;
  data[999] = 43;
  EXPECT_EQ(buffer.Reserve(10), data);
  EXPECT_EQ(buffer.Reserve(1000), data);
  EXPECT_EQ(buffer.data(), data);
  EXPECT_EQ(data[0], 42);
  EXPECT_EQ(data[999], 43);
}

TEST(ByteBuffer, ShrinksOnlyAboveTheLimit) {
  ByteBuffer buffer;
  buffer.Reserve(1000);
  const size_t capacity = buffer.capacity();
  buffer.ShrinkTo(capacity);
  EXPECT_EQ(buffer.capacity(), capacity);
  buffer.ShrinkTo(buffer.capacity() - 1);
  EXPECT_EQ(buffer.capacity(), 0U);
  EXPECT_NE(buffer.Reserve(1000), nullptr);
}

TEST(ByteBuffer, ImpossibleSizesThrowAndLeaveItUsable) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer ends the process at such a request";
#endif
  ByteBuffer buffer;
  // The second is where 5/4 of the size, or a rounded size, no longer fits into 64 bits.
  for (const size_t size : {SIZE_MAX / 4, SIZE_MAX / 5 * 4 + 1, SIZE_MAX - 1, SIZE_MAX}) {
    EXPECT_THROW(buffer.Reserve(size), std::bad_alloc) << size;
  }
  std::memset(buffer.Reserve(100), 1, 100);
}

TEST(DataError, SaysStageSampleAndReason) {
  const DataError error(17, "a/b.jpg", Stage::kDecode, "it is cut");
  EXPECT_STREQ(error.what(), "cannot decode sample 17 (a/b.jpg): it is cut");
  EXPECT_EQ(error.index(), 17);
  EXPECT_EQ(error.path(), "a/b.jpg");
  EXPECT_EQ(error.stage(), Stage::kDecode);
  EXPECT_EQ(error.reason(), "it is cut");
}

TEST(StageError, KnowsItsStage) {
  EXPECT_EQ(StageError(Stage::kRead, "why").stage(), Stage::kRead);
  EXPECT_STREQ(StageError(Stage::kRead, "why").what(), "why");
  EXPECT_STREQ(StageName(Stage::kRead), "read");
  EXPECT_STREQ(StageName(Stage::kTransform), "transform");
}

TEST(ImageView, CropPointsAtTheSamePixels) {
  std::vector<uint8_t> pixels(7 * 40);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i);
  const MutableImageView image{pixels.data(), {10, 7}, 40};  // rows padded by 10 bytes
  static_assert(std::is_convertible_v<MutableImageView, ImageView>);
  const ImageView crop = ImageView(image).Crop({3, 2, 4, 5});
  EXPECT_EQ(crop.size, (Size{4, 5}));
  for (int y = 0; y < 5; ++y) {
    for (int x = 0; x < 4 * kChannels; ++x) {
      EXPECT_EQ(crop.row(y) + x, pixels.data() + (y + 2) * 40 + 3 * kChannels + x);
    }
  }
  EXPECT_EQ(image.row(6), pixels.data() + 240);
}

}  // namespace
}  // namespace stoker
