#include "image/plane_weights.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "image/resize_weights.h"

namespace stoker {
namespace {

constexpr int kOne = 1 << kPlaneWeightBits;

// Rounds weights to fixed point so that they sum up to one: the largest takes what rounding leaves.
void Quantise(const std::vector<double>& from, size_t count, double total, int16_t* to) {
  int sum = 0;
  size_t largest = 0;
  for (size_t i = 0; i < count; ++i) {
    const double weight = from[i] / total * kOne;
    to[i] = static_cast<int16_t>(std::floor(weight + 0.5));
    sum += to[i];
    if (to[i] > to[largest]) largest = i;
  }
  to[largest] = static_cast<int16_t>(to[largest] + kOne - sum);
}

}  // namespace

PlaneAxis PlaneAxis::Make(int begin, int size, int scale, int factor, bool triangle,
                          int plane_size) {
  PlaneAxis axis;
  const int unit = scale * factor;
  const int base = Base(begin, scale, factor);
  axis.offset = begin % unit;
  axis.size = size;
  axis.scale = scale;
  axis.factor = factor;
  axis.triangle = triangle;
  axis.first = base < 0 ? 1 : 0;
  // Beyond this no output looks, so that all crops that end inside the plane share their weights.
  const int reach = (axis.offset + size + unit - 1) / unit + 1;
  axis.last = std::min(plane_size - 1 - base, reach);
  return axis;
}

bool operator==(const PlaneAxis& a, const PlaneAxis& b) {
  return a.offset == b.offset && a.size == b.size && a.scale == b.scale && a.factor == b.factor &&
         a.triangle == b.triangle && a.out_size == b.out_size && a.out_begin == b.out_begin &&
         a.out_end == b.out_end && a.first == b.first && a.last == b.last &&
         a.interpolation == b.interpolation;
}

size_t PlaneAxis::Hash() const {
  uint64_t hash = 0;
  for (const int value : {offset, size, scale, factor, int{triangle}, out_size, out_begin, out_end,
                          first, last, static_cast<int>(interpolation)}) {
    hash = (hash ^ static_cast<uint32_t>(value)) * 0x9E3779B97F4A7C15U;
    hash ^= hash >> 29;
  }
  return static_cast<size_t>(hash);
}

void PlaneWeights::Compute(const PlaneAxis& for_axis) {
  axis = for_axis;
  ComputeRuns();
  ComputeSteps();
}

void PlaneWeights::ComputeRuns() {
  const auto outputs = static_cast<size_t>(axis.out_end - axis.out_begin);
  // The crop in luma samples, from the one under base: that is one sample of the plane before it.
  const double front = axis.factor + static_cast<double>(axis.offset) / axis.scale;
  const double length = static_cast<double>(axis.size) / axis.scale;
  const ResizeFilter filter(length / axis.out_size, axis.interpolation);
  const int low = static_cast<int>(front);
  const int high = static_cast<int>(std::ceil(front + length));

  const int longest_luma = static_cast<int>(2 * filter.support()) + 3;
  taps = axis.factor == 1 ? longest_luma : longest_luma / axis.factor + 4;
  plane_.resize(static_cast<size_t>(taps));
  runs.resize(outputs);
  weights.assign(outputs * static_cast<size_t>(taps), 0);
  int longest = 1;
  begin = axis.last;
  end = 0;
  for (size_t i = 0; i < outputs; ++i) {
    const double center = front + (axis.out_begin + static_cast<int>(i) + 0.5) * filter.scale();
    const int from = std::max(low, static_cast<int>(center - filter.support() + 0.5));
    const int to =
        std::max(from + 1, std::min(high, static_cast<int>(center + filter.support() + 0.5)));
    // Onto the plane's samples: upsampling makes each luma sample of one or two of them.
    const auto clamp = [this](int s) { return std::min(axis.last, std::max(axis.first, s)); };
    const bool blend = axis.triangle && axis.factor == 2;
    const int first = clamp(from / axis.factor - (blend && from % 2 == 0 ? 1 : 0));
    std::fill(plane_.begin(), plane_.end(), 0.0);
    double total = 0;
    int last = first;
    const auto add = [&](int sample, double weight) {
      plane_[static_cast<size_t>(clamp(sample) - first)] += weight;
      last = std::max(last, clamp(sample));
    };
    for (int j = from; j < to; ++j) {
      const double weight = filter(j - center + 0.5);
      total += weight;
      const int near = j / axis.factor;
      add(near, blend ? 0.75 * weight : weight);
      if (blend) add(j % 2 == 0 ? near - 1 : near + 1, 0.25 * weight);
    }
    int16_t* const row = weights.data() + i * static_cast<size_t>(taps);
    int count = last - first + 1;
    Quantise(plane_, static_cast<size_t>(count), total, row);
    // Weights that round to nothing go: their samples may not be there.
    while (row[count - 1] == 0) --count;
    const int zeros =
        static_cast<int>(std::find_if(row, row + count, [](int w) { return w != 0; }) - row);
    std::copy(row + zeros, row + count, row);
    std::fill(row + count - zeros, row + count, int16_t{0});
    runs[i] = {first + zeros, count - zeros};
    longest = std::max(longest, runs[i].taps);
    begin = std::min(begin, runs[i].begin);
    end = std::max(end, runs[i].begin + runs[i].taps);
  }
  // Closer together, now that the longest run is known.
  for (size_t i = 1; i < outputs && longest < taps; ++i) {
    std::copy_n(weights.begin() + static_cast<ptrdiff_t>(i) * taps, longest,
                weights.begin() + static_cast<ptrdiff_t>(i) * longest);
  }
  taps = longest;
  weights.resize(outputs * static_cast<size_t>(taps));
}

// For each group of outputs: windows from its first sample not yet taken on, and in each window as
// many steps as the output with the most samples there has.
void PlaneWeights::ComputeSteps() {
  const size_t outputs = runs.size();
  groups.clear();
  steps.clear();
  offsets.clear();
  for (size_t g = 0; g < outputs; g += kPlaneGroup) {
    const size_t members = std::min<size_t>(kPlaneGroup, outputs - g);
    std::array<int, kPlaneGroup> done{};  // taps of each output
    const auto group_begin = static_cast<int>(steps.size());
    for (;;) {
      int offset = -1;
      for (size_t i = 0; i < members; ++i) {
        const int next = runs[g + i].begin + done[i];
        if (done[i] < runs[g + i].taps && (offset < 0 || next < offset)) offset = next;
      }
      if (offset < 0) break;
      for (bool more = true; more;) {
        more = false;
        Step step;
        step.pick.fill(128);
        step.weights.fill(0);
        for (size_t i = 0; i < members; ++i) {
          const int place = runs[g + i].begin + done[i] - offset;
          if (done[i] == runs[g + i].taps || place >= kPlaneWindow) continue;
          step.pick[2 * i + 1] = static_cast<uint8_t>(place);
          step.weights[i] =
              weights[(g + i) * static_cast<size_t>(taps) + static_cast<size_t>(done[i])];
          ++done[i];
          more = true;
        }
        if (!more) break;
        steps.push_back(step);
        offsets.push_back(offset);
      }
    }
    groups.push_back({group_begin, static_cast<int>(steps.size()) - group_begin});
  }
}

size_t PlaneWeights::memory_bytes() const {
  return sizeof *this + runs.capacity() * sizeof(Run) + weights.capacity() * sizeof(int16_t) +
         groups.capacity() * sizeof(Group) + steps.capacity() * sizeof(Step) +
         offsets.capacity() * sizeof(int) + plane_.capacity() * sizeof(double);
}

PlaneWeightCache::~PlaneWeightCache() {
  for (const auto& slot : slots_) delete slot.load(std::memory_order_relaxed);
}

const PlaneWeights& PlaneWeightCache::Get(const PlaneAxis& axis, PlaneWeights* own) {
  const size_t hash = axis.Hash();
  std::unique_ptr<PlaneWeights> made;
  for (size_t probe = 0; probe < kProbes; ++probe) {
    auto& slot = slots_[(hash + probe) % kSlots];
    const PlaneWeights* found = slot.load(std::memory_order_acquire);
    if (found == nullptr && used_.load(std::memory_order_relaxed) < budget_) {
      if (!made) {
        made = std::make_unique<PlaneWeights>();
        made->Compute(axis);
      }
      if (slot.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel)) {
        used_.fetch_add(made->memory_bytes(), std::memory_order_relaxed);
        return *made.release();
      }
    }
    if (found == nullptr) break;
    if (found->axis == axis) return *found;
  }
  if (!(own->axis == axis)) own->Compute(axis);
  return *own;
}

}  // namespace stoker
