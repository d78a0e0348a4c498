#include "image/geometry.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "base/error.h"
#include "image/portable_math.h"
#include "image/resize_weights.h"

namespace stoker {
namespace {

std::string Text(Size size) {
  return std::to_string(size.width) + " x " + std::to_string(size.height);
}

// `resized`, of an image of size `in`; Pillow refuses a side of 0 as well.
Size SomethingLeft(Size resized, Size in) {
  if (resized.width > 0 && resized.height > 0) return resized;
  throw StageError(Stage::kTransform, "Resize would make " + Text(resized) + " pixels of the " +
                                          Text(in) + " that there are");
}

// Python's round(): to the nearest, ties to even (the default rounding mode).
int Round(double x) { return static_cast<int>(std::nearbyint(x)); }

// Collects steps and the flips that are still pending behind them.
class Resolver {
 public:
  Resolver(Size in, Geometry* geometry) : size_(in), geometry_(geometry) {
    geometry_->steps.clear();
    geometry_->flip_horizontal = geometry_->flip_vertical = false;
    geometry_->erasures.clear();
  }

  Size size() const { return size_; }

  void Flip(bool horizontal) {
    bool& flip = horizontal ? geometry_->flip_horizontal : geometry_->flip_vertical;
    flip = !flip;
    for (Erasure& e : geometry_->erasures) {
      if (horizontal) e.rect.left = size_.width - e.rect.right();
      if (!horizontal) e.rect.top = size_.height - e.rect.bottom();
    }
  }

  void Erase(const Erasure& erasure) { geometry_->erasures.push_back(erasure); }

  // Flips are left pending: none of these looks at where a pixel is.
  void AdjustColor(StepKind kind, double factor) {
    Step step{kind, size_, size_, {}};
    step.factor = static_cast<float>(factor);
    Push(step);
  }

  // `rect` in coordinates of the image as it is seen, pending flips applied.
  void Crop(Rect rect, PadMode pad_mode, const std::array<uint8_t, 3>& fill) {
    if (geometry_->flip_horizontal) rect.left = size_.width - rect.right();
    if (geometry_->flip_vertical) rect.top = size_.height - rect.bottom();
    if (rect == Whole(size_)) return;
    const bool inside = Whole(size_).Contains(rect);
    Step step{inside ? StepKind::kCrop : StepKind::kPadCrop, size_, rect.size(), rect};
    step.pad_mode = pad_mode;
    step.fill = fill;
    Push(step);
  }

  void Resize(Size out, Interpolation interpolation) {
    if (out == size_) return;
    if (std::exchange(geometry_->flip_horizontal, false)) {
      Push({StepKind::kFlipHorizontal, size_, size_, {}});
    }
    if (std::exchange(geometry_->flip_vertical, false)) {
      Push({StepKind::kFlipVertical, size_, size_, {}});
    }
    Step step{StepKind::kResize, size_, out, {}};
    step.interpolation = interpolation;
    Push(step);
  }

 private:
  void Push(const Step& step) {
    // Their rectangles are in the finished sample's coordinates.
    if (!geometry_->erasures.empty()) {
      throw StageError(Stage::kTransform, "only flips may stand behind RandomErasing");
    }
    geometry_->steps.push_back(step);
    size_ = step.out;
  }
  Size size_;
  Geometry* geometry_;
};

Rect CenterRect(Size in, Size crop) {
  // torchvision pads a smaller image first: (crop − size) // 2 in front.
  const auto begin = [](int size, int wanted) {
    return wanted > size ? -((wanted - size) / 2) : Round((size - wanted) / 2.0);
  };
  return {begin(in.width, crop.width), begin(in.height, crop.height), crop.width, crop.height};
}

Rect RandomCropRect(const Op& op, Size in, OpRandom* random) {
  Padding pad = op.padding;
  const auto grow = [&](int size, int wanted, int* front, int* back) {
    if (!op.pad_if_needed || size + *front + *back >= wanted) return;
    const int missing = wanted - (size + *front + *back);
    *front += missing;
    *back += missing;
  };
  grow(in.height, op.size.height, &pad.top, &pad.bottom);
  grow(in.width, op.size.width, &pad.left, &pad.right);
  const Size padded{in.width + pad.left + pad.right, in.height + pad.top + pad.bottom};
  if (padded.width < op.size.width || padded.height < op.size.height) {
    throw StageError(Stage::kTransform, "RandomCrop of " + Text(op.size) +
                                            " pixels is larger than the padded image, " +
                                            Text(padded));
  }
  const int top = random->Below(padded.height - op.size.height + 1);
  const int left = random->Below(padded.width - op.size.width + 1);
  return {left - pad.left, top - pad.top, op.size.width, op.size.height};
}

// The coordinates of an axis of `size` that a padded crop's window [begin, end) looks at.
std::pair<int, int> PaddedRange(int begin, int end, int size, PadMode mode) {
  int low = size;
  int high = 0;
  for (int x = begin; x < end; ++x) {
    const int from = PaddedCoordinate(x, size, mode);
    if (from < 0) continue;
    low = std::min(low, from);
    high = std::max(high, from + 1);
  }
  // A window of nothing but fill: any pixel will do, none is used.
  return low < high ? std::make_pair(low, high) : std::make_pair(0, 1);
}

Rect InputWindow(const Step& step) {
  const Rect& w = step.out_window;
  switch (step.kind) {
    case StepKind::kCrop: return w.Shifted(step.rect.left, step.rect.top);
    case StepKind::kFlipHorizontal: return {step.in.width - w.right(), w.top, w.width, w.height};
    case StepKind::kFlipVertical: return {w.left, step.in.height - w.bottom(), w.width, w.height};
    case StepKind::kPadCrop: {
      const Rect r = w.Shifted(step.rect.left, step.rect.top);
      const auto x = PaddedRange(r.left, r.right(), step.in.width, step.pad_mode);
      const auto y = PaddedRange(r.top, r.bottom(), step.in.height, step.pad_mode);
      return {x.first, y.first, x.second - x.first, y.second - y.first};
    }
    case StepKind::kBrightness:
    case StepKind::kSaturation:
    case StepKind::kHue:
    case StepKind::kGrayscale: return w;
    case StepKind::kContrast: return Whole(step.in);  // whose mean it needs
    case StepKind::kResize: break;
  }
  const auto x =
      ResizeSupport(step.in.width, step.out.width, w.left, w.right(), step.interpolation);
  const auto y =
      ResizeSupport(step.in.height, step.out.height, w.top, w.bottom(), step.interpolation);
  return {x.first, y.first, x.second - x.first, y.second - y.first};
}

// torchvision's ColorJitter: the four in random order, by factors drawn from their ranges.
void JitterColor(const Op& op, OpRandom* random, Resolver* resolver) {
  constexpr StepKind kKinds[] = {StepKind::kBrightness, StepKind::kContrast, StepKind::kSaturation,
                                 StepKind::kHue};
  constexpr double kNeutral[] = {1.0, 1.0, 1.0, 0.0};
  std::array<uint8_t, 4> order{};
  random->Permutation(4, &order);
  std::array<double, 4> factors{};
  for (size_t i = 0; i < 4; ++i) factors[i] = random->Uniform(op.jitter[i][0], op.jitter[i][1]);
  for (const uint8_t i : order) {
    const auto& range = op.jitter[i];
    if (range[0] == kNeutral[i] && range[1] == kNeutral[i]) continue;
    resolver->AdjustColor(kKinds[i], factors[i]);
  }
}

// The sides of a rectangle with a random share of `in`'s pixels: the root of that times a random
// ratio, and the root of that over it. For RandomResizedCrop the first is the width, for
// RandomErasing the height.
std::pair<int, int> DrawSides(const Op& op, Size in, OpRandom* random) {
  // What is too long to count (or no number) fits no image either.
  const auto side = [](double x) { return x < INT32_MAX ? Round(x) : INT32_MAX; };
  const double target =
      static_cast<double>(in.pixels()) * random->Uniform(op.scale[0], op.scale[1]);
  const double ratio =
      PortableExp(random->Uniform(PortableLog(op.ratio[0]), PortableLog(op.ratio[1])));
  return {side(std::sqrt(target * ratio)), side(std::sqrt(target / ratio))};
}

// torchvision's RandomErasing.get_params; no rectangle that fits in ten attempts: nothing.
void EraseRandomly(const Op& op, OpRandom* random, Resolver* resolver) {
  const Size in = resolver->size();
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto [height, width] = DrawSides(op, in, random);
    if (height >= in.height || width >= in.width) continue;
    const int top = random->Below(in.height - height + 1);
    const int left = random->Below(in.width - width + 1);
    resolver->Erase({{left, top, width, height}, op.value, op.noise, random->Next64()});
    return;
  }
}

size_t ChooseChild(const Op& op, OpRandom* random) {
  double sum = 0.0;
  for (size_t i = 0; i < op.children.size(); ++i) sum += op.weights.empty() ? 1.0 : op.weights[i];
  double at = random->Uniform(0.0, sum);
  size_t last = 0;  // with a weight: where rounding may lead
  for (size_t i = 0; i < op.children.size(); ++i) {
    const double weight = op.weights.empty() ? 1.0 : op.weights[i];
    if (weight <= 0.0) continue;
    last = i;
    if (at < weight) break;
    at -= weight;
  }
  return last;
}

void ResolveOps(const std::vector<Op>& ops, const SampleKey& key, int number, Resolver* resolver);

// `number`: the operation's, of all in its plan.
void ResolveOp(const Op& op, const SampleKey& key, int number, Resolver* resolver) {
  OpRandom random(key, number);
  const auto child = [&](size_t wanted) {
    int at = number + 1;
    for (size_t i = 0; i < wanted; ++i) at += CountOps(op.children[i]);
    ResolveOp(op.children[wanted], key, at, resolver);
  };
  switch (op.kind) {
    case OpKind::kResize:
      resolver->Resize(SomethingLeft(ResizedSize(op, resolver->size()), resolver->size()),
                       op.interpolation);
      break;
    case OpKind::kCenterCrop:
      resolver->Crop(CenterRect(resolver->size(), op.size), PadMode::kConstant, {0, 0, 0});
      break;
    case OpKind::kRandomCrop:
      resolver->Crop(RandomCropRect(op, resolver->size(), &random), op.pad_mode, op.fill);
      break;
    case OpKind::kRandomResizedCrop:
      resolver->Crop(RandomResizedCropRect(op, resolver->size(), &random), op.pad_mode, op.fill);
      resolver->Resize(op.size, op.interpolation);
      break;
    case OpKind::kRandomHorizontalFlip:
      if (random.Uniform() < op.probability) resolver->Flip(/*horizontal=*/true);
      break;
    case OpKind::kRandomVerticalFlip:
      if (random.Uniform() < op.probability) resolver->Flip(/*horizontal=*/false);
      break;
    case OpKind::kPad:
      resolver->Crop({-op.padding.left, -op.padding.top,
                      resolver->size().width + op.padding.left + op.padding.right,
                      resolver->size().height + op.padding.top + op.padding.bottom},
                     op.pad_mode, op.fill);
      break;
    case OpKind::kColorJitter: JitterColor(op, &random, resolver); break;
    case OpKind::kRandomGrayscale:
      if (random.Uniform() < op.probability) resolver->AdjustColor(StepKind::kGrayscale, 0.0);
      break;
    case OpKind::kRandomErasing:
      if (random.Uniform() < op.probability) EraseRandomly(op, &random, resolver);
      break;
    case OpKind::kRandomApply:
      if (random.Uniform() < op.probability) ResolveOps(op.children, key, number + 1, resolver);
      break;
    case OpKind::kRandomChoice:
      if (!op.children.empty()) child(ChooseChild(op, &random));
      break;
    case OpKind::kRandomOrder: {
      std::array<uint8_t, kMaxOps> order{};
      const auto count = static_cast<int>(op.children.size());
      random.Permutation(count, &order);
      for (int i = 0; i < count; ++i) child(order[static_cast<size_t>(i)]);
      break;
    }
  }
}

// `number`: of the first.
void ResolveOps(const std::vector<Op>& ops, const SampleKey& key, int number, Resolver* resolver) {
  for (const Op& op : ops) {
    ResolveOp(op, key, number, resolver);
    number += CountOps(op);
  }
}

}  // namespace

int PaddedCoordinate(int x, int size, PadMode mode) {
  if (x >= 0 && x < size) return x;
  switch (mode) {
    case PadMode::kConstant: return -1;
    case PadMode::kEdge: return x < 0 ? 0 : size - 1;
    case PadMode::kReflect: {
      if (size == 1) return 0;
      const int period = 2 * (size - 1);
      const int at = ((x % period) + period) % period;
      return at < size ? at : period - at;
    }
    case PadMode::kSymmetric: {
      const int period = 2 * size;
      const int at = ((x % period) + period) % period;
      return at < size ? at : period - 1 - at;
    }
  }
  return -1;
}

Size ResizedSize(const Op& op, Size in) {
  if (op.short_side <= 0) return op.size;
  const int short_in = std::min(in.width, in.height);
  const int long_in = std::max(in.width, in.height);
  int new_short = op.short_side;
  double new_long = static_cast<double>(int64_t{new_short} * long_in) / short_in;
  if (op.max_size > 0 && new_long > op.max_size) {
    const auto truncated = static_cast<double>(static_cast<int64_t>(new_long));
    new_short = static_cast<int>(static_cast<double>(int64_t{op.max_size} * new_short) / truncated);
    new_long = op.max_size;
  }
  if (new_long > INT32_MAX) {
    throw StageError(Stage::kTransform, "Resize would make the long side of the " + Text(in) +
                                            " pixels too long to count");
  }
  const int new_long_int = static_cast<int>(new_long);
  return in.width <= in.height ? Size{new_short, new_long_int} : Size{new_long_int, new_short};
}

Rect RandomResizedCropRect(const Op& op, Size in, OpRandom* random) {
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto [width, height] = DrawSides(op, in, random);
    if (width > 0 && width <= in.width && height > 0 && height <= in.height) {
      const int top = random->Below(in.height - height + 1);
      const int left = random->Below(in.width - width + 1);
      return {left, top, width, height};
    }
  }
  const double in_ratio = static_cast<double>(in.width) / in.height;
  Size size = in;
  if (in_ratio < op.ratio[0]) {
    size.height = std::max(1, std::min(in.height, Round(in.width / op.ratio[0])));
  } else if (in_ratio > op.ratio[1]) {
    size.width = std::max(1, std::min(in.width, Round(in.height * op.ratio[1])));
  }
  return {(in.width - size.width) / 2, (in.height - size.height) / 2, size.width, size.height};
}

void ResolveGeometry(const std::vector<Op>& ops, Size in, const SampleKey& key,
                     Geometry* geometry) {
  Resolver resolver(in, geometry);
  ResolveOps(ops, key, 0, &resolver);
  geometry->out = resolver.size();
  Rect window = Whole(geometry->out);
  for (auto step = geometry->steps.rbegin(); step != geometry->steps.rend(); ++step) {
    step->out_window = window;
    window = step->in_window = InputWindow(*step);
  }
  geometry->decode = window;
}

}  // namespace stoker
