// The eight EXIF orientations: from the upright image's coordinates to the stored one's and back.
// (EXIF 2.32, tag 0x0112; the same as Pillow's ImageOps.exif_transpose.)
#pragma once

#include "base/image_view.h"
#include "base/rect.h"

namespace stoker {

// 5 to 8 swap width and height.
inline bool SwapsAxes(int orientation) { return orientation >= 5; }

inline Size UprightSize(Size stored, int orientation) {
  return SwapsAxes(orientation) ? Size{stored.height, stored.width} : stored;
}

// Where the part `upright` of the upright image lies in a stored image of size `stored`.
Rect StoredRect(const Rect& upright, Size stored, int orientation);

// Writes the stored pixels `in` upright into `out`, whose size must be UprightSize(in.size, …).
void MakeUpright(const ImageView& in, int orientation, const MutableImageView& out);

}  // namespace stoker
