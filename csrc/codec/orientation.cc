#include "codec/orientation.h"

#include <cstring>

namespace stoker {
namespace {

// How an orientation walks: the stored pixel of upright (x, y) is (x, y), with the axes swapped if
// `swap`, then counted from the far end of the stored axis if `mirror_x` or `mirror_y`.
struct Walk {
  bool swap;
  bool mirror_x;
  bool mirror_y;
};

Walk WalkOf(int orientation) {
  constexpr Walk kWalks[9] = {{false, false, false}, {false, false, false}, {false, true, false},
                              {false, true, true},   {false, false, true},  {true, false, false},
                              {true, false, true},   {true, true, true},    {true, true, false}};
  return kWalks[orientation >= 1 && orientation <= 8 ? orientation : 1];
}

}  // namespace

Rect StoredRect(const Rect& upright, Size stored, int orientation) {
  const Walk walk = WalkOf(orientation);
  Rect r = upright;
  if (walk.swap) r = {upright.top, upright.left, upright.height, upright.width};
  if (walk.mirror_x) r.left = stored.width - r.right();
  if (walk.mirror_y) r.top = stored.height - r.bottom();
  return r;
}

void MakeUpright(const ImageView& in, int orientation, const MutableImageView& out) {
  const Walk walk = WalkOf(orientation);
  for (int y = 0; y < out.size.height; ++y) {
    uint8_t* to = out.row(y);
    for (int x = 0; x < out.size.width; ++x, to += kChannels) {
      int from_x = walk.swap ? y : x;
      int from_y = walk.swap ? x : y;
      if (walk.mirror_x) from_x = in.size.width - 1 - from_x;
      if (walk.mirror_y) from_y = in.size.height - 1 - from_y;
      std::memcpy(to, in.row(from_y) + static_cast<ptrdiff_t>(from_x) * kChannels, kChannels);
    }
  }
}

}  // namespace stoker
