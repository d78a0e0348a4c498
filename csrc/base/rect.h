// Sizes and rectangles in pixels. x grows to the right, y grows downwards; a rectangle covers
// [left, right()) × [top, bottom()).
#pragma once

#include <cstdint>

namespace stoker {

struct Size {
  int width = 0;
  int height = 0;

  int64_t pixels() const { return static_cast<int64_t>(width) * height; }
  friend bool operator==(const Size& a, const Size& b) {
    return a.width == b.width && a.height == b.height;
  }
  friend bool operator!=(const Size& a, const Size& b) { return !(a == b); }
};

struct Rect {
  int left = 0;
  int top = 0;
  int width = 0;
  int height = 0;

  int right() const { return left + width; }
  int bottom() const { return top + height; }
  bool empty() const { return width <= 0 || height <= 0; }
  Size size() const { return {width, height}; }
  Rect Shifted(int dx, int dy) const { return {left + dx, top + dy, width, height}; }
  bool Contains(const Rect& other) const {
    return other.left >= left && other.top >= top && other.right() <= right() &&
           other.bottom() <= bottom();
  }
  friend bool operator==(const Rect& a, const Rect& b) {
    return a.left == b.left && a.top == b.top && a.width == b.width && a.height == b.height;
  }
};

inline Rect Whole(Size size) { return {0, 0, size.width, size.height}; }

}  // namespace stoker
