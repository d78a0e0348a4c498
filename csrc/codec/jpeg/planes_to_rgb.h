// Planes to RGB in the exact pixel mode: libjpeg's fancy upsampling (jdsample.c) and its colour
// conversion (jdcolor.c), bit for bit.
//
// Threads: any; pure. A scalar oracle beside the kernel; all targets give the same bits.
#pragma once

#include "base/bytes.h"
#include "base/image_view.h"
#include "base/planes.h"

namespace stoker {

// The pixels of `region` (in pixels of the image) to `out`, of region's size; `planes` hold what is
// under it, and one chroma sample more on each side where the image goes on. `scratch` is used for
// rows. Rows of planes must be followed by ByteBuffer::kPadding readable bytes.
void PlanesToRgb(const YccPlanes& planes, const Rect& region, ByteBuffer* scratch,
                 const MutableImageView& out);
void PlanesToRgbScalar(const YccPlanes& planes, const Rect& region, ByteBuffer* scratch,
                       const MutableImageView& out);

}  // namespace stoker
