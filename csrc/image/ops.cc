#include "image/ops.h"

#include "image/geometry.h"

namespace stoker {
namespace {

// Whether images of any size keep it.
bool KeepsSize(const Op& op) {
  switch (op.kind) {
    case OpKind::kRandomHorizontalFlip:
    case OpKind::kRandomVerticalFlip:
    case OpKind::kColorJitter:
    case OpKind::kRandomGrayscale:
    case OpKind::kRandomErasing: return true;
    case OpKind::kRandomApply:
    case OpKind::kRandomChoice:
    case OpKind::kRandomOrder:
      for (const Op& child : op.children) {
        if (!KeepsSize(child)) return false;
      }
      return true;
    default: return false;
  }
}

std::optional<Size> SizeAfterOne(const Op& op, std::optional<Size> in) {
  if (KeepsSize(op)) return in;
  switch (op.kind) {
    case OpKind::kPad:
      if (in) {
        in->width += op.padding.left + op.padding.right;
        in->height += op.padding.top + op.padding.bottom;
      }
      return in;
    case OpKind::kResize:
      if (op.short_side <= 0) return op.size;
      if (in) in = ResizedSize(op, *in);
      if (in && (in->width < 1 || in->height < 1)) return std::nullopt;
      return in;
    case OpKind::kRandomApply:
      // Without them, and with them.
      return SizeAfter(op.children, in) == in ? in : std::nullopt;
    case OpKind::kRandomChoice: {
      const std::optional<Size> first = SizeAfterOne(op.children.front(), in);
      for (const Op& child : op.children) {
        if (SizeAfterOne(child, in) != first) return std::nullopt;
      }
      return first;
    }
    case OpKind::kRandomOrder: {
      // Where one child alone changes the size, the order does not matter.
      const Op* changes = nullptr;
      for (const Op& child : op.children) {
        if (KeepsSize(child)) continue;
        if (changes != nullptr) return std::nullopt;
        changes = &child;
      }
      return SizeAfterOne(*changes, in);
    }
    default: return op.size;
  }
}

}  // namespace

int CountOps(const Op& op) { return 1 + CountOps(op.children); }

int CountOps(const std::vector<Op>& ops) {
  int count = 0;
  for (const Op& op : ops) count += CountOps(op);
  return count;
}

std::optional<Size> SizeAfter(const std::vector<Op>& ops, std::optional<Size> in) {
  for (const Op& op : ops) in = SizeAfterOne(op, in);
  return in;
}

}  // namespace stoker
