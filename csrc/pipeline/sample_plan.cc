#include "pipeline/sample_plan.h"

#include "image/geometry.h"

namespace stoker {

std::optional<Size> SamplePlan::FixedSize() const {
  std::optional<Size> size;
  for (const Op& op : ops) {
    switch (op.kind) {
      case OpKind::kCenterCrop:
      case OpKind::kRandomCrop:
      case OpKind::kRandomResizedCrop: size = op.size; break;
      case OpKind::kResize:
        if (op.short_side <= 0) {
          size = op.size;
        } else if (size) {
          size = ResizedSize(op, *size);
        }
        break;
      case OpKind::kRandomHorizontalFlip:
      case OpKind::kRandomVerticalFlip: break;
    }
  }
  return size;
}

}  // namespace stoker
